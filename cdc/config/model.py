"""What a configuration file may hold, apart from the settings of its components."""

import ipaddress
import re
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from cdc.errors import ConfigError
from cdc.projection import Mapping, TableMapping, parse_template
from cdc.protocols import Heartbeat
from cdc.secret import Secret

NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
"""Names become parts of slot, topic, file and group names: 40 characters leave room for the rest,
and PostgreSQL allows only these in a slot's name."""

TOPIC: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
"""What Kafka allows in a topic, short enough for schema and table behind it (249 in all)."""


def checked_name(name: str) -> str:
    """The name. Raises ValueError if it may not be one."""
    if not NAME.fullmatch(name):
        raise ValueError(
            "a name has up to 40 lower-case letters, digits and underscores, a letter first"
        )
    return name


def checked_pattern(pattern: str) -> str:
    """The pattern `[source:]schema.table`. Raises ValueError if it is none."""
    table = pattern.partition(":")[2] if ":" in pattern else pattern
    schema, dot, name = table.partition(".")
    if not (schema and dot and name):
        raise ValueError("must be schema.table (or source:schema.table); * stands for any text")
    return pattern


class Part(BaseModel):
    """A part of the file: unknown keys are refused, values do not change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Admin(Part):
    """The status page, health, metrics and REST over TCP."""

    listen: str = Field(
        "127.0.0.1:8470",
        description="Address and port. An address that is not loopback needs a token.",
        examples=["127.0.0.1:8470", "[::1]:8470", "0.0.0.0:8470"],
    )
    token: Secret | None = Field(
        None, description="Bearer token that every request must carry.", examples=["${env:TOKEN}"]
    )

    @field_validator("listen")
    @classmethod
    def _has_port(cls, listen: str) -> str:
        host, _, port = listen.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
            raise ValueError("must be address:port, such as 127.0.0.1:8470")
        return listen

    @model_validator(mode="after")
    def _token_beyond_loopback(self) -> "Admin":
        if self.token is None and not self.is_loopback:
            raise ValueError(
                f"{self.host} can be reached by others, so `token` must be set; "
                "or listen on 127.0.0.1"
            )
        return self

    @property
    def host(self) -> str:
        """The address without brackets."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class Logging(Part):
    """How the daemon tells what it does, on standard error."""

    format: Literal["auto", "console", "json"] = Field(
        "auto",
        description="`console` for people, `json` for machines, `auto`: console on a terminal.",
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="What is less important than this is left out."
    )


class Pipeline(Part):
    """The top of the file."""

    name: str = Field(
        description="Pipeline name: consumer groups, transactional ids, default slot and "
        "publication names derive from it.",
        examples=["shop"],
    )
    state_dir: Path = Field(
        Path("state"),
        description="Sockets, spill files and embedded databases; created with mode 0700.",
    )
    log: dict[str, object] = Field(
        {"type": "embedded"}, description="Where changes are kept between source and sinks."
    )
    sources: dict[str, dict[str, object]] = Field(
        {}, description="Databases that are captured, by name."
    )
    sinks: dict[str, dict[str, object]] = Field(
        {}, description="Stores that follow the log, by name."
    )
    admin: Admin | None = Field(
        None, description="Status page, health, metrics and REST over TCP; none when left out."
    )
    logging: Logging = Field(
        default_factory=lambda: Logging.model_validate({}), description="How the daemon logs."
    )

    _name = field_validator("name")(checked_name)


class LogKeys(Part):
    """Keys of the log that do not depend on its type."""

    type: str = Field(description="`embedded`, `kafka`, or a dotted module name.")


