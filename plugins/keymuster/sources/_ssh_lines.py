"""Lines of authorized_keys, known_hosts, `.pub` and sshd_config files, as sshd(8) reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from keymuster.sources import _openssh

RSA1 = re.compile(r"(\d{3,5}) (\d{1,20}) (\d{100,6000})(?: |$)")
OPTION = re.compile(r'\s*([A-Za-z0-9-]+)(?:="((?:[^"\\]|\\.)*)")?\s*(,|$)')


@dataclass(frozen=True, slots=True)
class KeyLine:
    """A public key or certificate in a line, with what stands before it."""

    type: str
    blob: bytes
    options: tuple[tuple[str, str], ...]
    """Name in lower case and value, in order."""
    public: _openssh.PublicKey | None = None
    """Set for keys of protocol 1, which have no blob."""


def key_line(line: str) -> KeyLine:
    """Read one line with a key; ValueError says why it is none."""
    options, rest = "", line.strip()
    if not _starts_with_key(rest):
        options, rest = _split_options(rest)
    if match := RSA1.match(rest):
        public = _openssh.rsa1(int(match[3]), int(match[2]))
        return KeyLine("rsa1", b"", tuple(_options(options)), public)
    words = rest.split(None, 2)
    if len(words) < 2 or not _openssh.is_type(words[0]):
        raise ValueError("no key type that is known")
    return KeyLine(words[0], _openssh.decode(words[1]), tuple(_options(options)))


def _starts_with_key(text: str) -> bool:
    return bool(RSA1.match(text)) or _openssh.is_type(text.split(None, 1)[0])


def _split_options(text: str) -> tuple[str, str]:
    """Cut at the first blank outside quotes."""
    quoted = escaped = False
    for at, letter in enumerate(text):
        if escaped:
            escaped = False
        elif letter == "\\" and quoted:
            escaped = True
        elif letter == '"':
            quoted = not quoted
        elif letter in " \t" and not quoted:
            return text[:at], text[at:].strip()
    raise ValueError("options without a key")


def _options(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        match = OPTION.match(text, at)
        if match is None or match.end() == at:
            raise ValueError("options that cannot be read")
        yield match[1].lower(), (match[2] or "").replace('\\"', '"')
        at = match.end()


def expiry_time(value: str, zone: ZoneInfo) -> datetime | None:
    """Instant of an `expiry-time` option, YYYYMMDD[HHMM[SS]][Z]; None if it is none."""
    form = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}.get(len(value.rstrip("Z")))
    try:
        return datetime.strptime(value.rstrip("Z"), form or "").replace(tzinfo=UTC if value.endswith("Z") else zone).astimezone(UTC)
    except ValueError:
        return None


def words(text: str) -> Iterator[tuple[str, list[str]]]:
    """Keyword in lower case and arguments of each line of an sshd_config, `Match` blocks included."""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            keyword, *arguments = re.split(r"[ \t]*=[ \t]*|[ \t]+", stripped, maxsplit=1)
            parts = re.findall(r'"([^"]*)"|(\S+)', arguments[0] if arguments else "")
            yield keyword.lower(), [quoted or bare for quoted, bare in parts]
