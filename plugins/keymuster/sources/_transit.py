"""A key of a transit mount (OpenBao, Vault) as a row of `keys`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from keymuster.model import Record

DELIVERS = frozenset(
    {
        "kind",
        "provider",
        "state",
        "is_customer_managed",
        "is_rotation_enabled",
        "rotation_period_days",
        "is_exportable",
        "found_in",
        "created_at",
        "expires_at",
        "key_algorithm",
        "key_bits",
    }
)
SYMMETRIC = {
    "aes128-gcm96": ("AES", 128),
    "aes256-gcm96": ("AES", 256),
    "chacha20-poly1305": ("ChaCha20", 256),
    "xchacha20-poly1305": ("ChaCha20", 256),
}
SPKI = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def record(locator: str, key: Mapping[str, Any]) -> Record:
    """The key, dated by its newest version. ValueError if the answer is not what the API documents.

    `rotation_period_days` is rounded up to whole days; transit keys have no end date, so `expires_at` is always empty.
    """
    kind, newest = str(key.get("type") or ""), _newest(key)
    period = int(key.get("auto_rotate_period") or 0)
    attributes: dict[str, Any] = {
        "kind": "hmac" if kind == "hmac" else "symmetric" if kind in SYMMETRIC else "private",
        "provider": "vault",
        "state": "enabled",
        "is_customer_managed": True,
        "is_rotation_enabled": period > 0,
        "rotation_period_days": -(-period // 86400) or None,
        "is_exportable": bool(key.get("exportable") or key.get("allow_plaintext_backup")),
        "found_in": "key_store",
        "created_at": _created(newest),
    }
    if kind in SYMMETRIC:
        attributes["key_algorithm"], attributes["key_bits"] = SYMMETRIC[kind]
    elif kind == "hmac":
        attributes |= {"key_algorithm": "HMAC", "key_bits": int(key.get("key_size") or 0) * 8 or None}
    return Record("keys", locator, _public(newest), attributes)


def _newest(key: Mapping[str, Any]) -> Any:
    """The newest version; None for HMAC keys, of which the API tells no versions."""
    versions = key.get("keys")
    if versions is None and key.get("type") == "hmac":
        return None
    if not isinstance(versions, dict) or not versions:
        raise ValueError("the key has no versions")
    return versions[max(versions, key=int)]


def _created(version: Any) -> datetime | None:
    """Symmetric versions are an epoch number, asymmetric ones an object with an RFC 3339 text."""
    if isinstance(version, dict):
        return datetime.fromisoformat(str(version.get("creation_time"))).astimezone(UTC)
    return None if version is None else datetime.fromtimestamp(int(version), UTC)


def _public(version: Any) -> bytes | None:
    """SubjectPublicKeyInfo of an asymmetric version: PEM, or for Ed25519 the bare key in Base64."""
    text = version.get("public_key") if isinstance(version, dict) else None
    if not text:
        return None
    if str(text).lstrip().startswith("-----BEGIN PUBLIC KEY-----"):
        return load_pem_public_key(str(text).encode()).public_bytes(*SPKI)
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(str(text), validate=True)).public_bytes(*SPKI)
    except binascii.Error:
        raise ValueError("the public key is neither PEM nor Base64") from None
