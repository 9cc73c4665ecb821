"""Real servers for tests, benchmarks and the demo: started here, stopped with this process.

Every server is a context manager; `stop`, `kill` and `start_again` keep its data and port, `close`
removes everything. What this machine cannot have raises Unavailable, which says what to install.
"""

from tests.lab.chromium import ChromiumServer
from tests.lab.errors import AddressInUse, LabError, Unavailable
from tests.lab.kafka import KafkaServer
from tests.lab.opensearch import OpenSearchServer
from tests.lab.postgres import PostgresServer
from tests.lab.postgres_database import PostgresDatabase
from tests.lab.postgres_install import find_postgres
from tests.lab.redis import RedisServer

__all__ = [
    "AddressInUse",
    "ChromiumServer",
    "KafkaServer",
    "LabError",
    "OpenSearchServer",
    "PostgresDatabase",
    "PostgresServer",
    "RedisServer",
    "Unavailable",
    "find_postgres",
]
