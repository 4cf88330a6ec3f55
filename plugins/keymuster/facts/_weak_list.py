"""The list of keys whose private half is known, in the format of badkeys (v0), where the organisation mounted it.

badkeys does not package its list, and an audit fetches nothing; README.md of the reference folder says how to mount it.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

from keymuster.errors import ContentError
from keymuster.facts._reference import checked, index
from keymuster.protocols import Unknowable

RECORD = 16
"""Fifteen octets of the SHA-256 of the key's number, sorted, and one octet with the list's id."""
ABSENT = "reference data has no list of weak keys; badkeys does not package it, checks/reference/README.md says how to mount one"


class WeakList:
    """Looks a public key up."""

    def __init__(self, raw: bytes, names: Mapping[int, str]) -> None:
        self._raw, self._names = raw, names

    def __len__(self) -> int:
        return len(self._raw) // RECORD

    def __getitem__(self, position: int) -> bytes:
        return self._raw[position * RECORD : position * RECORD + RECORD - 1]

    def category(self, key: Any) -> str | None:
        """Name of the list that holds the key, e.g. `debianssl`; None if none does."""
        number = _number(key)
        if number is None:
            return None
        wanted = hashlib.sha256(number).digest()[: RECORD - 1]
        position = bisect_left(self, wanted)
        if position == len(self) or self[position] != wanted:
            return None
        identifier = self._raw[position * RECORD + RECORD - 1]
        return self._names.get(identifier, f"list {identifier}")


def _number(key: Any) -> bytes | None:
    """What the list hashes of a key: modulus, x coordinate, y or the raw point, without leading zeros."""
    if isinstance(key, rsa.RSAPublicKey):
        value = key.public_numbers().n
    elif isinstance(key, ec.EllipticCurvePublicKey):
        value = key.public_numbers().x
    elif isinstance(key, dsa.DSAPublicKey):
        value = key.public_numbers().y
    elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        value = int.from_bytes(key.public_bytes_raw(), "big")
    else:
        return None
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def weak_list(folder: Path) -> WeakList:
    """The list that index.yaml names. Unknowable if it names none, ContentError if it is not what the index says."""
    entry = index(folder).get("weak_keys")
    if not entry:
        raise Unknowable(ABSENT)
    path, names = folder / entry["file"], folder / entry["names"]
    stamps = tuple(p.stat().st_mtime_ns if p.is_file() else 0 for p in (path, names))
    return _read(path, names, str(entry["date"]), str(entry["sha256"]), stamps)


@lru_cache(maxsize=2)
def _read(path: Path, names: Path, date: str, sha256: str, stamps: tuple[int, ...]) -> WeakList:
    del stamps
    raw = checked(path, {"date": date, "sha256": sha256})
    try:
        lists = json.loads(names.read_text("utf-8"))["blocklists"]
        table = {int(entry["id"]): str(entry["name"]) for entry in lists}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ContentError(f"{names}: is no badkeysdata.json ({error})") from None
    if len(raw) % RECORD:
        raise ContentError(f"{path}: is no blocklist.dat of badkeys: {len(raw)} octets are no whole records of {RECORD}")
    return WeakList(raw, table)
