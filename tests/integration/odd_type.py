"""A type that no column should have: every type of a real server is captured, pseudo-types are not.

The server refuses columns of pseudo-types, so one becomes a pseudo-type behind the server's back.
"""

MAKE = "CREATE TYPE public.odd_place AS ENUM ('x')"
SPOIL = "UPDATE pg_catalog.pg_type SET typtype = 'p' WHERE typname = 'odd_place'"
