"""A plain evaluator of rules, row by row: what the vectorised one must agree with. Slow, obvious, shares no code with it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from keymuster.rules_model import Clause, Rule
from keymuster.schema import tables

UNKNOWN, NOTHING = object(), object()
"""A value that nobody delivered, and a value that is known not to be there."""


def holds(table: str, clause: Clause, row: dict[str, Any], wanted: Any) -> bool | None:
    value = row.get(clause.column, UNKNOWN)
    if value is None:
        value = NOTHING if tables()[table].columns[clause.column].missing == "none" else UNKNOWN
    if value is UNKNOWN:
        return None
    if clause.op in ("present", "absent"):
        return (value is NOTHING or value in ([], "")) == (clause.op == "absent")
    if value is NOTHING:
        return clause.op in ("is_not", "none_of", "contains_none", "contains_only")
    texts = value if isinstance(value, list) else [value]
    return {
        "is": lambda: value == wanted,
        "is_not": lambda: value != wanted,
        "at_least": lambda: value >= wanted,
        "at_most": lambda: value <= wanted,
        "one_of": lambda: value in wanted,
        "none_of": lambda: value not in wanted,
        "matches": lambda: all(re.fullmatch(wanted, text, re.ASCII) for text in texts),
        "contains_any": lambda: not set(value).isdisjoint(wanted),
        "contains_none": lambda: set(value).isdisjoint(wanted),
        "contains_only": lambda: set(value) <= set(wanted),
    }[clause.op]()


def all_hold(answers: list[bool | None]) -> bool | None:
    return False if False in answers else None if None in answers else True


def reference(rule: Rule, row: dict[str, Any], as_of: datetime) -> str:
    scope = all_hold([holds(rule.table, c, row, c.value) for c in rule.scope])
    if scope is not True:
        return "not_applicable" if scope is False else "unknown"
    answers = []
    for clause in rule.expect:
        wanted = clause.value
        if clause.steps:
            since = as_of if rule.dated_by == "as_of" else row.get(rule.dated_by or "")
            if since is None:
                return "unknown"
            steps = [value for start, value in clause.steps if since >= start]
            if not steps:
                return "not_effective"
            wanted = steps[-1]
        answers.append(holds(rule.table, clause, row, wanted))
    return {True: "pass", False: "fail", None: "unknown"}[all_hold(answers)]
