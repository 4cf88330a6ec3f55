"""Reads rule files: pydantic at the border, then frozen `Rule`s. Every mistake names the file, the clause and what there is instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from keymuster.content import checks, read_yaml
from keymuster.errors import ContentError
from keymuster.model import Outcome, Severity
from keymuster.rules_model import Citation, Clause, Escalation, Example, Knob, Rule, Value, instant
from keymuster.schema import Column, tables

_NUMBERS = {"Int64", "Float64"}
_ORDERED = _NUMBERS | {"timestamp[us, UTC]"}
_ANY = _ORDERED | {"bool", "string", "list<string>"}
FITS: Mapping[str, set[str]] = {
    "is": {"bool", "string"} | _NUMBERS,
    "is_not": {"bool", "string"} | _NUMBERS,
    "at_least": _ORDERED,
    "at_most": _ORDERED,
    "one_of": {"string", "Int64"},
    "none_of": {"string", "Int64"},
    "matches": {"string", "list<string>"},
    "contains_any": {"list<string>"},
    "contains_none": {"list<string>"},
    "contains_only": {"list<string>"},
    "present": _ANY,
    "absent": _ANY,
}
"""The closed vocabulary: operator -> data types that it fits."""
SEVERAL = {"one_of", "none_of", "contains_any", "contains_none", "contains_only"}
"""Operators that take a list of values."""
_ELEMENT: Mapping[str, tuple[type, ...]] = {
    "bool": (bool,),
    "Int64": (int,),
    "Float64": (int, float),
    "string": (str,),
    "list<string>": (str,),
    "timestamp[us, UTC]": (str, date, datetime),
}
_LEFTOVER = re.compile(r"\b(TODO|FIXME|XXX|TBD|CHANGEME)\b|<[a-z ]+ here>|lorem ipsum", re.IGNORECASE)
_Severity = Literal["info", "low", "medium", "high", "critical"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Clause(_Strict):
    column: str
    op: str
    value: Any = None


class _Escalation(_Clause):
    severity: _Severity


class _Citation(_Strict):
    document: str = Field(min_length=3)
    section: str = Field(min_length=1)
    url: str = Field(pattern=r"^(https?://\S+|urn:keymuster:default)$")


class _Knob(_Strict):
    clause: str
    unit: str
    meaning: str


class _Example(_Strict):
    name: str = Field(min_length=1)
    row: dict[str, Any]
    outcome: Literal["pass", "fail", "unknown", "not_applicable", "not_effective"]


class RuleFile(_Strict):
    """The form of `checks/rules/<family>/<rule id>.yaml`."""

    id: str = Field(pattern=r"^[a-z0-9]+\.[a-z0-9_]+\.[a-z0-9_]+$")
    code: str = Field(pattern=r"^[A-Z]+-\d{3}[a-e]?$")
    title: str = Field(min_length=5)
    table: str
    severity: _Severity
    severity_when: list[_Escalation] = []
    scope: list[_Clause]
    expect: list[_Clause] = Field(min_length=1)
    dated_by: str | None = None
    tunable: dict[str, _Knob] = {}
    citation: _Citation
    mappings: dict[str, list[str]]
    rationale: str = Field(min_length=20)
    remediation: str = Field(min_length=5)
    examples: list[_Example] = Field(min_length=2)
    unverified: bool = False
    why: str | None = None
    note: str | None = None


def load_rules(*roots: Path) -> tuple[Rule, ...]:
    """All rules at or below the roots (default: the shipped ones), sorted by id. ContentError on the first file that is wrong."""
    paths = [p for root in roots or (checks() / "rules",) for p in _files(root)]
    rules: dict[str, Rule] = {}
    codes: dict[str, Rule] = {}
    for path in paths:
        rule = read_rule(path)
        for key, seen in ((rule.id, rules), (rule.code, codes)):
            if key in seen:
                raise ContentError(f"{path}: {key} is there already, in {seen[key].path}")
            seen[key] = rule
    return tuple(rules[i] for i in sorted(rules))


def _files(root: Path) -> list[Path]:
    if not root.exists():
        raise ContentError(f"{root}: there are no rules, the path does not exist")
    return [root] if root.is_file() else sorted(root.rglob("*.yaml"))


def read_rule(path: Path) -> Rule:
    """Read one file; ContentError says what is wrong and where."""
    document = read_yaml(path)
    if not isinstance(document, dict):
        raise ContentError(f"{path}: a rule is a mapping of fields, not a {type(document).__name__}")
    try:
        parsed = RuleFile.model_validate(document)
    except ValidationError as error:
        raise ContentError(f"{path}: {_first(error, document)}") from None
    try:
        return _Checker(parsed, path).rule()
    except ContentError as error:
        raise ContentError(f"{path}: rule {parsed.id}: {error}") from None


def _first(error: ValidationError, document: Mapping[str, Any]) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"no field named {where!r}{_nearest(str(first['loc'][-1]), RuleFile.model_fields)}"
    return f"{document.get('id', 'rule')}: {where}: {first['msg']}"


def _nearest(word: str, there: Iterable[str]) -> str:
    names = list(there)
    close = difflib.get_close_matches(word, names, 1, 0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(sorted(names))}"


class _Checker:
    """Turns one parsed file into a Rule, clause by clause."""

    def __init__(self, parsed: RuleFile, path: Path) -> None:
        self.parsed, self.path = parsed, path
        self.columns: Mapping[str, Column] = {}

    def rule(self) -> Rule:
        parsed = self.parsed
        if self.path.stem != parsed.id:
            raise ContentError(f"the file must be named {parsed.id}.yaml")
        if parsed.table not in tables():
            raise ContentError(f"no table named {parsed.table!r}{_nearest(parsed.table, tables())}")
        self.columns = tables()[parsed.table].columns
        self._no_leftovers()
        scope = tuple(self._clause(f"scope.{i}", c, stepped=False) for i, c in enumerate(parsed.scope))
        expect = tuple(self._clause(f"expect.{i}", c, stepped=True) for i, c in enumerate(parsed.expect))
        self._dating(expect)
        self._knobs()
        if parsed.unverified != (parsed.why is not None):
            raise ContentError("`unverified` and `why` go together")
        return Rule(
            id=parsed.id,
            code=parsed.code,
            title=parsed.title,
            table=parsed.table,
            severity=Severity.of(parsed.severity),
            scope=scope,
            expect=expect,
            severity_when=tuple(self._escalation(i, e) for i, e in enumerate(parsed.severity_when)),
            dated_by=parsed.dated_by,
            tunable={name: Knob(**k.model_dump()) for name, k in parsed.tunable.items()},
            citation=Citation(**parsed.citation.model_dump()),
            mappings={f: tuple(c) for f, c in parsed.mappings.items()},
            rationale=parsed.rationale,
            remediation=parsed.remediation,
            examples=tuple(self._example(e) for e in parsed.examples),
            unverified=parsed.unverified,
            why=parsed.why,
            note=parsed.note,
            path=self.path,
        )

    def _no_leftovers(self) -> None:
        for name in ("title", "rationale", "remediation", "why", "note"):
            found = _LEFTOVER.search(getattr(self.parsed, name) or "")
            if found:
                raise ContentError(f"{name}: {found.group()!r} is left over from the template")

    def _dating(self, expect: tuple[Clause, ...]) -> None:
        by, stepped = self.parsed.dated_by, [i for i, c in enumerate(expect) if c.steps]
        if stepped and by is None:
            raise ContentError(f"expect.{stepped[0]}: a stepped value needs `dated_by`, a column with an instant or as_of")
        if by is not None and not stepped:
            raise ContentError("dated_by: no clause of `expect` has a stepped value")
        instants = [n for n, c in self.columns.items() if c.dtype == "timestamp[us, UTC]"]
        if by is not None and by != "as_of" and by not in instants:
            raise ContentError(f"dated_by: {by!r} is no instant of {self.parsed.table}{_nearest(by, ['as_of', *instants])}")

    def _knobs(self) -> None:
        document: Any = self.parsed.model_dump()
        for name, knob in self.parsed.tunable.items():
            at = document
            for step in knob.clause.split("."):
                try:
                    at = at[int(step)] if step.isdigit() else at[step]
                except (KeyError, IndexError, TypeError):
                    raise ContentError(f"tunable {name}: {knob.clause} points at nothing") from None

    def _escalation(self, i: int, raw: _Escalation) -> Escalation:
        return Escalation(self._clause(f"severity_when.{i}", raw, stepped=False), Severity.of(raw.severity))

    def _example(self, raw: _Example) -> Example:
        for name in raw.row:
            if name != "as_of" and name not in self.columns:
                raise ContentError(f"example {raw.name!r}: no column named {name!r} in {self.parsed.table}{_nearest(name, self.columns)}")
        row = {n: self._cell(raw.name, n, v) for n, v in raw.row.items()}
        return Example(raw.name, row, Outcome(raw.outcome))

    def _cell(self, example: str, name: str, value: Any) -> Any:
        dtype = "timestamp[us, UTC]" if name == "as_of" else self.columns[name].dtype
        if value is None:
            return None
        if dtype == "timestamp[us, UTC]":
            return self._instant(f"example {example!r}: {name}", value)
        items = value if dtype == "list<string>" and isinstance(value, list) else [value]
        if (dtype == "list<string>") != isinstance(value, list) or not all(_is(dtype, v) for v in items):
            raise ContentError(f"example {example!r}: {name}: {value!r} is no {dtype}")
        return value

    def _clause(self, where: str, raw: _Clause, *, stepped: bool) -> Clause:
        if raw.op not in FITS:
            raise ContentError(f"{where}: no operator named {raw.op!r}{_nearest(raw.op, FITS)}")
        if raw.column not in self.columns:
            raise ContentError(f"{where}: no column named {raw.column!r} in {self.parsed.table}{_nearest(raw.column, self.columns)}")
        dtype = self.columns[raw.column].dtype
        if dtype not in FITS[raw.op]:
            raise ContentError(f"{where}: {raw.op} does not fit {raw.column}, which is {dtype}; it fits {', '.join(sorted(FITS[raw.op]))}")
        given = "value" in raw.model_fields_set
        if given == (raw.op in ("present", "absent")):
            raise ContentError(f"{where}: {raw.op} takes no value" if given else f"{where}: {raw.op} needs a value")
        if not isinstance(raw.value, dict):
            return Clause(raw.column, raw.op, self._value(where, raw.op, dtype, raw.value) if given else None)
        if not stepped:
            raise ContentError(f"{where}: stepped values stand in `expect` only")
        if not raw.value or not all(type(k) is date for k in raw.value):
            raise ContentError(f"{where}: the steps of a value start at dates (YYYY-MM-DD)")
        steps = [(instant(k), self._value(f"{where} from {k}", raw.op, dtype, v)) for k, v in sorted(raw.value.items())]
        return Clause(raw.column, raw.op, None, tuple(steps))

    def _value(self, where: str, op: str, dtype: str, value: Any) -> Value:
        if op in SEVERAL:
            if not isinstance(value, list) or not value or not all(_is(dtype, v) for v in value):
                raise ContentError(f"{where}: {op} takes a list of one or more values that fit {dtype}, not {value!r}")
            return tuple(value)
        if op == "matches":
            return self._regex(where, value)
        if not _is(dtype, value):
            raise ContentError(f"{where}: {value!r} is no {dtype}")
        result: Value = self._instant(where, value) if dtype == "timestamp[us, UTC]" else value
        return result

    def _instant(self, where: str, value: Any) -> datetime:
        try:
            return instant(value)
        except (ValueError, TypeError, AttributeError):
            raise ContentError(f"{where}: {value!r} is no instant (YYYY-MM-DDTHH:MM:SSZ)") from None

    def _regex(self, where: str, value: Any) -> str:
        """Must be RE2 as well: linear in time, no back-references, so that hostile text cannot stall an audit."""
        if not isinstance(value, str):
            raise ContentError(f"{where}: {value!r} is no regular expression")
        try:
            re.compile(value)
            pc.match_substring_regex(pa.array([""]), anchored(value))
        except (re.error, pa.ArrowInvalid) as error:
            raise ContentError(f"{where}: {value!r} is no regular expression that RE2 takes ({error})") from None
        return value


def anchored(pattern: str) -> str:
    r"""The pattern for the whole text, in RE2's syntax (`\z`, not Python's `\Z`)."""
    return rf"\A(?:{pattern})\z"


def _is(dtype: str, value: Any) -> bool:
    return isinstance(value, _ELEMENT[dtype]) and isinstance(value, bool) == (dtype == "bool")
