"""Kafka's errors as ours: what they say, and what to do about them."""

from confluent_kafka import KafkaError, KafkaException

from cdc.errors import CdcError, Fenced, LogRefused, PositionLost, TransientError
from cdc.logs.kafka import codes


class Reasons:
    """Why calls fail. A call itself may say only that it timed out, or that all is lost."""

    def __init__(self) -> None:
        self._found: dict[int, KafkaError] = {}
        self.down = False
        """Whether no broker was connected when last heard of."""

    def hear(self, error: KafkaError) -> None:
        """Take an error from librdkafka's `error_cb`."""
        if error.code() == codes.ALL_BROKERS_DOWN:
            self.down = True
        self._found.setdefault(error.code(), error)

    def clear(self) -> None:
        """Brokers answer again. A writer that was fenced stays it."""
        self._found = {code: error for code, error in self._found.items() if code in codes.FENCED}
        self.down = False

    def strongest(self) -> KafkaError | None:
        """The reason that explains the others, None when nothing was heard."""
        return next((self._found[code] for code in codes.STRENGTH if code in self._found), None)


def translated(error: KafkaError, doing: str, servers: str, reasons: Reasons) -> CdcError:
    """One of our errors for one of Kafka's. `doing` says what failed and on what."""
    reason = reasons.strongest()
    if reason is not None and error.code() in codes.VAGUE:
        error = reason
    code = error.code()
    what = f"{doing} failed: "
    why = f"({described(error)})"
    if code in codes.FENCED:
        return Fenced(f"{what}a newer writer of this source has taken over {why}")
    if code == codes.AUTO_OFFSET_RESET:
        return PositionLost(
            f"{what}the offset to read is not in Kafka any more {why}",
            hint="Keep records longer (retention.ms of the topic), then run `cdc reset SINK` "
            "to read from the beginning.",
        )
    refusal = _refusal(code, servers)
    if refusal is not None:
        text, hint = refusal
        return LogRefused(f"{what}{text} {why}", hint=hint)
    if code in codes.UNREACHABLE:
        return TransientError(
            f"{what}Kafka at {servers} cannot be reached {why}",
            hint="Check log.bootstrap_servers, that the brokers run, and the network.",
        )
    return TransientError(
        f"{what}{described(error)}",
        hint="It is tried again; see the brokers' logs if it stays.",
    )


def _refusal(code: int, servers: str) -> tuple[str, str | None] | None:
    """What is refused and its remedy, None for errors that may pass."""
    if code in codes.CREDENTIALS:
        return (
            f"Kafka at {servers} refuses the credentials",
            "Correct sasl.username, sasl.password and sasl.mechanism under log.client.",
        )
    if code == codes.SSL:
        return (
            f"no TLS connection to Kafka at {servers}",
            "Correct security.protocol, ssl.ca.location and the certificate under log.client.",
        )
    if code in codes.RIGHTS:
        return (
            f"Kafka at {servers} does not allow it",
            f"Give this user {codes.RIGHTS[code]}.",
        )
    if code in codes.TOO_LARGE:
        return (
            "a record is larger than Kafka accepts",
            "Raise message.max.bytes (log.client) and max.message.bytes (topic).",
        )
    if code in codes.REFUSED:
        return f"Kafka at {servers} refuses it", None
    return None


def described(error: KafkaError) -> str:
    """The error's name and text. Neither holds values of records or of settings."""
    return f"{error.name()}: {error.str()}"


def kafka_error(error: KafkaException) -> KafkaError:
    """What is inside the exception."""
    inner: KafkaError = error.args[0]
    return inner
