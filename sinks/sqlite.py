"""Documents and a full-text search index in one SQLite file: the embedded search index.

One row a document, keyed by target and id, and one row of its text in an FTS5 index. Readers use
plain SQL (`docs/sinks/sqlite.md`) or `search` below; WAL lets them read while the sink writes.
"""

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
from pydantic import BaseModel, ConfigDict, Field

from cdc.errors import CdcError, ConfigError, SinkRefused, StorageFull, TransientError
from cdc.protocols import (
    Delete,
    Document,
    Finding,
    Mutation,
    Patch,
    Rejected,
    SinkContext,
    Truncate,
    Upsert,
)
from cdc.schema import TableSchema

FORMAT_VERSION: Final = 1
"""`PRAGMA user_version` of files that this module writes."""

_TABLES: Final = """
CREATE TABLE documents (
    number INTEGER PRIMARY KEY,
    target TEXT NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    deleted_at_us INTEGER,
    document TEXT,
    UNIQUE (target, id)
);
CREATE INDEX documents_deleted ON documents (deleted_at_us) WHERE deleted_at_us IS NOT NULL;
CREATE TABLE truncates (target TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
CREATE VIRTUAL TABLE search_index USING fts5 (text, tokenize = '{tokenizer}');
CREATE VIEW search AS
    SELECT d.target, d.id, d.document, i.text, i.rank
    FROM search_index AS i JOIN documents AS d ON d.number = i.rowid;
"""

_REFUSED: Final = (
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_AUTH,
)
# What a primary result code is within an extended one. Source: sqlite.org/rescode.html.
_PRIMARY_CODE: Final = 0xFF


