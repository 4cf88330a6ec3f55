"""Lines of the index.txt that `openssl ca` keeps (TXT_DB; apps/lib/apps.c, make_revocation_str)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

TIME = re.compile(r"(\d{12}|\d{14})Z")
SERIAL = re.compile(r"-?[0-9A-Fa-f]{1,64}")
FLAGS = {"V", "R", "E", "S"}
"""Valid, revoked, expired (set by -updatedb only, so a V may be expired too), suspended."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One issuance."""

    flag: str
    serial: str
    """As the vocabulary writes serial numbers."""
    revoked_at: datetime | None
    reason: str | None
    """CRLReason by its OpenSSL name; keyTime and CAkeyTime stand for the compromises with a date."""


def entry(line: str) -> Entry:
    """Flag, expiry, revocation, serial, file name and subject, separated by tabs. ValueError says what is wrong."""
    fields = line.split("\t", 5)
    if len(fields) != 6:
        raise ValueError(f"{len(fields)} fields, not 6")
    flag, expiry, revocation, serial = fields[:4]
    if flag not in FLAGS:
        raise ValueError(f"flag {flag[:10]!r} is none of V, R, E, S")
    if not SERIAL.fullmatch(serial):
        raise ValueError("the serial number is not hexadecimal")
    instant(expiry)
    parts = revocation.split(",")
    revoked_at = instant(parts[0]) if revocation else None
    if (flag == "R") is (revoked_at is None):
        raise ValueError(f"flag {flag} {'without' if flag == 'R' else 'with'} a revocation date")
    return Entry(flag, serial_text(serial), revoked_at, parts[1] if len(parts) > 1 else None)


def serial_text(text: str) -> str:
    """Lower-case hex without leading zeros; other text, such as a file's name, in lower case."""
    return f"{int(text, 16):x}" if SERIAL.fullmatch(text) else text.lower()


def instant(text: str) -> datetime:
    """UTCTime with two digits of the year (50 to 99 are 19xx, RFC 5280 4.1.2.5.1) or GeneralizedTime. ValueError if neither."""
    if not TIME.fullmatch(text):
        raise ValueError(f"{text[:20]!r} is not a time")
    if len(text) == 13:
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
