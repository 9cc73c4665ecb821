"""Where Tidewire's records differ from Debezium's on purpose: each case with its reason.

docs/differences-from-debezium.md is written from CASES: `python -m tests.conformance.known`.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tests.conformance.compare import Difference

PAGE = Path(__file__).parents[2] / "docs" / "differences-from-debezium.md"


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the page. `test` proves it where no recorded run does, as `file::function`."""

    what: str
    debezium: str
    tidewire: str
    why: str
    test: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """Differences that are expected: globs of path and of both texts; `case` is a key of CASES."""

    case: str
    path: str
    debezium: str = "*"
    tidewire: str = "*"
    topic: str = "*"

    def fits(self, difference: Difference) -> bool:
        """Whether this is one of them."""
        pairs = (
            (difference.path, self.path),
            (difference.debezium, self.debezium),
            (difference.tidewire, self.tidewire),
            (difference.topic, f"acme.{self.topic}"),
        )
        return all(fnmatchcase(text, glob) for text, glob in pairs)


CASES = {
    "name-columns": Case(
        "a column of type `name`",
        "null in every streamed record, the value in the snapshot",
        "the value in both",
        "The value is lost.",
    ),
    "time-arrays": Case(
        "`time[]` with microseconds or 24:00",
        "cut to milliseconds; 24:00 becomes 00:00",
        "every microsecond, 24:00 as in a scalar column",
        "The value is changed.",
    ),
    "date-arrays": Case(
        "`date[]` with dates before Christ",
        "the same year after Christ",
        "the date",
        "The value is changed.",
    ),
    "timestamp-arrays": Case(
        "`timestamp[]` before 1582",
        "shifted by the days between the Julian and the Gregorian calendar",
        "the timestamp, as in a scalar column",
        "The value is changed.",
    ),
    "interval-rounding": Case(
        "an interval as microseconds",
        "summed up as a double: now and then one microsecond less",
        "every microsecond",
        "The value is changed.",
        "tests/differential/test_debezium.py::test_values_of_every_type_are_equal",
    ),
    "first-marker": Case(
        "the marker `first` of a snapshot whose first table is empty",
        "`first_in_data_collection`: no row is `first`",
        "the first row of all is `first`",
        "A reader that waits for it waits for ever.",
        "tests/differential/test_debezium.py::"
        "test_keys_identities_large_values_and_truncates_are_equal",
    ),
    "enum-labels": Case(
        "a label added to an enum while the table is captured",
        "the schema has the labels of before",
        "the schema has it",
        "A value would not be among those that its schema allows.",
        "tests/differential/test_debezium.py::test_structures_are_equal_as_they_change",
    ),
    "messages-outside-transactions": Case(
        "`source.ts_*` of a logical message outside transactions",
        "the time of the last commit before it, however long ago",
        "the time at which it was read; the log has none",
        "The time is another transaction's.",
        "tests/unit/cdc/serializers/test_rowless_json.py::"
        "test_message_outside_transactions_stands_for_itself_and_has_the_clocks_time",
    ),
    "messages-in-counts": Case(
        "logical messages among the `data_collections` of a transaction's end",
        "under the name of a Java object, another one for each: `...MessageId@524627f7`",
        "together, under the name `message`",
        "There is nothing in the name to rely on.",
        "tests/unit/cdc/serializers/test_rowless_json.py::"
        "test_begin_and_end_are_written_as_debezium_writes_them",
    ),
    "infinite-dates": Case(
        "`date` infinity read by a snapshot",
        "-622191234, another number than in the stream",
        "-2147472692 in both",
        "Snapshot and stream agree.",
    ),
    "negative-scale": Case(
        "`numeric(5,-2)`",
        "scale 2046, and the number padded with 2046 zeros",
        "scale -2",
        "The scale is read without its sign.",
    ),
    "bit-arrays": Case(
        "`bit(n)[]`", "a scalar that is always null", "an array", "The value is lost."
    ),
    "arrays-left-out": Case(
        "arrays of `money`, `interval`, `varbit`, `xml`, `name`, `point` and of domains",
        "left out of the record",
        "an array of the type's own encoding",
        "The value is lost.",
    ),
    "nested-arrays": Case(
        "arrays of more than one dimension",
        "`[null,null]`",
        "nested arrays; with inline schemas, which cannot tell them, what `unrepresentable` says",
        "The value is lost.",
    ),
    "propagated-types": Case(
        "the source's type of a `serial`, and the length of a `numeric` without one, in schemas",
        "`SERIAL` and 0 in the snapshot, `INT4` and 131089 in the stream",
        "`INT4` and 131089 in both",
        "Snapshot and stream agree.",
    ),
    "nan-in-arrays": Case(
        "NaN inside a `numeric[]`, decimals as text or doubles",
        "the whole array is null",
        "NaN in its place",
        "The value is lost although the encoding has it.",
    ),
    "array-element-overflow": Case(
        "`timestamp[]` outside 1677 to 2262 in nanoseconds",
        "null in place of the element",
        "what `unrepresentable` says of the whole array",
        "An element that is null cannot be told from NULL.",
    ),
    "interval-overflow": Case(
        "an interval beyond 64 bits of microseconds",
        "the largest 64-bit number",
        "what `unrepresentable` says; `interval: string` is exact",
        "The value is invented.",
    ),
    "interval-hours": Case(
        "an interval of 2^31 hours and more",
        "the connector stops, and starts again for ever",
        "the interval, as text with `interval: string`",
        "A value must not stop a pipeline.",
        "tests/integration/test_postgres_types.py::"
        "test_snapshot_and_stream_give_the_same_value_of_every_type",
    ),
    "sequence-arrays": Case(
        "`point[]`, vectors in arrays, arrays of types that Debezium leaves out",
        "left out of the record",
        "an array of the type's own encoding, or of text",
        "The value is lost.",
        "tests/unit/cdc/serializers/test_structs.py::"
        "test_arrays_of_it_have_any_number_of_dimensions",
    ),
    "timestamp-overflow": Case(
        "a timestamp of the years 294247 to 294276 in microseconds",
        "a number that wrapped around, in the past",
        "what `unrepresentable` says; `time_precision: isostring` is exact",
        "The value is invented.",
    ),
    "unknown-types": Case(
        "columns of other types, `include.unknown.datatypes`",
        "bytes of the text that the JDBC driver makes of the value: `(3.0,4.0),(1.0,2.0)`",
        "the server's own text: `(3,4),(1,2)`",
        "Text is what it is; `unknown_types: omit` leaves the columns out, as Debezium does.",
    ),
    "required-timestamps": Case(
        "a delete in a table with a NOT NULL `timestamp`, nanoseconds",
        "the connector stops",
        "a stand-in as in every other unit",
        "A delete must not stop a pipeline.",
    ),
    "text-defaults": Case(
        "the default of a text column with quotes in it, `'it''s \"x\"'`",
        "cut at the quote: `it`",
        "the default",
        "The default is wrong, and shown for NULL.",
    ),
    "padded-defaults": Case(
        "the default of `char(4)`, `'ab'`",
        "`ab`",
        "`ab` and two blanks, as the column shows it",
        "The default is not a value of the column.",
    ),
    "expression-defaults": Case(
        "a default that is an expression, `'x'||'y'`",
        "its first literal, `x`",
        "no default",
        "The default is wrong, and shown for NULL.",
    ),
    "xmin": Case(
        "`source.xmin`, which `xmin.fetch.interval.ms` asks for",
        "what the slot's catalog_xmin was at some time before",
        "null",
        "It says nothing of the change; slots are watched in metrics.",
    ),
    "generated-columns": Case(
        "generated columns",
        "present in the snapshot, absent from the stream",
        "absent from both",
        "Snapshot and stream agree; the server does not stream them.",
    ),
    "partition-parents": Case(
        "partitioned tables",
        "the snapshot reads parent and leaves: each row twice",
        "the leaves, as the stream does",
        "Snapshot and stream agree.",
    ),
    "keys-outside-identity": Case(
        "a primary key that the replica identity index does not hold",
        'deletes under an invented key (`{"id":0}`)',
        "an error of `cdc check`, and the pipeline stops at such a delete",
        "Deletes would hit the wrong row, or none.",
        "tests/unit/cdc/serializers/test_debezium_json.py::"
        "test_delete_without_its_key_is_an_error_not_a_guess",
    ),
    "required-placeholders": Case(
        "a NOT NULL `bytea` that did not change, `binary: base64`",
        "the connector stops",
        "an empty text; the `cdc` header says that the value did not change",
        "A large value must not stop a pipeline.",
        "tests/unit/cdc/serializers/test_debezium_json.py::"
        "test_unchanged_value_without_placeholder_is_a_stand_in_where_null_is_not_allowed",
    ),
    "required-nan": Case(
        "NaN in a NOT NULL `numeric`, decimals precise",
        "the connector stops",
        "stops with the column's name and the remedy; `decimal: string` has it",
        "There is no encoding.",
        "tests/unit/cdc/serializers/test_debezium_json.py::"
        "test_null_is_not_written_for_what_a_required_column_cannot_show",
    ),
    "later-structure": Case(
        "a change that is read after its table was altered again",
        'the key, nullability and defaults of the later structure; NULL in a key becomes `""`',
        "the structure of its time",
        "Keys change under the rows, and values are invented.",
    ),
    "dropped-tables": Case(
        "a change that is read after its table was dropped",
        "no key, and every column may be NULL",
        "the key",
        "Records of one row would be spread over partitions.",
    ),
    "renamed-tables": Case(
        "a table that gets another name which is captured too",
        "changes go to the new topic",
        "its rows too, as a snapshot of it",
        "The new topic would lack the rows that are not changed any more.",
        "tests/integration/test_postgres_newcomers.py::"
        "test_renamed_table_is_read_again_under_its_new_name",
    ),
    "truncate": Case(
        "truncates",
        "not written unless asked for; one record",
        "written, one copy in every partition; on compacted topics under the key "
        '`{"__cdc_truncate":"schema.table"}`',
        "A consumer that misses a truncate keeps rows that are gone.",
        "tests/unit/cdc/serializers/test_debezium_json.py::"
        "test_truncate_goes_to_every_partition_under_a_key_where_topics_are_compacted",
    ),
}