class Config(BaseModel):
    """Settings of the sqlite sink."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path = Field(description="The database file; made when it does not exist.")
    search: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="Fields whose text can be searched; every field that holds text when not set. "
        "A change acts on documents written afterwards.",
    )
    tokenizer: str = Field(
        default="unicode61 remove_diacritics 2",
        pattern=r"^[A-Za-z0-9_ ]+$",
        description="The FTS5 tokenizer, for example `porter unicode61` or `trigram`; "
        "fixed when the file is made.",
    )
    tombstone_s: float = Field(
        default=604800.0,
        gt=0,
        description="How long the version of a deleted document is remembered, "
        "so that an older change cannot bring it back.",
    )
    busy_timeout_s: float = Field(
        default=10.0,
        gt=0,
        description="How long a write waits for another program's lock on the file.",
    )


@dataclass(frozen=True, slots=True)
class Hit:
    """One document that a search found; `rank` is smaller for better ones."""

    target: str
    id: str
    document: Document
    rank: float


def create(config: Config, context: SinkContext) -> "SqliteSink":
    """The sink; opens nothing yet."""
    del context
    return SqliteSink(config)


def search(path: Path, query: str, limit: int = 20) -> list[Hit]:
    """Documents that hold every word of `query` (the last one as a prefix), best first.

    `query` is what a person types: no character in it has a special meaning. Empty: no hits.
    Raises ConfigError when there is no such file, or it was not made by this sink.
    """
    words = ['"' + word.replace('"', '""') + '"' for word in query.replace("\0", " ").split()]
    if not words:
        return []
    sql = "SELECT target, id, document, rank FROM search WHERE text MATCH ? ORDER BY rank LIMIT ?"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as file:
            rows = file.execute(sql, (" ".join(words) + "*", limit)).fetchall()
    except sqlite3.Error as error:
        raise ConfigError(
            f"{path} cannot be searched: {error}",
            hint="Start the pipeline first: its sqlite sink makes the file.",
        ) from error
    return [Hit(target, id_, json.loads(text), rank) for target, id_, text, rank in rows]


class SqliteSink:
    """One connection, opened at the first use; every `write` is one transaction."""

    def __init__(self, config: Config, clock_s: Callable[[], float] = time.time) -> None:
        self._config = config
        self._clock_s = clock_s
        self._file: sqlite3.Connection | None = None

    def check(self) -> list[Finding]:
        """FTS5, the folder, and the file when it exists."""
        path = self._config.path
        if path.exists():
            return [_fts5_finding(), self._file_finding()]
        if os.access(path.parent, os.W_OK | os.X_OK):
            made = Finding("ok", "sqlite-path", str(path), "the file can be made")
        else:
            message = "the folder does not exist or cannot be written"
            fix = f"mkdir -p {path.parent}, and give this user the right to write there"
            made = Finding("error", "sqlite-path", str(path), message, fix)
        return [_fts5_finding(), made]

    def apply_schema(self, table: TableSchema) -> None:
        """Open the file; documents of any structure fit."""
        del table
        self._connection()

    def write(self, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
        """All in one transaction, with synchronous=FULL."""
        file = self._connection()
        rejected: list[Rejected] = []
        with _translated(self._config.path), file:
            file.execute("BEGIN IMMEDIATE")
            truncates = dict(file.execute("SELECT target, version FROM truncates"))
            for index, mutation in enumerate(mutations):
                reason = self._apply(file, truncates, mutation)
                if reason is not None:
                    rejected.append(Rejected(index, reason))
            self._forget_old_tombstones(file)
        return rejected

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _connection(self) -> sqlite3.Connection:
        if self._file is None:
            config = self._config
            with _translated(config.path):
                self._file = _open(config.path, config.tokenizer, config.busy_timeout_s)
        return self._file

    def _apply(
        self, file: sqlite3.Connection, truncates: dict[str, int], mutation: Mutation
    ) -> str | None:
        """Apply one mutation; the reason when it is refused."""
        target, version = mutation.target, mutation.version
        if version <= truncates.get(target, -1):
            return None
        if isinstance(mutation.action, Truncate):
            _truncate(file, target, version)
            truncates[target] = version
            return None
        try:
            written = _next(_stored(file, target, mutation.id), mutation)
            if written is not None:
                self._store(file, mutation, written.document, written.text)
        except _RefusedError as refusal:
            return refusal.reason
        except sqlite3.DataError as error:
            return f"the document does not fit into SQLite: {error}"
        except (TypeError, ValueError) as error:
            # orjson names the type, never the value.
            return f"the document is no JSON: {error}"
        return None

    def _store(
        self,
        file: sqlite3.Connection,
        mutation: Mutation,
        document: Document | None,
        text: str | None,
    ) -> None:
        deleted_at_us = None if document is not None else int(self._clock_s() * 1_000_000)
        (number,) = file.execute(
            "INSERT INTO documents (target, id, version, deleted_at_us, document)"
            " VALUES (?, ?, ?, ?, ?) ON CONFLICT (target, id) DO UPDATE SET"
            " version = excluded.version, deleted_at_us = excluded.deleted_at_us,"
            " document = excluded.document RETURNING number",
            (mutation.target, mutation.id, mutation.version, deleted_at_us, text),
        ).fetchone()
        file.execute("DELETE FROM search_index WHERE rowid = ?", (number,))
        if document is not None:
            words = " ".join(_texts(document, self._config.search))
            file.execute("INSERT INTO search_index (rowid, text) VALUES (?, ?)", (number, words))

    def _forget_old_tombstones(self, file: sqlite3.Connection) -> None:
        before_us = int((self._clock_s() - self._config.tombstone_s) * 1_000_000)
        file.execute("DELETE FROM documents WHERE deleted_at_us < ?", (before_us,))

    def _file_finding(self) -> Finding:
        path = self._config.path
        try:
            with (
                _translated(path),
                closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)) as file,
            ):
                _is_ours(file)
        except CdcError as error:
            return Finding("error", "sqlite-path", str(path), error.message, error.hint)
        return Finding("ok", "sqlite-path", str(path), "the file can be opened")


@dataclass(frozen=True, slots=True)
class _Stored:
    """A row of `documents`; `text` None: deleted at this version."""

    version: int
    text: str | None


@dataclass(frozen=True, slots=True)
class _Written:
    """What a document becomes; both None: deleted."""

    document: Document | None
    text: str | None


class _RefusedError(Exception):
    """A mutation that cannot be applied; `reason` is for the dead letter."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _next(stored: _Stored | None, mutation: Mutation) -> _Written | None:
    """What the document becomes, None when the mutation is not newer than `stored`.

    Raises _RefusedError for a patch of a document that is not there.
    """
    if stored is not None and mutation.version <= stored.version:
        return None
    action = mutation.action
    if isinstance(action, Upsert):
        return _Written(action.document, orjson.dumps(action.document).decode())
    if isinstance(action, Patch):
        if stored is None or stored.text is None:
            gone = "was deleted" if stored is not None else "is not in the store"
            raise _RefusedError(f"part of a document came, but the document {gone}")
        document = {**json.loads(stored.text), **action.fields}
        return _Written(document, orjson.dumps(document).decode())
    assert isinstance(action, Delete)
    return _Written(None, None)


