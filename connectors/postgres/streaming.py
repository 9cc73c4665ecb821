"""The stream behind the snapshot: lots of messages become batches, acks become confirmations."""

import time
from dataclasses import replace
from typing import Final

from cdc.checkpoint import Checkpoint, Position
from cdc.event import Batch, ChangeEvent
from cdc.protocols import OpenTransactions
from connectors.postgres.announcements import Announcements
from connectors.postgres.assemble import Assembler
from connectors.postgres.emission import Emission
from connectors.postgres.facts import Facts
from connectors.postgres.in_progress import TransactionsInProgress
from connectors.postgres.lsn import Lsn
from connectors.postgres.marks import Marks
from connectors.postgres.outcomes import Outcomes
from connectors.postgres.position import StreamPosition
from connectors.postgres.replication import ReplicationConnection
from connectors.postgres.resume import POSITION, Resume
from connectors.postgres.structures import Structures

# While captured tables are idle and others are not, the position moves with nearly every message;
# once a second is often enough to let the server forget.
_POSITION_INTERVAL_S: Final = 1.0
# How often the server is asked where it is while a mark waits for the answer.
_ASK_INTERVAL_S: Final = 0.05


class Streaming:
    """One stream from `resume` on, over a replication connection that has started it."""

    def __init__(
        self,
        replication: ReplicationConnection,
        resume: Resume,
        structures: Structures,
        facts: Facts,
        marks: Marks,
        in_progress: TransactionsInProgress,
        emission: Emission,
        outcomes: Outcomes,
    ) -> None:
        self.last_commit_us: int | None = None
        self._replication = replication
        self._in_progress = in_progress
        self._assembler = Assembler(
            resume.position, structures.resolve, in_progress, emission, outcomes.rolled_back
        )
        self._structures = structures
        self._facts = facts
        self._announcements: Announcements | None = None
        self._resume = resume
        self._marks = marks
        self._told = resume.position
        self._told_s = time.monotonic()
        self._asked_s = 0.0
        self._urgent = False

    @property
    def position(self) -> StreamPosition:
        """Where to go on behind what `poll` has returned."""
        return self._assembler.position

    def announce(self, announcements: Announcements) -> None:
        """Put changes of structures among the events."""
        self._announcements = announcements

    @property
    def lsn(self) -> Lsn:
        """Everything committed before was received."""
        return self._assembler.lsn

    def poll(self, timeout_s: float) -> Batch | None:
        """The next batch, None when there is nothing to say within `timeout_s`.

        A batch without events says that the position moved, or that a mark was passed.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            events = self._next(deadline)
            marks = self._marks.reached(self._assembler.lsn)
            now_s = time.monotonic()
            if events or marks or self._is_position_due(now_s):
                return self._batch(events, marks, now_s)
            if now_s >= deadline:
                return None
            self._replication.keepalive()

    def _next(self, deadline: float) -> list[ChangeEvent]:
        """Events of what is there already, else of what comes before `deadline`."""
        now_s = time.monotonic()
        if self._assembler.behind:
            events = self._assembler.go_on()
        else:
            self._ask_if_waited_for(now_s)
            payloads = self._replication.read(
                max(0.0, min(deadline - now_s, self._patience_s(now_s)))
            )
            if not payloads:
                return []
            events = self._assembler.feed(payloads)
        self._structures.agree(events)
        if self._announcements is not None and events:
            events = self._announcements.among(events)
        self._replication.confirm(self._assembler.lsn, Lsn(0))
        self._answer()
        return events

    def ack(self, lsn: Lsn) -> None:
        """The server may forget up to `lsn`; it is told with the next status update."""
        self._replication.confirm(lsn, lsn, at_once=self._urgent)
        self._urgent = False

    @property
    def resume(self) -> Resume:
        """Where another stream would go on, on the timeline that the server is on by now."""
        return replace(self._resume, position=self._assembler.position)

    @property
    def timeline(self) -> int:
        """The timeline that is stored with the position."""
        return self._resume.origin.timeline

    @timeline.setter
    def timeline(self, timeline: int) -> None:
        """The server went over to `timeline` while we read: what was read is in its history."""
        origin = replace(self._resume.origin, timeline=timeline)
        self._resume = replace(self._resume, origin=origin)
        # Stored although nothing moved.
        self._told_s = 0.0
        self._told = StreamPosition(Lsn(0))

    def keepalive(self) -> None:
        """Tell the server that we live, when it is time."""
        self._replication.keepalive()

    def close(self) -> None:
        """End the stream, and forget the transactions in progress. Repeatable."""
        self._replication.close()
        self._assembler.close()

    @property
    def open_transactions(self) -> OpenTransactions:
        """What is kept of transactions in progress, and how far one is that was."""
        return self._in_progress.held(self._assembler.changes_replayed)

    def _batch(self, events: list[ChangeEvent], marks: tuple[str, ...], now_s: float) -> Batch:
        position = self._assembler.position
        self._told, self._told_s = position, now_s
        if events and events[-1].transaction is not None:
            self.last_commit_us = events[-1].transaction.commit_time_us
        stored = replace(self._resume, position=position).part()
        size_bytes, self._assembler.size_bytes = self._assembler.size_bytes, 0
        told = None if self._announcements is None else self._announcements.is_told
        return Batch(
            events,
            Checkpoint({POSITION: stored, **self._facts.take_changes(told)}),
            Position(str(position.lsn)),
            size_bytes,
            marks,
        )

    def _is_position_due(self, now_s: float) -> bool:
        """Whether a position that moved without events should be made durable."""
        if self._assembler.position == self._told:
            return False
        return self._urgent or now_s - self._told_s >= _POSITION_INTERVAL_S

    def _patience_s(self, now_s: float) -> float:
        """How long nothing needs to be done even if nothing comes."""
        if self._marks:
            return _ASK_INTERVAL_S
        if self._assembler.position == self._told:
            return _POSITION_INTERVAL_S
        return max(0.0, _POSITION_INTERVAL_S - (now_s - self._told_s))

    def _answer(self) -> None:
        """Reply when the server asks; it also does when it shuts down and waits for all of it."""
        if self._assembler.reply_requested:
            self._assembler.reply_requested = False
            self._urgent = True
            self._replication.confirm(Lsn(0), Lsn(0), at_once=True)

    def _ask_if_waited_for(self, now_s: float) -> None:
        if self._marks and now_s - self._asked_s >= _ASK_INTERVAL_S:
            self._asked_s = now_s
            self._replication.ask_for_position()
