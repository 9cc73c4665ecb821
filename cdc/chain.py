"""The transforms of a source, applied in order, each bound once to every table structure."""

from collections.abc import Callable, Sequence

from cdc.event import ChangeEvent
from cdc.protocols import Transform
from cdc.rowless import is_rowless
from cdc.schema import TableSchema

Change = Callable[[ChangeEvent], ChangeEvent | None]


class Chain:
    """Transforms in the order configured. A structure that none of them touches costs a look-up.

    Events that are no rows pass: no transform is ever bound to them.
    """

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self._transforms = tuple(transforms)
        self._bound: tuple[dict[str, Change | None], ...] = tuple({} for _ in self._transforms)
        self._touched: dict[str, bool] = {}

    def apply(self, events: list[ChangeEvent]) -> list[ChangeEvent]:
        """The events as they go on, in order, without the dropped ones.

        Raises ConfigError for what the configuration may not do to a table.
        """
        if not self._transforms:
            return events
        changed: list[ChangeEvent] = []
        for event in events:
            touched = self._touched.get(event.table.id)
            if touched is None:
                touched = self._touch(event.table)
            following = self._through(event) if touched else event
            if following is not None:
                changed.append(following)
        return changed

    def _touch(self, table: TableSchema) -> bool:
        # Those behind the first that touches it may see another structure: they are bound later.
        touched = not is_rowless(table) and any(
            self._bind(place, table) for place in range(len(self._transforms))
        )
        self._touched[table.id] = touched
        return touched

    def _bind(self, place: int, table: TableSchema) -> Change | None:
        bound = self._bound[place]
        if table.id not in bound:
            bound[table.id] = self._transforms[place].bind(table)
        return bound[table.id]

    def _through(self, event: ChangeEvent) -> ChangeEvent | None:
        following: ChangeEvent | None = event
        for place in range(len(self._transforms)):
            # A transform may give the event another structure; the next one is bound to that.
            change = self._bind(place, event.table)
            if change is not None:
                following = change(event)
                if following is None:
                    return None
                event = following
        return event