_UNKNOWN = (
    "f_box", "f_circle", "f_line", "f_lseg", "f_path", "f_polygon", "f_tsquery", "f_jsonpath",
    "f_pair", "f_regclass", "f_pglsn", "f_xid", "f_int4multirange",
)  # fmt: skip

KNOWN = (
    Known("later-structure", "key.schema.c", tidewire="(absent)", topic="public.ev"),
    Known("later-structure", "key.c", tidewire="(absent)", topic="public.ev"),
    Known(
        "later-structure",
        "schema.*.c",
        '{"type":"string","optional":false,"field":"c"}',
        '{"type":"string","optional":true,"field":"c"}',
        "public.ev",
    ),
    Known("later-structure", "after.c", '""', "null", "public.ev"),
    Known("dropped-tables", "schema.*.id", '*"optional":true*', '*"optional":false*', "public.ev3"),
    Known("dropped-tables", "key", "null", "(absent)", "public.ev3"),
    Known("dropped-tables", "key.*", "(absent)", topic="public.ev3"),
    Known("name-columns", "after.f_name", "null", '"name"'),
    Known("name-columns", "before.f_name", "null", '"name"'),
    Known("time-arrays", "*.a_time", "[[]14706789000]", "[[]14706789123]"),
    Known("time-arrays", "*.a_time", "[[]14706789000000]", "[[]14706789123000]"),
    Known("time-arrays", "after.a_time", '[[]"04:05:06.789Z"]', '[[]"04:05:06.789123Z"]'),
    Known("time-arrays", "after.ta", "[[]0,100000]", "[[]86400000000,100000]"),
    Known("time-arrays", "after.ta", "[[]0,100]", "[[]86400000,100]"),
    Known("time-arrays", "after.ta", "[[]0,100000000]", "[[]86400000000000,100000000]"),
    Known("date-arrays", "after.da", "[[]-141427,-703383]", "[[]-141427,-735160]"),
    Known("date-arrays", "after.da", '*"0044-03-15Z"]', '*"-0043-03-15Z"]'),
    Known("timestamp-arrays", "after.tsa", "[[]-14825980799999999]", "[[]-14826758399999999]"),
    Known("timestamp-arrays", "after.tsa", "[[]-14825980800000]", "[[]-14826758400000]"),
    Known("timestamp-arrays", "after.tsa", '[[]"1500-03-09T*', '[[]"1500-02-28T*'),
    Known("infinite-dates", "after.d", "-622191234", "-2147472692"),
    Known("messages-in-counts", "data_collections", "*MessageId@*", '*"message"*', "transaction"),
    Known("infinite-dates", "after.d", '"+292278994-08-16Z"', '"-5877611-06-21Z"'),
    Known("negative-scale", "schema.*.f_num53n", '*"2046"*', '*"-2"*'),
    Known("negative-scale", "*.f_num53n", tidewire='"ew=="'),
    Known("negative-scale", "after.f_num53n", '"12300.000*', '"12300"'),
    Known("negative-scale", "after.f_num53n", "12300.000*", "1.23E+4"),
    Known("xmin", "source.xmin", tidewire="null"),
    Known("bit-arrays", "schema.*.a_bit", '*"type":"bytes"*', '*"type":"array"*'),
    Known("bit-arrays", "*.a_bit", "null", '[[]"Cg==","AQ=="]'),
    *(
        Known("arrays-left-out", f"{where}.{column}", "(absent)")
        for where in ("schema.*", "before", "after")
        for column in (
            "a_money",
            "a_interval",
            "a_posint",
            "a_varbit",
            "a_xml",
            "a_name",
            "a_point",
        )
    ),
    Known("nested-arrays", "*.a_int4_2d", "[[]null,null]", "null"),
    Known("nested-arrays", "after.a_int4_2d", "[[]null,null]", "[[][[]1,2],[[]3,4]]"),
    Known("nan-in-arrays", "after.na", "null", '[[]"NAN","1"]'),
    Known("nan-in-arrays", "after.na", "null", '[[]"NaN",1.0]'),
    Known("array-element-overflow", "after.tsa", "[[]null]", "null"),
    Known("interval-overflow", "after.f_interval", "9223372036854775807", "null"),
    Known("interval-overflow", "after.iv", "9223372036854775807", "null"),
    Known("interval-overflow", "after.iv", "-9223372036854775808", "null"),
    Known("timestamp-overflow", "after.ts", "-9223372036853775810", "null"),
    *(
        Known("unknown-types", f"schema.*.{name}", '{"type":"bytes",*', '{"type":"string",*')
        for name in _UNKNOWN
    ),
    *(Known("unknown-types", f"after.{name}", '"*"', '"*"') for name in _UNKNOWN),
    Known("arrays-left-out", "schema.*.a_posint", '*"type":"bytes"*', '*"type":"int32"*'),
    Known("arrays-left-out", "after.a_posint", '[[]"MQ==","Mg=="]', "[[]1,2]"),
    Known("text-defaults", "schema.*.n_text", '*"it"*', "*\"it's*"),
    Known("text-defaults", "before.n_text", '"it"', "\"it's*"),
    Known("padded-defaults", "schema.*.n_char", '*"ab"*', '*"ab  "*'),
    Known("padded-defaults", "before.n_char", '"ab"', '"ab  "'),
    Known("expression-defaults", "schema.*.o_cast", '*"default":"x"*', '*"optional":true,"field"*'),
    Known("expression-defaults", "schema.*.o_cast", '*},"default":"x"*', '*"o_cast"},"field"*'),
    Known("propagated-types", "schema.*", '*.length":"0"*', '*.length":"131089"*.scale":"0"*'),
    Known("propagated-types", "schema.*.id", '*"SERIAL"*', '*"INT4"*'),
    Known("expression-defaults", "before.o_cast", '"x"', "null"),
    Known("generated-columns", "schema.*.g", "*int32*", "(absent)", "public.gen"),
    Known("generated-columns", "after.g", "10", "(absent)", "public.gen"),
)

