"""Facts inside an audit: their order, what happens to those that cannot know, and what an audit does without their module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from keymuster import audit_facts
from keymuster.errors import ConfigurationError
from keymuster.frame import Frame
from keymuster.policy import Policy
from keymuster.protocols import FactContext, Partial, Unknowable
from keymuster.rules import Rule, load_rules
from keymuster.schema import tables
from tests.estate_rows import AS_OF, certificate

RULES = load_rules()


@dataclass(frozen=True)
class Fact:
    """A fact module of the tests."""

    COLUMN: str
    compute: Callable[[Frame, FactContext], Any]
    NEEDS: tuple[str, ...] = ()
    TABLE: str = "certificates"


def frame(**values: Any) -> Frame:
    return Frame.of_rows("certificates", [{**certificate("a"), **values}, certificate("b")])


def computed(*facts: Fact, **frames: Frame) -> tuple[Mapping[str, Frame], Mapping[str, str]]:
    known = {(f.TABLE, f.COLUMN): f for f in facts}
    given = frames or {"certificates": frame()}
    return audit_facts.compute(given, list(known), known, FactContext(AS_OF, Policy(), given, Path()))


def values(*answers: Any) -> Callable[[Frame, FactContext], Any]:
    return lambda *_: pd.Series(answers)


def test_a_fact_becomes_a_column_that_later_facts_see() -> None:
    def doubled(given: Frame, context: FactContext) -> Any:
        assert context.frames["certificates"] is given
        return pd.Series([v * 2 for v in given.arrow("validity_days").to_pylist()])

    frames, unknown = computed(Fact("validity_days", values(1, 2)), Fact("deployment_count", doubled))
    assert frames["certificates"].arrow("deployment_count").to_pylist() == [2, 4]
    assert unknown == {}


def test_what_a_fact_cannot_know_is_unknown_with_its_reason() -> None:
    def compute(*_: Any) -> Any:
        raise Unknowable("policy names no approved issuers")

    frames, unknown = computed(Fact("is_issuer_approved", compute))
    assert unknown == {"certificates.is_issuer_approved": "policy names no approved issuers"}
    assert frames["certificates"].unknown("is_issuer_approved").tolist() == [True, True]


def test_a_partly_known_fact_keeps_nothing_and_unknown_apart() -> None:
    frames, _ = computed(Fact("owner", lambda *_: Partial(pd.Series([None, None], dtype="str"), pd.Series([True, False]).to_numpy())))
    assert frames["certificates"].unknown("owner").tolist() == [True, False]


@pytest.mark.parametrize("compute", [lambda *_: 1 / 0, values(1), values("x", "y")], ids=["crash", "too short", "wrong type"])
def test_a_fact_that_crashes_leaves_the_others_alone(compute: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    frames, unknown = computed(Fact("validity_days", compute), Fact("deployment_count", values(1, 2)))
    assert unknown["certificates.validity_days"].startswith("the computation crashed (")
    assert "fact certificates.validity_days crashed" in caplog.text
    assert frames["certificates"].unknown("validity_days").all()
    assert frames["certificates"].arrow("deployment_count").to_pylist() == [1, 2]


def test_a_fact_without_a_module_is_unknown_and_says_so() -> None:
    frames, unknown = audit_facts.compute(
        {"certificates": frame()}, [("certificates", "trust")], {}, FactContext(AS_OF, Policy(), {}, Path())
    )
    assert unknown == {"certificates.trust": "no fact module computes trust"}
    assert frames["certificates"].unknown("trust").all()


def test_a_survey_is_asked_once_and_its_failure_makes_its_columns_unknown() -> None:
    calls: list[int] = []

    class Shared(Fact):
        def survey(self, frames: Mapping[str, Frame], context: FactContext) -> pa.Table:
            raise NotImplementedError

    def survey(*_: Any) -> pa.Table:
        calls.append(1)
        return pa.table({"a": [1]})

    def broken(*_: Any) -> pa.Table:
        raise Unknowable("no register")

    one, two, bad = (Shared(c, values(1, 2)) for c in ("is_registered", "register_gaps", "deployment_count"))
    for fact, function in ((one, survey), (two, survey), (bad, broken)):
        object.__setattr__(fact, "survey", function)
    known = {("certificates", f.COLUMN): f for f in (one, two, bad)}
    context = FactContext(AS_OF, Policy(), {"certificates": frame()}, Path())
    answers, failed = audit_facts.survey(list(known), known, context)
    assert (sorted(answers), len(calls)) == (["is_registered", "register_gaps"], 1)
    assert failed == {"deployment_count": "no register"}
    frames, unknown = audit_facts.compute(context.frames, [("certificates", "deployment_count")], known, context, failed)
    assert unknown == {"certificates.deployment_count": "no register"}
    assert frames["certificates"].unknown("deployment_count").all()


# --- which, and in what order -----------------------------------------------------------------------------------


def test_facts_come_after_what_they_need() -> None:
    known = audit_facts.modules()
    order = audit_facts.wanted(RULES, tables(), known)
    place = {cell: i for i, cell in enumerate(order)}
    assert len(order) == len(set(order))
    for cell in order:
        assert all(place[need] < place[cell] for need in audit_facts.needs(cell, known) if need in place)


def test_only_facts_that_somebody_reads_are_computed() -> None:
    rule = next(r for r in RULES if r.id == "certificate.lifetime.within_cap")
    order = audit_facts.wanted([rule], ["certificates"], audit_facts.modules())
    assert {("certificates", "validity_days"), ("certificates", "trust"), ("certificates", "owner")} <= set(order)
    assert ("certificates", "malformed_names") not in order


def test_facts_in_a_circle_are_refused() -> None:
    known = {
        ("certificates", "trust"): Fact("trust", values(), ("usages",)),
        ("certificates", "usages"): Fact("usages", values(), ("trust",)),
    }
    rule: Rule = next(r for r in RULES if r.id == "certificate.lifetime.within_cap")
    with pytest.raises(ConfigurationError, match=r"in a circle: certificates\.(trust|usages) -> certificates\."):
        audit_facts.wanted([rule], [], known)


def test_every_registered_fact_is_a_fact_of_the_vocabulary() -> None:
    for table, column in audit_facts.modules():
        assert tables()[table].columns[column].origin == "fact", (table, column)
    for cell, module in audit_facts.modules().items():
        for table, column in audit_facts.needs(cell, audit_facts.modules()):
            assert column in tables()[table].columns, f"{module.__name__} needs {table}.{column}"
