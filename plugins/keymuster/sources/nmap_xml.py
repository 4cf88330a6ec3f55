"""Nmap scans (`-oX`): certificates of ssl-cert, versions and suites of ssl-enum-ciphers, host keys of ssh-hostkey.

Everything is derived again from the PEM and key blobs in the file; Nmap's own rendering (times without zone, no SHA-256) is not used.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse
from pydantic import BaseModel, ConfigDict, Field

from keymuster.errors import BadAnswer, Refused, Unreachable
from keymuster.model import Coverage, Problem, Record
from keymuster.sources import _globs, _openssh, _pem
from keymuster.sources._walk import shown

CUT = {3, 5}
"""Expat's codes for a document that ends too early: no element found, unclosed token."""
VERSIONS = ("SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3")
TLS_PORTS = {261, 271, 324, 443, 465, 563, 585, 636, 853, 989, 990, 992, 993, 994, 995, 2221, 2252, 2376, 3269, 3389, 4433, 4911, 5061}
TLS_PORTS |= {5986, 6679, 6697, 8443, 9001, 8883}
"""Ports on which Nmap's TLS scripts run without having recognised the service (nselib/shortport.lua)."""
SERVICES = {
    "ms-wbt-server": "rdp",
    "postgresql": "postgres",
    "domain": "dns",
    "microsoft-ds": "smb",
    "http-alt": "http",
    "https-alt": "https",
}
INSIDE_TLS = {"http": "https", "ldap": "ldaps", "imap": "imaps", "smtp": "smtps", "pop3": "pop3s", "ftp": "ftps"}
SUITE = re.compile(r"TLS_[A-Za-z0-9_]{1,100}")


