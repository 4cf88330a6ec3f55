"""Asks the memory first, and tells it what had to be worked out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from typing import Any

import pyarrow as pa
from cryptography.hazmat.backends.openssl import backend

from keymuster.protocols import FactContext, Kind

_OPENSSL = hashlib.sha256(backend.openssl_version_text().encode()).hexdigest()[:8]
CRYPTOGRAPHY = f"cryptography-{version('cryptography')}-{_OPENSSL}"
"""Part of the version of everything that cryptography reads, verifies or refuses."""
BADKEYS = f"badkeys-{version('badkeys')}"
MODULI = Kind("moduli", f"1-{CRYPTOGRAPHY}", pa.string())
"""Fingerprint of a certificate or digest of a kept SubjectPublicKeyInfo -> sha256 of its RSA modulus; null: none that can be read."""
POINTS = Kind("points", f"1-{CRYPTOGRAPHY}", pa.bool_())
"""As MODULI -> whether the elliptic-curve point is valid."""


def of_modulus(name: str, code: str) -> Kind:
    """A test of RSA moduli by their sha256; `code` names the version of whatever decides."""
    return Kind(name, code, pa.bool_())


def recalled(context: FactContext, kind: Kind, keys: Iterable[str]) -> dict[str, Any]:
    """What is remembered of these keys; nothing without a memory."""
    return {} if context.memory is None else context.memory.recall(kind, keys)


def remember(context: FactContext, kind: Kind, answers: Mapping[str, Any]) -> None:
    """Remember answers, where there is a memory."""
    if context.memory is not None:
        context.memory.remember(kind, answers)


def answered(context: FactContext, kind: Kind, keys: Iterable[str], work_out: Callable[[set[str]], Mapping[str, Any]]) -> dict[str, Any]:
    """Answers by key, remembered ones and those worked out now; keys that `work_out` leaves out stay without, and are asked again."""
    wanted = set(keys)
    known = recalled(context, kind, wanted)
    missing = wanted - known.keys()
    fresh = work_out(missing) if missing else {}
    remember(context, kind, fresh)
    return {**known, **fresh}
