"""A server made by hand: what both protocols send of sessions with subtransactions.

It does what the real one does (PostgreSQL src/backend/replication/logical/reorderbuffer.c and
.../pgoutput/pgoutput.c): changes are kept until the transaction is streamed or committed; of a
subtransaction that is rolled back, what was not streamed is forgotten, and what was is aborted by
the ids of all subtransactions in it, the inner ones first; a relation is described again in every
streamed transaction, and again after every such abort. One that was restarted forgets to say that
some subtransactions were rolled back; `rolled_back` has them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st

from tests.unit.connectors.postgres import replies

RELATIONS = (1, 2)


@dataclass(frozen=True)
class Change:
    """A row of one of the relations, or a message when `relation` is 0."""

    relation: int


@dataclass(frozen=True)
class Savepoint:
    """A subtransaction; `kept` is how it ends."""

    steps: tuple["Step", ...]
    kept: bool


@dataclass(frozen=True)
class Flush:
    """The server's memory is full: it streams the transaction as far as it is."""


@dataclass(frozen=True)
class Outside:
    """A message that is not transactional."""


Step = Change | Savepoint | Flush | Outside

_LEAVES = (
    st.sampled_from((0, 1, 1, 2)).map(Change)
    | st.just(Flush())
    | st.sampled_from((Change(1), Change(2), Outside()))
)


def _savepoints(steps: st.SearchStrategy[Step]) -> st.SearchStrategy[Step]:
    return st.builds(Savepoint, st.lists(steps, max_size=5).map(tuple), st.booleans())


SESSIONS = st.lists(
    st.tuples(
        st.lists(st.recursive(_LEAVES, _savepoints, max_leaves=12), max_size=8).map(tuple),
        st.sampled_from((True, True, True, False)),
    ),
    min_size=1,
    max_size=4,
)
"""What each session does in its one transaction, and whether it commits."""


@dataclass(eq=False)
class _Sub:
    """A transaction or subtransaction; it gets its id with its first change."""

    parent: "_Sub | None"
    xid: int = 0
    streamed: bool = False
    children: list["_Sub"] = field(default_factory=list)

    def all(self) -> list["_Sub"]:
        return [sub for child in self.children for sub in child.all()] + [self]


@dataclass(eq=False)
class _Session:
    """One session's transaction as the server has it."""

    top: _Sub
    steps: list[Step | str]
    commits: bool
    here: _Sub
    pending: list[tuple[_Sub, bytes, int]] = field(default_factory=list)
    lasting: list[tuple[_Sub, bytes, int]] = field(default_factory=list)
    described: set[int] = field(default_factory=set)
    is_streamed: bool = False


def _flat(steps: Sequence[Step]) -> list[Step | str]:
    """The steps one after another; `(`, `)` and `!` begin, keep and roll back a subtransaction."""
    flat: list[Step | str] = []
    for step in steps:
        if isinstance(step, Savepoint):
            flat += ["(", *_flat(step.steps), ")" if step.kept else "!"]
        else:
            flat.append(step)
    return flat


class Walsender:
    """Runs sessions step by step; `streamed` and `plain` are what the two protocols send."""

    def __init__(self, *, forgets: bool = False) -> None:
        self.streamed: list[bytes] = []
        self.plain: list[bytes] = []
        self.rolled_back: set[int] = set()
        self._forgets = forgets
        self._lsn = 100
        self._xid = 4_294_967_290  # wraps around soon
        self._plain_described: set[int] = set()

    def run(self, sessions: Sequence[tuple[Sequence[Step], bool]], turns: Sequence[int]) -> None:
        """Let the sessions take turns: each number is whose step comes next."""
        running = []
        for steps, commits in sessions:
            top = _Sub(None)
            running.append(_Session(top, [*_flat(steps), "."], commits, top))
        turn = 0
        while running:
            number = turns[turn % len(turns)] % len(running) if turns else 0
            turn += 1
            session = running[number]
            self._step(session, session.steps.pop(0))
            if not session.steps:
                running.pop(number)

    def _step(self, session: _Session, step: Step | str) -> None:
        self._lsn += 10
        match step:
            case Change(relation):
                self._change(session, relation)
            case Outside():
                sent = replies.message("outside", b"%d" % self._lsn, self._lsn, transactional=False)
                self.streamed.append(sent)
                self.plain.append(sent)
            case Flush():
                self._stream(session)
            case "(":
                sub = _Sub(session.here)
                session.here.children.append(sub)
                session.here = sub
            case ")":
                assert session.here.parent is not None
                session.here = session.here.parent
            case "!":
                self._roll_back(session)
            case _:
                self._end(session)

    def _change(self, session: _Session, relation: int) -> None:
        sub: _Sub | None = session.here
        without = []
        while sub is not None and not sub.xid:
            without.append(sub)
            sub = sub.parent
        for sub in reversed(without):
            self._xid = self._xid % 0xFFFFFFFF + 1
            sub.xid = self._xid
        text = b"%d" % self._lsn
        sent = (
            replies.insert(relation, text, lsn=self._lsn)
            if relation
            else replies.message("inside", text, self._lsn, transactional=True)
        )
        session.pending.append((session.here, sent, relation))
        session.lasting.append((session.here, sent, relation))

    def _stream(self, session: _Session) -> None:
        if not session.pending:
            return
        self.streamed.append(replies.stream_start(session.top.xid, first=not session.is_streamed))
        for sub, sent, relation in session.pending:
            if relation and relation not in session.described:
                session.described.add(relation)
                self.streamed.append(replies.streamed(_description(relation), sub.xid))
            self.streamed.append(replies.streamed(sent, sub.xid))
            sub.streamed = True
        self.streamed.append(replies.stream_stop())
        session.pending.clear()
        session.is_streamed = session.top.streamed = True

    def _roll_back(self, session: _Session) -> None:
        gone = session.here.all()
        for sub in gone:
            if sub.xid:
                self.rolled_back.add(sub.xid)
            if sub.streamed and not self._forgets:
                self.streamed.append(replies.stream_abort(session.top.xid, sub.xid))
                session.described.clear()
        ids = {id(sub) for sub in gone}
        session.pending = [entry for entry in session.pending if id(entry[0]) not in ids]
        session.lasting = [entry for entry in session.lasting if id(entry[0]) not in ids]
        assert session.here.parent is not None
        session.here.parent.children.remove(session.here)
        session.here = session.here.parent

    def _end(self, session: _Session) -> None:
        top = session.top
        if not session.commits:
            if session.is_streamed:
                self.streamed += [
                    replies.stream_abort(top.xid, sub.xid) for sub in top.all() if sub.streamed
                ]
            return
        if not session.lasting and not session.is_streamed:
            return
        begin = replies.begin(self._lsn, top.xid)
        commit = replies.commit(self._lsn, self._lsn + 5)
        if session.is_streamed:
            self._stream(session)
            self.streamed.append(replies.stream_commit(top.xid, self._lsn, self._lsn + 5))
        else:
            self.streamed += [begin, *self._described(session), commit]
        self.plain.append(begin)
        self.plain += [_description(relation) for relation in RELATIONS]
        self.plain += [sent for _, sent, _ in session.lasting]
        self.plain.append(commit)
        self._lsn += 5

    def _described(self, session: _Session) -> list[bytes]:
        sent: list[bytes] = []
        for _, payload, relation in session.lasting:
            if relation and relation not in self._plain_described:
                self._plain_described.add(relation)
                sent.append(_description(relation))
            sent.append(payload)
        return sent


def _description(relation: int) -> bytes:
    return replies.relation(relation, f"t{relation}")
