"""What a rule is, once its file has been read: frozen values, nothing of YAML or pydantic left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from keymuster.model import Outcome, Severity

Value = bool | int | float | str | datetime | tuple[Any, ...]
"""What a clause compares with; tuples for the operators that take several values."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One column compared with one value: true, false or unknown for each row."""

    column: str
    op: str
    value: Value | None = None
    """None for `present` and `absent`, and for stepped clauses."""
    steps: tuple[tuple[datetime, Value], ...] = ()
    """(since, value), ascending: the value in force at the instant in the rule's `dated_by`."""

    def in_words(self, value: Value | None = None) -> str:
        """The demand for people, e.g. `key_bits at least 2048`; for stepped clauses with the value of one step."""
        wanted = self.value if value is None else value
        text = "" if wanted is None else ", ".join(map(_plain, wanted)) if isinstance(wanted, tuple) else _plain(wanted)
        return f"{self.column} {self.op.replace('_', ' ')} {text}".rstrip()


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else str(value)


@dataclass(frozen=True, slots=True)
class Escalation:
    """A failing row for which the clause is true has this severity instead; the first one that fits counts."""

    clause: Clause
    severity: Severity


@dataclass(frozen=True, slots=True)
class Citation:
    """The text that the rule rests on."""

    document: str
    section: str
    url: str


@dataclass(frozen=True, slots=True)
class Knob:
    """A value that is a default of the tool and not of the cited text."""

    clause: str
    """Path inside the rule, e.g. `expect.0.value`."""
    unit: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Example:
    """One row and what the rule must say of it; each one is a test."""

    name: str
    row: Mapping[str, Any]
    """Columns by name; one that is left out is not delivered, None is null. `as_of` sets the day of the audit."""
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: it says of one asset exactly one outcome."""

    id: str
    """`family.subject.property`, in terms of the good state; never changes."""
    code: str
    title: str
    table: str
    severity: Severity
    scope: tuple[Clause, ...]
    expect: tuple[Clause, ...]
    citation: Citation
    mappings: Mapping[str, tuple[str, ...]]
    """Framework id -> requirement ids for which a finding is evidence."""
    rationale: str
    remediation: str
    examples: tuple[Example, ...]
    severity_when: tuple[Escalation, ...] = ()
    dated_by: str | None = None
    """Column with the instant that picks the step of stepped values, or `as_of`."""
    tunable: Mapping[str, Knob] = field(default_factory=dict)
    unverified: bool = False
    why: str | None = None
    """What could not be checked against the cited text; there if and only if `unverified`."""
    note: str | None = None
    path: Path | None = field(default=None, compare=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that the rule reads, sorted."""
        clauses = [*self.scope, *self.expect, *(e.clause for e in self.severity_when)]
        dated = {self.dated_by} - {None, "as_of"}
        return tuple(sorted({c.column for c in clauses} | {d for d in dated if d}))


def instant(value: date | datetime | str) -> datetime:
    """Start of the day in UTC, the instant itself, or ISO 8601 text with a zone as an aware instant; ValueError otherwise."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value if value.tzinfo else value.replace(tzinfo=UTC)
