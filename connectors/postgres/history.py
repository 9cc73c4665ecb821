"""Whether a server's log is the one that the stored position is a place in.

Source: PostgreSQL manual, Continuous Archiving, Timelines; src/backend/access/transam/timeline.c,
writeTimeLineHistory.
"""

from dataclasses import dataclass, replace

from cdc.errors import PositionLost, TransientError
from connectors.postgres.lsn import Lsn
from connectors.postgres.position import StreamPosition
from connectors.postgres.replication import System
from connectors.postgres.resume import Resume


@dataclass(frozen=True, slots=True)
class Server:
    """The server that would be read from now.

    `history` is the history file of its timeline, None when it is the stored one. `started_us`
    tells this start of it from every other. `standby`: it is still in recovery.
    """

    system: System
    history: str | None
    started_us: int
    standby: bool


def resumed_on(server: Server, resume: Resume) -> StreamPosition:
    """Where to go on with the stored position on this server, which may be a promoted standby.

    The stored position itself, or where the server's timeline left the stored one, when that is
    earlier and nothing that the log holds was written in between. Raises PositionLost when the log
    holds what the server does not, TransientError when a standby has not got there yet.
    """
    system, origin, position = server.system, resume.origin, resume.position
    if system.identifier != origin.system:
        raise PositionLost(
            f"the server is another one (system identifier {system.identifier}) than the stored "
            f"position {position.lsn} belongs to ({origin.system})",
            hint="Correct `url`, or run `cdc heal SOURCE` to begin anew with this one.",
        )
    # A server that runs never takes back what it has replayed or written, whatever its timeline.
    if system.timeline != origin.timeline and server.started_us != origin.started_us:
        position = _on_later_timeline(server, resume)
    if system.flushed < position.lsn:
        _refuse_shorter_log(server, position.lsn)
    return position


def _on_later_timeline(server: Server, resume: Resume) -> StreamPosition:
    position, timeline = resume.position, resume.origin.timeline
    left = left_at(server.history or "", timeline)
    if left is None:
        raise PositionLost(
            f"the server's timeline {server.system.timeline} does not descend from timeline "
            f"{timeline}, on which the stored position {position.lsn} was read"
        )
    newest = _newest(resume)
    if newest > left:
        raise PositionLost(
            f"the server's timeline {server.system.timeline} left timeline {timeline} at {left}, "
            f"before the stored position {newest}: the new primary was behind, and changes that "
            "are in the log no longer exist in the database"
        )
    # Between the last change and the stored position was nothing for us on the old timeline; what
    # the new one wrote there is for us.
    return replace(position, lsn=min(position.lsn, left))


def _newest(resume: Resume) -> Lsn:
    """The end of the newest thing that the log holds, as far as is known."""
    position = resume.position
    if position.started is not None:
        # Its commit record begins there, so it ends behind.
        return Lsn(max(position.lsn, position.started.commit_lsn + 1))
    if position.prior_commit is None:
        return position.lsn if resume.rows_lsn is None else resume.rows_lsn
    return max(position.prior_commit, resume.rows_lsn or Lsn(0))


def _refuse_shorter_log(server: Server, lsn: Lsn) -> None:
    end = server.system.flushed
    if server.standby:
        raise TransientError(
            f"the standby's log ends at {end}, before the stored position {lsn}",
            hint="It is tried again until the standby has received more; see that it follows its "
            "primary.",
        )
    raise PositionLost(
        f"the stored position {lsn} is ahead of the server, whose log ends at {end}: it was "
        "restored from a backup, or lost its last writes"
    )


def left_at(history: str, timeline: int) -> Lsn | None:
    """Where a descendant left `timeline`, None when it does not descend from it."""
    for line in history.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == str(timeline):
            return Lsn.parse(words[1])
    return None
