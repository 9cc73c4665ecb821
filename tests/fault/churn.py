"""A writer that changes rows like an application would, and the judge of what it changed.

Every change of a row gives it a fresh number from one database sequence, so that each state of each
row can be told from every other. The judge is a `test_decoding` slot: the server's own decoder.
"""

import random
import re
import threading
from collections import defaultdict
from types import TracebackType
from typing import Self

import psycopg

from tests.lab import PostgresDatabase

JUDGE_SLOT = "judge"
TABLES = """
CREATE SEQUENCE change;
CREATE TABLE account (
    id text PRIMARY KEY, change bigint NOT NULL, balance numeric(12,2), note text, active boolean);
CREATE TABLE entry (
    account text, line int, change bigint NOT NULL, amount numeric(12,2), at timestamptz,
    PRIMARY KEY (line, account));
"""
KEYS = {"account": ("id",), "entry": ("account", "line")}

State = tuple[str, int | None]
"""One change of a key: Debezium's letter, and the number of the state (None: the row is gone)."""

History = dict[tuple[str, ...], list[State]]
"""Changes by table and key, in commit order."""

_LINE = re.compile(
    r"^table public\.(?P<table>\w+): (?P<op>INSERT|UPDATE|DELETE): (?P<rest>.*)$", re.DOTALL
)
_COLUMN = re.compile(r"(\w+)\[[^\]]*\]:('(?:[^']|'')*'|\S+)")


class Churn:
    """Writes until told to stop, from one thread; every random choice is seeded."""

    def __init__(self, database: PostgresDatabase, seed: int) -> None:
        self._database = database
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write, name="churn")
        self._error: BaseException | None = None
        self._new = 0
        self.transactions = 0

    @staticmethod
    def prepare(database: PostgresDatabase, rows: int) -> None:
        """Tables, the judge's slot, and rows that a snapshot will find."""
        database.execute(
            TABLES, f"SELECT pg_create_logical_replication_slot('{JUDGE_SLOT}', 'test_decoding')"
        )
        database.execute(
            f"INSERT INTO account SELECT 'a' || i, nextval('change'), i, 'first', true "
            f"FROM generate_series(1, {rows}) AS i",
            f"INSERT INTO entry SELECT 'a' || i, i % 3, nextval('change'), i / 7.0, now() "
            f"FROM generate_series(1, {rows}) AS i",
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Finish the transaction and stop; raises what the writer met."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(30)
        if self._error is not None:
            raise self._error

    def _write(self) -> None:
        try:
            with psycopg.connect(self._database.url) as connection:
                while not self._stop.is_set():
                    with connection.transaction(force_rollback=self._random.random() < 0.1):
                        for _ in range(self._random.choice((1, 1, 1, 3, 20))):
                            self._change(connection)
                    self.transactions += 1
                    self._stop.wait(0.004)
        except BaseException as error:  # noqa: BLE001 - raised again by stop()
            self._error = error

    def _change(self, connection: psycopg.Connection) -> None:
        chosen = self._random.random()
        some = "(SELECT ctid FROM {} OFFSET floor(random() * 50) LIMIT 1)"
        if chosen < 0.5:
            connection.execute(
                "UPDATE account SET change = nextval('change'), balance = balance + 1, "
                f"active = NOT active WHERE ctid = {some.format('account')}"
            )
        elif chosen < 0.7:
            self._new += 1
            connection.execute(
                "INSERT INTO account VALUES (%s, nextval('change'), %s, 'it''s \"new\"\n', NULL)",
                [f"n{self._new}", self._new],
            )
        elif chosen < 0.8:
            connection.execute(f"DELETE FROM account WHERE ctid = {some.format('account')}")
        elif chosen < 0.9:
            # The key changes, sometimes to one that was there before.
            connection.execute(
                "UPDATE account SET id = %s, change = nextval('change') WHERE ctid = "
                f"{some.format('account')} AND NOT EXISTS (SELECT FROM account WHERE id = %s)",
                [key := f"k{self._random.randrange(40)}", key],
            )
        else:
            connection.execute(
                "UPDATE entry SET change = nextval('change'), amount = amount * 1.5, at = now() "
                f"WHERE ctid = {some.format('entry')} AND amount < 1e6"
            )


def judged(database: PostgresDatabase) -> History:
    """What happened to every key, by the server's own decoder. An update of the key is d and c."""
    history: History = defaultdict(list)
    with database.connect() as connection:
        lines = connection.execute(
            "SELECT data FROM pg_logical_slot_peek_changes(%s, NULL, NULL)", [JUDGE_SLOT]
        ).fetchall()
    for (line,) in lines:
        found = _LINE.match(line)
        if found is None:
            continue
        table, op, rest = found["table"], found["op"], found["rest"]
        old_text, _, new_text = rest.rpartition("new-tuple: ")
        new = _columns(new_text)
        key = _key(table, new)
        if op == "DELETE":
            history[key].append(("d", None))
        elif old_text:
            history[_key(table, _columns(old_text))].append(("d", None))
            history[key].append(("c", int(new["change"])))
        else:
            history[key].append(("c" if op == "INSERT" else "u", int(new["change"])))
    return history


def _columns(text: str) -> dict[str, str]:
    return {
        name: value[1:-1].replace("''", "'") if value.startswith("'") else value
        for name, value in _COLUMN.findall(text)
    }


def _key(table: str, columns: dict[str, str]) -> tuple[str, ...]:
    return (table, *(columns[name] for name in KEYS[table]))
