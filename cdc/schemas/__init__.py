"""Where table structures are kept, so that a record needs to name only the id of its own."""
