"""Who a row is about: `asset_id`, the identity that lasts across sightings, as the vocabulary's `identity` says for each table."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

Columns = Mapping[str, pa.Array]


def identity(table: str, columns: Columns, authority: pa.Array | None, ders: Sequence[bytes | None]) -> pa.Array:
    """asset_id of every row: what the bytes say, else what the source gave as native id, else urn:station:locator."""
    place = pc.binary_join_element_wise(pa.scalar("urn"), columns["station"], columns["locator"], ":")
    given = columns["asset_id"]
    if table == "authorities" and authority is not None:
        return pc.coalesce(authority, given, place)
    if table == "ssh_keys":
        return pc.coalesce(given, _ssh(columns, ders), place)
    made = _RECIPES.get(table)
    if made is None:
        return pc.coalesce(given, place)
    # identities that the bytes give win over the source's word
    return pc.coalesce(*((made(columns), given, place) if table in ("certificates", "keys") else (given, made(columns), place)))


def _text(columns: Columns, names: Sequence[str], separator: str) -> pa.Array:
    """The columns joined; null where one of them is."""
    return pc.binary_join_element_wise(*(columns[n].cast(pa.string()) for n in names), separator)


def _hashed(texts: pa.Array) -> pa.Array:
    return pa.array([None if t is None else hashlib.sha256(t.encode()).hexdigest() for t in texts.to_pylist()], pa.string())


def _endpoint(columns: Columns) -> pa.Array:
    """protocol://locator#server_name; the locator is host:port."""
    name = pc.fill_null(columns["server_name"], "")
    return pc.binary_join_element_wise(columns["protocol"], pa.scalar("://"), columns["locator"], pa.scalar("#"), name, "")


_RECIPES: Mapping[str, Callable[[Columns], pa.Array]] = {
    "certificates": lambda c: c["asset_id"],
    "keys": lambda c: c["spki_sha256"],
    "endpoints": _endpoint,
    "revocation_services": lambda c: _hashed(c["locator"]),
    "issuances": lambda c: _text(c, ("authority_asset_id", "locator"), ":"),
    "domains": lambda c: pc.utf8_lower(c["locator"]),
    "attestations": lambda c: c["locator"],
    "events": lambda c: _hashed(_text(c, ("action", "actor", "subject"), "\n")),
}


def _ssh(columns: Columns, ders: Sequence[bytes | None]) -> pa.Array:
    """SHA256 fingerprint as ssh-keygen prints it, and kind; null for keys that OpenSSH has no wire form for."""
    prints = [None if der is None else ssh_fingerprint(der) for der in ders]
    return pc.binary_join_element_wise(pa.array(prints, pa.string()), columns["kind"], ":")


def ssh_fingerprint(spki: bytes) -> str | None:
    """`SHA256:` and unpadded base64 over the SSH wire form of a public key; None if OpenSSH has none."""
    try:
        wire = load_der_public_key(spki).public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1]
    except (ValueError, UnsupportedAlgorithm):
        return None
    return "SHA256:" + base64.b64encode(hashlib.sha256(base64.b64decode(wire)).digest()).decode().rstrip("=")
