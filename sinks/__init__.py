"""The derived stores: one file a sink."""
