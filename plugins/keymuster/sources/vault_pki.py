"""OpenBao or HashiCorp Vault: certificates, issuers and revocation lists of PKI mounts, and keys of transit mounts.

What this API is known for, and what is done about it:
* only what was stored is listed. A role with `no_store` issues certificates that nobody can list: the listing is then incomplete;
* an empty listing is a 404 like a missing mount; the two differ by the message;
* OpenBao lists a second way (`certs/detailed`), and both list what is revoked. A serial that one of these names, that can be read, and
  that the listing leaves out, proves that the listing was cut;
* imported CAs are not in the listing: issuers are read on their own;
* a rotation of rights may leave one mount readable and another not: the rest goes on, the listing is incomplete.

`revocation_status` is what the CA's own record says (it keeps no reason). `issued_at` is notBefore (roles set it 30 s back by default).
A transit key is one row with the creation of its newest version; older versions still decrypt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Literal

from pydantic import Field

from keymuster.errors import BadAnswer, Refused, SourceError, Unreachable
from keymuster.model import Coverage, Problem, Record
from keymuster.sources import _pem, _transit
from keymuster.sources._issuers import Issuers
from keymuster.sources._vault import Access, Missing, Vault, connected

DELIVERS: Mapping[str, frozenset[str]] = {
    "certificates": frozenset({"role", "revocation_status", "revoked_at"}),
    "issuances": frozenset({"authority_asset_id", "certificate_asset_id", "issued_at"}),
    "authorities": frozenset({"kind", "auto_issues"}),
    "revocation_services": frozenset({"kind"}),
    "keys": _transit.DELIVERS,
}
CHUNK = 500
"""Certificates asked for before the first of them is yielded: bounds memory on a mount with a million."""


class Settings(Access):
    """Which server, who asks, and which mounts."""

    mounts: tuple[str, ...] = Field(default=("pki",), description="PKI mounts.")
    transit_mounts: tuple[str, ...] = Field(default=(), description="Transit mounts whose keys are recorded as well.")


@dataclass
class Tally:
    """What was there and what was got, over all mounts."""

    expected: int = 0
    fetched: int = 0
    refused: int = 0
    truncated: bool = False
    answered: bool = False
    """At least one mount let itself be listed."""

    def short(self, code: str, detail: object) -> Problem:
        """Something hides items: say it, and never call the listing complete."""
        self.truncated = True
        return Problem(code, None, str(detail))


def collect(settings: Settings) -> Iterator[Record | Problem | Coverage]:
    """Yield what the mounts hold. Raises Unreachable, Refused or BadAnswer if not one of them can be listed."""
    tally = Tally()
    errors: list[SourceError] = []
    with connected(settings) as vault:
        for kind, mount in [("pki", m) for m in settings.mounts] + [("transit", m) for m in settings.transit_mounts]:
            path = mount.strip("/")
            try:
                yield from _mount(vault, path, tally, settings.workers) if kind == "pki" else _keys(vault, path, tally)
            except (Refused, BadAnswer) as error:
                errors.append(error)
                yield tally.short("mount_unreadable", f"{kind} mount {path}: {error}"[:500])
    if errors and not tally.answered:
        raise errors[0]
    yield Coverage(tally.expected, tally.fetched, tally.refused, tally.truncated)


def _mount(vault: Vault, mount: str, tally: Tally, workers: int) -> Iterator[Record | Problem]:
    issuers = Issuers()
    hinted = _hinted(vault, mount)
    listed = [_serial(s) for s in vault.keys(f"{mount}/certs")]
    tally.answered = True
    tally.expected += len(listed)
    extra = sorted(hinted - set(listed))
    yield from _roles(vault, mount, tally)
    yield from _issuers(vault, mount, tally, issuers)
    with ThreadPoolExecutor(workers) as pool:
        for answer in _in_chunks(pool, vault, mount, [(s, True) for s in listed] + [(s, False) for s in extra]):
            yield from _counted(answer, tally, issuers)


def _hinted(vault: Vault, mount: str) -> set[str]:
    """Serials that other listings name; asked first, so that what is issued meanwhile does not look like a cut."""
    found: set[str] = set()
    for path in ("certs/detailed", "certs/revoked"):
        try:
            found.update(_serial(s) for s in vault.keys(f"{mount}/{path}"))
        except (Refused, BadAnswer):
            continue  # Vault has no certs/detailed, old ones no certs/revoked, and rights may be narrow: only a hint is lost
    return found


def _serial(text: str) -> str:
    return text.replace("-", ":").lower()


@dataclass(frozen=True)
class Answer:
    """What asking for one certificate gave."""

    serial: str
    listed: bool
    locator: str
    result: dict[str, Any] | SourceError


def _in_chunks(pool: ThreadPoolExecutor, vault: Vault, mount: str, wanted: Iterable[tuple[str, bool]]) -> Iterator[Answer]:
    def ask(item: tuple[str, bool]) -> Answer:
        serial, listed = item
        locator = f"{mount}/cert/{serial}"
        try:
            return Answer(serial, listed, locator, vault.read(locator))
        except Unreachable:
            raise
        except SourceError as error:
            return Answer(serial, listed, locator, error)

    rest = iter(wanted)
    while chunk := list(islice(rest, CHUNK)):
        yield from pool.map(ask, chunk)


def _counted(answer: Answer, tally: Tally, issuers: Issuers) -> Iterator[Record | Problem]:
    """Records of one certificate, counted; a certificate that the listing left out shows that the listing was cut."""
    if isinstance(answer.result, SourceError):
        if answer.listed:
            tally.refused += 1
            yield Problem("certificate_refused", answer.locator, str(answer.result)[:500])
        return
    try:
        der = _pem.certificate(str(answer.result.get("certificate") or ""))
    except ValueError as error:
        tally.refused += 1
        yield Problem("certificate_unreadable", answer.locator, str(error))
        return
    tally.fetched += 1
    if not answer.listed:
        tally.expected += 1
        yield tally.short("listing_cut", f"{answer.locator} can be read, but the listing leaves it out")
    yield from _certificate(answer, der, issuers)


def _certificate(answer: Answer, der: bytes, issuers: Issuers) -> Iterator[Record]:
    assert isinstance(answer.result, dict)  # noqa: S101 (for the type checker; _counted has looked)
    when = answer.result.get("revocation_time")
    revoked_at = datetime.fromtimestamp(when, UTC) if isinstance(when, int) and when > 0 else None
    status = "revoked" if revoked_at else "good"
    yield Record("certificates", answer.locator, der, {"role": "issued", "revocation_status": status, "revoked_at": revoked_at})
    authority, parsed = issuers.of(der)
    attributes = {
        "asset_id": f"urn:vault:{answer.locator}",
        "authority_asset_id": authority,
        "certificate_asset_id": hashlib.sha256(der).hexdigest(),
        "issued_at": parsed.not_valid_before_utc if parsed else None,
    }
    yield Record("issuances", answer.locator, None, attributes)


def _roles(vault: Vault, mount: str, tally: Tally) -> Iterator[Problem]:
    """Roles that store nothing, and roles that we may not look at, which could."""
    try:
        for name in vault.keys(f"{mount}/roles"):
            if vault.read(f"{mount}/roles/{name}").get("no_store"):
                yield tally.short("role_stores_nothing", f"{mount}: role {name[:80]} has no_store: what it issued cannot be listed")
    except (Refused, BadAnswer) as error:
        yield tally.short("roles_unreadable", f"{error}; one of them may have no_store, which hides what it issued"[:500])


def _issuers(vault: Vault, mount: str, tally: Tally, issuers: Issuers) -> Iterator[Record | Problem]:
    """Issuers with a key are authorities; each has a CRL. Without the issuers API (before Vault 1.11) there is one."""
    try:
        names = vault.keys(f"{mount}/issuers")
    except Missing:
        yield from _only_issuer(vault, mount, issuers)
        return
    except (Refused, BadAnswer) as error:
        yield tally.short("issuers_unreadable", str(error)[:500])
        return
    for name in names:
        locator = f"{mount}/issuer/{name}"
        try:
            issuer = vault.read(locator)
            der = _pem.certificate(str(issuer.get("certificate") or ""))
        except (Refused, BadAnswer, ValueError) as error:
            tally.refused += 1
            yield Problem("issuer_unreadable", locator, str(error)[:500])
            continue
        issuers.add(der)
        signs = bool(issuer.get("key_id"))
        yield from _authority(vault, locator, der, "issuing" if signs else "imported", f"{locator}/crl/der")


def _only_issuer(vault: Vault, mount: str, issuers: Issuers) -> Iterator[Record | Problem]:
    try:
        der = _pem.certificate(vault.raw(f"{mount}/ca/pem").decode("utf-8", "replace"))
    except Missing:
        return  # a mount without CA
    except (Refused, BadAnswer, ValueError) as error:
        yield Problem("issuer_unreadable", f"{mount}/ca/pem", str(error)[:500])
        return
    issuers.add(der)
    yield from _authority(vault, f"{mount}/ca/pem", der, "issuing", f"{mount}/crl")


def _authority(vault: Vault, locator: str, der: bytes, use: Literal["issuing", "imported"], crl: str) -> Iterator[Record | Problem]:
    yield Record("certificates", locator, der, {"role": "chain"})
    if use == "imported":
        return
    yield Record("authorities", locator, der, {"kind": "vault", "auto_issues": True})
    url = f"{vault.url}/v1/{crl}"
    try:
        list_der: bytes | None = vault.raw(crl)
    except (Refused, BadAnswer) as error:
        list_der = None
        yield Problem("crl_unreadable", url, str(error)[:500])
    yield Record("revocation_services", url, list_der, {"asset_id": hashlib.sha256(url.encode()).hexdigest(), "kind": "crl"})


def _keys(vault: Vault, mount: str, tally: Tally) -> Iterator[Record | Problem]:
    names = vault.keys(f"{mount}/keys")
    tally.answered = True
    tally.expected += len(names)
    for name in names:
        locator = f"{mount}/keys/{name}"
        try:
            yield _transit.record(locator, vault.read(locator))
        except (Refused, BadAnswer, ValueError) as error:
            tally.refused += 1
            yield Problem("key_unreadable", locator, str(error)[:500])
        else:
            tally.fetched += 1
