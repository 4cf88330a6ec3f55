"""A CA kept by `openssl ca` or easy-rsa: index.txt, the folder of certificates, the CRL. The CA's private key is never opened."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from pydantic import BaseModel, ConfigDict, Field

from keymuster.errors import BadAnswer, Refused, Unreachable
from keymuster.model import Coverage, Problem, Record
from keymuster.sources import _ca_index, _crl, _material
from keymuster.sources._ca_index import Entry
from keymuster.sources._walk import shown
from keymuster.x509 import authority_asset_id

SUFFIXES = {".pem", ".crt", ".cer", ".der"}


class Settings(BaseModel):
    """Where the CA keeps its things; names are relative to the folder, and those that are not there are passed over."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path = Field(description="Folder of the CA: `dir` in openssl.cnf, `pki` of easy-rsa.")
    index: str = Field(default="index.txt", description="The database.")
    certificates: tuple[str, ...] = Field(
        default=("newcerts", "certs_by_serial", "revoked/certs_by_serial", "renewed/certs_by_serial"),
        description="Folders with one file a certificate, named by serial number.",
    )
    authorities: tuple[str, ...] = Field(
        default=("ca.pem", "ca.crt", "cacert.pem", "root.pem", "root.crt"),
        description="Files with the certificates of the CA and its parents.",
    )
    crls: tuple[str, ...] = Field(default=("crl.pem", "ca.crl", "crl.der", "issuing.crl"), description="Revocation lists, PEM or DER.")
    crl_urls: Mapping[str, str] = Field(default={}, description="Address at which each list (by its name above) is published.")
    max_bytes: int = Field(default=512 << 20, ge=1, description="Longest index or revocation list that is read.")


DELIVERS: Mapping[str, frozenset[str]] = {
    "issuances": frozenset({"authority_asset_id", "certificate_asset_id"}),
    "certificates": frozenset({"role", "revocation_status", "revoked_at", "revocation_checked_at"}),
    "authorities": frozenset({"kind"}),
    "revocation_services": frozenset({"kind"}),
}
"""The index tells neither requester nor profile, and no instant of issue."""


@dataclass
class Muster:
    """What one collection knows so far."""

    folder: Path
    authorities: list[x509.Certificate] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    """asset_id of each authority."""
    lists: list[_crl.List] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)
    """Certificate files by serial number."""
    fetched: int = 0
    refused: int = 0

    def place(self, path: Path) -> str:
        """A path inside the folder, as locator."""
        return shown(str(path.relative_to(self.folder)))

    def refuse(self, code: str, locator: str | None, detail: str) -> Problem:
        """Count something that could not be read."""
        self.refused += 1
        return Problem(code, locator, detail[:300])


def collect(settings: Settings) -> Iterator[Record | Problem | Coverage]:
    """The authority, its lists, then each row of the index with its certificate. Unreachable or Refused without index."""
    muster = Muster(settings.folder)
    text = _bounded(settings.folder / settings.index, settings.max_bytes)
    yield from _authorities(settings, muster)
    yield from _lists(settings, muster)
    for name in settings.certificates:
        for path in sorted(p for p in (settings.folder / name).glob("*") if p.suffix in SUFFIXES):
            muster.files.setdefault(_ca_index.serial_text(path.stem), path)
    rows = 0
    seen: dict[str, int] = {}
    for number, line in enumerate(text.decode("utf-8", "replace").splitlines(), start=1):
        if not line.strip():
            continue
        rows += 1
        try:
            entry = _ca_index.entry(line)
        except ValueError as error:
            yield muster.refuse("index_line_unreadable", f"{settings.index}:{number}", f"line {number}: {error}")
            continue
        seen[entry.serial] = count = seen.get(entry.serial, 0) + 1
        yield from _issuance(entry, muster, entry.serial if count == 1 else f"{entry.serial}:{count}", is_first=count == 1)
    if rows and not seen:
        raise BadAnswer(f"{settings.folder / settings.index} is not the database of an openssl CA: none of {rows} lines can be read")
    extra = sorted(muster.files.keys() - seen.keys())
    for serial in extra:
        yield from _unindexed(serial, muster)
    yield Coverage(rows + len(extra), muster.fetched, muster.refused)


def _bounded(path: Path, most: int) -> bytes:
    """A file as a whole; SourceError says why not."""
    try:
        with path.open("rb") as stream:
            data = stream.read(most + 1)
    except PermissionError:
        raise Refused(f"{path} may not be read") from None
    except OSError as error:
        raise Unreachable(f"{path}: {error.strerror}") from None
    if len(data) > most:
        raise BadAnswer(f"{path} is longer than {most} bytes")
    return data


def _certificates_in(path: Path) -> list[bytes]:
    """Every certificate of a PEM or DER file; OSError if it cannot be read."""
    data = path.read_bytes()
    found = _material.from_der(data, ()) if data[:1] == b"\x30" else _material.from_pem(data, ())
    return [f.der for f in found if isinstance(f, _material.Found) and f.table == "certificates" and f.der is not None]


