"""`make demo`: a private Postgres, captured before your eyes, and compared with what follows it."""
