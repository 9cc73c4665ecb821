"""Real servers for tests, benchmarks and the demo: started here, stopped with this process.

Every server is a context manager; `stop`, `kill` and `start_again` keep its data and port, `close`
removes everything. What this machine cannot have raises Unavailable, which says what to install.
"""

from tests.lab.errors import AddressInUse, LabError, Unavailable
from tests.lab.postgres import PostgresServer
from tests.lab.postgres_database import PostgresDatabase
from tests.lab.postgres_install import find_postgres

__all__ = [
    "AddressInUse",
    "LabError",
    "PostgresDatabase",
    "PostgresServer",
    "Unavailable",
    "find_postgres",
]
