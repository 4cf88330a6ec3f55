"""What an audit is made of, small enough to be passed from step to step: the plan, and the content that it judges by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from keymuster import __version__
from keymuster.content import digest
from keymuster.frameworks import Framework
from keymuster.policy import Policy
from keymuster.results import AuditManifest, StationStatus
from keymuster.rules import Rule
from keymuster.rules_model import Clause, Escalation, instant
from keymuster.schema import tables
from keymuster.waivers import Waiver

_RULES = TypeAdapter(tuple[Rule, ...])
_WAIVERS = TypeAdapter(tuple[Waiver, ...])
_FRAMEWORKS = TypeAdapter(tuple[Framework, ...])
PACKAGES = ("badkeys", "certifi", "cryptography", "great-expectations", "idna", "numpy", "pandas", "publicsuffixlist", "pyarrow")
"""Packages that parsed and judged, and those that hold reference data; their versions are part of the evidence."""


@dataclass(frozen=True)
class Content:
    """Everything that an audit judges by. Kept beside the plan, so that all shards judge by the same."""

    rules: tuple[Rule, ...]
    """By id, without their examples."""
    frameworks: tuple[Framework, ...]
    waivers: tuple[Waiver, ...]
    policy: Policy

    @classmethod
    def of(cls, rules: Iterable[Rule], frameworks: Iterable[Framework], waivers: Iterable[Waiver], policy: Policy) -> Content:
        """Content in its one order."""
        bare = sorted((replace(r, examples=(), path=None) for r in rules), key=lambda r: r.id)
        return cls(tuple(bare), tuple(sorted(frameworks, key=lambda f: f.id)), tuple(waivers), policy)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "rules": _RULES.dump_python(self.rules, mode="json"),
            "frameworks": _FRAMEWORKS.dump_python(self.frameworks, mode="json"),
            "waivers": _WAIVERS.dump_python(self.waivers, mode="json"),
            "policy": self.policy.model_dump(mode="json", exclude_unset=True),  # what it leaves open must stay open in every shard
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Content:
        """Inverse of `as_json`."""
        rules = tuple(_with_instants(r) for r in _RULES.validate_python(value["rules"]))
        frameworks = _FRAMEWORKS.validate_python(value["frameworks"])
        return cls(rules, frameworks, _WAIVERS.validate_python(value["waivers"]), Policy.model_validate(value["policy"]))

    def ruleset_sha256(self) -> str:
        """Digest of rules, frameworks and waivers."""
        return sha256({k: v for k, v in self.as_json().items() if k != "policy"})

    def policy_sha256(self) -> str:
        """Digest of the policy and of the files that it names."""
        named = [*(self.policy.approved_issuers or ()), *(self.policy.private_roots or ())]
        paths = [Path(n.removeprefix("file:")) for n in named if n.startswith("file:")]
        files = {p.name: digest(p) if p.exists() else "missing" for p in paths}
        document = {**self.as_json()["policy"], "approved_issuers": None, "private_roots": None}
        return sha256([document, [n for n in named if not n.startswith("file:")], files])


def _with_instants(rule: Rule) -> Rule:
    """JSON has no instants: values of clauses on instants become them again, lists become tuples."""
    escalations = tuple(Escalation(_clause(rule, e.clause), e.severity) for e in rule.severity_when)
    scope, expect = (tuple(_clause(rule, c) for c in part) for part in (rule.scope, rule.expect))
    return replace(rule, scope=scope, expect=expect, severity_when=escalations)


def _clause(rule: Rule, clause: Clause) -> Clause:
    dated = tables()[rule.table].columns[clause.column].dtype == "timestamp[us, UTC]"

    def again(value: Any) -> Any:
        if isinstance(value, list):
            return tuple(value)
        return instant(value) if dated and isinstance(value, str) else value

    return Clause(clause.column, clause.op, again(clause.value), tuple((since, again(v)) for since, v in clause.steps))


def sha256(value: Any) -> str:
    """Digest of plain JSON values; hex."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True, default=str).encode()).hexdigest()


def versions() -> dict[str, str]:
    """Keymuster and the packages that parsed and judged."""
    return {"keymuster": __version__, **{name: version(name) for name in PACKAGES}}


@dataclass(frozen=True)
class Plan:
    """An audit before it is made. Small; rows lie in the store's work folder."""

    estate: str
    as_of: datetime
    kind: str
    key: str
    shards: int
    """Zero if the audit is there already."""
    existing: str | None
    """Address of the audit with the same inputs, if there is one."""
    stations: tuple[StationStatus, ...]
    ruleset_sha256: str
    policy_sha256: str
    reference: Mapping[str, str]
    facts_unknown: Mapping[str, str]
    """Columns whose estate-wide survey failed, with the reason."""

    @property
    def folder(self) -> str:
        """Name of the audit in the store."""
        return f"{self.estate}/{self.as_of:%Y%m%dT%H%M%S%fZ}-{self.key[:16]}"

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values, for an XCom."""
        stations = [{**asdict(s), "snapshot": s.snapshot and s.snapshot.as_json()} for s in self.stations]
        return {**asdict(self), "as_of": self.as_of.isoformat(), "stations": stations}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Plan:
        """Inverse of `as_json`."""
        stations = AuditManifest.from_json({**_EMPTY, "stations": value["stations"]}).stations
        return cls(**{**value, "as_of": datetime.fromisoformat(value["as_of"]), "stations": stations})


_EMPTY: Mapping[str, Any] = {
    "key": "", "estate": "", "as_of": "1970-01-01T00:00:00+00:00", "kind": "", "ruleset_sha256": "", "policy_sha256": "", "rules": {},
    "not_evaluated": {}, "rows": {}, "assets": {}, "outcomes": {}, "versions": {},
}  # fmt: skip


def key_of(estate: str, as_of: datetime, kind: str, stations: Sequence[StationStatus], *digests: Any) -> str:
    """Key of an audit: the same inputs give the same key, whenever and wherever it is made."""
    seen = [[s.station, s.state, s.reason, s.snapshot.sha256 if s.snapshot else None] for s in stations]
    return sha256([estate, as_of.isoformat(), kind, seen, versions(), *digests])
