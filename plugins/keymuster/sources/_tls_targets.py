"""Which services to ask: named hosts, address ranges, and what listens on this machine."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from keymuster.sources._tls_session import Target

LISTENING = "0A"
HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+))(?::(?P<port>\d{1,5}))?")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse(text: str) -> Network | tuple[str, int | None]:
    """A range in CIDR notation, or a host with or without port; ValueError names the form."""
    if "/" in text:
        return ipaddress.ip_network(text, strict=False)
    try:
        return str(ipaddress.ip_address(text)), None
    except ValueError:
        match = HOST.fullmatch(text)
    if match is None or not 0 < int(match["port"] or 1) < 65536:
        raise ValueError(f"{text!r} is neither host, host:port, [address]:port nor a range like 10.0.0.0/24")
    return match["six"] or match["host"].rstrip("."), int(match["port"]) if match["port"] else None


def of_text(text: str, ports: Sequence[int], names: Mapping[str, Sequence[str]], starttls: Mapping[int, str]) -> Iterator[Target]:
    """Targets of one entry; a host is asked by its own name, an address by none, each by its further names too."""
    parsed = parse(text)
    if isinstance(parsed, tuple):
        host, port = parsed
        for one in (port,) if port else tuple(ports):
            yield from _named(host, one, names, starttls, None)
        return
    addresses = parsed.hosts() if parsed.num_addresses > 2 else iter(parsed)
    for address in addresses:
        for one in ports:
            yield from _named(str(address), one, names, starttls, str(parsed))


def _named(host: str, port: int, names: Mapping[str, Sequence[str]], starttls: Mapping[int, str], drawn: str | None) -> Iterator[Target]:
    own = None if is_address(host) else host
    for name in dict.fromkeys((own, *names.get(host, ()))):
        yield Target(host, port, name, starttls.get(port), drawn)


def is_address(host: str) -> bool:
    """Whether it is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def listening(proc: Path) -> list[tuple[str, int]]:
    """Addresses and ports that listen on this machine (proc(5), net/tcp and net/tcp6); wildcards are reached by loopback."""
    found: set[tuple[str, int]] = set()
    for name in ("tcp", "tcp6"):
        table = proc / "net" / name
        rows = table.read_text("ascii").splitlines()[1:] if table.exists() else []
        found.update(_local(row.split()) for row in rows if row.split()[3] == LISTENING)
    four = {port for address, port in found if address == "127.0.0.1"}
    return sorted((address, port) for address, port in found if address != "::1" or port not in four)


def _local(fields: Sequence[str]) -> tuple[str, int]:
    digits, port = fields[1].split(":")
    words = [bytes.fromhex(digits[i : i + 8])[::-1] for i in range(0, len(digits), 8)]
    address = ipaddress.ip_address(b"".join(words))
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return ("127.0.0.1" if address.is_unspecified else str(address)), int(port, 16)
