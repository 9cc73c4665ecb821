"""Numbers from a database's own text to JSON text.

A hot module: plain Python that setup.py compiles (declarations in json_numbers.pxd). The functions
keep to what json_text says of its own: they answer -1 for all that is rare or wrong.
"""

from typing import Final

from cdc import memory
from cdc.serializers import json_time

_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
# 18 digits are below 2^63 whatever they are.
_DIGITS_MAX: Final = 18


def integer(raw: bytes, size: int, out: bytearray, at: int, bits: int) -> int:
    """An integer of at most 18 digits that fits into `bits` bits with sign."""
    start = 1 if size > 0 and raw[0] == 45 else 0
    digits = size - start
    if digits < 1 or digits > _DIGITS_MAX or (raw[start] == 48 and size > 1):
        return -1
    amount = 0
    for index in range(start, size):
        digit = raw[index] - 48
        if digit < 0 or digit > 9:
            return -1
        amount = amount * 10 + digit
        out[at + index] = raw[index]
    out[at] = raw[0]
    if bits < 64:
        # One more is there on the negative side.
        limit = 1
        limit <<= bits - 1
        if amount >= limit + start:
            return -1
    return at + size


def number(raw: bytes, size: int, out: bytearray, at: int, digits_max: int) -> int:
    """The shortest text of a float from 10^-3 to 10^7, where Java writes no exponent.

    Source: Java's Double.toString. In this range the shortest text is the same for everybody:
    nothing that lies exactly between two doubles has 17 digits or less.
    """
    start = 1 if size > 0 and raw[0] == 45 else 0
    whole = 0
    fraction = -1
    significant = 0
    zeros = 0
    for index in range(start, size):
        byte = raw[index]
        if byte == 46 and fraction < 0 and whole > 0:
            fraction = 0
        elif 48 <= byte <= 57:
            if fraction < 0:
                whole += 1
            else:
                fraction += 1
            if significant > 0 or byte != 48:
                significant += 1
            elif fraction > 0:
                zeros += 1
        else:
            return -1
        out[at + index] = byte
    if whole < 1 or whole > 7 or significant > digits_max or zeros > 2:
        return -1
    if raw[start] == 48 and whole > 1:
        return -1
    out[at] = raw[0]
    at += size
    if fraction < 0:
        out[at] = 46
        out[at + 1] = 48
        return at + 2
    # A zero at the end is not what is shortest.
    return -1 if fraction == 0 or raw[size - 1] == 48 else at


def number_string(raw: bytes, size: int, out: bytearray, at: int) -> int:
    """A plain decimal number as a string."""
    point = _point(raw, size)
    if point < 0:
        return -1
    out[at] = 34
    memory.copy(out, at + 1, raw, size)
    out[at + 1 + size] = 34
    return at + size + 2


def decimal(raw: bytes, size: int, out: bytearray, at: int, scale: int) -> int:
    """Base64 of the unscaled number of a decimal that has `scale` fraction digits."""
    point = _point(raw, size)
    if point < 0 or scale < 0 or (scale > 0) != (point < size) or size > _DIGITS_MAX:
        return -1
    if scale > 0 and size - point - 1 != scale:
        return -1
    return base64(_unscaled(raw, size), out, at)


def variable_decimal(raw: bytes, size: int, out: bytearray, at: int) -> int:
    """A struct of scale and unscaled number, without zeros at the end of the fraction."""
    point = _point(raw, size)
    if point < 0 or size > _DIGITS_MAX:
        return -1
    end = size
    if point < size:
        while raw[end - 1] == 48:
            end -= 1
        if end == point + 1:
            end = point
    memory.copy(out, at, b'{"scale":', 9)
    at += 9
    at = json_time.digits(end - point - 1 if end > point else 0, out, at)
    memory.copy(out, at, b',"value":', 9)
    at += 9
    at = base64(_unscaled(raw, end), out, at)
    out[at] = 125
    return at + 1


def _point(raw: bytes, size: int) -> int:
    """Where the point of a plain decimal number is, `size` without one, -1 if it is no number."""
    point = size
    start = 1 if size > 0 and raw[0] == 45 else 0
    for index in range(start, size):
        byte = raw[index]
        if byte == 46 and point == size:
            point = index
        elif byte < 48 or byte > 57:
            return -1
    return -1 if point == start or point == size - 1 or size == start else point


def _unscaled(raw: bytes, size: int) -> int:
    """The number that the digits write, without their point."""
    amount = 0
    for index in range(size):
        if raw[index] >= 48:
            amount = amount * 10 + (raw[index] - 48)
    return -amount if raw[0] == 45 else amount


def base64(amount: int, out: bytearray, at: int) -> int:
    """Base64, quoted, of the number in two's complement with as few bytes as possible.

    Source: Java's BigInteger.toByteArray.
    """
    length = 1
    rest = amount >> 7
    while rest != 0 and rest != -1:  # noqa: PLR1714 - two compares in C
        length += 1
        rest >>= 8
    out[at] = 34
    at += 1
    while length > 0:
        bits = ((amount >> (8 * length - 8)) & 255) << 16
        if length > 1:
            bits |= ((amount >> (8 * length - 16)) & 255) << 8
        if length > 2:
            bits |= (amount >> (8 * length - 24)) & 255
        out[at] = _BASE64[bits >> 18]
        out[at + 1] = _BASE64[(bits >> 12) & 63]
        out[at + 2] = _BASE64[(bits >> 6) & 63] if length > 1 else 61
        out[at + 3] = _BASE64[bits & 63] if length > 2 else 61
        at += 4
        length -= 3
    out[at] = 34
    return at + 1
