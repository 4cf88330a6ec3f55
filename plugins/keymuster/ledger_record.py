"""Takes one live audit into the ledger: set-based, so that 100,000 findings take seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, MetaData, String, Table, Text, case, exists, func, insert, literal, select, text, update

from keymuster.ledger_bulk import fill
from keymuster.ledger_database import lock_number
from keymuster.ledger_schema import SEVERITIES, Instant, audits, findings
from keymuster.model import Delta, Outcome
from keymuster.results import AuditResult

incoming = Table(
    "keymuster_incoming",
    MetaData(),
    Column("finding_key", String(32), primary_key=True),
    Column("rule_id", String(200)),
    Column("asset_id", Text),
    Column("severity", String(10)),
    Column("owner", Text),
    Column("stations", Text),
    Column("state", String(12)),
    prefixes=["TEMPORARY"],
)
gone = Table(
    "keymuster_gone",
    MetaData(),
    Column("finding_key", String(32), primary_key=True),
    Column("state", String(12)),
    prefixes=["TEMPORARY"],
)


def record(connection: Connection, result: AuditResult, delta: Delta | None) -> bool:
    """Take it in; False if it is there already or is not live. An audit older than the newest one counts but moves nothing."""
    manifest = result.manifest
    if manifest.kind != "live":
        return False
    if connection.dialect.name == "postgresql":  # SQLite's write lock was taken when the transaction began
        connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": lock_number(f"record {manifest.estate}")})
    mine = audits.c.estate == manifest.estate
    if connection.execute(select(audits.c.id).where(mine, audits.c.key == manifest.key)).first():
        return False
    newest = connection.execute(select(func.max(audits.c.as_of, type_=Instant)).where(mine, audits.c.moved == 1)).scalar()
    moves = newest is None or manifest.as_of >= newest
    rows = _rows(result)
    connection.execute(insert(audits).values(_audit(result, rows, moves=moves)))
    if moves:
        _move(connection, result, delta, rows)
    return True


def _rows(result: AuditResult) -> list[tuple[str | None, ...]]:
    columns = [result.findings[name].to_pylist() for name in ("key", "rule_id", "asset_id", "severity", "owner", "stations", "outcome")]
    unique: dict[str, tuple[str | None, ...]] = {}
    for key, rule, asset, severity, owner, stations, outcome in zip(*columns, strict=True):
        state = "waived" if outcome == Outcome.WAIVED else "open"
        unique[key] = (key, rule, _clean(asset), severity, _clean(owner), "\n".join(sorted(stations or ())), state)
    return list(unique.values())


def _clean(value: str | None) -> str | None:
    """PostgreSQL keeps no NUL in a text."""
    return value.replace("\0", "\ufffd") if value else value


def _audit(result: AuditResult, rows: Iterable[tuple[str | None, ...]], *, moves: bool) -> dict[str, Any]:
    manifest = result.manifest
    counts = dict.fromkeys(SEVERITIES, 0)
    waived = 0
    for row in rows:
        if row[6] == "waived":
            waived += 1
        else:
            counts[str(row[3])] += 1
    named = {"estate": manifest.estate, "key": manifest.key, "as_of": manifest.as_of, "kind": manifest.kind, "uri": result.uri}
    return {**named, **counts, "waived": waived, "moved": int(moves)}


def _move(connection: Connection, result: AuditResult, delta: Delta | None, rows: Sequence[tuple[str | None, ...]]) -> None:
    fill(connection, incoming, rows)
    as_of, mine = result.manifest.as_of, findings.c.estate == result.manifest.estate
    absent = (
        select(findings.c.finding_key, findings.c.rule_id, findings.c.asset_id, findings.c.stations)
        .where(mine, findings.c.state != "resolved")
        .where(~exists().where(incoming.c.finding_key == findings.c.finding_key))
    )
    verdict = _verdict(result, delta)
    states = [(row.finding_key, verdict(row.finding_key, row.rule_id, row.asset_id, row.stations)) for row in connection.execute(absent)]
    _seen(connection, mine, as_of)
    _new(connection, result.manifest.estate, as_of)
    if states:
        fill(connection, gone, states)
        connection.execute(
            update(findings)
            .where(mine, findings.c.finding_key == gone.c.finding_key)
            .values(state=gone.c.state, resolved_at=case((gone.c.state == "resolved", literal(as_of, Instant)), else_=None))
        )
        gone.drop(connection)
    incoming.drop(connection)


def _seen(connection: Connection, mine: Any, as_of: datetime) -> None:
    """Findings that were known: seen again, or come back."""
    returned, now = findings.c.state == "resolved", literal(as_of, Instant)
    connection.execute(
        update(findings)
        .where(mine, findings.c.finding_key == incoming.c.finding_key)
        .values(
            severity=incoming.c.severity,
            owner=incoming.c.owner,
            stations=incoming.c.stations,
            state=incoming.c.state,
            last_seen=now,
            resolved_at=None,
            open_since=case((returned, now), else_=findings.c.open_since),
            reopened=findings.c.reopened + case((returned, 1), else_=0),
        )
    )


def _new(connection: Connection, estate: str, as_of: datetime) -> None:
    now = literal(as_of, Instant)
    same = ("finding_key", "rule_id", "asset_id", "severity", "owner", "stations", "state")
    fresh = select(*(incoming.c[name] for name in same), literal(estate), now, now, now, literal(0)).where(
        ~exists().where(findings.c.estate == estate, findings.c.finding_key == incoming.c.finding_key)
    )
    names = [*same, "estate", "first_seen", "last_seen", "open_since", "reopened"]
    connection.execute(insert(findings).from_select(names, fresh, include_defaults=False))


def _verdict(result: AuditResult, delta: Delta | None) -> Callable[[str, str, str, str], str]:
    """What became of a finding that the ledger holds open and this audit does not have.

    The delta knows those that the audit before had. One that was unconfirmed then is in neither audit: it is resolved as soon as every
    station that saw it is complete again and either the asset is gone or its rule was judged and its verdict is known.
    """
    resolved, unconfirmed = (set(delta.resolved), set(delta.unconfirmed)) if delta else (set(), set())
    proves = _proof(result)

    def verdict(key: str, rule_id: str, asset_id: str, stations: str) -> str:
        if key in unconfirmed:
            return "unconfirmed"
        return "resolved" if key in resolved or proves(rule_id, asset_id, stations.split("\n")) else "unconfirmed"

    return verdict


def _proof(result: AuditResult) -> Callable[[str, str, Iterable[str]], bool]:
    manifest = result.manifest
    complete = {s.station for s in manifest.stations if s.complete}
    judged = set(manifest.rules) - set(manifest.not_evaluated)
    unknown = dict[str, set[str]]()
    for asset_id, rules in zip(result.assets["asset_id"].to_pylist(), result.assets["unknown_rules"].to_pylist(), strict=True):
        unknown.setdefault(asset_id, set()).update(rules or ())

    def proves(rule_id: str, asset_id: str, stations: Iterable[str]) -> bool:
        passes = rule_id in judged and rule_id not in unknown.get(asset_id, ())
        return (passes or asset_id not in unknown) and all(name in complete for name in stations)

    return proves
