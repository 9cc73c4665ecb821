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


# Python refuses to read or write integers of more digits, since its own way takes quadratic time.
_DIGITS_MAX = 4000


def integer(text: str) -> int:
    """The integer that digits write, of any length."""
    return int(text) if len(text) <= _DIGITS_MAX else int(Decimal(text))


def digits_of(number: int) -> str:
    """An integer as digits, of any length."""
    # A digit has more than three bits.
    return str(number) if number.bit_length() <= 3 * _DIGITS_MAX else str(Decimal(number))


def parts(text: str) -> tuple[int, int]:
    """The unscaled integer and the scale of a plain decimal text. Raises Unrepresentable."""
    match = _PLAIN.fullmatch(text)
    if match is None:
        raise Unrepresentable("a decimal that is no finite number")
    sign, whole, fraction = match.groups(default="")
    return integer(sign + whole + fraction), len(fraction)


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
        return integer(text.replace(".", "", 1))
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
        return digits_of(unscaled * int(10**-scale))
    digits = digits_of(abs(unscaled)).rjust(scale + 1, "0")
    sign = "-" if unscaled < 0 else ""
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}"


def stripped(text: str) -> tuple[int, int]:
    """Unscaled integer and scale without trailing fraction zeros. Raises Unrepresentable."""
    return parts(text.rstrip("0").removesuffix(".") if "." in text else text)


def java_text(unscaled: int, scale: int) -> str:
    """The text of Java's BigDecimal.toString, which is scientific for small numbers."""
    # Made of text, a Decimal has every digit; arithmetic would round to 28.
    return str(Decimal(f"{digits_of(unscaled)}E{-scale}")) if scale else digits_of(unscaled)
