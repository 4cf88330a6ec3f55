"""Strict reading of DER (X.690 clauses 8 and 10): one header at a time, over bytes that may come from an attacker.

Nothing here recurses, so depth needs no bound; every index is checked against the enclosing end.
"""

from __future__ import annotations

SEQUENCE, SET, OID, INTEGER, BIT_STRING, OCTET_STRING, BOOLEAN = 0x30, 0x31, 0x06, 0x02, 0x03, 0x04, 0x01

LONG = 128
"""First octet of a length from which on the length itself follows (X.690 8.1.3)."""

Item = tuple[int, int, int, int]
"""tag, start of the header, start of the content, end."""


class Malformed(ValueError):
    """The bytes are not the DER that they should be."""


def require(condition: bool, message: str) -> None:
    """Malformed with this message unless the condition holds."""
    if not condition:
        raise Malformed(message)


def header(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Tag, start of the content and end of the element at `at`. Malformed for high tag numbers and for lengths that are not DER."""
    start = at + 2
    if start > end:
        raise Malformed(f"element at byte {at} is cut off")
    tag, length = data[at], data[at + 1]
    if length >= LONG:
        start, length = _long(data, start, end)
    stop = start + length
    if stop > end or tag & 31 == 31:
        raise Malformed(f"element at byte {at} reaches beyond its end or has a high tag number")
    return tag, start, stop


def _long(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Start of the content and length, where the length takes more than one octet; the octet before `at` says how many."""
    start = at + data[at - 1] - LONG
    length = int.from_bytes(data[at:start], "big")
    if start > end or not at < start <= at + 4 or length < LONG or not data[at]:
        raise Malformed(f"length at byte {at - 1} is not DER")
    return start, length


def expect(data: bytes, at: int, end: int, tag: int) -> tuple[int, int]:
    """Start of the content and end of the element at `at`, which must have this tag."""
    found, start, stop = header(data, at, end)
    if found != tag:
        raise Malformed(f"element at byte {at} has tag {found:#04x} instead of {tag:#04x}")
    return start, stop


def whole(data: bytes, tag: int) -> tuple[int, int]:
    """Content bounds of the one element that fills `data`."""
    start, stop = expect(data, 0, len(data), tag)
    if stop != len(data):
        raise Malformed(f"{len(data) - stop} bytes follow the element")
    return start, stop


def children(data: bytes, start: int, end: int) -> list[Item]:
    """All elements between `start` and `end`."""
    items = []
    while start < end:
        tag, content, stop = header(data, start, end)
        items.append((tag, start, content, stop))
        start = stop
    return items


def positive(data: bytes) -> int:
    """Value of the content octets of an INTEGER that must not be negative. Malformed if empty, negative or not minimal."""
    if not data or data[0] > 127 or (data[0] == 0 and len(data) > 1 and data[1] < 128):
        raise Malformed("INTEGER is empty, negative or not minimal")
    return int.from_bytes(data, "big")


def dotted(data: bytes) -> str:
    """Dotted text of the content octets of an OBJECT IDENTIFIER (X.690 8.19)."""
    if not data or data[-1] & 128:
        raise Malformed("OBJECT IDENTIFIER is cut off")
    arcs, value = [], 0
    fresh = True
    for octet in data:
        if fresh and octet == 128:
            raise Malformed("OBJECT IDENTIFIER is not minimal")
        value = value << 7 | octet & 127
        fresh = not octet & 128
        if fresh:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def encoded(oid: str) -> bytes:
    """Content octets of a dotted OBJECT IDENTIFIER; inverse of `dotted`."""
    first, second, *rest = map(int, oid.split("."))
    octets = bytearray()
    for arc in (40 * first + second, *rest):
        groups = [arc & 127]
        while arc := arc >> 7:
            groups.append(arc & 127 | 128)
        octets += bytes(reversed(groups))
    return bytes(octets)
