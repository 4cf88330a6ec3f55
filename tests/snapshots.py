"""Small snapshots for tests of the store: made from records, the way that a collection makes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from keymuster.model import Coverage, Problem, Record, SnapshotRef
from keymuster.normalise import Normalised, normalise
from keymuster.store import Store
from tests.certificates import Builder, authority

AS_OF = datetime(2026, 11, 23, tzinfo=UTC)
STATION = "web-farm"
ROOT = authority("Snapshot Root")
LEAVES = tuple(Builder(f"host{i}.example.com").dns(f"host{i}.example.com").issue(ROOT).der for i in range(4))
DELIVERS = {"certificates": ["role"]}


def records(ders: Sequence[bytes] = LEAVES) -> list[Record | Problem | Coverage]:
    """A stream: one certificate a place, one problem, complete."""
    rows: list[Record | Problem | Coverage] = [
        Record("certificates", f"/etc/{i}.pem", der, {"role": "installed"}) for i, der in enumerate(ders)
    ]
    return [*rows, Problem("file_unreadable", "/etc/secret.pem", "permission denied"), Coverage(len(ders), len(ders))]


def normalised(ders: Sequence[bytes] = LEAVES, as_of: datetime = AS_OF, cache: Any = None) -> Normalised:
    """The stream, normalised."""
    return normalise(records(ders), station=STATION, source="files", as_of=as_of, delivers=DELIVERS, cache=cache)


def write(store: Store, ders: Sequence[bytes] = LEAVES, as_of: datetime = AS_OF, station: str = STATION) -> SnapshotRef:
    """Collect and write a snapshot, with the store as parse memory."""
    n = normalised(ders, as_of, store)
    return store.write_snapshot(station, "files", as_of, n.tables, n.problems, n.coverage, n.delivers, n.ders)
