"""What the stream knows when it describes a relation, for whoever says what the relation is."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from connectors.postgres.messages import Relation
from connectors.postgres.pgoutput import Table


@dataclass(slots=True)
class Sight:
    """What surrounds a Relation message.

    `xid` is the open transaction, `lot` counts the calls of `feed`. `type_names` are the qualified
    names of types, by oid, as the stream told them. `ahead` gives the Relations behind this one in
    the same lot. `around` is what the transactions around one that was kept know of relations, by
    oid: it may hold again behind that one.
    """

    xid: int
    lot: int
    type_names: dict[int, str]
    ahead: Callable[[], Iterable[Relation]]
    around: Mapping[int, Table | None] = field(default_factory=dict)


Resolve = Callable[[Relation, Sight], Table | None]
"""Gives what the decoder needs of a relation, or None when it is not captured."""
