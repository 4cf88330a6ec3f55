"""Regulations as data (`checks/frameworks/*.yaml`): which rules are evidence for which requirement, and how far they are met.

A finding is evidence about a requirement, its absence no proof of conformity. What nobody evaluated is told beside every number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from keymuster.content import checks, read_yaml
from keymuster.errors import ContentError
from keymuster.results import CONTROLS

_SLUG = r"^[a-z0-9]+\.[a-z0-9_]+\.[a-z0-9_]+$"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Strict):
    """A text that the framework's file rests on, and how far it was read."""

    document: str
    url: str
    read: str


class Requirement(_Strict):
    """One requirement, in our own words."""

    id: str
    title: str
    requirement: str
    evidence: str
    rules: tuple[str, ...] = Field(default=(), description="Rules whose findings are evidence; each must exist.")
    planned: tuple[str, ...] = Field(default=(), description="Rules that may not be there yet; they count as soon as they are.")
    manual: str | None = Field(default=None, description="Why something, or everything, stays with people.")
    unverified: bool = False
    why: str | None = None


class Framework(_Strict):
    """One regulation, standard or guideline."""

    id: str
    name: str
    version: str
    date: str
    status: str
    scope: str
    sources: tuple[Source, ...] = Field(min_length=1)
    notes: tuple[str, ...] = ()
    requirements: tuple[Requirement, ...] = Field(min_length=1)


def load_frameworks(*roots: Path, rules: Iterable[str]) -> tuple[Framework, ...]:
    """All frameworks at or below the roots (default: the shipped ones), by id. `rules`: ids of the rules that there are.

    ContentError names the file and the requirement.
    """
    known, found = set(rules), {}
    for root in roots or (checks() / "frameworks",):
        if not root.exists():
            raise ContentError(f"{root}: there are no frameworks, the path does not exist")
        for path in [root] if root.is_file() else sorted(root.rglob("*.yaml")):
            framework = _read(path, known)
            if framework.id in found:
                raise ContentError(f"{path}: framework {framework.id} is there already")
            found[framework.id] = framework
    return tuple(found[i] for i in sorted(found))


def _read(path: Path, known: set[str]) -> Framework:
    document = read_yaml(path)
    if not isinstance(document, dict):
        raise ContentError(f"{path}: a framework is a mapping of fields, not a {type(document).__name__}")
    try:
        framework = Framework.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        raise ContentError(f"{path}: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from None
    for id_, n in Counter(q.id for q in framework.requirements).items():
        if n > 1:
            raise ContentError(f"{path}: requirement {id_} is there {n} times")
    for requirement in framework.requirements:
        _check(f"{path}: requirement {requirement.id}", requirement, known)
    return framework


def _check(where: str, requirement: Requirement, known: set[str]) -> None:
    if not (requirement.rules or requirement.planned or requirement.manual):
        raise ContentError(f"{where}: needs rules, or a reason under `manual` why it stays with people")
    if requirement.unverified != (requirement.why is not None):
        raise ContentError(f"{where}: `unverified` and `why` go together")
    missing = [r for r in requirement.rules if r not in known]
    if missing:
        raise ContentError(f"{where}: no rule named {missing[0]!r}; a rule that is still to come stands under `planned`")
    twice = set(requirement.rules) & set(requirement.planned)
    if twice:
        raise ContentError(f"{where}: {min(twice)} stands under `rules` and under `planned`")


@dataclass
class _Tally:
    """What the verdicts say of one requirement."""

    counts: Counter[str] = field(default_factory=Counter)
    gaps: list[str] = field(default_factory=list)
    judged: int = 0


def score(
    framework: Framework, outcomes: pa.Table, not_evaluated: Mapping[str, str], partly: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Rows of CONTROLS. `outcomes` as in OUTCOMES; `not_evaluated`: rule -> reason, `partly`: rule -> what was missing beside its verdicts.

    A requirement is `met` only if every rule that is evidence for it was evaluated in full and nothing failed or stayed unknown.
    """
    verdicts: dict[str, Counter[str]] = {}
    for row in outcomes.to_pylist():
        if row["station"] == "":
            verdicts.setdefault(row["rule_id"], Counter())[row["outcome"]] += row["assets"]
    return [_row(framework, q, _tally(q, verdicts, not_evaluated, partly or {})) for q in framework.requirements]


def _tally(
    requirement: Requirement, verdicts: Mapping[str, Counter[str]], not_evaluated: Mapping[str, str], partly: Mapping[str, str]
) -> _Tally:
    tally = _Tally()
    for rule in (*requirement.rules, *requirement.planned):
        if rule in verdicts:
            tally.judged += 1
            tally.counts += verdicts[rule]
            if rule in partly:
                tally.gaps.append(f"{rule}: in part: {partly[rule]}")
        elif rule in not_evaluated:
            tally.gaps.append(f"{rule}: {not_evaluated[rule]}")
        else:
            tally.gaps.append(f"{rule}: is not in this rule set")
    return tally


def _row(framework: Framework, requirement: Requirement, tally: _Tally) -> dict[str, Any]:
    counts = tally.counts
    denominator = sum(counts[o] for o in ("pass", "fail", "waived", "unknown"))
    return {
        "framework": framework.id,
        "framework_name": framework.name,
        "requirement": requirement.id,
        "title": requirement.title,
        "status": _status(requirement, tally, denominator),
        "passed": counts["pass"],
        "failed": counts["fail"],
        "waived": counts["waived"],
        "unknown": counts["unknown"],
        "denominator": denominator,
        "not_evaluated": tally.gaps,
        "rules": sorted((*requirement.rules, *requirement.planned)),
        "manual": requirement.manual,
        "unverified": requirement.unverified,
    }


def _status(requirement: Requirement, tally: _Tally, denominator: int) -> str:
    if not tally.judged and requirement.manual:
        return "manual"
    if tally.counts["fail"]:
        return "failed"
    if not denominator:
        return "no_evidence"
    return "unknown" if tally.counts["unknown"] or tally.gaps else "met"


def controls(
    frameworks: Iterable[Framework], outcomes: pa.Table, not_evaluated: Mapping[str, str], partly: Mapping[str, str] | None = None
) -> pa.Table:
    """All frameworks scored, as a table of CONTROLS."""
    return pa.Table.from_pylist([row for f in frameworks for row in score(f, outcomes, not_evaluated, partly)], CONTROLS)
