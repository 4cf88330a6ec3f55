"""The audit: plan, judge each shard, conclude. Same inputs, same key, same bytes; an audit that exists is recognised and not made again.

`plan` finds the last good snapshots, answers what needs the whole estate, cuts rows into shards. `judge_shard` computes facts and lets the
gate judge. `conclude` adds up, scores frameworks and writes `results`. Airflow maps the three; `audit` runs them in one process.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from keymuster import audit_facts, content, gate
from keymuster.audit_cut import Piece, cut, shard_count
from keymuster.audit_evidence import Evidence, Station, frame_of, gather, may_deliver
from keymuster.audit_plan import Content, Plan, key_of, versions
from keymuster.audit_tally import Sightings, Tally
from keymuster.frame import Frame
from keymuster.frameworks import Framework, controls
from keymuster.policy import Policy
from keymuster.protocols import FactContext
from keymuster.results import ASSETS, FINDINGS, OUTCOMES, UNKNOWNS, AuditManifest
from keymuster.rules import Rule
from keymuster.settings import settings
from keymuster.store import Store
from keymuster.store_packs import decode, encode
from keymuster.waivers import Waiver

log = logging.getLogger(__name__)

KINDS = ("live", "backfill", "what_if")
_PARTS = {"findings": FINDINGS, "outcomes": OUTCOMES, "unknowns": UNKNOWNS, "assets": ASSETS}


def audit(  # noqa: PLR0917 (the inputs of an audit, as every caller has them)
    store: Store,
    estate: str,
    stations: Sequence[Station],
    rules: Sequence[Rule],
    frameworks: Sequence[Framework],
    waivers: Sequence[Waiver],
    policy: Policy,
    as_of: datetime,
    kind: str,
    *,
    shards: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> str:
    """Make an audit in this process; its address. `progress` gets (shards done, shards). NoEvidence if no station has a snapshot."""
    made = plan(store, estate, stations, rules, frameworks, waivers, policy, as_of, kind, shards=shards)
    for index in range(made.shards):
        judge_shard(store, made, index)
        if progress is not None:
            progress(index + 1, made.shards)
    return conclude(store, made)


# --- plan ---------------------------------------------------------------------------------------------------


def plan(  # noqa: PLR0917 (the inputs of an audit, as every caller has them)
    store: Store,
    estate: str,
    stations: Sequence[Station],
    rules: Sequence[Rule],
    frameworks: Sequence[Framework],
    waivers: Sequence[Waiver],
    policy: Policy,
    as_of: datetime,
    kind: str,
    *,
    shards: int | None = None,
) -> Plan:
    """Decide what is judged and lay it out in the store's work folder. NoEvidence if no station has a snapshot at or before `as_of`."""
    if kind not in KINDS:
        raise ValueError(f"no kind of audit named {kind!r}; there are {', '.join(KINDS)}")
    as_of = as_of.astimezone(UTC)
    judged_by = Content.of(rules, frameworks, waivers, policy)
    evidence = gather(store, estate, stations, as_of)
    digests = judged_by.ruleset_sha256(), judged_by.policy_sha256()
    reference = _reference()
    key = key_of(estate, as_of, kind, evidence.stations, *digests, reference)
    made = Plan(estate, as_of, kind, key, 0, None, evidence.stations, *digests, reference, {})
    uri = f"audits/{made.folder}"
    if uri in store.audits(estate):
        return replace(made, existing=uri)
    unknown = _lay_out(store, made, judged_by, evidence, shards)
    count = shards or _shards(evidence)
    log.info("audit %s of %s: %s shards, %s stations, %s", made.folder, estate, count, len(evidence.stations), store.memory.told())
    return replace(made, shards=count, facts_unknown=unknown)


def _shards(evidence: Evidence) -> int:
    return shard_count(evidence.tables, settings().shard_rows, settings().max_shards)


def reference_folder() -> Path:
    """Dated reference data of this installation."""
    return (settings().checks or content.checks()) / "reference"


