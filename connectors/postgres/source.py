"""A Postgres database as a source of changes: the contract, and how one stage follows another.

    await_slot --> read_rows --> follow          first start
    await_view --> read_rows --> follow          rows are missing, the slot is there
                                 follow          everything is read
                   read_rows --> rest            `snapshot: only`

A slot is made first, then rows are read in the view that it exports, then the stream begins behind
that view. Where the view is a later one, changes in between come again behind the rows.
"""

import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import psycopg

from cdc.checkpoint import Checkpoint, Position
from cdc.event import Batch
from cdc.protocols import (
    Finding,
    IgnoreLimits,
    MarkCurrent,
    SourceCommand,
    SourceContext,
    SourceProgress,
)
from connectors.postgres import doctor
from connectors.postgres.column_rules import ColumnRules
from connectors.postgres.config import Config
from connectors.postgres.dialing import dialer_of
from connectors.postgres.facts import Facts
from connectors.postgres.following import begin_stream, newcomers_of, watch_stream
from connectors.postgres.heartbeats import without_own_table
from connectors.postgres.lease import Lease
from connectors.postgres.lsn import Lsn
from connectors.postgres.marks import Marks, mark_now, settle, written_to
from connectors.postgres.names import Names, lease_key
from connectors.postgres.position import StreamPosition
from connectors.postgres.preparation import (
    Plan,
    plan_start,
)
from connectors.postgres.replication import ReplicationConnection
from connectors.postgres.reporting import progress_of
from connectors.postgres.resume import POSITION, Resume
from connectors.postgres.snapshot import Snapshot
from connectors.postgres.snapshot_progress import Tally
from connectors.postgres.snapshot_start import start_snapshot
from connectors.postgres.standing import Standing
from connectors.postgres.streaming import Streaming
from connectors.postgres.table_reads import Wishes, check_wishes
from connectors.postgres.view import horizon
from connectors.postgres.watches import Watches

Connection = psycopg.Connection[tuple[Any, ...]]

_HORIZON_INTERVAL_S: Final = 0.2


