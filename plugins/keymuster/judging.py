"""Judges certificate and key files by themselves, without an estate: what `keymuster judge` does. Streams; memory is bound by the batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from keymuster import audit_facts, content
from keymuster.audit_evidence import frame_of
from keymuster.frame import Frame
from keymuster.model import Coverage, Problem, Record, Severity
from keymuster.normalise import normalise
from keymuster.policy import Policy
from keymuster.protocols import FactContext
from keymuster.rules import FAIL, ORDER, Reader, Rule, judge
from keymuster.sources import files

BATCH = 4_000
"""Things judged at once."""
TABLES = ("certificates", "keys")
STATION = "judge"
_ALONE = "it needs a whole estate, and a file is judged by itself"


@dataclass(frozen=True)
class Judged:
    """What the rules say of one certificate or key."""

    table: str
    fingerprint: str
    """asset_id: sha256 of the certificate or of the SubjectPublicKeyInfo."""
    label: str
    """Subject or place, for people. Hostile text."""
    outcomes: Mapping[str, str]
    """Outcome by rule id."""
    failures: Mapping[str, Severity]
    """Severity of each rule that fails, `severity_when` taken into account."""


@dataclass(frozen=True)
class FileVerdict:
    """What was found in one file."""

    path: str
    assets: Sequence[Judged]
    problems: Sequence[Problem]

    def failures(self) -> list[tuple[Severity, str, Judged]]:
        """Rules that fail, worst first, with their severity and the asset."""
        failed = [(severity, rule, asset) for asset in self.assets for rule, severity in asset.failures.items()]
        return sorted(failed, key=lambda f: (-f[0], f[1], f[2].fingerprint))


@dataclass(frozen=True)
class Judge:
    """Rules, policy and instant by which files are judged."""

    rules: Sequence[Rule]
    policy: Policy
    as_of: datetime
    role: str = "served"
    """Role given to certificates; `served` judges them as if they were in use."""

    def files(self, paths: Sequence[Path], passwords: Sequence[str] = ()) -> Iterator[FileVerdict]:
        """One verdict a file, in the order in which files are met; a file that holds nothing of ours is told only if it was named."""
        stream = files.collect(files.Settings.model_validate({"paths": paths, "passwords": passwords, "exclude": ()}))
        seen: set[str] = set()
        for path, items in _by_file(stream):
            seen.add(path)
            yield from self._flush(path, items)
        yield from self._flush(None, [])
        for named in paths:
            if named.is_file() and str(named) not in seen:
                yield FileVerdict(str(named), (), (Problem("nothing_recognised", str(named), "no certificate and no key in it"),))

    @cached_property
    def _waiting(self) -> list[tuple[str, list[Record | Problem]]]:
        return []

    def _flush(self, path: str | None, items: list[Record | Problem]) -> Iterator[FileVerdict]:
        if path is not None:
            self._waiting.append((path, items))
        if path is None or sum(len(i) for _, i in self._waiting) >= BATCH:
            yield from self._judged(self._waiting)
            self._waiting.clear()

    def _judged(self, batch: list[tuple[str, list[Record | Problem]]]) -> Iterator[FileVerdict]:
        records = [i for _, items in batch for i in items if isinstance(i, Record)]
        by_place, unreadable = self.records(records)
        for path, items in batch:
            places = [(i.table, i.locator) for i in items if isinstance(i, Record)]
            problems = [i for i in items if isinstance(i, Problem)] + [unreadable[p] for p in places if p in unreadable]
            yield FileVerdict(path, [by_place[p] for p in places if p in by_place], problems)

    def records(self, records: Iterable[Record]) -> tuple[dict[tuple[str, str], Judged], dict[tuple[str, str], Problem]]:
        """Verdicts and problems by (table, locator). The bulk of the work, columnar throughout."""
        taken = [self._with_role(r) for r in records]
        stream: list[Record | Problem | Coverage] = [*taken, Coverage(None, len(taken))]
        made = normalise(stream, station=STATION, source="files", as_of=self.as_of, delivers=files.DELIVERS)
        delivers = {STATION: {table: sorted(columns) for table, columns in made.delivers.items()}}
        frames = {t: frame_of(t, made.tables[t], delivers) for t in TABLES if t in made.tables and made.tables[t].num_rows}
        frames = self._with_facts(frames, made.ders)
        judged = {place: verdict for table in frames for place, verdict in self._verdicts(frames[table])}
        tables = {r.locator: r.table for r in taken}
        return judged, {(tables[p.locator], p.locator): p for p in made.problems if p.locator in tables}

    def _with_role(self, record: Record) -> Record:
        is_certificate = record.table == "certificates"
        return replace(record, attributes={**record.attributes, "role": self.role}) if is_certificate else record

    def _with_facts(self, frames: Mapping[str, Frame], ders: Mapping[str, bytes]) -> dict[str, Frame]:
        known = audit_facts.modules()
        cells = audit_facts.wanted(self.rules, frames, known)
        alone = {column: _ALONE for table, column in cells if hasattr(known.get((table, column)), "survey")}
        kept = {f: ders[f] for f in ders}
        context = FactContext(self.as_of, self.policy, frames, content.checks() / "reference", lambda wanted: _some(kept, wanted))
        return audit_facts.compute(frames, cells, known, context, alone)[0]

    def _verdicts(self, frame: Frame) -> Iterator[tuple[tuple[str, str], Judged]]:
        rules = [r for r in self.rules if r.table == frame.table]
        reader = Reader(frame)
        labels = np.array([str(o) for o in ORDER], dtype=object)
        verdicts = [judge(r, reader, self.as_of) for r in rules]
        codes = np.stack([v.codes for v in verdicts]) if rules else np.empty((0, len(frame)), dtype=np.int8)
        ids = [r.id for r in rules]
        failures: dict[int, dict[str, Severity]] = {}
        for verdict in verdicts:
            failing = np.flatnonzero(verdict.codes == FAIL)
            for row, severity in zip(failing.tolist(), verdict.severities()[failing].tolist(), strict=True):
                failures.setdefault(row, {})[verdict.rule.id] = Severity(severity)
        named = frame.arrow("subject") if frame.table == "certificates" else frame.arrow("locator")
        columns = [pc.fill_null(a, "").to_pylist() for a in (frame.arrow("locator"), frame.arrow("asset_id"), named)]
        for number, (locator, asset_id, label, row) in enumerate(zip(*columns, labels[codes.T].tolist(), strict=True)):
            outcomes = dict(zip(ids, row, strict=True))
            yield (frame.table, locator), Judged(frame.table, asset_id, label, outcomes, failures.get(number, {}))


def _some(kept: Mapping[str, bytes], wanted: Iterable[str]) -> dict[str, bytes]:
    return {f: kept[f] for f in wanted if f in kept}


def _by_file(stream: Iterator[Record | Problem | Coverage]) -> Iterator[tuple[str, list[Record | Problem]]]:
    """Records and problems of one file at a time; the first thing in a file stands at the file's own path, later ones behind a `#`."""
    path: str | None = None
    items: list[Record | Problem] = []
    for item in stream:
        if isinstance(item, Coverage):
            continue
        here = _path(item.locator or "")
        if here != path and items:
            yield path or "", items
            items = []
        path = here
        items.append(item)
    if items:
        yield path or "", items


def _path(locator: str) -> str:
    return locator if "#" not in locator or Path(locator).exists() else locator.rsplit("#", 1)[0]


def as_json(verdict: FileVerdict) -> dict[str, Any]:
    """One object a file: the first certificate or key at the top, further ones under `more`. Stable: see docs/judge.md."""
    assets = [{"table": a.table, "fingerprint": a.fingerprint, "label": a.label, "outcomes": dict(a.outcomes)} for a in verdict.assets]
    first: dict[str, Any] = assets[0] if assets else {"table": None, "fingerprint": None, "label": None, "outcomes": {}}
    problems = [{"code": p.code, "detail": p.detail} for p in verdict.problems]
    return {"file": verdict.path, **first, "problems": problems, **({"more": assets[1:]} if assets[1:] else {})}
