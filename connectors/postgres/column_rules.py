"""What the rest of the pipeline wants of columns: some need no known type, some show theirs."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Self

from cdc.protocols import SourceContext
from connectors.postgres.logical_types import Types
from connectors.postgres.source_types import source_type


@dataclass(frozen=True, slots=True)
class ColumnRules:
    """Which columns are special; globs, see SourceContext.

    `excluded` are pairs for the qualified table name and the column: a transform removes them, so
    a type that is not known (because it was dropped before it was looked up) does no harm.
    `described` are for `schema.table.column`: these have attributes about the server's type.
    """

    excluded: tuple[tuple[str, str], ...] = ()
    described: tuple[str, ...] = ()

    @classmethod
    def of(cls, context: SourceContext) -> Self:
        """Those of a source."""
        return cls(context.excluded_columns, context.described_columns)

    def is_excluded(self, table: str, column: str) -> bool:
        """Whether a transform removes this column of the table with this qualified name."""
        return any(
            fnmatchcase(table, tables) and fnmatchcase(column, columns)
            for tables, columns in self.excluded
        )

    def attributes(
        self, table: str, column: str, oid: int, modifier: int, types: Types
    ) -> tuple[tuple[str, str], ...]:
        """The attributes of a column of this type; none unless it is to be described."""
        name = f"{table}.{column}"
        if not any(fnmatchcase(name, glob) for glob in self.described):
            return ()
        return source_type(oid, modifier, types)


NO_RULES: Final = ColumnRules()