class HeartbeatKeys(Part):
    """A sign of life at intervals, also while nothing changes."""

    interval_s: float = Field(
        10.0, ge=0.1, le=3600.0, description="Seconds between two heartbeats."
    )
    topic: bool = Field(
        default=True,
        description="Write a record to the topic `__debezium-heartbeat.PREFIX` each time.",
    )
    message: bool = Field(
        default=True,
        description="Write a logical message at the database each time, so that what it keeps for "
        "a source that nobody writes to moves on. Not possible on a standby.",
    )
    table: str | None = Field(
        None,
        pattern=r"^[^.*?]+\.[^*?]+$",
        description="Write a row of this table, `schema.table`, instead of the message. It is "
        "captured only where `tables` names it without wildcards.",
    )
    create_table: bool = Field(
        default=True, description="Make that table when it does not exist; `cdc drop` removes it."
    )

    def chosen(self) -> Heartbeat:
        """The same as the core has it."""
        return Heartbeat(self.interval_s, self.topic, self.message, self.table, self.create_table)


class SourceKeys(Part):
    """Keys of a source that do not depend on its type."""

    type: str = Field(description="`postgres`, or a dotted module name.")
    topic_prefix: str | None = Field(
        None, description="First part of the names of its topics; the source's name by default."
    )
    transaction_metadata: bool = Field(
        default=False,
        description="Put the transaction and the place in it into each change, and its begin and "
        "end on the topic `PREFIX.transaction` (`provide.transaction.metadata`).",
    )
    skipped_operations: tuple[Literal["c", "u", "d", "t"], ...] = Field(
        (),
        description="Changes to leave out: inserts `c`, updates `u`, deletes `d`, truncates `t`; "
        "none by default (Debezium: `t`).",
        examples=[["t"]],
    )
    skip_unchanged: bool = Field(
        default=False,
        description="Leave out updates that change no captured column; only replica identity FULL "
        "tells (`skip.messages.without.change`).",
    )
    heartbeat: HeartbeatKeys | None = Field(
        None, description="A sign of life at intervals; none when left out."
    )
    transforms: list[dict[str, object]] = Field(
        [], description="Changes to the events on their way into the log, in order."
    )
    format: dict[str, object] = Field(
        {"type": "json"}, description="How records are written: `type` and its settings."
    )

    @field_validator("topic_prefix")
    @classmethod
    def _legal(cls, prefix: str | None) -> str | None:
        if prefix is not None and not TOPIC.fullmatch(prefix):
            raise ValueError(
                "has up to 100 ASCII letters, digits, dots, underscores and hyphens, "
                "a letter or digit first"
            )
        return prefix


class SinkKeys(TableMapping):
    """Keys of a sink that do not depend on its type."""

    type: str = Field(
        description="`opensearch`, `redis`, `sqlite`, `stdout`, `blackhole`, or a dotted name."
    )
    from_: tuple[str, ...] = Field(
        (),
        validation_alias="from",
        description="Tables of the sources: `schema.table`, or `source:schema.table` when there "
        "are several sources; `*` stands for any text.",
        examples=[["public.products"]],
    )
    topics: tuple[str, ...] = Field(
        (), description="Topics instead of tables, such as those of a foreign Debezium."
    )
    tables: dict[str, TableMapping] = Field(
        {}, description="Rules of single tables (`schema.table`), each in place of the common one."
    )
    on_undecodable: Literal["stop", "dead_letter"] = Field(
        "stop", description="What a record that cannot be decoded does to the sink."
    )

    @field_validator("from_")
    @classmethod
    def _patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(checked_pattern(pattern) for pattern in patterns)

    @field_validator("id")
    @classmethod
    def _template(cls, id_: str | None) -> str | None:
        if id_ is not None:
            try:
                parse_template(id_)
            except ConfigError as error:
                raise ValueError(f"{error.message}; {error.hint}") from None
        return id_

    @model_validator(mode="after")
    def _reads_something(self) -> "SinkKeys":
        if bool(self.from_) == bool(self.topics):
            raise ValueError("needs either `from` (tables of the sources) or `topics`")
        return self

    def mapping(self) -> Mapping:
        """The same as the rule that a projection takes."""
        rule = TableMapping.model_fields
        common = {name: getattr(self, name) for name in rule}
        return Mapping.model_validate({**common, "mappings": self.tables})
