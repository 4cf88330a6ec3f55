"""Public keys of a shard: their SubjectPublicKeyInfo by digest, from the keys themselves or from certificates that hold them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from keymuster.facts._arrays import each, series, table
from keymuster.facts._issuers import load
from keymuster.frame import Frame
from keymuster.protocols import FactContext

SPKI = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def digests(frame: Frame, *algorithms: str) -> pa.Array:
    """Distinct spki_sha256 of the rows with these key algorithms; of all rows if none is given."""
    keys = frame.arrow("spki_sha256")
    if algorithms:
        keys = keys.filter(pc.is_in(frame.arrow("key_algorithm"), value_set=pa.array(algorithms)))
    return keys.unique().drop_null()


def infos(keys: pa.Array, context: FactContext) -> dict[str, bytes]:
    """DER SubjectPublicKeyInfo by digest; keys of which neither it nor a certificate was kept are left out."""
    found = dict(context.ders(keys.to_pylist())) if len(keys) else {}
    certificates = table(context, "certificates")
    held = certificates.arrow("spki_sha256")
    wanted = keys.filter(pc.invert(pc.is_in(keys, value_set=pa.array(list(found), pa.string()))))
    rows = pc.index_in(wanted, value_set=held).drop_null() if len(held) else pa.array([], pa.int64())
    by_print = dict(zip(certificates.arrow("asset_id").take(rows).to_pylist(), held.take(rows).to_pylist(), strict=True))
    for print_, der in context.ders(by_print).items() if by_print else ():
        info = _info(der)
        if info is not None:
            found[by_print[print_]] = info
    return found


def _info(der: bytes) -> bytes | None:
    certificate = load(der)
    try:
        return None if certificate is None else certificate.public_key().public_bytes(*SPKI)
    except (ValueError, UnsupportedAlgorithm):
        return None


def parsed(info: bytes) -> Any:
    """The key object; None if the library cannot read it."""
    try:
        return serialization.load_der_public_key(info)
    except (ValueError, UnsupportedAlgorithm):
        return None


_last: tuple[Any, dict[str, int]] | None = None
"""The moduli of the shard at work, which five facts ask for."""


def moduli(keys: pa.Array, context: FactContext) -> dict[str, int]:
    """RSA moduli by digest of the key; read once per shard."""
    global _last  # noqa: PLW0603 (one entry; keyed by all inputs)
    key = (hashlib.sha256("".join(keys.to_pylist()).encode()).hexdigest(), context.ders, len(table(context, "certificates")))
    if _last is None or _last[0] != key:
        _last = (key, _moduli(keys, context))
    return _last[1]


def _moduli(keys: pa.Array, context: FactContext) -> dict[str, int]:
    found = {}
    for digest, info in infos(keys, context).items():
        key = parsed(info)
        if isinstance(key, rsa.RSAPublicKey):
            found[digest] = key.public_numbers().n
    return found


def of_moduli(frame: Frame, context: FactContext, test: Callable[[int], bool]) -> pd.Series[Any]:
    """A test per distinct RSA modulus; null for other keys and where the modulus was not kept."""
    return by_digest(frame, {digest: test(n) for digest, n in moduli(digests(frame, "RSA"), context).items()})


def by_digest(frame: Frame, answers: Mapping[str, bool | None]) -> pd.Series[Any]:
    """Answers by spki_sha256 as a column; null where there is none."""
    return series(frame, each(frame.arrow("spki_sha256"), answers.get, pa.bool_()))


def merged(arrays: Iterable[pa.Array]) -> pa.Array:
    """Distinct values over several columns."""
    return pa.chunked_array(list(arrays), pa.string()).unique().drop_null() if arrays else pa.array([], pa.string())
