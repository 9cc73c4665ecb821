"""What the stream knows when it describes a relation, for whoever says what the relation is."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from connectors.postgres.messages import Relation
from connectors.postgres.pgoutput import Table


@dataclass(slots=True)
class Sight:
    """What surrounds a Relation message.

    `xid` is the open transaction, `lot` counts the calls of `feed`. `type_names` are the qualified
    names of types, by oid, as the stream told them. `ahead` gives the Relations behind this one in
    the same lot.
    """

    xid: int
    lot: int
    type_names: dict[int, str]
    ahead: Callable[[], Iterable[Relation]]


Resolve = Callable[[Relation, Sight], Table | None]
"""Gives what the decoder needs of a relation, or None when it is not captured."""