class PostgresSource:
    """Captures one database. See cdc.protocols.Source for when each method is called."""

    def __init__(self, config: Config, context: SourceContext) -> None:
        self._config = config = without_own_table(config, context.heartbeat)
        self._context = context
        pipeline, source = context.pipeline, context.name
        self._names = Names.of(pipeline, source, config.slot, config.publication)
        self._dialer = dialer_of(config, context)
        self._lease = Lease(self._dialer.connect, lease_key(pipeline, source))
        self._commands: deque[MarkCurrent] = deque()
        self._marks = Marks()
        self._sql: Connection | None = None
        self._replication: ReplicationConnection | None = None
        self._snapshot: Snapshot | None = None
        self._streaming: Streaming | None = None
        self._step: Callable[[float], Batch | None] | None = None
        self._plan: Plan | None = None
        self._resume: Resume | None = None
        self._unsaved: dict[str, bytes | None] = {}
        self._tally: Tally | None = None
        self._wishes = Wishes()
        self._view_horizon: int | None = None
        self._watches = Watches(self._connection)
        self._facts = Facts(None)
        self._newcomers = newcomers_of(config, context, self._names, self._facts)
        self._standing = Standing(config, self._names, self._connection, self._end_reading)

    def check(self) -> list[Finding]:
        """Every precondition, failed ones with the SQL that mends them; changes nothing."""
        return doctor.check(self._config, self._context)

    def acquire(self, timeout_s: float) -> bool:
        """Take the advisory lock of this pipeline and source."""
        return self._lease.acquire(timeout_s)

    def start(self, checkpoint: Checkpoint | None) -> None:
        """Verify the checkpoint, make what is missing, and set the first stage."""
        self._replication = self._dial_replication()
        plan = plan_start(
            self._connection(),
            self._replication,
            self._dialer.home,
            self._config,
            self._names,
            checkpoint,
            ColumnRules.of(self._context),
        )
        if self._config.snapshot == "only":
            self._end_replication()
        self._plan, self._standing.begun = plan, plan.notes()
        self._unsaved = dict(plan.parts)
        if plan.unread:
            self._wishes = check_wishes(self._connection(), self._config, plan.unread, plan.tables)
        self._know(plan, checkpoint)
        self._newcomers = newcomers_of(self._config, self._context, self._names, self._facts)
        self._newcomers.begin(plan.tables, ())
        if plan.resume is None:
            self._replication.begin_create_slot(self._names.slot, failover=self._config.failover)
            self._standing.expect_no_slot(standby=self._dialer.home.standby)
            self._step = self._await_slot
            return
        self._standing.expect_slot()
        if plan.unread and plan.resume.stage == "snapshot":
            self._resume = plan.resume
            self._end_replication()
            self._standing.waiting_to = "opening the snapshot's view"
            self._step = self._await_view
        else:
            # New tables are read behind the changes of those that had their names before.
            self._newcomers.begin(plan.tables, plan.unread)
            self._plan = replace(plan, unread=())
            self._end_snapshot(plan.resume)

    def poll(self, timeout_s: float) -> Batch | None:
        """The next batch of the present stage."""
        assert self._step is not None, "start comes first"
        self._take_commands()
        self._standing.look()
        self._watches.look()
        return self._step(timeout_s)

    def ack(self, position: Position) -> None:
        """The slot may forget everything before `position`, once it is streamed from."""
        if self._streaming is not None:
            self._streaming.ack(Lsn.parse(position))

    def keepalive(self) -> None:
        """Check the lease and send a status update when it is time."""
        self._lease.check()
        if self._streaming is not None:
            self._streaming.keepalive()
        self._standing.look(waiting=True)
        self._watches.look(waiting=True)

    def command(self, command: SourceCommand) -> None:
        """Keep a mark for the next `poll`."""
        match command:
            case MarkCurrent():
                self._commands.append(command)
            case IgnoreLimits():
                self._standing.ignore_limits()

    def progress(self) -> SourceProgress:
        """Stage, position and lag as last heard."""
        return progress_of(
            self._streaming,
            self._tally,
            self._standing,
            self._watches,
            self._lease.server_lsn,
            reads_rows=self._snapshot is not None,
        )

    def close(self) -> None:
        """Give back every connection, the lease last."""
        self._end_reading()
        if self._sql is not None:
            with contextlib.suppress(psycopg.Error):
                self._sql.close()
        self._lease.close()

    # --- the stages: each gives a batch or None within about its timeout ------------------------

    def _await_slot(self, timeout_s: float) -> Batch | None:
        """Until the new slot is there; then in its view, or at once behind it."""
        plan = self._require_plan()
        assert self._replication is not None
        created = self._replication.slot_created(timeout_s)
        if created is None:
            return None
        self._standing.expect_slot()
        begin = StreamPosition(created.start)
        self._resume = Resume("snapshot", plan.origin, begin, created.start)
        if plan.unread:
            self._open_view(created.snapshot)
            self._end_replication()
            # A batch of its own: where the slot began must be durable before any row can be seen,
            # or a crash would make another slot and lose the deletes in between.
            return Batch([], self._changed_parts(), None, 0)
        self._end_snapshot(self._resume)
        return None

    def _await_view(self, timeout_s: float) -> Batch | None:
        """Until no transaction is open that began before now; then in a view of our own.

        Such a one may have changed a table before it was published, unseen by slot and view.
        """
        oldest, coming = horizon(self._connection())
        if self._view_horizon is None:
            self._view_horizon = coming
        if self._config.snapshot != "only" and oldest < self._view_horizon:
            time.sleep(min(timeout_s, _HORIZON_INTERVAL_S))
            return None
        self._open_view(None)
        return None

    def _open_view(self, exported: str | None) -> None:
        plan, resume = self._require_plan(), self._resume
        assert resume is not None
        self._snapshot = start_snapshot(
            self._dialer,
            self._config,
            self._context,
            plan.unread,
            self._wishes,
            self._names.publication,
            resume.position.lsn,
            exported,
        )
        self._tally = self._snapshot.tally
        self._standing.waiting_to = None
        if exported is None:
            self._resume = resume = replace(resume, rows_lsn=written_to(self._connection()))
        self._unsaved[POSITION] = resume.part()
        self._step = self._read_rows

    def _read_rows(self, timeout_s: float) -> Batch | None:
        """Rows; behind the last one, the stage that follows."""
        assert self._snapshot is not None
        assert self._resume is not None
        lot = self._snapshot.poll(timeout_s)
        if self._snapshot.finished:
            self._snapshot.close()
            self._end_snapshot(self._resume)
        elif lot.empty:
            return None
        self._unsaved.update(lot.parts)
        return Batch(
            lot.events,
            self._changed_parts(),
            None,
            lot.size_bytes,
            records=lot.records,
            encoded=lot.encoded,
        )

    def _end_snapshot(self, resume: Resume) -> None:
        """Go on to the stream, or to rest; the next batch says so to the checkpoint."""
        only = self._config.snapshot == "only"
        self._resume = replace(resume, stage="complete" if only else "streaming")
        self._unsaved[POSITION] = self._resume.part()
        self._step = self._rest if only else self._begin_to_follow

    def _begin_to_follow(self, timeout_s: float) -> Batch | None:
        assert self._resume is not None
        if self._unsaved:
            return Batch([], self._changed_parts(), None, 0)
        if self._replication is None:
            self._replication = self._dial_replication()
        self._replication.start(
            self._names.slot,
            self._names.publication,
            self._resume.position.lsn,
            stream_transactions=self._config.stream_transactions,
        )
        self._streaming = begin_stream(
            self._config,
            self._context,
            self._replication,
            self._resume,
            self._facts,
            self._marks,
            self._connection,
            self._newcomers.announcements,
        )
        self._watches = Watches(self._connection)
        home, beat = self._dialer.home, self._context.heartbeat
        watched = self._watches, self._streaming, self._newcomers, self._names
        narrowed = self._require_plan().narrowed
        watch_stream(*watched, (home.version, home.standby), beat, narrowed)
        self._step = self._follow
        return self._follow(timeout_s)

    def _follow(self, timeout_s: float) -> Batch | None:
        """Changes; the rows of new tables in between, at the end of a transaction."""
        streaming, newcomers = self._streaming, self._newcomers
        assert streaming is not None
        if newcomers.parts or newcomers.events:
            self._unsaved.update(newcomers.parts)
            newcomers.parts.clear()
            return Batch(newcomers.take_events(), self._changed_parts(), None, 0)
        self._marks.held = newcomers.expects
        position = streaming.position
        unread = () if position.started is not None else newcomers.ready(position.lsn)
        if not unread:
            return streaming.poll(timeout_s)
        assert self._resume is not None
        self._plan = replace(self._require_plan(), unread=unread)
        self._resume = streaming.resume
        self._end_stream()
        self._open_view(None)
        return None

    def _rest(self, timeout_s: float) -> Batch | None:
        """Nothing comes any more."""
        marks = self._marks.reached(Lsn((1 << 64) - 1))
        if marks or self._unsaved:
            return Batch([], self._changed_parts(), None, 0, marks)
        time.sleep(timeout_s)
        return None

    # --- below ----------------------------------------------------------------------------------

    def _know(self, plan: Plan, checkpoint: Checkpoint | None) -> None:
        """Take the facts of the checkpoint, and those of tables that are new to it."""
        self._facts = Facts((checkpoint or Checkpoint()).merged(Checkpoint(plan.parts)))
        for table in plan.tables:
            facts = plan.facts.get(table.oid)
            if facts is not None and table.oid not in self._facts.tables:
                self._facts.remember(facts.known(table.ancestors), facts.types)
        self._unsaved.update(self._facts.take_changes())

    def _end_stream(self) -> None:
        if self._streaming is not None:
            self._streaming.close()
            self._streaming = None
            self._replication = None

    def _take_commands(self) -> None:
        if not self._commands and not self._marks:
            return
        while self._commands:
            command = self._commands.popleft()
            mark_now(self._marks, command.mark, self._connection())
            self._watches.hurry()
        settle(self._marks, self._connection())

    def _changed_parts(self) -> Checkpoint:
        parts, self._unsaved = self._unsaved, {}
        return Checkpoint(parts)

    def _require_plan(self) -> Plan:
        assert self._plan is not None, "start comes first"
        return self._plan

    def _connection(self) -> Connection:
        """The connection for questions; opened again when it was lost."""
        if self._sql is None or self._sql.closed:
            self._sql = self._dialer.connect()
        return self._sql

    def _dial_replication(self) -> ReplicationConnection:
        connection = self._dialer.connect_replication()
        return ReplicationConnection(connection, self._config.status_interval_s)

    def _end_reading(self) -> None:
        """Give back what reads rows or the slot. Repeatable."""
        if self._streaming is not None:
            self._streaming.close()
        if self._snapshot is not None:
            self._snapshot.close()
        self._end_replication()

    def _end_replication(self) -> None:
        if self._replication is not None:
            self._replication.close()
            self._replication = None


def create(config: Config, context: SourceContext) -> PostgresSource:
    """A source that is not connected yet."""
    return PostgresSource(config, context)
