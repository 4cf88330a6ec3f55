"""TLS services on the network: chain as presented, versions and suites accepted, and who does not answer."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from keymuster.errors import Unreachable
from keymuster.model import Coverage, Problem, Record
from keymuster.sources import _tls_hello, _tls_targets
from keymuster.sources._tls_session import STARTTLS, Seen, Session, Target, permissive_context

PROTOCOLS: Mapping[int, str] = {
    21: "ftp", 22: "ssh", 23: "telnet", 25: "smtp", 80: "http", 110: "pop3", 143: "imap", 389: "ldap", 443: "https", 465: "smtps",
    587: "smtp", 636: "ldaps", 853: "dns", 990: "ftps", 993: "imaps", 995: "pop3s", 1433: "mssql", 3306: "mysql", 3389: "rdp",
    5432: "postgres", 5671: "amqps", 5672: "amqp", 5900: "vnc", 5985: "http", 5986: "https", 6379: "redis", 6443: "https",
    8080: "http", 8443: "https", 9443: "https",
}  # fmt: skip
"""What usually speaks on a port; only a guess, and a banner overrules it."""
BANNERS: Mapping[bytes, str] = {b"SSH-": "ssh", b"HTTP/": "http", b"RFB ": "vnc", b"* OK": "imap", b"+OK": "pop3", b"-ERR": "redis"}
NO_HANDSHAKE_PROTOCOLS = {
    "https": "http",
    "ldaps": "ldap",
    "imaps": "imap",
    "smtps": "smtp",
    "pop3s": "pop3",
    "ftps": "ftp",
    "amqps": "amqp",
}


class Settings(BaseModel):
    """Whom to ask, and how hard."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    targets: tuple[str, ...] = Field(
        default=(), description="Hosts (`www.example.com`, `10.0.0.1:8443`, `[::1]:443`) and ranges (`10.0.0.0/24`)."
    )
    ports: tuple[int, ...] = Field(default=(443,), description="Ports of ranges and of hosts without a port.")
    server_names: Mapping[str, tuple[str, ...]] = Field(default={}, description="Further names (SNI) to ask a host or address by.")
    discover: Literal["loopback"] | None = Field(default=None, description="`loopback`: also whatever listens on this machine (Linux).")
    exclude_ports: tuple[int, ...] = Field(default=(), description="Ports that are never connected to.")
    starttls: Mapping[int, str] = Field(
        default={21: "ftp", 25: "smtp", 587: "smtp", 110: "pop3", 143: "imap", 389: "ldap", 5432: "postgres"},
        description="Ports on which TLS begins inside another protocol, and which one.",
    )
    timeout_seconds: float = Field(default=5.0, gt=0, le=120, description="Longest time of one connection, from connect to answer.")
    concurrency: int = Field(default=50, ge=1, le=1000, description="Targets asked at the same time.")
    max_targets: int = Field(default=1_000_000, ge=1, description="Most targets; beyond that the listing is cut.")
    is_silence_refusal: bool = Field(
        default=True,
        description="Sockets of ranges that do not answer are refused, so that nothing there is taken for gone. Closed ports never are.",
    )
    proc: Path = Field(default=Path("/proc"), description="Where the kernel lists listening sockets.")

    @field_validator("targets")
    @classmethod
    def _known_form(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            _tls_targets.parse(text)
        return value

    @field_validator("starttls")
    @classmethod
    def _known_upgrade(cls, value: Mapping[int, str]) -> Mapping[int, str]:
        if unknown := set(value.values()) - set(STARTTLS):
            raise ValueError(f"no STARTTLS for {', '.join(sorted(unknown))}; there are {', '.join(STARTTLS)}")
        return value


DELIVERS: Mapping[str, frozenset[str]] = {
    "endpoints": frozenset(
        {"server_name", "protocol", "tls_versions", "cipher_suites", "dh_bits", "certificate_asset_id"}
        | {"has_compression", "has_secure_renegotiation", "has_extended_master_secret"}
    ),
    "certificates": frozenset({"role"}),
}
"""`dh_bits` comes from each DHE suite's key exchange and from TLS 1.3's own finite-field groups. What only versions before TLS 1.3 have
(compression, renegotiation, extended master secret) is unknown for a service that takes TLS 1.3 alone."""


@dataclass
class Tally:
    """Counts for the coverage."""

    fetched: int = 0
    refused: int = 0
    truncated: bool = False
    has_answer: bool = False


def collect(settings: Settings) -> Iterator[Record | Problem | Coverage]:
    """Targets in order, chunk by chunk; Unreachable if targets were named and not one of them answered."""
    tally, targets = Tally(), _targets(settings)
    ranges: dict[str, int] = {}
    context = permissive_context()
    left = settings.max_targets
    while chunk := list(islice(targets, min(left, settings.concurrency * 8))):
        left -= len(chunk)
        for seen in asyncio.run(_ask(chunk, settings, context)):
            if seen.silence is None:
                tally.fetched, tally.has_answer = tally.fetched + 1, True
                yield from _records(seen)
                yield from _unfinished(seen, tally)
            else:
                yield from _silent(seen, settings, tally, ranges)
    if next(targets, None) is not None:
        tally.truncated = True
        yield Problem("listing_cut", None, f"more than {settings.max_targets} targets; the rest was not asked")
    for network, count in ranges.items():
        yield Problem("range_silent", network, f"{count} sockets of {network} did not answer; a closed port would have said so")
    if tally.refused and not tally.has_answer:
        raise Unreachable(f"none of {tally.refused} targets answered within {settings.timeout_seconds:g} s")
    yield Coverage(tally.fetched + tally.refused, tally.fetched, tally.refused, tally.truncated)


def _targets(settings: Settings) -> Iterator[Target]:
    """Each target once."""
    met: set[tuple[str, int, str | None]] = set()
    texts = list(settings.targets)
    if settings.discover == "loopback":
        texts += [f"[{a}]:{p}" if ":" in a else f"{a}:{p}" for a, p in _tls_targets.listening(settings.proc)]
    for text in texts:
        for target in _tls_targets.of_text(text, settings.ports, settings.server_names, settings.starttls):
            key = (target.host, target.port, target.server_name)
            if key not in met and target.port not in settings.exclude_ports:
                met.add(key)
                yield target


async def _ask(chunk: Sequence[Target], settings: Settings, context: Any) -> list[Seen]:
    slots = asyncio.Semaphore(settings.concurrency)

    async def one(target: Target) -> Seen:
        async with slots:
            return await Session(target, context, settings.timeout_seconds).run()

    return await asyncio.gather(*(one(t) for t in chunk))


def _silent(seen: Seen, settings: Settings, tally: Tally, ranges: dict[str, int]) -> Iterator[Problem]:
    """A named service that is silent is refused. In a range, a closed port is an answer, and silence is summed up by range."""
    if seen.target.in_range is None:
        tally.refused += 1
        yield Problem("endpoint_silent", place(seen.target), f"{place(seen.target)}: {seen.silence}"[:300])
    elif not seen.is_closed and settings.is_silence_refusal:
        tally.refused += 1
        ranges[seen.target.in_range] = ranges.get(seen.target.in_range, 0) + 1


def _unfinished(seen: Seen, tally: Tally) -> Iterator[Problem]:
    if seen.unfinished:
        tally.fetched -= 1
        tally.refused += 1
        yield Problem("endpoint_unfinished", place(seen.target), f"versions and suites are not known: {seen.unfinished}"[:300])


def place(target: Target) -> str:
    """host:port, and the name asked for where it is not the host's own."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    return f"{host}:{target.port}" + (f"/{target.server_name}" if target.server_name not in {None, target.host} else "")


def _protocol(seen: Seen) -> str:
    """By banner, else by STARTTLS, else by the port's usual service; `tls` and `tcp` where nothing is known."""
    for begin, name in BANNERS.items():
        if seen.banner.startswith(begin):
            return name
    is_tls = bool(seen.versions or seen.chain)
    usual = seen.target.starttls or PROTOCOLS.get(seen.target.port, "tls" if is_tls else "tcp")
    return usual if is_tls else NO_HANDSHAKE_PROTOCOLS.get(usual, usual)


def _records(seen: Seen) -> Iterator[Record]:
    """The service, its leaf (served) and the rest of what it presented (chain)."""
    where = place(seen.target)
    attributes: dict[str, Any] = {"server_name": seen.target.server_name, "protocol": _protocol(seen)}
    if not seen.unfinished:
        names = _tls_hello.suites()
        attributes["tls_versions"] = list(seen.versions)
        attributes["cipher_suites"] = sorted(names[s] for s in seen.suites)
        attributes["dh_bits"] = min(seen.dh_bits, default=None)
    if seen.chain:
        attributes["certificate_asset_id"] = hashlib.sha256(seen.chain[0]).hexdigest()
    if (old := seen.old_hello) is not None:
        attributes["has_compression"] = bool(old.compression)
        attributes["has_secure_renegotiation"] = 0xFF01 in old.extensions
        attributes["has_extended_master_secret"] = 23 in old.extensions
    yield Record("endpoints", where, None, attributes)
    for position, der in enumerate(seen.chain):
        role = "chain" if position else "served"
        yield Record("certificates", f"{where}#{position}" if position else where, der, {"role": role})
