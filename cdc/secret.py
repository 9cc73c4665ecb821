"""Secrets in configuration: never printed, and read again when they are needed again."""

from collections.abc import Callable
from typing import Any, Final, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

MASK: Final = "********"


class Reference(str):
    """The value of a string that holds `${file:PATH}`, which knows how to read the file again.

    Behaves as the text that was there when the configuration was read.
    """

    __slots__ = ("read",)

    read: Callable[[], str]

    def __new__(cls, text: str, read: Callable[[], str]) -> Self:
        """A reference whose text is `text` now and `read()` later."""
        self = super().__new__(cls, text)
        self.read = read
        return self


class Secret:
    """A password, token or connection URL. As a pydantic field it takes a string.

    `reveal` reads files again, so that rotated secrets work at the next connection. Its text form
    is a mask.
    """

    __slots__ = ("_read",)

    def __init__(self, text: str) -> None:
        self._read: Callable[[], str] = text.read if isinstance(text, Reference) else lambda: text

    def reveal(self) -> str:
        """The secret itself. Raises ConfigError when its file cannot be read."""
        return self._read()

    def __repr__(self) -> str:
        return MASK

    @classmethod
    def _of(cls, given: object) -> "Secret":
        if isinstance(given, Secret):
            return given
        if not isinstance(given, str):
            raise ValueError("must be a string")  # noqa: TRY004 - pydantic turns only ValueError into an error of the field
        return cls(given)

    @classmethod
    def __get_pydantic_core_schema__(
        cls,
        source: Any,
        handler: GetCoreSchemaHandler,
    ) -> core_schema.CoreSchema:
        del source, handler
        return core_schema.no_info_plain_validator_function(
            cls._of,
            json_schema_input_schema=core_schema.str_schema(),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda _: MASK),
        )
