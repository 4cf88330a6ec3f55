"""Distinguished names as RFC 4514 text, read from their DER."""

from __future__ import annotations

import re

from keymuster.der import LONG, OID, SEQUENCE, SET, Malformed, children, expect, header, whole
from keymuster.oids import ATTRIBUTE_TYPES, RFC4514, name_of

CACHE_LIMIT = 65_536
"""Entries kept; a cache that is full is emptied, so that hostile input cannot fill the memory."""

Name = tuple[str, list[str], bool]
"""RFC 4514 text, attribute types each once, whether it is sound DER."""
Relative = tuple[str, tuple[str, ...], bool]

_names: dict[bytes, Name] = {}
_relatives: dict[bytes, Relative] = {}
_ENCODINGS = {12: "utf-8", 18: "utf-8", 19: "utf-8", 20: "utf-8", 22: "utf-8", 26: "utf-8", 28: "utf-32-be", 30: "utf-16-be",
              4: "utf-8", 23: "utf-8", 24: "utf-8"}  # fmt: skip
"""String types; those of one octet a character are read as UTF-8, a superset of what they may hold."""
_NO_STRINGS = (4, 23, 24)
"""OCTET STRING and times: shown as the text that they hold, but no attribute of a name may be one."""
_TELETEX, _UNIQUE_IDENTIFIER = 20, bytes.fromhex("55042d")
_PLAIN = (12, 19, 22)
_PLAIN_TEXT = re.compile(r"[A-Za-z0-9._*@/-](?:[ A-Za-z0-9._*@/-]*[A-Za-z0-9._*@/-])?").fullmatch
"""Nothing in it needs an escape."""
_SPECIAL = str.maketrans({
    "\\": "\\\\", '"': '\\"', "+": "\\+", ",": "\\,", ";": "\\;", "<": "\\<", ">": "\\>", "\0": "\\00",
})  # fmt: skip


def read_name(raw: bytes) -> Name:
    """Read one Name (RFC 5280 section 4.1.2.4), outermost relative name first in the text. Malformed if its frame is broken."""
    known = _names.get(raw)
    if known is None:
        if len(_names) >= CACHE_LIMIT:
            _names.clear()
        known = _names[raw] = _read(raw)
    return known


def _read(raw: bytes) -> Name:
    texts: list[str] = []
    types: list[str] = []
    sound = True
    at, end = whole(raw, SEQUENCE)
    while at < end:
        tag, _, stop = header(raw, at, end)
        if tag != SET:
            raise Malformed("a Name holds something else than SETs")
        key = raw[at:stop]
        relative = _relatives.get(key)
        if relative is None:
            if len(_relatives) >= CACHE_LIMIT:
                _relatives.clear()
            relative = _relatives[key] = _usual(key) or _relative(key)
        texts.append(relative[0])
        types += relative[1]
        sound = sound and relative[2]
        at = stop
    texts.reverse()
    return ",".join(texts), list(dict.fromkeys(types)), sound


def _usual(raw: bytes) -> Relative | None:
    """One UTF8String, PrintableString or IA5String below 128 octets, which is what nearly every relative name is; None for others."""
    size = len(raw)
    if size >= LONG or raw[1] != size - 2 or raw[2] != SEQUENCE or raw[3] != size - 4 or raw[4] != OID:
        return None
    value = 6 + raw[5]
    if value + 2 > size or raw[value] not in _PLAIN or raw[value + 1] != size - value - 2:
        return None
    oid, content = raw[6:value], raw[value + 2 :]
    if oid not in RFC4514 or not content.isascii():
        return None
    return f"{RFC4514[oid]}={_escaped(content.decode())}", (RFC4514[oid],), True


def _relative(raw: bytes) -> Relative:
    texts, types, sound = [], [], True
    members = children(raw, *whole(raw, SET))
    if not members:
        raise Malformed("an empty relative distinguished name")
    for _, begin, _, stop in members:
        start, end = expect(raw, begin, stop, SEQUENCE)
        oid_start, oid_end = expect(raw, start, end, OID)
        oid = raw[oid_start:oid_end]
        text, good = _value(oid, raw[oid_end:end])
        texts.append(f"{name_of(RFC4514, oid)}={text}")
        types.append(name_of(ATTRIBUTE_TYPES, oid))
        sound = sound and good
    parts = [raw[m[1] : m[3]] for m in members]
    return "+".join(texts), tuple(types), sound and parts == sorted(parts)


def _value(oid: bytes, raw: bytes) -> tuple[str, bool]:
    """Text of an attribute value; `#` and its DER in hex where there is no text (RFC 4514 section 2.4)."""
    try:
        tag, start, end = header(raw, 0, len(raw))
    except Malformed:
        return f"#{raw.hex()}", False
    content = raw[start:end]
    if end != len(raw) or tag not in _ENCODINGS:
        return f"#{raw.hex()}", end == len(raw) and tag == 3 and oid == _UNIQUE_IDENTIFIER
    try:
        return _escaped(content.decode(_ENCODINGS[tag])), tag not in _NO_STRINGS
    except UnicodeDecodeError:
        return (_escaped(content.decode("latin-1")), True) if tag == _TELETEX else (f"#{raw.hex()}", False)


def _escaped(text: str) -> str:
    """RFC 4514 section 2.4."""
    if _PLAIN_TEXT(text):
        return text
    text = text.translate(_SPECIAL)
    if text[:1] == "#" or (text[:1] == " " and len(text) > 1):
        text = "\\" + text
    return text[:-1] + "\\ " if text[-1:] == " " else text
