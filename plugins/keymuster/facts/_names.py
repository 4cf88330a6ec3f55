"""DNS names and addresses as certificates spell them (RFC 5280 4.2.1.6, RFC 5890, RFC 9525, IANA special-purpose registries)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import idna
from publicsuffixlist import PublicSuffixList

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
MAX_OCTETS = 253


def address(text: str) -> Address | None:
    """The text as an address, brackets allowed; None if it is none."""
    if ":" not in text and not text[-1:].isdigit():  # spares most names the price of an exception
        return None
    try:
        return ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None


def host(locator: str) -> str:
    """Host of a locator such as `host:port`, `[v6]:port` or `scheme://host:port#name`."""
    text = locator.partition("://")[2] or locator
    text = re.split(r"[/#?]", text, maxsplit=1)[0]
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.rpartition(":")[0] if text.count(":") == 1 else text


def is_sound(name: str) -> bool:
    """Whether a dNSName is a wildcard-or-FQDN of LDH or P-labels, without trailing dot (TLS BR 7.1.2.7.12, 1.6.1). Addresses are sound."""
    if address(name) is not None:
        return True
    labels = name.removeprefix("*.").split(".")
    return len(name) <= MAX_OCTETS and all(LABEL.fullmatch(label) and _is_allowed(label) for label in labels)


def _is_allowed(label: str) -> bool:
    """No reserved label but a P-label: xn-- with valid Punycode (RFC 5890 2.3.1)."""
    if label[2:4] != "--":
        return True
    if label[:2].lower() != "xn":
        return False
    try:
        return bool(label[4:].encode("ascii").decode("punycode"))
    except UnicodeError:
        return False


@cache
def _public_suffixes() -> PublicSuffixList:
    return PublicSuffixList(accept_unknown=False, only_icann=True)


@lru_cache(maxsize=10_000)
def _is_delegated(label: str) -> bool:
    """Whether a top-level domain has a rule in the public suffix list; some have rules for their subdomains only."""
    return _public_suffixes().publicsuffix(f"a.b.{label}") is not None


def is_internal(name: str, special: Collection[str]) -> bool:
    """Whether a DNS name lies outside the public name space: a special-use domain, or no domain that the public suffix list knows."""
    text = name.removeprefix("*.").rstrip(".").lower()
    if any(f".{text}".endswith(f".{zone}") for zone in special):
        return True
    if text.endswith((".onion", ".arpa")):
        return False
    return not _is_delegated(text.rpartition(".")[2])


class Blocks:
    """Address blocks with a kind; the most specific one wins."""

    def __init__(self, entries: Sequence[Mapping[str, Any]]) -> None:
        pairs = [(ipaddress.ip_network(e["block"]), str(e["kind"])) for e in entries]
        narrow = sorted(pairs, key=lambda pair: -pair[0].prefixlen)
        self._blocks = {version: [pair for pair in narrow if pair[0].version == version] for version in (4, 6)}

    def kind(self, value: Address) -> str:
        """Kind of the block that holds the address; `global` outside all blocks."""
        return next((kind for block, kind in self._blocks[value.version] if value in block), "global")


@lru_cache(maxsize=200_000)
def reference_identity(server_name: str) -> str | None:
    """A server name as A-labels in lower case without the trailing dot; None if it is no domain name (RFC 9525 6.2)."""
    name = server_name.removesuffix(".")
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except idna.IDNAError:
            return None
    return name.lower() or None


def is_matched(server_name: str, names: Collection[str], types: Collection[str]) -> bool:
    """Whether a SAN identifies the server (RFC 9525 section 6): `names` in lower case. A wildcard is the whole left-most label only."""
    value = address(server_name)
    if value is not None:
        return "iPAddress" in types and any(address(n) == value for n in names)
    name = reference_identity(server_name)
    if name is None or "dNSName" not in types:
        return False
    _, dot, rest = name.partition(".")
    return name in names or (bool(dot) and bool(name.partition(".")[0]) and f"*.{rest}" in names)
