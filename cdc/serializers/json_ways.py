"""Which columns have a way from the database's text to JSON text, and which way that is."""

from typing import Final

from cdc import schema as logical
from cdc.event import (
    FORM_BOOLEAN,
    FORM_DATE,
    FORM_FLOAT,
    FORM_INTEGER,
    FORM_NUMERIC,
    FORM_OPAQUE,
    FORM_TEXT,
    FORM_TIME,
    FORM_TIMESTAMP,
    FORM_TIMESTAMP_UTC,
    FORM_UUID,
)
from cdc.serializers.connect import (
    CONNECT_DATE,
    CONNECT_TIME,
    CONNECT_TIMESTAMP,
    DECIMAL,
    VARIABLE_SCALE_DECIMAL,
)
from cdc.serializers.mapping import Mapping

WAY_NONE: Final = 0
WAY_INTEGER: Final = 1
WAY_STRING: Final = 2
WAY_UUID: Final = 3
WAY_BOOLEAN: Final = 4
WAY_DOUBLE: Final = 5
WAY_FLOAT: Final = 6
WAY_DECIMAL: Final = 7
WAY_VARIABLE_DECIMAL: Final = 8
WAY_NUMBER_STRING: Final = 9
WAY_DAYS: Final = 10
WAY_TIME: Final = 11
WAY_TIMESTAMP: Final = 12
WAY_ZONED: Final = 13

FORMS: Final = {
    WAY_NONE: FORM_OPAQUE,
    WAY_INTEGER: FORM_INTEGER,
    WAY_STRING: FORM_TEXT,
    WAY_UUID: FORM_UUID,
    WAY_BOOLEAN: FORM_BOOLEAN,
    WAY_DOUBLE: FORM_FLOAT,
    WAY_FLOAT: FORM_FLOAT,
    WAY_DECIMAL: FORM_NUMERIC,
    WAY_VARIABLE_DECIMAL: FORM_NUMERIC,
    WAY_NUMBER_STRING: FORM_NUMERIC,
    WAY_DAYS: FORM_DATE,
    WAY_TIME: FORM_TIME,
    WAY_TIMESTAMP: FORM_TIMESTAMP,
    WAY_ZONED: FORM_TIMESTAMP_UTC,
}
"""What the bytes of a column must be for its way."""

_BITS: Final = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}
_INTEGERS: Final = (logical.Int8, logical.Int16, logical.Int32, logical.Int64)
_NAMED: Final = {
    "io.debezium.data.Uuid": (WAY_UUID, 0),
    VARIABLE_SCALE_DECIMAL: (WAY_VARIABLE_DECIMAL, 0),
    "io.debezium.time.Date": (WAY_DAYS, 0),
    CONNECT_DATE: (WAY_DAYS, 0),
    "io.debezium.time.Time": (WAY_TIME, 1000),
    CONNECT_TIME: (WAY_TIME, 1000),
    "io.debezium.time.MicroTime": (WAY_TIME, 1),
    "io.debezium.time.Timestamp": (WAY_TIMESTAMP, 1000),
    CONNECT_TIMESTAMP: (WAY_TIMESTAMP, 1000),
    "io.debezium.time.MicroTimestamp": (WAY_TIMESTAMP, 1),
}


def way_of(  # noqa: PLR0911 - one answer for each kind of column
    kind: logical.LogicalType, how: Mapping
) -> tuple[int, int]:
    """The WAY constant for values of this type that are written so, and the way's parameter.

    The parameter is the number of bits of an integer, the scale of a decimal, the number of
    fraction digits of a zoned timestamp, and how many microseconds one unit of other times has.
    """
    schema = how.schema
    if schema.name in _NAMED:
        return _NAMED[schema.name]
    match kind:
        case logical.TimestampTz(precision):
            return WAY_ZONED, precision
        case logical.Decimal() if schema.name == DECIMAL and not schema.as_number:
            return WAY_DECIMAL, int(dict(schema.parameters)["scale"])
        case logical.Decimal() if schema.type == "string":
            return WAY_NUMBER_STRING, 0
    if how.write is not None:
        return WAY_NONE, 0
    if isinstance(kind, _INTEGERS):
        return WAY_INTEGER, _BITS[schema.type]
    plain = {"string": WAY_STRING, "double": WAY_DOUBLE, "float": WAY_FLOAT, "boolean": WAY_BOOLEAN}
    return plain.get(schema.type, WAY_NONE), 0