def _stored(file: sqlite3.Connection, target: str, id_: str) -> _Stored | None:
    row = file.execute(
        "SELECT version, document FROM documents WHERE target = ? AND id = ?", (target, id_)
    ).fetchone()
    return None if row is None else _Stored(*row)


def _truncate(file: sqlite3.Connection, target: str, version: int) -> None:
    """Remove what is older, tombstones too: the remembered version stands for all of them."""
    older = (target, version)
    file.execute(
        "DELETE FROM search_index WHERE rowid IN"
        " (SELECT number FROM documents WHERE target = ? AND version < ?)",
        older,
    )
    file.execute("DELETE FROM documents WHERE target = ? AND version < ?", older)
    file.execute(
        "INSERT INTO truncates (target, version) VALUES (?, ?)"
        " ON CONFLICT (target) DO UPDATE SET version = excluded.version",
        older,
    )


def _texts(document: Mapping[str, object], wanted: Iterable[str] | None) -> Iterator[str]:
    """The searchable text of a document: the wanted fields, else every field that holds text."""
    if wanted is None:
        yield from (value for value in document.values() if isinstance(value, str))
        return
    for name in wanted:
        value = document.get(name)
        if isinstance(value, str):
            yield value
        elif value is not None:
            yield orjson.dumps(value).decode()


def _open(path: Path, tokenizer: str, busy_timeout_s: float) -> sqlite3.Connection:
    """The file, made with its tables when it is new. Raises SinkRefused for somebody else's."""
    file = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None)
    try:
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = FULL")
        if not _is_ours(file):
            made = _TABLES.format(tokenizer=tokenizer)
            version = f"PRAGMA user_version = {FORMAT_VERSION}"
            file.executescript(f"BEGIN IMMEDIATE; {made} {version}; COMMIT;")
    except BaseException:
        file.close()
        raise
    return file


def _is_ours(file: sqlite3.Connection) -> bool:
    """Whether the sink made this file; False when it is empty.

    Raises SinkRefused for somebody else's.
    """
    (version,) = file.execute("PRAGMA user_version").fetchone()
    (tables,) = file.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and version != FORMAT_VERSION:
        raise SinkRefused(
            "the file was not made by this version of the sqlite sink",
            hint="Name another file in the sink's `path`, or move this one away.",
        )
    return bool(tables)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translation(path, error) from error


def _translation(path: Path, error: sqlite3.Error) -> CdcError:
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
    if code == sqlite3.SQLITE_FULL:
        return StorageFull(
            f"no room left for {path}", hint="Free space there; the sink goes on by itself."
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return TransientError(
            f"{path} is locked by another program",
            hint="End the program that keeps a write transaction open on it.",
        )
    if code in _REFUSED:
        return SinkRefused(
            f"{path} cannot be used: {error}",
            hint="Give this user the right to write it and its folder, or name another file.",
        )
    return TransientError(f"writing {path} failed: {error}")


def _fts5_finding() -> Finding:
    subject = f"SQLite {sqlite3.sqlite_version}"
    try:
        with closing(sqlite3.connect(":memory:")) as file:
            file.execute("CREATE VIRTUAL TABLE probe USING fts5 (text)")
    except sqlite3.OperationalError:
        message = "this Python's SQLite was built without FTS5, the full-text index"
        fix = "use a Python whose SQLite has FTS5, as those of python.org and Debian have"
        return Finding("error", "sqlite-fts5", subject, message, fix)
    return Finding("ok", "sqlite-fts5", subject, "full-text search is built in")
