"""CSV and JSON: whole, exact where programs read, harmless where people open it."""

from __future__ import annotations

import csv as reader
import io
import json as parser
from collections.abc import Callable
from datetime import timedelta

import pytest
from jsonschema import Draft202012Validator

from keymuster.renderers import csv, json
from keymuster.report_context import ReportContext, ReportTemplate
from keymuster.reporting import build, templates
from tests import audit_results as audits
from tests.audit_results import DAY, Shelf, failing, sample, station

TEMPLATE: ReportTemplate = templates()[0]


def context(*findings: dict[str, object], **options: object) -> ReportContext:
    result = audits.build(findings, **options)  # type: ignore[arg-type]
    return build(Shelf(result), None, result.uri)


def rows(report: ReportContext) -> list[dict[str, str]]:
    text = csv.render(report, TEMPLATE).decode("utf-8-sig")
    return list(reader.DictReader(io.StringIO(text, newline="")))


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1+1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "  =cmd|' /C calc'!A0",
        "＝1",
        "＋1",
        "－1",
        "＠x",
        '=HYPERLINK("http://evil","x")',
    ],
)
def test_no_cell_is_a_formula(text: str) -> None:
    finding = failing("key.file.private", "k", label=text, owner=text, observed=text, locators=[text, text], environment=text, waiver=text)
    row = rows(context(finding))[0]
    for name in ("label", "owner", "observed", "locators", "environment", "waiver"):
        assert row[name].startswith("'"), name
        assert "\t" not in row[name]
        assert "\n" not in row[name]


def test_negative_observations_of_ours_stay_readable() -> None:
    assert rows(context(failing("certificate.expiry.in_future")))[0]["observed"] == "days_left=-3.5"


def test_rfc_4180() -> None:
    nasty = 'CN=a,"b";\r\nO=c'
    raw = csv.render(context(failing("key.file.private", "k", label=nasty), failing("key.file.private", "l")), TEMPLATE)
    assert raw.startswith("\ufeff".encode())
    lines = raw.decode("utf-8-sig").split("\r\n")
    assert lines[0] == ",".join(csv.COLUMNS)
    assert len(lines) == 4, "a header, two rows, and the end of the last"
    assert all("\n" not in line for line in lines)


def test_hidden_characters_are_shown() -> None:
    row = rows(context(failing("key.file.private", "k", label="a\u202eb\x1b[31m\u200b")))[0]
    assert row["label"] == "a⟨U+202E⟩b⟨U+001B⟩[31m⟨U+200B⟩"


def test_every_finding_is_a_row_and_says_all() -> None:
    result = sample()
    report = build(Shelf(result), None, result.uri)
    got = rows(report)
    assert {r["key"] for r in got} == set(result.findings["key"].to_pylist())
    first = got[0]
    assert first["severity"] == "critical"
    assert first["remediation"]
    assert first["citation"]
    assert first["audit_key"] == result.manifest.key
    assert first["first_seen"] == "2026-11-23T06:00:00Z"
    assert sum(r["outcome"] == "waived" for r in got) == report.totals.waived


def test_without_findings_the_header_stays() -> None:
    assert csv.render(context(), TEMPLATE).decode("utf-8-sig") == ",".join(csv.COLUMNS) + "\r\n"


def validated(report: ReportContext) -> dict[str, object]:
    document = parser.loads(json.render(report, TEMPLATE))
    schema = json.schema()
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(document)
    return document  # type: ignore[no-any-return]


def test_the_export_keeps_its_schema() -> None:
    before, after = sample(as_of=DAY - timedelta(days=7), rate=1.3), sample()
    report = build(Shelf(before, after), None, after.uri)
    document = validated(report)
    assert document["schema"] == "keymuster.report/1"
    assert len(document["findings"]) == after.findings.num_rows  # type: ignore[arg-type]
    assert document["change"]["opened"] == report.change.opened  # type: ignore[index]
    validated(context())
    validated(context(stations=[station(state="absent", reason="gone")], not_evaluated=dict.fromkeys(audits.RULES, "no rows")))


def test_the_export_is_exact_and_ascii() -> None:
    text = '</script><!--\u202e\x1b[2J"\\&'
    raw = json.render(context(failing("key.file.private", "k", label=text)), TEMPLATE)
    assert raw.isascii()
    assert not set(b"<>&\x1b") & set(raw)
    assert parser.loads(raw)["findings"][0]["label"] == text


def test_the_manifest_in_the_export_reads_back() -> None:
    result = sample(certificates=20)
    document = parser.loads(json.render(build(Shelf(result), None, result.uri), TEMPLATE))
    audit = document["audit"]
    assert audit.pop("uri") == result.uri
    assert type(result.manifest).from_json(audit) == result.manifest


def test_golden_exports(golden: Callable[[str, str], None]) -> None:
    result = sample(certificates=12)
    report = build(Shelf(result), None, result.uri)
    golden("findings.csv", csv.render(report, TEMPLATE).decode("utf-8"))
    golden("findings.json", parser.dumps(parser.loads(json.render(report, TEMPLATE)), indent=1) + "\n")