NOT_CAPTURED = {"public.id_index": "keys-outside-identity"}
"""Tables of the recorded runs that Tidewire refuses, and the case."""

STOPPED = {"types_time_nanoseconds": "required-timestamps"}
"""Recorded runs that ended in a failure of Debezium, so that only their beginning is compared."""

NOT_COMPARED = {"public.part": "partition-parents"}
"""Tables that only Debezium writes records for, and the case."""


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def page() -> str:
    """The text of the page."""
    rows = [
        " | ".join((f"| {key}", *map(_cell, (case.what, case.debezium, case.tidewire, case.why))))
        + " |"
        for key, case in sorted(CASES.items())
    ]
    return _HEAD + "\n".join(rows) + "\n"


# ruff: noqa: E501 - one sentence per line
_HEAD = """# Differences from Debezium

After this page you know where Tidewire's records are not those of Debezium 3.6.1, and why.

Topic names, keys, envelopes, field order, schema names, snapshot markers and key-change headers are Debezium's, byte for byte.
Tests run the SQL of recorded runs of Debezium and compare every record as text; the cases below are all that may differ.
Where Debezium loses, changes or invents a value, Tidewire writes the value that the database holds.
Where the format has no encoding for it, the option `unrepresentable` decides: `stop` (the default), `null` or `dead_letter`.

Three things are added or chosen otherwise: the header `cdc` ([formats](formats.md)), truncates, and `source.version`, which is `tidewire-...` unless the option `version` names another.
Headers `__debezium.context.*` are written with `debezium_headers: true` only.

| case | what | Debezium 3.6.1 | Tidewire | why |
|---|---|---|---|---|
"""

if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