def _reference() -> dict[str, str]:
    """Reference data by file name -> 'date sha256'."""
    folder = reference_folder()
    index = content.read_yaml(folder / "index.yaml") if (folder / "index.yaml").is_file() else {}
    dates = {name: str(entry.get("date", "")) for name, entry in (index.get("files") or {}).items()}
    files = sorted(p for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else []
    return {p.relative_to(folder).as_posix(): f"{dates.get(p.name, 'undated')} {content.digest(p)}" for p in files}


def _lay_out(store: Store, made: Plan, judged_by: Content, evidence: Evidence, shards: int | None) -> dict[str, str]:
    """Survey, cut and write; the columns whose survey failed, with the reason."""
    known = audit_facts.modules()
    frames = {name: frame_of(name, table, evidence.delivers) for name, table in evidence.tables.items()}
    cells = audit_facts.wanted(judged_by.rules, frames, known)
    answers, failed = audit_facts.survey(cells, known, _context(store, made, judged_by.policy, frames))
    store.memory.keep()
    work = f"audit-{made.key}"
    for column, answer in answers.items():
        store.put_work(f"{work}/survey/{column}.parquet", encode(answer))
    pieces = cut(evidence.tables, shards or _shards(evidence), audit_facts.read_across(known))
    for index, shard in enumerate(pieces):
        for name, piece in shard.items():
            store.put_work(f"{work}/{index}/{name}.own.parquet", encode(piece.own))
            store.put_work(f"{work}/{index}/{name}.context.parquet", encode(piece.context))
        _put(store, f"{work}/{index}/tables.json", sorted(shard))
    rows = {name: table.num_rows for name, table in evidence.tables.items()}
    _put(store, f"{work}/content.json", judged_by.as_json())
    _put(store, f"{work}/evidence.json", {"delivers": evidence.delivers, "survey": sorted(answers), "rows": rows})
    return failed


def _context(store: Store, made: Plan, policy: Policy, frames: Mapping[str, Frame]) -> FactContext:
    return FactContext(made.as_of, policy, frames, reference_folder(), store.ders, memory=store.memory)


def _put(store: Store, name: str, value: Any) -> None:
    store.put_work(name, json.dumps(value, sort_keys=True).encode())


def _get(store: Store, name: str) -> Any:
    return json.loads(store.get_work(name))


# --- one shard ------------------------------------------------------------------------------------------------


def judge_shard(store: Store, made: Plan, index: int) -> None:
    """Judge the rows of one shard. Running it again gives the same; nothing happens if the audit is there already."""
    if _exists(store, made):
        return
    work = f"audit-{made.key}"
    judged_by = Content.from_json(_get(store, f"{work}/content.json"))
    evidence = _get(store, f"{work}/evidence.json")
    names = _get(store, f"{work}/{index}/tables.json")
    pieces = {name: Piece(_table(store, f"{work}/{index}/{name}.own"), _table(store, f"{work}/{index}/{name}.context")) for name in names}
    frames = {n: frame_of(n, pa.concat_tables([p.own, p.context]).combine_chunks(), evidence["delivers"]) for n, p in pieces.items()}
    answers = {column: _table(store, f"{work}/survey/{column}") for column in evidence["survey"]}
    known = audit_facts.modules()
    context = replace(_context(store, made, judged_by.policy, frames), survey=answers)
    cells = audit_facts.wanted(judged_by.rules, frames, known)
    frames, unknown = audit_facts.compute(frames, cells, known, context, made.facts_unknown)
    store.memory.keep()
    parts: dict[str, list[pa.Table]] = {name: [] for name in _PARTS}
    documents = {}
    for name, piece in pieces.items():
        if piece.own.num_rows:
            sightings = Sightings(_first(frames[name], piece.own.num_rows), frames.get("certificates"))
            tally = _tally(made, judged_by, sightings, unknown)
            documents[name] = gate.judge([r for r in judged_by.rules if r.table == name], tally.sightings.frame, made.as_of, tally)
            for part, table in tally.tables().items():
                parts[part].append(table)
    for part, schema in _PARTS.items():
        store.put_work(f"{work}/{index}/{part}.parquet", encode(pa.concat_tables([schema.empty_table(), *parts[part]])))
    _put(store, f"{work}/{index}/verdicts.json", {"documents": documents, "facts_unknown": unknown})
    log.info("shard %s of audit %s: %s rows, %s", index, made.folder, sum(p.own.num_rows for p in pieces.values()), store.memory.told())


def _table(store: Store, name: str) -> pa.Table:
    return decode(store.get_work(f"{name}.parquet"), name)


def _first(frame: Frame, rows: int) -> Frame:
    """The rows that are judged; context comes after them."""
    return Frame(frame.table, frame.data.iloc[:rows], {column: mask[:rows] for column, mask in frame.undelivered.items()})


def _tally(made: Plan, judged_by: Content, sightings: Sightings, unknown: Mapping[str, str]) -> Tally:
    waivers = [w for w in judged_by.waivers if w.in_force(made.as_of)]
    snapshots = {s.station: s.snapshot.uri for s in made.stations if s.snapshot}
    return Tally(sightings, waivers, snapshots, unknown, {s.station: s.source for s in made.stations})


def _exists(store: Store, made: Plan) -> bool:
    return made.existing is not None or f"audits/{made.folder}" in store.audits(made.estate)


# --- conclusion -------------------------------------------------------------------------------------------------


def conclude(store: Store, made: Plan) -> str:
    """Add the shards up and write the audit; its address."""
    if _exists(store, made):
        return made.existing or f"audits/{made.folder}"
    work = f"audit-{made.key}"
    judged_by = Content.from_json(_get(store, f"{work}/content.json"))
    rows: dict[str, int] = _get(store, f"{work}/evidence.json")["rows"]
    shards = [_get(store, f"{work}/{i}/verdicts.json") for i in range(made.shards)]
    read = {part: pa.concat_tables(_table(store, f"{work}/{i}/{part}") for i in range(made.shards)) for part in _PARTS}
    outcomes = _added(read["outcomes"], OUTCOMES)
    not_evaluated, partly = _gaps(made, judged_by.rules, rows)
    tables = {
        "findings": read["findings"].sort_by([("rule_id", "ascending"), ("asset_id", "ascending")]),
        "unknowns": _added(read["unknowns"], UNKNOWNS),
        "outcomes": outcomes,
        "assets": read["assets"].sort_by([("table", "ascending"), ("asset_id", "ascending")]),
        "controls": controls(judged_by.frameworks, outcomes, not_evaluated, partly),
    }
    files = {f"{name}.parquet": encode(table.combine_chunks()) for name, table in tables.items()}
    files |= {f"validations/{name}.json": _json(document) for name, document in _documents(shards).items()}
    files["manifest.json"] = _json(_manifest(made, judged_by, rows, not_evaluated, tables, shards).as_json())
    uri = store.put_audit(made.folder, files)
    store.drop_work(work)
    return uri


def _added(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Counts of all shards, one row for each distinct set of names."""
    names = [n for n in schema.names if n != "assets"]
    summed = table.group_by(names).aggregate([("assets", "sum")]).rename_columns([*names, "assets"])
    return summed.select(schema.names).cast(schema).sort_by([(n, "ascending") for n in names])


def _documents(shards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """GX documents by file name: a table, or a table and shard where there are several."""
    several = len(shards) > 1
    return {
        f"{name}.shard-{i:03}" if several else name: document
        for i, shard in enumerate(shards)
        for name, document in sorted(shard["documents"].items())
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=True, default=str).encode()


def _gaps(made: Plan, rules: Sequence[Rule], rows: Mapping[str, int]) -> tuple[dict[str, str], dict[str, str]]:
    """Rules without any verdict, and rules whose verdicts lack an absent station; both with the reason."""
    absent = [s for s in made.stations if s.state == "absent"]
    not_evaluated, partly = {}, {}
    for rule in rules:
        silent = "; ".join(f"station {s.station}: {s.reason}" for s in absent if may_deliver(s.source, rule.table))
        if not rows.get(rule.table):
            not_evaluated[rule.id] = silent or f"no station has rows of {rule.table}"
        elif silent:
            partly[rule.id] = silent
    return not_evaluated, partly


def _manifest(  # noqa: PLR0917 (what the manifest tells of)
    made: Plan,
    judged_by: Content,
    rows: Mapping[str, int],
    not_evaluated: Mapping[str, str],
    tables: Mapping[str, pa.Table],
    shards: Sequence[Mapping[str, Any]],
) -> AuditManifest:
    whole = tables["outcomes"].filter(pc.equal(tables["outcomes"]["station"], "")).to_pylist()
    outcomes: Counter[str] = Counter()
    for row in whole:
        outcomes[row["outcome"]] += row["assets"]
    return AuditManifest(
        key=made.key,
        estate=made.estate,
        as_of=made.as_of,
        kind=made.kind,
        ruleset_sha256=made.ruleset_sha256,
        policy_sha256=made.policy_sha256,
        stations=made.stations,
        rules={r.id: _about(r) for r in judged_by.rules},
        not_evaluated=not_evaluated,
        rows=rows,
        assets=dict(sorted(Counter(tables["assets"]["table"].to_pylist()).items())),
        outcomes=dict(sorted(outcomes.items())),
        versions=versions(),
        reference=made.reference,
        facts_unknown={k: v for shard in reversed(shards) for k, v in sorted(shard["facts_unknown"].items())},
    )


def _about(rule: Rule) -> dict[str, Any]:
    citation = {name: getattr(rule.citation, name) for name in ("document", "section", "url")}
    return {
        "code": rule.code, "title": rule.title, "table": rule.table, "severity": rule.severity.label, "unverified": rule.unverified,
        "why": rule.why, "rationale": rule.rationale, "remediation": rule.remediation, "citation": citation,
    }  # fmt: skip