class Settings(BaseModel):
    """Which files to read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    paths: tuple[Path, ...] = Field(min_length=1, description="XML files of one scan, or patterns for them; a folder stands for its *.xml.")
    are_down_hosts_refused: bool = Field(
        default=True, description="Hosts found down count as refused, so that nothing on them is taken for gone; off for scans of ranges."
    )
    max_bytes: int = Field(default=4 << 30, ge=1, description="Longest file that is read.")


DELIVERS: Mapping[str, frozenset[str]] = {
    "endpoints": frozenset({"server_name", "protocol", "tls_versions", "cipher_suites", "certificate_asset_id", "observed_at"}),
    "certificates": frozenset({"role", "observed_at"}),
    "ssh_keys": frozenset({"kind", "options", "key_algorithm", "observed_at"}),
}
"""Only the leaf, since ssl-cert reports no more. No `dh_bits`: Nmap tells it where suites were enumerated, and an empty cell would claim
that no service without that script uses a finite-field group."""


@dataclass
class Muster:
    """Counts, and places met so far."""

    places: set[str] = field(default_factory=set)
    fetched: int = 0
    refused: int = 0
    truncated: bool = False


@dataclass(frozen=True)
class Host:
    """What the elements around a port say."""

    address: str
    name: str | None
    """The name that was asked for, not one that DNS gave back."""
    observed_at: datetime | None
    has_enumerated: bool
    """Whether ssl-enum-ciphers was among the scripts of the scan."""


def collect(settings: Settings) -> Iterator[Record | Problem | Coverage]:
    """File by file, host by host. BadAnswer for a file that is no scan or attacks its reader; Unreachable without any file."""
    muster = Muster()
    paths = list(_paths(settings, muster))
    if not any(isinstance(p, Path) for p in paths):
        raise Unreachable(f"no scan at {', '.join(str(p) for p in settings.paths)}")
    for path in paths:
        if isinstance(path, Problem):
            yield path
        else:
            yield from _file(path, settings, muster)
    yield Coverage(muster.fetched + muster.refused, muster.fetched, muster.refused, muster.truncated)


def _paths(settings: Settings, muster: Muster) -> Iterator[Path | Problem]:
    def refuse(path: str, error: OSError) -> Problem:
        muster.refused += 1
        return Problem("permission_denied", shown(path), f"{shown(path)}: {error.strerror}")

    for wanted in settings.paths:
        found = list(_globs.expand(str(wanted.absolute()), refuse))
        if not found:
            muster.truncated = True
            yield Problem("path_missing", shown(str(wanted)), f"{shown(str(wanted))} does not exist")
        for item in found:
            path = Path(item) if isinstance(item, str) else item
            yield from sorted(path.glob("*.xml")) if isinstance(path, Path) and path.is_dir() else [path]


def _file(path: Path, settings: Settings, muster: Muster) -> Iterator[Record | Problem]:
    """Streams: memory holds one host at a time."""
    try:
        if path.stat().st_size > settings.max_bytes:
            raise BadAnswer(f"{path} is longer than {settings.max_bytes} bytes")
        with path.open("rb") as stream:
            yield from _scan(path, iterparse(stream, events=("start", "end"), forbid_dtd=False), settings, muster)
    except DefusedXmlException as error:
        raise BadAnswer(f"{path} declares XML entities, which no scan does: {type(error).__name__}") from None
    except PermissionError:
        raise Refused(f"{path} may not be read") from None
    except ParseError as error:
        if error.code not in CUT or not muster.fetched + muster.refused:
            raise BadAnswer(f"{path} is not the XML of a scan: {error}") from None
        muster.truncated = True
        yield Problem("scan_cut", None, f"{path.name} ends in the middle: the scan was aborted or the copy is cut")


def _scan(path: Path, events: Any, settings: Settings, muster: Muster) -> Iterator[Record | Problem]:
    root: Element | None = None
    is_finished = False
    for event, element in events:
        if root is None:
            root = element
            if element.tag != "nmaprun":
                raise BadAnswer(f"{path} is not an Nmap scan: it begins with <{element.tag[:40]}>")
        elif event == "end" and element.tag == "host":
            yield from _host(element, "ssl-enum-ciphers" in root.get("args", ""), muster)
            root.remove(element)
        elif event == "end" and element.tag == "runstats":
            is_finished = True
            yield from _unlisted(path, element, settings, muster)
    if not is_finished:
        muster.truncated = True
        yield Problem("scan_cut", None, f"{path.name} has no runstats: the scan was aborted")


def _unlisted(path: Path, stats: Element, settings: Settings, muster: Muster) -> Iterator[Problem]:
    """Hosts that are down are only counted, unless the scan was verbose."""
    counts, finished = stats.find("hosts"), stats.find("finished")
    down = int(counts.get("down", "0")) if counts is not None and counts.get("down", "0").isdigit() else 0
    if finished is not None and finished.get("exit") == "error":
        muster.truncated = True
        yield Problem("scan_cut", None, f"{path.name}: {finished.get('errormsg', 'the scan ended with an error')}"[:300])
    if down and settings.are_down_hosts_refused:
        muster.refused += down
        yield Problem("hosts_down", shown(str(path)), f"{down} hosts of {path.name} did not answer")


def _host(element: Element, has_enumerated: bool, muster: Muster) -> Iterator[Record | Problem]:
    status = element.find("status")
    addresses = [a.get("addr", "") for a in element.findall("address") if a.get("addrtype") in {"ipv4", "ipv6"}]
    if not addresses or (status is not None and status.get("state") == "down"):
        return  # counted in runstats
    names = [n.get("name", "") for n in element.iterfind("hostnames/hostname") if n.get("type") == "user"]
    end = element.get("endtime") or element.get("starttime") or ""
    when = datetime.fromtimestamp(int(end), UTC) if end.isdigit() and len(end) < 12 else None
    host = Host(addresses[0], names[0] if names else None, when, has_enumerated)
    for port in element.iterfind("ports/port"):
        state = port.find("state")
        if port.get("protocol") != "tcp" or state is None or not port.get("portid", "").isdecimal():
            continue
        if state.get("state") == "open":
            yield from _port(host, port, muster)
        elif "filtered" in state.get("state", ""):
            muster.refused += 1
            yield Problem("endpoint_silent", _place(host, port, set()), f"Nmap calls it {state.get('state')}: no answer came")


def _place(host: Host, port: Element, taken: set[str]) -> str:
    """name:port or address:port; a name that stands for several addresses is followed by the address."""
    number = port.get("portid", "")
    address = f"[{host.address}]" if ":" in host.address else host.address
    place = f"{host.name or address}:{number}"
    return f"{place}@{host.address}" if host.name and place in taken else place


def _port(host: Host, port: Element, muster: Muster) -> Iterator[Record | Problem]:
    place = _place(host, port, muster.places)
    if place in muster.places:
        yield Problem("endpoint_repeated", place, "met before in this scan; the first sighting counts")
        return
    muster.places.add(place)
    muster.fetched += 1
    scripts = {s.get("id", ""): s for s in port.iterfind("script")}
    seen = {"observed_at": host.observed_at} if host.observed_at else {}
    attributes: dict[str, Any] = {"server_name": host.name, "protocol": _protocol(port, "ssl-cert" in scripts), **seen}
    if (cert := scripts.get("ssl-cert")) is not None:
        try:
            der = _pem.certificate(next((e.text or "" for e in cert.iterfind("elem") if e.get("key") == "pem"), ""))
        except ValueError as error:
            yield Problem("certificate_unreadable", place, f"ssl-cert: {error}"[:300])
            muster.fetched, muster.refused = muster.fetched - 1, muster.refused + 1
        else:
            attributes["certificate_asset_id"] = hashlib.sha256(der).hexdigest()
            yield Record("certificates", place, der, {"role": "served", **seen})
    attributes |= _ciphers(scripts.get("ssl-enum-ciphers"), port, host, has_certificate="ssl-cert" in scripts)
    yield Record("endpoints", place, None, attributes)
    if (keys := scripts.get("ssh-hostkey")) is not None:
        yield from _host_keys(keys, place, seen, muster)


def _protocol(port: Element, has_certificate: bool) -> str:
    service = port.find("service")
    name = service.get("name", "") if service is not None else ""
    name = SERVICES.get(name, name) or ("tls" if has_certificate else "tcp")
    return INSIDE_TLS.get(name, name) if service is not None and service.get("tunnel") == "ssl" else name


def _ciphers(script: Element | None, port: Element, host: Host, *, has_certificate: bool) -> dict[str, Any]:
    """Versions and suites; no answer of a script that did run means no TLS, and one that did not run means not known."""
    if script is None:
        ran = host.has_enumerated and int(port.get("portid", "0")) in TLS_PORTS
        return {"tls_versions": [], "cipher_suites": []} if ran and not has_certificate else {}
    tables = {t.get("key", ""): t for t in script.iterfind("table")}
    names = [e.text or "" for t in tables.values() for e in t.iterfind("table[@key='ciphers']/table/elem[@key='name']")]
    suites = {n.replace("TLS_AKE_WITH_", "TLS_") for n in names if SUITE.fullmatch(n)}
    return {"tls_versions": [v for v in VERSIONS if v in tables], "cipher_suites": sorted(suites)}


def _host_keys(script: Element, place: str, seen: Mapping[str, Any], muster: Muster) -> Iterator[Record | Problem]:
    for number, table in enumerate(script.iterfind("table"), start=1):
        text = next((e.text or "" for e in table.iterfind("elem") if e.get("key") == "key"), "")
        try:
            public = _openssh.public_key(base64.b64decode(text, validate=True))
        except (ValueError, binascii.Error) as error:
            muster.refused += 1
            yield Problem("key_unreadable", f"{place}#{number}", f"ssh-hostkey: {error}"[:300])
            continue
        where = f"{place}#{public.fingerprint}"
        if where not in muster.places:
            muster.places.add(where)
            algorithm = {"key_algorithm": public.algorithm} if public.algorithm else {}
            yield Record("ssh_keys", where, public.spki, {"kind": "host", "options": [], **algorithm, **seen})
