"""The gate: contracts of snapshots, and Great Expectations around the judgement with the traps that it has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from keymuster import gate
from keymuster.contracts import Contract, load_contract
from keymuster.errors import ContentError
from keymuster.frame import Frame
from keymuster.gate import GateError, check_contract, judge
from keymuster.rules import UNKNOWN, Verdicts, load_rules
from keymuster.rules_model import Clause, Rule
from keymuster.schema import tables
from tests.estate_rows import AS_OF, certificate

RULES = [r for r in load_rules() if r.table == "certificates"]
HOSTILE = "<script>alert('xss')</script>"


def frame(*rows: Mapping[str, Any]) -> Frame:
    return Frame.of_rows("certificates", [{"station": "s", "locator": f"l{i}", **row} for i, row in enumerate(rows)])


# --- the judgement ----------------------------------------------------------------------------------------


def test_each_rule_has_one_result_with_its_counts_and_one_call_of_the_sink() -> None:
    seen: list[Verdicts] = []
    document = judge(RULES, frame(certificate("a", key_bits=1024), certificate("b"), certificate("c", key_bits=None)), AS_OF, seen.append)
    assert sorted(v.rule.id for v in seen) == [r.id for r in RULES]
    by_id = {r["expectation_config"]["kwargs"]["rule_id"]: r for r in document["results"]}
    assert sorted(by_id) == [r.id for r in RULES]
    weak = by_id["certificate.rsa.minimum_bits"]
    assert weak["success"] is False
    assert weak["result"]["details"] == {"pass": 1, "fail": 1, "unknown": 1, "not_applicable": 0, "not_effective": 0}
    assert document["meta"]["table"] == "certificates"
    assert {v.rule.id: v.counts() for v in seen} == {i: r["result"]["details"] for i, r in by_id.items()}


def test_what_is_unknown_is_no_success() -> None:
    rule = next(r for r in RULES if r.id == "certificate.rsa.minimum_bits")
    (result,) = judge([rule], frame(certificate("a", key_bits=None)), AS_OF, lambda _: None)["results"]
    assert result["success"] is False


def test_the_document_is_the_same_for_the_same_judgement_and_holds_no_text_of_assets() -> None:
    rows = frame(certificate("a", key_bits=1024, subject=HOSTILE, san_names=[HOSTILE]))
    one, two = (json.dumps(judge(RULES, rows, AS_OF, lambda _: None), sort_keys=True) for _ in range(2))
    assert one == two
    assert "script" not in one


def test_a_table_without_rules_needs_no_great_expectations() -> None:
    assert judge([], frame(certificate("a")), AS_OF, lambda _: None)["results"] == []


def broken(rule: Rule) -> Rule:
    """A rule that passes no loader: its operator does not exist, so evaluating it crashes."""
    fields = {f: getattr(rule, f) for f in Rule.__dataclass_fields__}
    return Rule(**{**fields, "expect": (Clause("key_bits", "divides", 8),)})


def test_a_rule_that_crashes_is_unknown_and_spares_the_others(caplog: pytest.LogCaptureFixture) -> None:
    rules = [broken(RULES[0]), *RULES[1:]]
    seen: list[Verdicts] = []
    document = judge(rules, frame(certificate("a"), certificate("b")), AS_OF, seen.append)
    assert len(seen) == len(rules)
    crashed = next(v for v in seen if v.rule.id == RULES[0].id)
    assert crashed.codes.tolist() == [UNKNOWN, UNKNOWN]
    assert crashed.crash == "KeyError"
    told = {r["expectation_config"]["kwargs"]["rule_id"]: r for r in document["results"]}
    assert told[RULES[0].id]["exception_info"] == {"raised_exception": True, "exception_message": "KeyError"}
    assert told[RULES[0].id]["success"] is False
    assert not any(told[r.id]["exception_info"]["raised_exception"] for r in RULES[1:])
    assert f"rule {RULES[0].id} could not be evaluated" in caplog.text


def test_an_error_of_the_sink_is_not_swallowed() -> None:
    def full(_: Verdicts) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        judge(RULES[:2], frame(certificate("a")), AS_OF, full)


def test_a_suite_that_gx_left_empty_is_no_success() -> None:
    """Trap: an expectation whose class is not imported is dropped, and an empty suite validates with success=True."""
    empty = gate._validate(pd.DataFrame({"a": [1]}), [], "empty")
    assert empty["success"] is True
    with pytest.raises(GateError, match="certificates: 0 rules were evaluated where 2 were asked for"):
        gate.complete(empty, ["a.b.c", "a.b.d"], "certificates")
    seen = judge(RULES[:2], frame(certificate("a")), AS_OF, lambda _: None)
    with pytest.raises(GateError):
        gate.complete(seen, [RULES[0].id, RULES[2].id], "certificates")
    gate.complete(seen, [r.id for r in RULES[:2]], "certificates")


def test_gx_still_has_the_constant_that_keeps_it_from_hashing_frames() -> None:
    from great_expectations.execution_engine import pandas_execution_engine as engine

    gate._great_expectations()
    assert engine.HASH_THRESHOLD == 0
    assert "HASH_THRESHOLD" in Path(engine.__file__).read_text("utf-8").split("HASH_THRESHOLD =")[1]  # it is still read somewhere
    with pytest.raises(GateError, match="HASH_THRESHOLD"):
        gate.skip_hashing(SimpleNamespace())


def test_importing_the_gate_does_not_import_great_expectations() -> None:
    import subprocess
    import sys

    code = "import sys, keymuster.gate, keymuster.audit; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, env={"PYTHONPATH": "plugins"}).returncode == 0


# --- contracts ----------------------------------------------------------------------------------------------


def rows(count: int = 30, **first: Any) -> pa.Table:
    made = [{**certificate(f"c{i}"), "station": "s", "locator": f"l{i}", "observed_at": AS_OF} for i in range(count)]
    made[0] |= first
    return pa.Table.from_pylist(made, tables()["certificates"].stored())


def failed(table: pa.Table, previous: Mapping[str, int] | None = None) -> list[str]:
    result = check_contract({"certificates": table}, "files", AS_OF, previous)
    assert result.success == (not result.failed)
    return result.failed


def test_a_sound_snapshot_passes() -> None:
    assert failed(rows()) == []
    assert failed(rows(), {"certificates": 60}) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"locator": "l1"}, "station and locator together unique"),
        ({"asset_id": None}, "asset_id never empty"),
        ({"observed_at": None}, "observed_at never empty"),
        ({"observed_at": AS_OF + timedelta(days=2)}, "no observation more than 1 days ahead"),
        ({"role": HOSTILE}, "role one of served"),
        ({"key_bits": -1}, "key_bits at least 0"),
    ],
)
def test_what_breaks_the_contract_is_named(change: dict[str, Any], said: str) -> None:
    (message,) = failed(rows(**change))
    assert message.startswith(f"certificates: {said}")


def test_old_observations_are_not_fresh() -> None:
    made = rows()
    old = pa.array([AS_OF - timedelta(days=401)] * 30, made.schema.field("observed_at").type)
    (message,) = failed(made.set_column(made.schema.get_field_index("observed_at"), "observed_at", old))
    assert "the newest at most 400 days old" in message


def test_missing_and_foreign_columns_break_the_contract() -> None:
    assert failed(rows().drop_columns(["subject"])) == ["certificates: the columns and types of the vocabulary"]
    assert failed(rows().append_column("shoe_size", pa.array([1] * 30))) == ["certificates: the columns and types of the vocabulary"]
    other = check_contract({"shoes": pa.table({"size": [1]})}, "files", AS_OF, None)
    assert "shoes: a table of the vocabulary" in other.failed


def test_a_listing_that_shrinks_is_not_believed() -> None:
    assert failed(rows(29), {"certificates": 60}) == ["certificates: at least 30 rows, 50 % of the 60 before"]
    assert failed(rows(1), {"certificates": 19}) == []
    gone = check_contract({}, "files", AS_OF, {"keys": 40})
    assert gone.failed == ["keys: at least 20 rows, 50 % of the 40 before"]


def test_an_empty_table_is_a_sound_snapshot() -> None:
    assert failed(rows().slice(0, 0)) == []


def test_validation_results_hold_numbers_and_no_text_of_assets() -> None:
    document = check_contract({"certificates": rows(role=HOSTILE, locator="l1")}, "files", AS_OF, None).document
    raw = json.dumps(document)
    assert "script" not in raw
    assert '"unexpected_count": 1' in raw
    assert json.loads(raw)["success"] is False


def test_a_source_has_its_own_contract_over_the_common_one(tmp_path: Path) -> None:
    (tmp_path / "every.yaml").write_text("oldest_days: 30\nleast_percent_of_previous: 50\n")
    (tmp_path / "nmap_xml.yaml").write_text("oldest_days: null\n")
    assert load_contract("files", tmp_path) == Contract(oldest_days=30, least_percent_of_previous=50)
    assert load_contract("nmap_xml", tmp_path) == Contract(oldest_days=None, least_percent_of_previous=50)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("oldest_day: 3", "oldest_day: Extra inputs are not permitted"),
        ("values: {certificate: {role: [x]}}", "no table named 'certificate'"),
        ("values: {certificates: {rolle: [x]}}", "no column named 'rolle'"),
        ("- a", "a contract is a mapping"),
    ],
)
def test_a_mistake_in_a_contract_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "every.yaml").write_text(text)
    with pytest.raises(ContentError, match=said):
        load_contract("files", tmp_path)


def test_the_shipped_contract_loads() -> None:
    assert load_contract("files").unique == ("station", "locator")
    assert np.isclose(load_contract("files").least_percent_of_previous or 0, 50)
