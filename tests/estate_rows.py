"""Snapshots from plain rows, for tests of the audit: what a station saw, without a source."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from keymuster.model import Coverage, Problem, SnapshotRef
from keymuster.schema import tables
from keymuster.store import Store

AS_OF = datetime(2026, 11, 23, 6, tzinfo=UTC)


@dataclass(frozen=True)
class Place:
    """The little that an audit must know of a station."""

    name: str
    source: str = "files"
    owner: str | None = None


def spki(name: str) -> str:
    return hashlib.sha256(f"spki {name}".encode()).hexdigest()


def certificate(name: str, **values: Any) -> dict[str, Any]:
    """A sound leaf; `name` makes its fingerprint and, unless said otherwise, its key."""
    return {
        "asset_id": hashlib.sha256(name.encode()).hexdigest(), "subject": f"CN={name}", "issuer": "CN=ca", "role": "served",
        "serial_number": spki(name)[:10].lstrip("0"), "spki_sha256": spki(name), "key_algorithm": "RSA", "key_bits": 2048,
        "rsa_exponent": 65537, "not_before": datetime(2026, 6, 1, tzinfo=UTC), "not_after": datetime(2027, 6, 1, tzinfo=UTC),
        "is_ca": False, "is_self_signed": False, "signature_hash": "SHA256", "encoding_defects": [], "san_types": ["dNSName"],
        "san_names": [name], "is_precertificate": False, "key_usage": ["digitalSignature"], "extended_key_usage": ["serverAuth"],
        "critical_extensions": [], "extensions": [], **values,
    }  # fmt: skip


def _station(name: str, source: str, as_of: datetime) -> dict[str, Any]:
    whole = {"is_listing_complete": True, "refused_count": 0}
    return {"asset_id": name, "locator": name, "kind": source, "last_success_at": as_of, **whole}


def snapshot(
    store: Store,
    station: str,
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    as_of: datetime = AS_OF,
    *,
    source: str = "files",
    accepted: bool | None = True,
    coverage: Coverage | None = None,
    delivers: Mapping[str, Sequence[str]] | None = None,
    failed: Sequence[str] = (),
) -> SnapshotRef:
    """Write one snapshot of these rows; every column that some row has is delivered."""
    made, known = {}, {}
    seen = {
        "stations": [
            {
                "asset_id": station,
                "locator": station,
                "kind": source,
                "last_success_at": as_of,
                "is_listing_complete": True,
                "refused_count": 0,
            }
        ]
    }
    for name, group in {**rows, **seen}.items():
        full = [{"station": station, "observed_at": as_of, "locator": f"{name}/{i}", **row} for i, row in enumerate(group)]
        made[name] = pa.Table.from_pylist(full, tables()[name].stored())
        known[name] = sorted({c for row in full for c in row} | set((delivers or {}).get(name, ())))
    count = sum(len(r) for r in rows.values())
    problems = [Problem("certificate_unparsable", "x.pem", "not a certificate")]
    ref = store.write_snapshot(station, source, as_of, made, problems, coverage or Coverage(count, count), known, {})
    if accepted is not None:
        store.settle(ref, accepted, {"success": accepted, "failed": list(failed)})
    return ref
