"""What the DAGs do, step by step. Knows no Airflow, asks nobody for the time, and hands on references only.

Every step may be run again: what is there already is found and left alone.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from keymuster import audit, gate, registry
from keymuster.audit_evidence import statuses
from keymuster.audit_plan import Content as JudgedBy
from keymuster.audit_plan import Plan
from keymuster.errors import KeymusterError, NoEvidence
from keymuster.model import SnapshotRef
from keymuster.normalise import normalise
from keymuster.orchestration import reports
from keymuster.orchestration.estate import Station
from keymuster.orchestration.workplace import Workplace
from keymuster.remediation import RemediationPlan, apply, reconcile
from keymuster.results import StationStatus

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


def settle(place: Workplace, ref: SnapshotRef, overrule: str = "") -> SnapshotRef:
    """Have the gate check a snapshot, and accept or quarantine it. Quarantined names what it breaks; the verdict is kept.

    `overrule`: why a person accepts it nevertheless, e.g. 'half the hosts were switched off on Monday'. Every report shows that reason.
    """
    if place.store.state(ref) == "accepted":
        return ref
    snapshot = place.store.read_snapshot(ref)
    before = place.store.last_good(ref.station, ref.as_of)
    previous = {name: table.num_rows for name, table in place.store.read_snapshot(before).tables.items()} if before else None
    verdict = gate.check_contract(snapshot.tables, snapshot.source, ref.as_of, previous)
    broken = "; ".join(verdict.failed)
    if broken and overrule:
        log.warning("station %s: the snapshot breaks its contract (%s) and is accepted by hand: %s", ref.station, broken, overrule)
        place.store.settle(ref, True, {**verdict.document, "overruled": overrule})
        return ref
    place.store.settle(ref, verdict.success, verdict.document)
    if not verdict.success:
        raise Quarantined(
            f"station {ref.station}: the snapshot breaks its contract and is quarantined: {broken} ({ref.uri}); "
            f"if that is how things are, run collect__{ref.station} with as_of={ref.as_of.isoformat()} and the reason in 'overrule'"
        )
    return ref


def is_due(place: Workplace, estate: str, as_of: datetime) -> bool:
    """Whether the newest live audit has not judged what there is now: other snapshots or failures, other content, or another day.

    By level: it compares state, whatever events there were. Nothing is due where no station has a snapshot yet.
    """
    known = place.estate(estate)
    now = statuses(place.store, known.stations, as_of)
    if not any(station.snapshot for station in now):
        return False
    last = place.ledger.last_audit(estate)
    if last is None or last.as_of.date() < as_of.date():
        return True
    then = place.store.get_audit(last.uri).manifest
    judged_by = JudgedBy.of(*place.content(known).parts, known.policy)
    digests = (judged_by.ruleset_sha256(), judged_by.policy_sha256())
    return digests != (then.ruleset_sha256, then.policy_sha256) or _seen(now) != _seen(then.stations)


def audit_plan(place: Workplace, estate: str, as_of: datetime, kind: str, shards: int | None = None) -> Plan | None:
    """What there is to judge for one estate, cut into shards. None, and a page that says so, where there is no evidence at all."""
    known = place.estate(estate)
    content = place.content(known).parts
    try:
        plan = audit.plan(place.store, known.name, known.stations, *content, known.policy, as_of, kind, shards=shards)
    except NoEvidence as error:
        log.warning("no evidence: %s", error)
        reports.write_no_evidence(place, estate, as_of, str(error))
        return None
    reports.drop_no_evidence(place, estate, as_of)
    return plan


def audit_shard(place: Workplace, plan: Plan, index: int) -> None:
    """Judge one shard; its verdicts wait in the store."""
    audit.judge_shard(place.store, plan, index)


def audit_conclude(place: Workplace, plan: Plan) -> str:
    """Merge the shards into the audit; a live one moves the ledger. Returns its address."""
    uri = audit.conclude(place.store, plan)
    result = place.store.get_audit(uri)
    if result.manifest.kind == "live":
        place.ledger.record(result, place.delta(result))
    log.info("estate %s as of %s: %s: %s", plan.estate, plan.as_of.isoformat(), dict(result.manifest.outcomes), place.store.address(uri))
    return uri


def report(place: Workplace, *, again: bool = False) -> list[Path]:
    """Write the reports of audits that have none; with `again` also of the others. Returns the folders written."""
    return reports.write_missing(place, again=again)


def remediation_plan(place: Workplace, estate: str, now: datetime) -> dict[str, Any] | None:
    """What the tickets lack of what the newest live audit wants, in counts; None if nothing. Changes nothing."""
    plan = _reconciled(place, estate, now)
    if plan is None or plan.empty:
        return None
    return {"estate": estate, "audit": plan.audit_key, "tracker": plan.tracker, "steps": dict(plan.counts)}


def remediation_apply(place: Workplace, estates: Sequence[str], now: datetime) -> dict[str, int]:
    """Make the tickets as the newest live audits want them. Plans anew: the ledger may have moved since. Returns steps done by kind."""
    done: Counter[str] = Counter()
    for estate in estates:
        plan = _reconciled(place, estate, now)
        if plan is not None and not plan.empty:
            done.update(apply(plan, place.ledger, place.knobs.tracker, place.tracker_settings()).counts)
    return dict(done)


def _reconciled(place: Workplace, estate: str, now: datetime) -> RemediationPlan | None:
    last = place.ledger.last_audit(estate)
    if last is None:
        return None
    result, knobs = place.store.get_audit(last.uri), place.knobs
    return reconcile(
        result,
        place.delta(result),
        place.ledger,
        knobs.tracker,
        place.tracker_settings(),
        limit=knobs.ticket_limit,
        reopen_days=knobs.reopen_days,
        threshold=knobs.ticket_severity,
        now=now,
        fix_days=place.estate(estate).policy.fix_days,
    )


def _seen(stations: Sequence[StationStatus]) -> list[tuple[str, str, str, str | None]]:
    return [(s.station, s.state, s.reason, s.snapshot.sha256 if s.snapshot else None) for s in stations]


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
