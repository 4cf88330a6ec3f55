"""Rule files with a mistake: one message that names the file, the place and what there is instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from keymuster.errors import ContentError
from keymuster.rules import load_rules
from keymuster.rules_file import read_rule

GOOD: dict[str, Any] = {
    "id": "certificate.test.good",
    "code": "TST-001",
    "title": "A rule for tests",
    "table": "certificates",
    "severity": "high",
    "scope": [{"column": "is_ca", "op": "is", "value": False}],
    "expect": [{"column": "key_bits", "op": "at_least", "value": 2048}],
    "citation": {"document": "RFC 5280", "section": "4", "url": "https://www.rfc-editor.org/rfc/rfc5280"},
    "mappings": {"PCI-DSS": ["4.2.1"]},
    "rationale": "It matters because this is a test of the loader.",
    "remediation": "Mend the file.",
    "examples": [
        {"name": "good", "row": {"is_ca": False, "key_bits": 2048}, "outcome": "pass"},
        {"name": "bad", "row": {"is_ca": False, "key_bits": 1024}, "outcome": "fail"},
    ],
}


def written(folder: Path, changes: dict[str, Any], name: str = "") -> Path:
    document = {**GOOD, **changes}
    path = folder / f"{name or document['id']}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
    return path


def expect(column: str, op: str, **value: Any) -> dict[str, Any]:
    return {"expect": [{"column": column, "op": op, **value}]}


MISTAKES = {
    "unknown column": (
        expect("key_bit", "at_least", value=1),
        "expect.0: no column named 'key_bit' in certificates; did you mean 'key_bits'?",
    ),
    "unknown operator": (expect("key_bits", "atleast", value=1), "expect.0: no operator named 'atleast'; did you mean 'at_least'?"),
    "operator does not fit": (expect("is_ca", "at_least", value=1), "at_least does not fit is_ca, which is bool"),
    "value of the wrong type": (expect("key_bits", "at_least", value="2048"), "expect.0: '2048' is no Int64"),
    "boolean for a number": (expect("key_bits", "is", value=True), "expect.0: True is no Int64"),
    "no value": (expect("key_bits", "at_least"), "expect.0: at_least needs a value"),
    "value too many": (expect("key_bits", "present", value=1), "expect.0: present takes no value"),
    "list missing": (expect("key_algorithm", "one_of", value="RSA"), "one_of takes a list"),
    "bad regular expression": (expect("subject", "matches", value="("), "expect.0: '(' is no regular expression that RE2 takes"),
    "unbounded regular expression": (expect("subject", "matches", value=r"(a)\1"), "is no regular expression that RE2 takes"),
    "unknown table": ({"table": "certificate"}, "no table named 'certificate'; did you mean 'certificates'?"),
    "unknown field": ({"remedy": "x"}, "no field named 'remedy'"),
    "misspelt field": ({"rationales": "x"}, "did you mean 'rationale'?"),
    "stepped without date": (expect("key_bits", "at_least", value={"2026-01-01": 1}), "the steps of a value start at dates"),
    "severity unknown": ({"severity": "urgent"}, "severity: Input should be"),
    "why without unverified": ({"why": "not read"}, "`unverified` and `why` go together"),
    "template left over": ({"remediation": "TODO: say how"}, "remediation: 'TODO' is left over from the template"),
    "knob points at nothing": (
        {"tunable": {"least": {"clause": "expect.7.value", "unit": "bits", "meaning": "x"}}},
        "tunable least: expect.7.value points at nothing",
    ),
    "dated without steps": ({"dated_by": "not_before"}, "dated_by: no clause of `expect` has a stepped value"),
    "example with a wrong column": (
        {"examples": [GOOD["examples"][0], {"name": "x", "row": {"is_caa": True}, "outcome": "fail"}]},
        "example 'x': no column named 'is_caa' in certificates; did you mean 'is_ca'?",
    ),
    "example with a wrong value": (
        {"examples": [GOOD["examples"][0], {"name": "x", "row": {"is_ca": "yes"}, "outcome": "fail"}]},
        "example 'x': is_ca: 'yes' is no bool",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_place(mistake: str, tmp_path: Path) -> None:
    changes, message = MISTAKES[mistake]
    path = written(tmp_path, changes)
    with pytest.raises(ContentError) as caught:
        load_rules(tmp_path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def text(folder: Path, old: str, new: str) -> Path:
    path = written(folder, {})
    source = path.read_text("utf-8")
    assert old in source
    path.write_text(source.replace(old, new), "utf-8")
    return path


def test_the_good_one_loads(tmp_path: Path) -> None:
    written(tmp_path / "certificate", {})
    assert [r.id for r in load_rules(tmp_path)] == ["certificate.test.good"]


def test_a_stepped_value_needs_its_date(tmp_path: Path) -> None:
    text(tmp_path, "value: 2048", "value: {2026-03-15: 2048, 2030-01-01: 3072}")
    with pytest.raises(ContentError, match=r"expect.0: a stepped value needs `dated_by`"):
        load_rules(tmp_path)


def test_a_stepped_value_is_dated_by_an_instant(tmp_path: Path) -> None:
    text(tmp_path, "value: 2048", "value: {2026-03-15: 2048}\ndated_by: not_befor")
    with pytest.raises(ContentError, match="'not_befor' is no instant of certificates; did you mean 'not_before'"):
        load_rules(tmp_path)


def test_a_stepped_value_does_not_stand_in_scope(tmp_path: Path) -> None:
    text(tmp_path, "  value: false", "  value: {2026-03-15: false}")
    with pytest.raises(ContentError, match=r"scope.0: stepped values stand in `expect` only"):
        load_rules(tmp_path)


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    text(tmp_path, "severity: high", "severity: high\nseverity: low")
    with pytest.raises(ContentError, match="the key 'severity' is there twice"):
        load_rules(tmp_path)


def test_ids_and_codes_are_there_once(tmp_path: Path) -> None:
    written(tmp_path / "a", {})
    written(tmp_path / "b", {})
    with pytest.raises(ContentError, match=r"certificate.test.good is there already, in .*a/certificate"):
        load_rules(tmp_path)
    with pytest.raises(ContentError, match="TST-001 is there already"):
        load_rules(written(tmp_path / "c", {}), written(tmp_path / "d", {"id": "certificate.test.other"}))


def test_the_file_has_the_name_of_the_rule(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match=r"the file must be named certificate.test.good.yaml"):
        read_rule(written(tmp_path, {}, "certificate.test.bad"))


def test_a_folder_that_is_not_there_is_not_an_empty_rule_set(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match="does not exist"):
        load_rules(tmp_path / "nothing")


@pytest.mark.parametrize("source", ["- a\n- b\n", "just text\n", "a: [\n", "!!python/object/apply:os.system ['true']\n"])
def test_what_is_no_rule_at_all_is_refused(source: str, tmp_path: Path) -> None:
    path = tmp_path / "x.y.z.yaml"
    path.write_text(source, "utf-8")
    with pytest.raises(ContentError, match=str(path)):
        read_rule(path)
