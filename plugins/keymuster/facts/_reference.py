"""Dated reference data: read by way of its index, every digest checked, nothing fetched."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import certifi
from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning

from keymuster.content import read_yaml
from keymuster.errors import ContentError

Roots = Mapping[str, tuple[x509.Certificate, ...]]
"""Trust class (public_tls, public_smime, public_codesign) -> root certificates."""


def index(folder: Path) -> dict[str, Any]:
    """The index of the folder; empty where there is none. ContentError if it is not a mapping."""
    path = folder / "index.yaml"
    document = read_yaml(path) if path.is_file() else {}
    if not isinstance(document, dict):
        raise ContentError(f"{path}: the index is a mapping of roots, ct_logs, weak_keys and files")
    return document


def document(folder: Path, name: str) -> Any:
    """One file of the folder, None where it is not there. ContentError if it is not in the index or not what the index says."""
    path = folder / name
    if not path.is_file():
        return None
    entry = (index(folder).get("files") or {}).get(name)
    if entry is None:
        raise ContentError(f"{path}: is not in index.yaml; enter it under `files` with its date and sha256")
    checked(path, entry)
    return _parsed(str(path), path.stat().st_mtime_ns)


@lru_cache(maxsize=32)
def _parsed(path: str, stamp: int) -> Any:
    del stamp
    return read_yaml(Path(path))


def checked(path: Path, entry: Mapping[str, Any]) -> bytes:
    """The bytes of a file. ContentError if it is missing or its sha256 is not the one that its entry states."""
    if not path.is_file():
        raise ContentError(f"{path}: index.yaml names this file, but it is not there")
    raw = path.read_bytes()
    found = hashlib.sha256(raw).hexdigest()
    if not entry.get("date") or found != entry.get("sha256"):
        raise ContentError(f"{path}: sha256 is {found}; index.yaml says {entry.get('sha256')} of {entry.get('date')}")
    return raw


def roots(folder: Path) -> Roots:
    """Root certificates of every list in the index, by trust class."""
    found: dict[str, tuple[x509.Certificate, ...]] = {}
    for entry in index(folder).get("roots") or []:
        found[entry["trust"]] = found.get(entry["trust"], ()) + _certificates(_root_bytes(folder, entry))
    return found


def _root_bytes(folder: Path, entry: Mapping[str, Any]) -> bytes:
    if entry.get("package") == "certifi":
        return Path(certifi.where()).read_bytes()
    if not entry.get("file"):
        raise ContentError(f"{folder / 'index.yaml'}: root list {entry.get('name')!r} needs `file` or `package: certifi`")
    return checked(folder / entry["file"], entry)


@lru_cache(maxsize=8)
def _certificates(pem: bytes) -> tuple[x509.Certificate, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)  # an old root has the serial number 0
        return tuple(x509.load_pem_x509_certificates(pem))


def in_use(folder: Path) -> list[dict[str, str]]:
    """What an audit leaned on, for its manifest: name, date or version, sha256."""
    listed = index(folder)
    found = []
    for entry in listed.get("roots") or []:
        raw = _root_bytes(folder, entry)
        dated = f"certifi {version('certifi')}" if entry.get("package") else str(entry["date"])
        found.append({"name": f"roots/{entry['name']}", "date": dated, "sha256": hashlib.sha256(raw).hexdigest()})
    logs = {f"ct_logs/{programme}": entry for programme, entry in (listed.get("ct_logs") or {}).items()}
    named = {**logs, "weak_keys": listed.get("weak_keys"), **(listed.get("files") or {})}
    found += [{"name": name, "date": str(e["date"]), "sha256": e["sha256"]} for name, e in named.items() if e]
    found += [{"name": name, "date": version(name), "sha256": ""} for name in ("publicsuffixlist", "badkeys")]
    return sorted(found, key=lambda entry: entry["name"])
