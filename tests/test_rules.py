"""The shipped rules: every example, and the vectorised evaluator against the plain one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keymuster.frame import Frame
from keymuster.model import Outcome, Severity
from keymuster.rules import FAIL, UNKNOWN, Reader, evaluate, judge, load_rules, severities
from keymuster.rules_model import Clause, Example, Rule
from keymuster.schema import tables
from tests.reference_evaluator import reference

AS_OF = datetime(2026, 11, 23, tzinfo=UTC)
RULES = load_rules()
EXAMPLES = [pytest.param(rule, example, id=f"{rule.id}-{i}") for rule in RULES for i, example in enumerate(rule.examples)]


def frame_of(rule: Rule, rows: list[dict[str, Any]]) -> Frame:
    return Frame.of_rows(rule.table, [{k: v for k, v in row.items() if k != "as_of"} for row in rows])


@pytest.mark.parametrize(("rule", "example"), EXAMPLES)
def test_every_example_comes_out_as_it_says(rule: Rule, example: Example) -> None:
    as_of = example.row.get("as_of", AS_OF)
    assert evaluate(rule, frame_of(rule, [dict(example.row)]), as_of).tolist() == [example.outcome]
    assert reference(rule, dict(example.row), as_of) == example.outcome


def test_the_first_sixty_are_here() -> None:
    assert len(RULES) >= 60
    assert all(r.path is not None and r.path.parent.name == r.id.split(".")[0] for r in RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.id)
def test_every_scope_clause_is_needed_by_some_example(rule: Rule) -> None:
    for dropped in rule.scope:
        scope = tuple(c for c in rule.scope if c is not dropped)
        wider = Rule(**{**{f: getattr(rule, f) for f in Rule.__dataclass_fields__}, "scope": scope})
        outcomes = [(e.outcome, reference(wider, dict(e.row), AS_OF)) for e in rule.examples]
        assert any(said == Outcome.NOT_APPLICABLE and now != said for said, now in outcomes), f"{dropped} could be left out"


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.id)
def test_every_rule_has_a_passing_and_a_failing_example(rule: Rule) -> None:
    assert {Outcome.PASS, Outcome.FAIL} <= {e.outcome for e in rule.examples}


# --- against the reference --------------------------------------------------------------------------------


def cells(rule: Rule, column: str) -> st.SearchStrategy[Any]:
    """Values around everything that the rule compares this column with, and both kinds of null."""
    clauses = [c for c in (*rule.scope, *rule.expect, *(e.clause for e in rule.severity_when)) if c.column == column]
    wanted: list[Any] = [v for c in clauses for v in ([c.value] if c.value is not None else []) + [s for _, s in c.steps]]
    flat = [x for v in wanted for x in (v if isinstance(v, tuple) else (v,))]
    examples = [e.row[column] for e in rule.examples if e.row.get(column) is not None]
    dtype = tables()[rule.table].columns[column].dtype
    texts = st.sampled_from(sorted({str(x) for x in flat if isinstance(x, str)} | {"", "other", "ü\n"}))
    numbers = sorted({float(x) + d for x in flat if isinstance(x, int | float) for d in (-1, 0, 1)} | {0.0})
    starts = [s for c in rule.expect for s, _ in c.steps] or [AS_OF]
    by_type: dict[str, st.SearchStrategy[Any]] = {
        "bool": st.booleans(),
        "Int64": st.sampled_from([int(n) for n in numbers]),
        "Float64": st.sampled_from(numbers),
        "string": texts,
        "list<string>": st.lists(texts, max_size=3),
        "timestamp[us, UTC]": st.builds(lambda s, d: s + timedelta(seconds=d), st.sampled_from(starts), st.integers(-1, 1)),
    }
    choices = by_type[dtype] | (st.sampled_from(examples) if examples else st.nothing())
    return st.one_of(st.just("undelivered"), st.none(), choices, choices)


@st.composite
def judged(draw: st.DrawFn) -> tuple[Rule, list[dict[str, Any]]]:
    rule = draw(st.sampled_from(RULES + SYNTHETIC))
    columns = {c: cells(rule, c) for c in rule.columns}
    row = st.fixed_dictionaries(columns).map(lambda r: {k: v for k, v in r.items() if not isinstance(v, str) or v != "undelivered"})
    return rule, draw(st.lists(row, min_size=1, max_size=12))


def synthetic(name: str, *expect: Clause, dated_by: str | None = None) -> Rule:
    base = next(r for r in RULES if r.table == "certificates")
    fields = {f: getattr(base, f) for f in Rule.__dataclass_fields__}
    return Rule(
        **{
            **fields,
            "id": f"test.operator.{name}",
            "scope": (),
            "expect": expect,
            "dated_by": dated_by,
            "severity_when": (),
            "examples": (),
        }
    )


SYNTHETIC = (
    synthetic("absent", Clause("key_usage", "absent"), Clause("subject", "absent")),
    synthetic("is_not", Clause("key_bits", "is_not", 2048), Clause("not_after", "at_least", AS_OF)),
    synthetic("matches", Clause("san_names", "matches", "[a-z.]*"), Clause("owner", "is_not", "x"), Clause("owner", "one_of", ("x", "y"))),
    synthetic("only", Clause("key_usage", "contains_only", ("a",)), Clause("extended_key_usage", "contains_any", ("b",))),
    synthetic("as_of", Clause("key_bits", "one_of", None, ((AS_OF, (1, 2)), (AS_OF + timedelta(days=1), (3,)))), dated_by="as_of"),
    synthetic(
        "two_ladders",
        Clause("key_bits", "at_least", None, ((AS_OF, 1), (AS_OF + timedelta(days=9), 2))),
        Clause("is_ca", "is", None, ((AS_OF - timedelta(days=9), False),)),
        dated_by="not_before",
    ),
)
"""Operators and shapes that the first rules do not use."""


@settings(max_examples=200, deadline=None)
@given(judged())
def test_the_vectorised_evaluator_agrees_with_the_plain_one(case: tuple[Rule, list[dict[str, Any]]]) -> None:
    rule, rows = case
    assert evaluate(rule, frame_of(rule, rows), AS_OF).tolist() == [reference(rule, row, AS_OF) for row in rows]


@settings(max_examples=80, deadline=None)
@given(judged(), st.data())
def test_taking_a_value_away_never_makes_a_pass(case: tuple[Rule, list[dict[str, Any]]], data: st.DataObject) -> None:
    rule, rows = case
    column = data.draw(st.sampled_from(rule.columns))
    before = evaluate(rule, frame_of(rule, rows), AS_OF).tolist()
    after = evaluate(rule, frame_of(rule, [{k: v for k, v in row.items() if k != column} for row in rows]), AS_OF).tolist()
    # An "and" may still be false by another clause, so a failure or "not applicable" can stay, but nothing turns into a pass.
    assert all(now == was for was, now in zip(before, after, strict=True) if now not in ("unknown", "not_applicable", was))
    assert not any(now == "pass" and was != "pass" for was, now in zip(before, after, strict=True))


@settings(max_examples=60, deadline=None)
@given(judged(), st.randoms(use_true_random=False))
def test_order_more_columns_and_chunks_change_nothing(case: tuple[Rule, list[dict[str, Any]]], random: Any) -> None:
    rule, rows = case
    expected = evaluate(rule, frame_of(rule, rows), AS_OF).tolist()
    order = list(range(len(rows)))
    random.shuffle(order)
    shuffled = evaluate(rule, frame_of(rule, [rows[i] for i in order]), AS_OF).tolist()
    assert [shuffled[order.index(i)] for i in range(len(rows))] == expected
    wide = frame_of(rule, [{"locator": "x", **row} for row in rows])
    assert evaluate(rule, wide, AS_OF).tolist() == expected
    assert evaluate(rule, chunked(frame_of(rule, rows)), AS_OF).tolist() == expected


def chunked(frame: Frame) -> Frame:
    """The same frame with one Arrow chunk a row, strings dictionary-encoded."""
    data = {}
    for name in frame.data.columns:
        array = frame.arrow(name)
        array = array.dictionary_encode() if pa.types.is_string(array.type) else array
        chunks = pa.chunked_array([array.slice(i, 1) for i in range(len(array))], array.type)
        data[name] = pd.Series(pd.arrays.ArrowExtensionArray(chunks))
    return Frame(frame.table, pd.DataFrame(data, index=frame.data.index), frame.undelivered)


# --- severity and reasons ---------------------------------------------------------------------------------


def one(rule_id: str) -> Rule:
    return next(r for r in RULES if r.id == rule_id)


def test_severity_moves_with_the_first_clause_that_is_true() -> None:
    rule = one("certificate.renewal.on_time")
    frame = Frame.of_rows("certificates", [{"days_left_scaled": 7.0}, {"days_left_scaled": 14.0}, {"days_left_scaled": 15.0}, {}])
    assert severities(rule, frame).tolist() == [Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.MEDIUM]


def test_what_kept_a_row_unknown_is_told() -> None:
    rule = one("certificate.lifetime.within_cap")
    rows = [
        {"trust": "public_tls", "is_ca": False, "issued_at": AS_OF, "validity_days": None},
        {"is_ca": False, "issued_at": AS_OF, "validity_days": 10, "trust": None},
        {"is_ca": False, "issued_at": None, "validity_days": None, "trust": "public_tls"},
        {"trust": "public_tls", "is_ca": False, "issued_at": AS_OF, "validity_days": 10},
        {"trust": "public_tls", "is_ca": False, "issued_at": AS_OF},
    ]
    verdicts = judge(rule, Reader(frame_of(rule, rows)), AS_OF)
    bit = {c: 1 << (2 * i) for i, c in enumerate(rule.columns)}
    missing = {c: b << 1 for c, b in bit.items()}
    assert verdicts.gaps().tolist() == [
        missing["validity_days"],
        missing["trust"],
        missing["validity_days"] | missing["issued_at"],
        0,
        bit["validity_days"],
    ]


def test_what_was_observed_and_expected_is_told_in_words() -> None:
    rule = one("certificate.lifetime.within_cap")
    rows = [{"trust": "public_tls", "is_ca": False, "issued_at": AS_OF, "validity_days": 300}]
    verdicts = judge(rule, Reader(frame_of(rule, rows)), AS_OF)
    at = np.flatnonzero(verdicts.codes == FAIL)
    assert verdicts.observed(at).to_pylist() == ["validity_days=300; issued_at=2026-11-23T00:00:00Z"]
    assert verdicts.expected(at).to_pylist() == ["validity_days at most 200"]


def test_only_the_broken_clauses_are_named_and_hostile_text_is_bounded() -> None:
    rule = one("certificate.purpose.explicit")
    usages = ["anyExtendedKeyUsage", "<script>" + "x" * 5000]
    rows = [
        {"trust": "public_tls", "is_ca": False, "extended_key_usage": usages},
        {"trust": "public_tls", "is_ca": False, "extended_key_usage": None},
    ]
    verdicts = judge(rule, Reader(frame_of(rule, rows)), AS_OF)
    observed = verdicts.observed(np.array([0, 1])).to_pylist()
    assert observed[0].startswith("extended_key_usage=anyExtendedKeyUsage, <script>")
    assert len(observed[0]) < 400
    assert observed[1] == "extended_key_usage=(none)"
    assert verdicts.expected(np.array([0, 1])).to_pylist() == [
        "extended_key_usage contains none anyExtendedKeyUsage",
        "extended_key_usage present",
    ]


def test_a_number_that_is_no_number_is_unknown() -> None:
    rule = one("certificate.expiry.in_future")
    frame = Frame.of_rows("certificates", [{"is_deployed": True, "days_left": float("nan")}])
    assert judge(rule, Reader(frame), AS_OF).codes.tolist() == [UNKNOWN]


def test_a_frame_without_rows_or_columns_has_no_outcomes() -> None:
    for rule in RULES:
        assert evaluate(rule, Frame.of_rows(rule.table, []), AS_OF).empty
