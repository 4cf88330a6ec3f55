"""Frameworks: what ships is consistent with the rules; scores never count what is missing as met."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from keymuster.errors import ContentError
from keymuster.frameworks import Framework, controls, load_frameworks, score
from keymuster.results import CONTROLS, OUTCOMES
from keymuster.rules import load_rules

RULES = {r.id: r for r in load_rules()}
SHIPPED = load_frameworks(rules=RULES)


def test_the_frameworks_of_the_first_issue_ship() -> None:
    assert {"PCI-DSS", "NIST-SP800-57", "CABF-TLS-BR", "ISO-27001", "DORA"} <= {f.id for f in SHIPPED}


def test_rules_and_frameworks_are_mapped_on_both_sides() -> None:
    ids = {f.id for f in SHIPPED}
    from_rules = {(r.id, f, c) for r in RULES.values() for f, clauses in r.mappings.items() if f in ids for c in clauses}
    from_frameworks = {(rule, f.id, q.id) for f in SHIPPED for q in f.requirements for rule in (*q.rules, *q.planned) if rule in RULES}
    assert from_rules == from_frameworks


def test_what_is_there_stands_under_rules() -> None:
    for framework in SHIPPED:
        for requirement in framework.requirements:
            assert not set(requirement.planned) & set(RULES), f"{framework.id} {requirement.id}"


# --- scores -------------------------------------------------------------------------------------------------


def framework(**requirement: Any) -> Framework:
    base = {"id": "1.1", "title": "t", "requirement": "r", "evidence": "e"}
    return Framework.model_validate({
        "id": "X", "name": "X one", "version": "1", "date": "2026", "status": "in force", "scope": "all",
        "sources": [{"document": "d", "url": "u", "read": "all"}], "requirements": [{**base, **requirement}],
    })  # fmt: skip


def scored(verdicts: Mapping[str, Mapping[str, int]], not_evaluated: Mapping[str, str] | None = None, **more: Any) -> dict[str, Any]:
    rows = [{"rule_id": r, "station": s, "outcome": o, "assets": n} for r, c in verdicts.items() for o, n in c.items() for s in ("", "lan")]
    partly = more.pop("partly", None)
    (row,) = score(framework(**more), pa.Table.from_pylist(rows, OUTCOMES), not_evaluated or {}, partly)
    return row


A, B = "certificate.rsa.minimum_bits", "certificate.san.present"


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        ({A: {"pass": 3}, B: {"pass": 1, "not_applicable": 9}}, "met"),
        ({A: {"pass": 3}, B: {"fail": 1}}, "failed"),
        ({A: {"fail": 3, "unknown": 1}, B: {"pass": 1}}, "failed"),
        ({A: {"pass": 3, "unknown": 1}, B: {"pass": 1}}, "unknown"),
        ({A: {"pass": 3, "waived": 1}, B: {"pass": 1}}, "met"),
        ({A: {"not_applicable": 3}, B: {"not_effective": 1}}, "no_evidence"),
        ({A: {"pass": 3}}, "unknown"),
        ({}, "no_evidence"),
    ],
)
def test_the_status_follows_from_the_verdicts(verdicts: Mapping[str, Mapping[str, int]], status: str) -> None:
    assert scored(verdicts, rules=[A, B])["status"] == status


def test_numerator_denominator_and_gaps_are_shown() -> None:
    row = scored(
        {A: {"pass": 3, "fail": 2, "waived": 1, "unknown": 4, "not_applicable": 5}},
        {B: "no station has rows of x"},
        rules=[A, B],
        planned=["a.b.c"],
    )
    assert (row["passed"], row["failed"], row["waived"], row["unknown"], row["denominator"]) == (3, 2, 1, 4, 10)
    assert row["not_evaluated"] == [f"{B}: no station has rows of x", "a.b.c: is not in this rule set"]
    assert row["rules"] == sorted([A, B, "a.b.c"])


def test_a_planned_rule_counts_as_soon_as_it_is_there() -> None:
    assert scored({A: {"pass": 1}, B: {"fail": 1}}, rules=[A], planned=[B])["status"] == "failed"


def test_a_partly_evaluated_rule_meets_nothing() -> None:
    row = scored({A: {"pass": 1}}, rules=[A], partly={A: "station x: absent"})
    assert (row["status"], row["not_evaluated"]) == ("unknown", [f"{A}: in part: station x: absent"])


def test_what_stays_with_people_is_manual() -> None:
    assert scored({}, manual="a plan")["status"] == "manual"
    assert scored({}, manual="a plan", planned=["a.b.c"])["status"] == "manual"
    assert scored({A: {"pass": 1}}, manual="and a plan", rules=[A])["status"] == "met"


def test_scores_make_a_table_of_controls() -> None:
    table = controls(SHIPPED, OUTCOMES.empty_table(), {})
    assert table.schema.equals(CONTROLS)
    assert table.num_rows == sum(len(f.requirements) for f in SHIPPED)
    assert set(table["status"].to_pylist()) <= {"no_evidence", "manual"}


# --- mistakes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rules": ["certificate.rsa.minimum_bit"]}, "requirement 1.1: no rule named 'certificate.rsa.minimum_bit'"),
        ({"rules": []}, "requirement 1.1: needs rules, or a reason under `manual`"),
        ({"rules": [A], "planned": [A]}, "stands under `rules` and under `planned`"),
        ({"rules": [A], "why": "x"}, "`unverified` and `why` go together"),
        ({"rule": [A]}, "requirements.0.rule: Extra inputs"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    document = framework(manual="x").model_dump(mode="json")
    document["requirements"] = [{"id": "1.1", "title": "t", "requirement": "r", "evidence": "e", **change}]
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(document), "utf-8")
    with pytest.raises(ContentError) as caught:
        load_frameworks(tmp_path, rules=RULES)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_a_framework_is_there_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(framework(manual="x").model_dump(mode="json")), "utf-8")
    with pytest.raises(ContentError, match="framework X is there already"):
        load_frameworks(tmp_path, rules=RULES)
