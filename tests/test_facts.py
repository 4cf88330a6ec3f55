"""Every fact of the registry: documented, in the vocabulary, safe on empty and missing input, in no circle, ready for the first rules."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import TopologicalSorter
from typing import Any

import numpy as np
import pandas as pd
import pytest

from keymuster.content import checks
from keymuster.frame import Frame, empty
from keymuster.policy import Policy
from keymuster.protocols import FactContext, Partial, Unknowable
from keymuster.registry import listing, load
from keymuster.rules import load_rules
from keymuster.schema import tables
from tests.certificates import AS_OF

NAMES = listing("facts")
TALKATIVE = Policy(
    domains=("example.com",),
    networks=("192.0.2.0/24",),
    ownership=(),
    approved_issuers=(),
    private_roots=(),
    register_station="register",
    register_fields=("subject", "station"),
    compromised_keys=(),
    privileged_groups=(),
    break_glass=(),
    enrolment_agents=(),
    wildcard_closed_zones=("secure.example.com",),
)
"""A policy that leaves nothing open."""
LATER = {
    ("templates", "is_enrollable_by_low_privileged"),
    ("templates", "is_published"),
    ("templates", "is_writable_by_low_privileged"),
}
"""Facts of the first rules that rest on columns which no source delivers yet: security descriptors, offers of enrolment services."""


def cells() -> Iterator[tuple[str, str]]:
    for name in NAMES:
        table = load("facts", name).TABLE
        for one in (table,) if isinstance(table, str) else table:
            yield name, one


def needs(module: Any, table: str) -> list[tuple[str, str]]:
    return [tuple(n.split(".", 1)) if "." in n else (table, n) for n in module.NEEDS]


def context(policy: Policy, **frames: Frame) -> FactContext:
    return FactContext(AS_OF, policy, frames, checks() / "reference")


def asked(ask: Any, *arguments: Any) -> Any:
    """What a fact answers, or its reason not to."""
    try:
        answer = ask(*arguments)
    except Unknowable as reason:
        return str(reason)
    return answer.values if isinstance(answer, Partial) else answer  # noqa: PD011 (a field of Partial)


@pytest.mark.parametrize(("name", "table"), list(cells()))
def test_documented_and_in_the_vocabulary(name: str, table: str) -> None:
    module = load("facts", name)
    assert name.rsplit("__", maxsplit=1)[-1] == module.COLUMN
    assert name.split("__", maxsplit=1)[0] in (module.COLUMN, table)
    assert tables()[table].columns[module.COLUMN].origin == "fact"
    assert module.DOC.endswith(".")
    assert len(module.DOC) > 15
    for other, column in needs(module, table):
        assert column in tables()[other].columns, f"{name} needs {other}.{column}, which the vocabulary does not have"


@pytest.mark.parametrize("policy", [Policy(), TALKATIVE], ids=["silent policy", "talkative policy"])
@pytest.mark.parametrize(("name", "table"), list(cells()))
def test_empty_null_and_undelivered_input(name: str, table: str, policy: Policy) -> None:
    module, vocabulary = load("facts", name), tables()[table]
    nulls = Frame.of_rows(table, [dict.fromkeys(vocabulary.columns)] * 3)
    undelivered = Frame(table, nulls.data, {c: np.ones(3, dtype=bool) for c in vocabulary.columns})
    for frame in (empty(table), nulls, undelivered, Frame(table, pd.DataFrame(index=pd.RangeIndex(2)))):
        answer = asked(module.compute, frame, context(policy, **{table: frame}))
        if isinstance(answer, str):
            assert answer
            continue
        assert len(answer) == len(frame)
        made = frame.with_column(module.COLUMN, answer)
        assert made.arrow(module.COLUMN).type == vocabulary.columns[module.COLUMN].arrow


@pytest.mark.parametrize("name", [n for n in NAMES if hasattr(load("facts", n), "survey")])
def test_surveys_of_an_empty_estate(name: str) -> None:
    module = load("facts", name)
    answer = asked(module.survey, {}, context(TALKATIVE))
    assert answer if isinstance(answer, str) else answer.num_rows >= 0


def test_no_two_facts_compute_one_column_and_none_needs_itself() -> None:
    found = [(table, load("facts", name).COLUMN) for name, table in cells()]
    assert len(found) == len(set(found))
    graph = {(table, load("facts", name).COLUMN): needs(load("facts", name), table) for name, table in cells()}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError
    assert set(found) <= set(order)


def test_the_first_rules_find_their_facts() -> None:
    known = {(table, load("facts", name).COLUMN) for name, table in cells()}
    read = {(r.table, c) for r in load_rules(checks() / "rules") for c in r.columns}
    wanted = {(t, c) for t, c in read if c in tables()[t].columns and tables()[t].columns[c].origin == "fact"}
    assert wanted - known <= LATER
    assert not LATER & known, "a fact arrived: take it out of LATER"
