"""Java key stores (JKS, JCEKS): certificates and entries are in clear, so no password is needed and no private key is opened."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import jks

from keymuster.sources._der import element, kind_of
from keymuster.sources._material import Finding, Found, Unread

MAGIC = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")
log = logging.getLogger(__name__)


def from_keystore(data: bytes) -> Iterator[Finding]:
    """Trusted certificates, chains, and one key per key entry, which is known by the certificate at the head of its chain."""
    try:
        store = jks.KeyStore.loads(data, None, try_decrypt_keys=False)
    except (jks.KeystoreException, ValueError, IndexError, RuntimeError, OverflowError, EOFError) as error:
        yield Unread("container_unreadable", f"Java key store: {type(error).__name__}: {error}"[:200])
        return
    for alias, entry in sorted(store.entries.items()):
        if isinstance(entry, jks.PrivateKeyEntry):
            yield from _chain(alias, entry)
        elif isinstance(entry, jks.TrustedCertEntry):
            yield Found("certificates", bytes(entry.cert), {}, alias)
        else:
            yield Found("keys", None, {"kind": "symmetric", **_created(entry)}, alias)


def _chain(alias: str, entry: Any) -> Iterator[Finding]:
    chain = [bytes(der) for _, der in entry.cert_chain]
    yield Found("keys", spki_of(chain[0]) if chain else None, {"kind": "private", **_created(entry)}, alias)
    for position, der in enumerate(chain):
        yield Found("certificates", der, {}, f"{alias}/{position}" if position else alias)


def _created(entry: Any) -> dict[str, Any]:
    """The instant at which the entry was made, in milliseconds since 1970; nothing where it is out of range."""
    try:
        return {"created_at": datetime.fromtimestamp(entry.timestamp / 1000, UTC)}
    except (OverflowError, ValueError, OSError):
        log.debug("entry with an impossible time stamp %d", entry.timestamp)
        return {}


def spki_of(certificate: bytes) -> bytes | None:
    """SubjectPublicKeyInfo of a certificate, cut out by its outline; None if the outline is not that of one."""
    if kind_of(certificate) != "certificate":
        return None
    try:
        return _cut_out(certificate)
    except ValueError:
        return None


def _cut_out(certificate: bytes) -> bytes:
    body = element(certificate, element(certificate).content)
    at = body.content
    for _ in range(5 + (certificate[at] == 0xA0)):  # version, serial, signature, issuer, validity, subject
        at = element(certificate, at, body.end).end
    found = element(certificate, at, body.end)
    return certificate[found.start : found.end]
