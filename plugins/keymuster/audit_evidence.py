"""What an audit has to judge: the last good snapshot of every station, and what is to be said of those without one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from keymuster.audit_keys import with_bare_keys, with_delivered
from keymuster.errors import NoEvidence, NotRegistered
from keymuster.frame import Frame, Mask, to_pandas
from keymuster.model import SnapshotRef
from keymuster.registry import load
from keymuster.results import StationStatus
from keymuster.schema import tables as vocabulary
from keymuster.store import Snapshot, Store

Delivers = Mapping[str, Mapping[str, Sequence[str]]]
"""station -> table -> columns that are known for its rows."""


class Station(Protocol):
    """What an audit must know of a station; `orchestration.estate` has all of it."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def source(self) -> str: ...  # noqa: D102
    @property
    def owner(self) -> str | None: ...  # noqa: D102


@dataclass(frozen=True)
class Evidence:
    """All rows that there are, by table, and where they come from."""

    stations: tuple[StationStatus, ...]
    tables: Mapping[str, pa.Table]
    """Rows of all stations, sorted by (station, locator); tables without rows are left out."""
    delivers: Delivers


def gather(store: Store, estate: str, stations: Sequence[Station], as_of: datetime) -> Evidence:
    """Read the last good snapshots at or before `as_of`. NoEvidence, with the reason of every station, if there is none."""
    states = statuses(store, stations, as_of)
    if not any(s.snapshot for s in states):
        why = "; ".join(f"{s.station}: {s.reason}" for s in states) or "it has no stations"
        raise NoEvidence(f"estate {estate}: no snapshot at or before {as_of:%Y-%m-%d %H:%M} UTC, so nothing can be judged ({why})")
    snapshots = {s.station: store.read_snapshot(s.snapshot) for s in states if s.snapshot}
    states = tuple(_with_problems(s, snapshots.get(s.station)) for s in states)
    absent = [s for s in states if s.snapshot is None]
    delivers: dict[str, dict[str, list[str]]] = {n: {t: sorted(c) for t, c in s.delivers.items()} for n, s in snapshots.items()}
    delivers |= {s.station: {"stations": list(_ABSENT)} for s in absent}
    return Evidence(states, _tables(snapshots, absent, as_of), with_delivered(delivers))


def _with_problems(status: StationStatus, snapshot: Snapshot | None) -> StationStatus:
    if snapshot is None:
        return status
    return replace(status, source=snapshot.source, problems=dict(sorted(Counter(p.code for p in snapshot.problems).items())))


def _tables(snapshots: Mapping[str, Snapshot], absent: Iterable[StationStatus], as_of: datetime) -> dict[str, pa.Table]:
    parts: dict[str, list[pa.Table]] = {}
    for _, snapshot in sorted(snapshots.items()):
        for name, table in snapshot.tables.items():
            if table.num_rows:
                parts.setdefault(name, []).append(table)
    never = [_never_read(s, as_of) for s in absent]
    if never:
        parts.setdefault("stations", []).append(pa.Table.from_pylist(never, vocabulary()["stations"].stored()))
    order = [("station", "ascending"), ("locator", "ascending")]
    whole = with_bare_keys({name: pa.concat_tables(tables) for name, tables in parts.items()})
    return {name: whole[name].sort_by(order).combine_chunks() for name in sorted(whole)}


_ABSENT = ("asset_id", "kind", "last_success_at", "locator", "observed_at", "station")
"""What is known of a station that has no snapshot."""


def _never_read(status: StationStatus, as_of: datetime) -> dict[str, Any]:
    """The row of a station that was never read: its absence is a finding, not a gap in the list."""
    name = status.station
    return {"asset_id": name, "station": name, "locator": name, "observed_at": as_of, "kind": status.source, "last_success_at": None}


# --- the state of a station ---------------------------------------------------------------------------------


def statuses(store: Store, stations: Iterable[Station], as_of: datetime) -> tuple[StationStatus, ...]:
    """State of every station, by name."""
    return tuple(_status(store, s, as_of) for s in sorted(stations, key=lambda s: s.name))


def _status(store: Store, station: Station, as_of: datetime) -> StationStatus:
    seen = [r for r in store.snapshots(station.name) if r.as_of <= as_of]
    states = {r.uri: store.state(r) for r in seen}
    good = next((r for r in reversed(seen) if states[r.uri] == "accepted"), None)
    held = next((r for r in reversed(seen) if states[r.uri] == "quarantined" and (good is None or r.as_of > good.as_of)), None)
    reason = _trouble(store, station, as_of, good, held)
    if good is None and not reason:
        reason = "its snapshot waits for the gate" if seen else "was never collected"
    newest = held or good
    return StationStatus(
        station=station.name,
        source=station.source,
        owner=station.owner,
        state="absent" if good is None else "stale" if reason else "current",
        reason=reason,
        snapshot=good,
        age_days=None if good is None else (as_of - good.as_of).total_seconds() / 86_400,
        validation=None if newest is None else _validation(store, newest),
    )


def _trouble(store: Store, station: Station, as_of: datetime, good: SnapshotRef | None, held: SnapshotRef | None) -> str:
    """Why the newest attempt gave nothing; empty if it did."""
    refusal = store.last_refusal(station.name, as_of)
    if refusal is not None and (good is None or refusal.as_of > good.as_of) and (held is None or refusal.as_of >= held.as_of):
        return f"{refusal.code}: {refusal.detail}"
    if held is None:
        return ""
    failed = _validation(store, held)["failed"]
    return f"quarantined: the snapshot of {held.as_of:%Y-%m-%d %H:%M} fails its contract ({'; '.join(failed) or 'see its validation'})"


def _validation(store: Store, ref: SnapshotRef) -> dict[str, Any]:
    document = store.validation_of(ref) or {}
    failed = document.get("failed")
    if failed is None:
        checked = document.get("tables") or {}
        failed = [f"{name}: {r['words']}" for name, table in checked.items() for r in table["results"] if not r["success"]]
    by_hand = [f"accepted by hand: {document['overruled']}"] if document.get("overruled") else []
    return {"success": document.get("success"), "failed": [*failed, *by_hand], "uri": f"{ref.uri}/verdict.json"}


# --- rows as frames -----------------------------------------------------------------------------------------


def frame_of(name: str, table: pa.Table, delivers: Delivers) -> Frame:
    """Rows as a frame, with masks of what their stations do not deliver."""
    stations = pc.unique(table["station"]).to_pylist()
    masks: dict[str, Mask] = {}
    for column in vocabulary()[name].stored().names:
        silent = [s for s in stations if column not in delivers.get(s, {}).get(name, ())]
        if silent:
            masks[column] = pc.is_in(table["station"], value_set=pa.array(silent, pa.string())).to_numpy()
    return Frame(name, to_pandas(table), masks)


def may_deliver(source: str, table: str) -> bool:
    """Whether a source could have had rows of the table; a source that we do not know could."""
    try:
        return table in load("sources", source).DELIVERS
    except NotRegistered:
        return True