def _authorities(settings: Settings, muster: Muster) -> Iterator[Record | Problem]:
    for name in settings.authorities:
        path = settings.folder / name
        if not path.is_file():
            continue
        try:
            ders = _certificates_in(path)
            loaded = [x509.load_der_x509_certificate(der) for der in ders]
        except (OSError, ValueError) as error:
            yield muster.refuse("authority_unreadable", name, f"{name}: {type(error).__name__}")
            continue
        for number, (der, certificate) in enumerate(zip(ders, loaded, strict=True), start=1):
            place = name if number == 1 else f"{name}#{number}"
            muster.authorities.append(certificate)
            muster.names.append(authority_asset_id(der))
            kind = "root" if certificate.subject == certificate.issuer else "issuing"
            yield Record("authorities", place, der, {"kind": kind})
            yield Record("certificates", place, der, {"role": "repository"})
    if not muster.authorities:
        yield muster.refuse(
            "authority_missing", None, f"none of {', '.join(settings.authorities)}: issuances have no authority, lists no verifier"
        )


def _lists(settings: Settings, muster: Muster) -> Iterator[Record | Problem]:
    for name in settings.crls:
        path = settings.folder / name
        if not path.is_file():
            continue
        try:
            found = _crl.read(_bounded(path, settings.max_bytes), muster.authorities)
        except ValueError as error:
            yield muster.refuse("crl_unverified", name, f"{name}: {error}")
            continue
        muster.lists.append(found)
        yield Record("revocation_services", settings.crl_urls.get(name, name), found.der, {"kind": "crl"})


def _issuance(entry: Entry, muster: Muster, place: str, *, is_first: bool) -> Iterator[Record | Problem]:
    """The row of the index, and the certificate once."""
    path = muster.files.get(entry.serial)
    if path is None:
        yield Record("issuances", place, None, {"authority_asset_id": _only_authority(muster), "certificate_asset_id": None})
        yield muster.refuse("certificate_missing", place, f"the index has serial {entry.serial}, and no folder has its certificate")
        return
    try:
        ders = _certificates_in(path)
    except OSError as error:
        ders, why = [], error.strerror or type(error).__name__
    else:
        why = "it holds no certificate"
    if not ders:
        yield Record("issuances", place, None, {"authority_asset_id": _only_authority(muster), "certificate_asset_id": None})
        yield muster.refuse("certificate_unreadable", muster.place(path), f"{muster.place(path)}: {why}")
        return
    muster.fetched += 1
    yield from _both(entry, ders[0], muster, place, path if is_first else None)


def _both(entry: Entry | None, der: bytes, muster: Muster, place: str, path: Path | None) -> Iterator[Record | Problem]:
    loaded = _loaded(der)
    named = (n for a, n in zip(muster.authorities, muster.names, strict=True) if loaded is not None and a.subject == loaded.issuer)
    authority = next(named, _only_authority(muster))
    if entry is not None:
        asset_id = hashlib.sha256(der).hexdigest()
        yield Record("issuances", place, None, {"authority_asset_id": authority, "certificate_asset_id": asset_id})
    if path is None:
        return
    attributes: dict[str, Any] = {"role": "issued"}
    if loaded is not None:
        if entry is not None and f"{loaded.serial_number:x}" != entry.serial:
            yield Problem("certificate_mismatched", muster.place(path), f"its serial is {loaded.serial_number:x}, not that of its name")
        attributes |= _crl.status(loaded, muster.lists)
    if entry is not None and entry.revoked_at is not None:
        if muster.lists and attributes.get("revocation_status") == "good":
            why = f"the index has it revoked since {entry.revoked_at.isoformat()}, the list does not"
            yield Problem("revocation_unpublished", muster.place(path), why)
        if attributes.get("revocation_status") in {None, "good"}:
            attributes |= {"revocation_status": _crl.word(entry.reason), "revoked_at": entry.revoked_at}
    yield Record("certificates", muster.place(path), der, attributes)


def _unindexed(serial: str, muster: Muster) -> Iterator[Record | Problem]:
    """A certificate without row: signed past the database, or the database is an old copy."""
    path = muster.files[serial]
    try:
        ders = _certificates_in(path)
    except OSError as error:
        yield muster.refuse("certificate_unreadable", muster.place(path), f"{muster.place(path)}: {error.strerror}")
        return
    muster.fetched += 1
    if ders:
        yield Problem("certificate_unindexed", muster.place(path), "the index has no row for it")
        yield from _both(None, ders[0], muster, serial, path)


def _only_authority(muster: Muster) -> str | None:
    """The CA that keeps the database is the first one named."""
    return muster.names[0] if muster.names else None


def _loaded(der: bytes) -> x509.Certificate | None:
    """Parsed far enough to match issuer and serial; None for what the normaliser will turn down."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.issuer, certificate.serial_number
    except (ValueError, UnsupportedAlgorithm):
        return None
    return certificate
