"""What the DAGs do, step by step. Knows no Airflow, asks nobody for the time, and hands on references only.

Every step may be run again: what is there already is found and left alone.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from keymuster import audit, gate, registry
from keymuster.errors import KeymusterError
from keymuster.model import SnapshotRef
from keymuster.normalise import normalise
from keymuster.orchestration.estate import Station
from keymuster.orchestration.workplace import Workplace

log = logging.getLogger(__name__)


class Quarantined(KeymusterError):
    """A snapshot breaks its contract; it is kept, but no audit uses it."""


def collect(place: Workplace, station: str, as_of: datetime) -> SnapshotRef:
    """Pull one station and settle its snapshot: `pull`, then `settle`. Quarantined if the snapshot breaks its contract."""
    return settle(place, pull(place, station, as_of))


def pull(place: Workplace, station: str, as_of: datetime) -> SnapshotRef:
    """Read the source and write the snapshot of `as_of`, unless it is there. A failure is noted in the store, then raised again."""
    known = place.station(station)
    there = next((ref for ref in place.store.snapshots(station) if ref.as_of == as_of), None)
    if there is not None:
        log.info("station %s: the snapshot of %s is there already: %s", station, as_of.isoformat(), there.uri)
        return there
    try:
        ref = _pull(place, known, as_of)
    except Exception as error:
        place.store.refuse(station, known.source, as_of, _code(error), _detail(error))
        raise
    log.info("station %s: %d rows, %d problems, complete=%s: %s", station, ref.rows, ref.problems, ref.complete, ref.uri)
    return ref


def settle(place: Workplace, ref: SnapshotRef) -> SnapshotRef:
    """Have the gate check a snapshot, and accept or quarantine it. Quarantined names what it breaks; the verdict is kept."""
    if place.store.state(ref) == "accepted":
        return ref
    snapshot = place.store.read_snapshot(ref)
    before = place.store.last_good(ref.station, ref.as_of)
    previous = {name: table.num_rows for name, table in place.store.read_snapshot(before).tables.items()} if before else None
    verdict = gate.check_contract(snapshot.tables, snapshot.source, ref.as_of, previous)
    place.store.settle(ref, verdict.success, verdict.document)
    if not verdict.success:
        raise Quarantined(
            f"station {ref.station}: the snapshot breaks its contract and is quarantined: {'; '.join(verdict.failed)} ({ref.uri})"
        )
    return ref


def audit_plan(place: Workplace, estate: str, as_of: datetime, kind: str, shards: int | None = None) -> audit.Plan:
    """What there is to judge for one estate, cut into shards."""
    known = place.estate(estate)
    content = place.content(known)
    return audit.plan(
        place.store,
        known.name,
        known.stations,
        content.rules,
        content.frameworks,
        content.waivers,
        known.policy,
        as_of,
        kind,
        shards=shards,
    )


def audit_shard(place: Workplace, plan: audit.Plan, index: int) -> None:
    """Judge one shard; its verdicts wait in the store."""
    audit.judge_shard(place.store, plan, index)


def audit_conclude(place: Workplace, plan: audit.Plan) -> str:
    """Merge the shards into the audit; a live one moves the ledger. Returns its address."""
    uri = audit.conclude(place.store, plan)
    result = place.store.get_audit(uri)
    if result.manifest.kind == "live":
        place.ledger.record(result, place.delta(result))
    if not any(result.manifest.rows.values()):
        log.warning("estate %s, %s: no evidence: %s", plan.estate, plan.as_of.isoformat(), uri)
    return uri


def report(place: Workplace, *, again: bool = False, estates: Sequence[str] = ()) -> list[Path]:
    """Write the reports of audits that have none; with `again` also of the others. Returns the folders written."""
    from keymuster.orchestration.reports import write_missing  # noqa: PLC0415 (templates)

    return write_missing(place, again=again, estates=estates)


def _pull(place: Workplace, station: Station, as_of: datetime) -> SnapshotRef:
    module = registry.load("sources", station.source)
    stream = module.collect(place.source_settings(station))
    seen = normalise(stream, station=station.name, source=station.source, as_of=as_of, delivers=module.DELIVERS, cache=place.store)
    return place.store.write_snapshot(
        station.name, station.source, as_of, seen.tables, seen.problems, seen.coverage, seen.delivers, seen.ders
    )


def _code(error: Exception) -> str:
    """The class of the error in snake case, e.g. `unreachable`; `crashed` for one that is none of ours."""
    if not isinstance(error, KeymusterError):
        return "crashed"
    name = type(error).__name__
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def _detail(error: Exception) -> str:
    """Text for the report. Of a foreign error only its class: its text may hold anything."""
    return str(error) if isinstance(error, KeymusterError) else f"{type(error).__name__}; see the log of the task"
