"""The `format:` block of a source: how values and records are written."""

import re
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from cdc.errors import SchemaError

Decimals = Literal["precise", "number", "string", "double"]
TimePrecision = Literal[
    "adaptive",
    "adaptive_time_microseconds",
    "connect",
    "isostring",
    "microseconds",
    "nanoseconds",
]
Binary = Literal["bytes", "base64", "base64_url_safe", "hex"]

_HEX: Final = re.compile("hex:(?:[0-9A-Fa-f]{2})+")

ENCODING: Final = ("binary", "decimal", "hstore", "interval", "time_precision")
"""The options that a reader must know to understand a value, sorted by name."""


class Options(BaseModel):
    """How the records of a source look. The defaults are Debezium's, without inline schemas."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["json"] = Field(default="json", description="Debezium's envelope as JSON.")
    schemas: bool = Field(
        default=False,
        description="Put the Connect schema into every key and value (`schemas.enable`).",
    )
    decimal: Decimals = Field(
        default="precise",
        description="Exact decimals as base64 of the unscaled number, as a JSON number "
        "(JsonConverter's `decimal.format: NUMERIC`), as text, or as a double.",
    )
    time_precision: TimePrecision = Field(
        default="adaptive",
        description="Unit or text form of dates, times and timestamps without a zone.",
    )
    binary: Binary = Field(
        default="bytes", description="Binary columns as bytes (base64 in JSON) or as text."
    )
    interval: Literal["numeric", "string"] = Field(
        default="numeric",
        description="Intervals as microseconds (a month is 30.4375 days) or as ISO 8601 text.",
    )
    hstore: Literal["json", "map"] = Field(
        default="json", description="hstore columns as JSON text or as a map of texts."
    )
    unknown_types: Literal["text", "omit"] = Field(
        default="text",
        description="Columns of types that Debezium has no encoding for (geometric ones but point, "
        "multiranges, composite types, ...): optional text, or left out as Debezium does.",
    )
    propagate_source_types: tuple[str, ...] = Field(
        default=(),
        description="Globs of `schema.table.column` whose schemas show the database's type, its "
        "length and its scale (`__debezium.source.column.*`).",
    )
    tombstones: bool = Field(
        default=True,
        description="Follow each delete by a null value, so that compaction removes the key.",
    )
    replace_null_with_default: bool = Field(
        default=True,
        description="Write NULL of a column that has a default as that default, as Connect does.",
    )
    unavailable_value_placeholder: str = Field(
        default="__debezium_unavailable_value",
        min_length=1,
        description="What stands for a value that did not change and was not sent; `hex:` and "
        "digits give raw bytes.",
    )
    unrepresentable: Literal["stop", "null", "dead_letter"] = Field(
        default="stop",
        description="What to do with a value that the format has no encoding for: stop, write NULL "
        "where the column allows it, or write the change to the topic `<prefix>.dead-letters`.",
    )
    debezium_headers: bool = Field(
        default=False, description="Add Debezium's four context headers to records of rows."
    )
    version: str | None = Field(
        default=None,
        min_length=1,
        description="`source.version`, for consumers that look at it; by default `tidewire-` and "
        "the version of Tidewire.",
    )

    @field_validator("unavailable_value_placeholder")
    @classmethod
    def _hexadecimal(cls, text: str) -> str:
        if text.startswith("hex:") and not _HEX.fullmatch(text):
            raise ValueError("hex: takes pairs of hexadecimal digits, at least one")
        return text

    @property
    def placeholder_bytes(self) -> bytes:
        """What stands for binary values that did not change."""
        text = self.unavailable_value_placeholder
        return bytes.fromhex(text[4:]) if text.startswith("hex:") else text.encode()

    @property
    def placeholder(self) -> str:
        """What stands for text that did not change; bytes that are no UTF-8 as U+FFFD, as Java."""
        return self.placeholder_bytes.decode(errors="replace")

    def encoding(self) -> tuple[tuple[str, str], ...]:
        """What a reader must know where it is not the default, as TableSchema.encoding."""
        chosen = [(name, str(getattr(self, name))) for name in ENCODING]
        return tuple(pair for pair in chosen if pair not in _DEFAULT_ENCODING)

    @classmethod
    def of_encoding(cls, encoding: tuple[tuple[str, str], ...]) -> Self:
        """Options to read with. Raises SchemaError for what this Tidewire does not know."""
        try:
            return cls.model_validate(dict(encoding))
        except ValidationError as error:
            names = ", ".join(name for name, _ in encoding)
            raise SchemaError(
                f"records are written with options that this Tidewire does not know ({names})",
                hint="Run the newer Tidewire that wrote them.",
            ) from error


_DEFAULT_ENCODING: Final = frozenset((name, str(getattr(Options(), name))) for name in ENCODING)
