"""Exact decimals between their text and Connect's unscaled integers."""

import re
from decimal import Decimal

_PLAIN = re.compile(r"(-?)(\d+)(?:\.(\d+))?")
SPECIAL_NAMES = {
    "NaN": "NAN",
    "Infinity": "POSITIVE_INFINITY",
    "-Infinity": "NEGATIVE_INFINITY",
}
"""Debezium's names for the decimals that are no numbers, in string mode."""
SPECIAL_TEXTS = {name: text for text, name in SPECIAL_NAMES.items()}


class Unrepresentable(Exception):
    """A value that the format has no encoding for; `reason` says which without the value."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parts(text: str) -> tuple[int, int]:
    """The unscaled integer and the scale of a plain decimal text. Raises Unrepresentable."""
    match = _PLAIN.fullmatch(text)
    if match is None:
        raise Unrepresentable("a decimal that is no finite number")
    sign, whole, fraction = match.groups(default="")
    return int(sign + whole + fraction), len(fraction)


def unscaled_bytes(unscaled: int) -> bytes:
    """Big-endian two's complement of minimal length, as Java's BigInteger.toByteArray."""
    size_bytes = (unscaled + (unscaled < 0)).bit_length() // 8 + 1
    return unscaled.to_bytes(size_bytes, "big", signed=True)


def unscaled_int(content: bytes) -> int:
    """The integer of `unscaled_bytes`."""
    return int.from_bytes(content, "big", signed=True)


def fixed_unscaled(text: str, scale: int) -> int:
    """The unscaled integer of a text at `scale`, which may be negative. Raises Unrepresentable."""
    digits = text.lstrip("-").replace(".", "", 1)
    if 0 < scale == len(text) - text.find(".") - 1 and digits.isdecimal():
        return int(text.replace(".", "", 1))
    unscaled, own_scale = parts(text)
    if own_scale == scale:
        return unscaled
    if own_scale < scale:
        return unscaled * int(10 ** (scale - own_scale))
    quotient, rest = divmod(unscaled, 10 ** (own_scale - scale))
    if rest:
        raise Unrepresentable(f"a decimal with more than {scale} fraction digits")
    return int(quotient)


def plain_text(unscaled: int, scale: int) -> str:
    """The text with exactly `scale` fraction digits; a negative scale gives trailing zeros."""
    if scale <= 0:
        return str(unscaled * int(10**-scale))
    digits = str(abs(unscaled)).rjust(scale + 1, "0")
    sign = "-" if unscaled < 0 else ""
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}"


def stripped(text: str) -> tuple[int, int]:
    """Unscaled integer and scale without trailing fraction zeros. Raises Unrepresentable."""
    unscaled, scale = parts(text)
    while scale and unscaled % 10 == 0:
        unscaled //= 10
        scale -= 1
    return unscaled, scale


def java_text(unscaled: int, scale: int) -> str:
    """The text of Java's BigDecimal.toString, which is scientific for small numbers."""
    return str(Decimal(unscaled).scaleb(-scale)) if scale else str(unscaled)
