"""Public keys of a shard: their SubjectPublicKeyInfo by digest, from the keys themselves or from certificates that hold them.

Tests are remembered. What a key is asked is remembered by its source (the kept SubjectPublicKeyInfo, or the certificate that it was taken
from), so that a key whose only certificate has left the inventory is as unknown as it would be without a memory; what a modulus is asked,
by the sha256 of the modulus.
"""

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
from keymuster.facts._certificates import load
from keymuster.facts._memory import MODULI, answered, recalled, remember
from keymuster.frame import Frame
from keymuster.protocols import FactContext, Kind

SPKI = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
LIMIT = 300_000
_moduli: dict[str, int] = {}
"""Moduli by their sha256, which several facts ask for."""


def digests(frame: Frame, *algorithms: str) -> pa.Array:
    """Distinct spki_sha256 of the rows with these key algorithms; of all rows if none is given."""
    keys = frame.arrow("spki_sha256")
    if algorithms:
        keys = keys.filter(pc.is_in(frame.arrow("key_algorithm"), value_set=pa.array(algorithms)))
    return keys.unique().drop_null()


def infos(keys: pa.Array, context: FactContext) -> dict[str, bytes]:
    """DER SubjectPublicKeyInfo by digest; keys of which neither it nor a certificate was kept are left out."""
    return {digest: info for digest, (_, info) in _sourced(keys, context).items()}


def _sourced(keys: pa.Array, context: FactContext) -> dict[str, tuple[str, bytes]]:
    """(source, SubjectPublicKeyInfo) by digest."""
    kept = context.ders(keys.to_pylist()) if len(keys) else {}
    found = {digest: (digest, info) for digest, info in kept.items()}
    by_print = _holders(_without(keys, found), context)
    for print_, der in context.ders(by_print).items() if by_print else ():
        info = _info(der)
        if info is not None:
            found[by_print[print_]] = print_, info
    return found


def _without(keys: pa.Array, found: Iterable[str]) -> pa.Array:
    return keys.filter(pc.invert(pc.is_in(keys, value_set=pa.array(list(found), pa.string()))))


def _holders(keys: pa.Array, context: FactContext) -> dict[str, str]:
    """Digest by fingerprint of the first certificate that holds the key."""
    certificates = table(context, "certificates")
    held = certificates.arrow("spki_sha256")
    rows = pc.index_in(keys, value_set=held).drop_null() if len(held) else pa.array([], pa.int64())
    return dict(zip(certificates.arrow("asset_id").take(rows).to_pylist(), held.take(rows).to_pylist(), strict=True))


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


def of_infos(kind: Kind, keys: pa.Array, context: FactContext, ask: Callable[[bytes], Any]) -> dict[str, Any]:
    """An answer per key by digest, remembered by source; keys that `infos` leaves out are left out."""
    found = recalled(context, kind, keys.to_pylist()) if len(keys) else {}
    by_print = _holders(_without(keys, found), context)
    found |= {by_print[print_]: answer for print_, answer in recalled(context, kind, by_print).items()}
    missing = _without(keys, found)
    fresh = {digest: (source, ask(info)) for digest, (source, info) in (_sourced(missing, context) if len(missing) else {}).items()}
    remember(context, kind, dict(fresh.values()))
    return found | {digest: answer for digest, (_, answer) in fresh.items()}


_last: tuple[Any, dict[str, str]] | None = None
"""The names of the moduli of the shard at work, which five facts ask for."""


def modulus_names(keys: pa.Array, context: FactContext) -> dict[str, str]:
    """The sha256 of the RSA modulus by digest of the key; worked out once per shard."""
    global _last  # noqa: PLW0603 (one entry; keyed by all inputs)
    seen = hashlib.sha256("".join(keys.to_pylist()).encode()).hexdigest()
    key = (seen, context.ders, len(table(context, "certificates")), context.memory)
    if _last is None or _last[0] != key:
        names = of_infos(MODULI, keys, context, _name)
        _last = (key, {digest: name for digest, name in names.items() if name is not None})
    return _last[1]


def _modulus(info: bytes) -> int | None:
    key = parsed(info)
    return key.public_numbers().n if isinstance(key, rsa.RSAPublicKey) else None


def _name(info: bytes) -> str | None:
    n = _modulus(info)
    if n is None:
        return None
    name = hashlib.sha256(n.to_bytes((n.bit_length() + 7) // 8, "big")).hexdigest()
    if len(_moduli) >= LIMIT:
        _moduli.clear()
    _moduli[name] = n
    return name


def moduli(names: Mapping[str, str], wanted: Iterable[str], context: FactContext) -> dict[str, int]:
    """RSA moduli by their sha256. `names` as `modulus_names` gave them; those whose key cannot be had any more are left out."""
    left = set(wanted)
    found = {name: _moduli[name] for name in left if name in _moduli}
    by_name = {name: digest for digest, name in names.items() if name in left and name not in found}
    read = infos(pa.array(sorted(by_name.values()), pa.string()), context) if by_name else {}
    for name, digest in by_name.items():
        n = _modulus(read[digest]) if digest in read else None
        if n is not None:
            found[name] = n
    return found


def of_moduli(frame: Frame, context: FactContext, kind: Kind, test: Callable[[int], bool]) -> pd.Series[Any]:
    """A test per distinct RSA modulus; null for other keys and where the modulus was not kept."""
    names = modulus_names(digests(frame, "RSA"), context)

    def tested(wanted: set[str]) -> dict[str, bool]:
        return {name: test(n) for name, n in moduli(names, wanted, context).items()}

    answers = answered(context, kind, names.values(), tested)
    return by_digest(frame, {digest: answers.get(name) for digest, name in names.items()})


def by_digest(frame: Frame, answers: Mapping[str, bool | None]) -> pd.Series[Any]:
    """Answers by spki_sha256 as a column; null where there is none."""
    return series(frame, each(frame.arrow("spki_sha256"), answers.get, pa.bool_()))


def merged(arrays: Iterable[pa.Array]) -> pa.Array:
    """Distinct values over several columns."""
    return pa.chunked_array(list(arrays), pa.string()).unique().drop_null() if arrays else pa.array([], pa.string())
