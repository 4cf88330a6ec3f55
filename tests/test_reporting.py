"""What a report says of an audit: the numbers, the comparison, the gaps."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keymuster.errors import ContentError, NotRegistered
from keymuster.ledger import Ledger
from keymuster.model import Coverage, Delta
from keymuster.report_context import ReportContext
from keymuster.reporting import build, templates, write
from keymuster.results import AuditResult
from keymuster.store import Store
from keymuster.store_packs import encode
from tests import audit_results as audits
from tests.audit_results import DAY, Shelf, failing, sample, station

WEEK = timedelta(days=7)


def context(*results: AuditResult, **options: object) -> ReportContext:
    """The report of the last of these audits."""
    return build(Shelf(*results), None, results[-1].uri, **options)  # type: ignore[arg-type]


def test_numbers_add_up() -> None:
    report = context(sample())
    totals = report.totals
    assert totals.verdicts == totals.passed + totals.failed + totals.waived + totals.unknown
    assert totals.failed == sum(s.findings for s in report.severities) == sum(g.assets for g in report.rules)
    assert totals.failed == sum(o.findings for o in report.owners)
    for group in report.rules:
        assert group.verdicts == group.passed + group.assets + group.waived + group.unknown
        assert sum(number for _, number in group.owners) == group.assets
    for framework in report.frameworks:
        assert sum(framework.statuses.values()) == len(framework.requirements)
        assert framework.denominator == framework.passed + framework.failed + framework.waived + framework.unknown


def test_the_verdict_names_every_denominator() -> None:
    report = context(audits.build([failing("key.file.private")], passes={"key.file.private": 9, "tls.chain.complete": 5}))
    assert report.verdict.level == "failing"
    assert report.verdict.headline == "1 finding, 1 high"
    for part in ("1 of 1 asset", "Of 15 verdicts", "14 pass (93.3 %)", "0 are waived", "0 are unknown", "14 of 14 rules", "1 of 1 station"):
        assert part in report.verdict.sentence


def test_nothing_judged_is_no_evidence_and_no_pass() -> None:
    nothing = audits.build(stations=[station(state="absent", reason="unreachable")], not_evaluated=dict.fromkeys(audits.RULES, "no rows"))
    verdict = context(nothing).verdict
    assert verdict.level == "no_evidence"
    assert "not a pass" in verdict.sentence
    assert "0 of 14 rules evaluated" in verdict.sentence


def test_clean_only_when_everything_was_evaluated() -> None:
    passes = dict.fromkeys(audits.RULES, 3)
    whole = context(audits.build(passes=passes, assets=[audits.asset("a")]))
    assert whole.verdict.level == "clean"
    assert whole.gaps.nothing
    unknown = [{"rule_id": "key.file.private", "station": "a", "reason": "mode not delivered", "assets": 1}]
    for doubt in (
        audits.build(passes=passes, unknowns=unknown),
        audits.build(passes=passes, not_evaluated={"tls.chain.complete": "no such table"}),
        audits.build(passes=passes, stations=[station(state="stale", reason="quarantined")]),
        audits.build(passes=passes, stations=[station(coverage=Coverage(10, 9))]),
    ):
        report = context(doubt)
        assert report.verdict.level == "incomplete"
        assert not report.gaps.nothing


def test_compared_with_the_newest_older_audit() -> None:
    oldest, before, after = (audits.build(findings, as_of=day, stations=[station(coverage=Coverage(10, 9))]) for findings, day in (
        ([], DAY - 2 * WEEK),
        ([failing("key.file.private", "a"), failing("key.file.private", "gone")], DAY - WEEK),
        ([failing("key.file.private", "a", severity="critical"), failing("tls.chain.complete", "new")], DAY),
    ))  # fmt: skip
    later = audits.build([], as_of=DAY + WEEK)
    report = build(Shelf(oldest, before, after, later), None, after.uri)
    change = report.change
    assert change.before_uri == before.uri
    assert (change.opened, change.standing, change.resolved, change.worsened) == (1, 1, 0, 1)
    assert change.unconfirmed == 1, "the station did not see everything, so the gone asset proves nothing"
    assert [row.label for row in change.opened_rows] == ["CN=new"]
    assert [row.label for row in change.unconfirmed_rows] == ["CN=gone"]


def test_resolved_where_the_station_is_complete() -> None:
    before = audits.build([failing("key.file.private", "a")], as_of=DAY - WEEK)
    after = audits.build([], passes={"key.file.private": 1}, assets=[audits.asset("a", "keys")])
    report = context(before, after)
    assert (report.change.resolved, report.change.unconfirmed) == (1, 0)
    assert {s.severity: s.resolved for s in report.severities}["high"] == 1


def test_a_first_audit_calls_nothing_new() -> None:
    report = context(sample())
    assert report.change.before_as_of is None
    assert report.change.opened == 0
    assert not any(row.change for row in report.worst)
    assert set(report.table["change"].to_pylist()) == {""}


def test_previous_can_be_chosen() -> None:
    results = [sample(as_of=DAY - n * WEEK) for n in (2, 1, 0)]
    assert build(Shelf(*results), None, results[2].uri, results[0].uri).change.before_uri == results[0].uri


def test_a_what_if_is_nothing_to_compare_with() -> None:
    before, supposed, after = (sample(as_of=DAY - n * WEEK, kind=kind) for n, kind in ((2, "live"), (1, "what_if"), (0, "live")))
    report = context(before, supposed, after)
    assert report.change.before_uri == before.uri
    assert len(report.trend) == 2


def test_reads_from_a_real_store(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    uris = [
        store.put_audit(f"sample/{n}-{result.manifest.key[:8]}", as_files(result))
        for n, result in enumerate((sample(as_of=DAY - WEEK), sample()))
    ]
    report = build(store, None, uris[1])
    assert report.change.before_uri == uris[0]
    assert report.totals == context(sample()).totals
    assert len(write(report, tmp_path / "out")) == 4


def as_files(result: AuditResult) -> dict[str, bytes]:
    tables = {name: getattr(result, name) for name in ("findings", "unknowns", "outcomes", "controls", "assets")}
    files = {f"{name}.parquet": encode(table.combine_chunks()) for name, table in tables.items()}
    return {**files, "manifest.json": json.dumps(result.manifest.as_json()).encode()}


def test_without_changes_it_says_so() -> None:
    results = [audits.build([failing("key.file.private")], as_of=day) for day in (DAY - WEEK, DAY)]
    assert context(*results).change.nothing


def test_a_changed_rule_set_is_named() -> None:
    before = audits.with_manifest(sample(as_of=DAY - WEEK), ruleset_sha256="0" * 64)
    change = context(before, sample()).change
    assert change.ruleset_changed
    assert not change.policy_changed


def test_history_comes_from_the_store_without_a_ledger() -> None:
    results = [sample(as_of=DAY - n * WEEK, rate=1 + n / 4) for n in (3, 2, 1, 0)]
    report = context(*results)
    assert [point.as_of for point in report.trend] == [r.manifest.as_of for r in results]
    assert report.trend[-1].total == report.totals.failed
    assert min(row.first_seen for row in report.worst if row.first_seen) == DAY - 3 * WEEK


def test_history_comes_from_the_ledger(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    ledger.migrate()
    first = audits.build([failing("key.file.private", "a")], as_of=DAY - WEEK)
    second = audits.build([failing("key.file.private", "a"), failing("key.file.private", "b")])
    ledger.record(first, Delta(tuple(first.findings["key"].to_pylist()), (), (), ()))
    report = build(Shelf(second), ledger, second.uri)
    assert [point.total for point in report.trend] == [1, 2]
    assert {row.label: row.first_seen for row in report.worst} == {"CN=a": DAY - WEEK, "CN=b": DAY}


def test_expiry_calendar_counts_every_asset_once() -> None:
    ends = [-10, -0.5, 0, 6.5, 7, 30, 200, 364, 380, 4000]
    assets = [audits.asset(f"a{n}", not_after=DAY + timedelta(days=d), owner="x", is_deployed=n % 2 == 0) for n, d in enumerate(ends)]
    calendar = context(audits.build(passes={"key.file.private": 1}, assets=[*assets, audits.asset("none")])).expiry
    assert (calendar.expired, calendar.expired_deployed) == (2, 1)
    assert (calendar.dated, calendar.undated) == (10, 1)
    assert calendar.expired + calendar.within_year + calendar.later == calendar.dated
    assert [w.assets for w in calendar.weeks[:5]] == [2, 1, 0, 0, 1]
    assert calendar.owners[0].expired == 2
    assert sum(calendar.owners[0].months) == calendar.within_year


def test_months_of_the_calendar_reach_over_the_year() -> None:
    calendar = context(audits.build(as_of=datetime(2026, 12, 31, 23, tzinfo=UTC))).expiry
    assert [m.label for m in calendar.months[:3]] == ["Dec 2026", "Jan 2027", "Feb 2027"]
    assert len(calendar.months) == 12


def test_rules_list_a_bounded_number_of_assets() -> None:
    many = audits.build([failing("key.file.private", f"k{n}") for n in range(120)])
    group = context(many, shown=50).rules[0]
    assert (len(group.examples), group.assets, group.hidden) == (50, 120, 70)


def test_worst_shows_each_rule_before_any_second() -> None:
    findings = [failing("certificate.expiry.in_future", f"a{n}", places=9) for n in range(4)] + [
        failing("key.compromise.not_reported", "k")
    ]
    assert {row.rule_id for row in context(audits.build(findings)).worst[:2]} == {
        "certificate.expiry.in_future",
        "key.compromise.not_reported",
    }


def test_rules_that_always_are_that_bad_come_first() -> None:
    findings = [failing("certificate.renewal.on_time", f"c{n}", severity="critical") for n in range(9)]
    findings += [failing("key.file.private", f"f{n}", severity="critical") for n in range(5)] + [
        failing("key.compromise.not_reported", "k")
    ]
    report = context(audits.build(findings))
    assert [g.rule_id for g in report.rules] == ["key.compromise.not_reported", "key.file.private", "certificate.renewal.on_time"]


def test_a_change_has_the_severity_of_what_moved() -> None:
    before, after = audits.build([], as_of=DAY - WEEK), audits.build([failing("key.file.private", severity="critical")])
    assert [(c.severity, c.opened) for c in context(before, after).change.rules] == [("critical", 1)]


def test_waived_failures_are_no_findings() -> None:
    report = context(audits.build([failing("key.file.private", outcome="waived", waiver="W-1")]))
    assert (report.totals.failed, report.totals.waived) == (0, 1)
    assert report.rules == ()
    assert report.waived[0].waiver == "W-1"


def test_unknown_names_of_reports_and_formats(tmp_path: Path) -> None:
    report = context(sample(certificates=10))
    with pytest.raises(ContentError, match="no report named 'exective'; there are executive, technical"):
        write(report, tmp_path, names=("exective",))
    with pytest.raises(NotRegistered, match="no renderer named 'xls'; there are csv, html, json"):
        write(report, tmp_path, formats=("xls",))


def test_a_wrong_head_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "report.yaml").write_text("title: Mine\n")
    with pytest.raises(ContentError, match=r"mine/report\.yaml: description: Field required"):
        templates(tmp_path)


def test_every_report_of_the_house_says_for_whom() -> None:
    assert {"executive", "technical"} <= {t.name for t in templates()}
    assert all(t.audience and t.description for t in templates())


def test_writing_leaves_whole_files_only(tmp_path: Path) -> None:
    paths = write(context(sample(certificates=20)), tmp_path)
    assert sorted(p.name for p in paths) == ["executive.html", "findings.csv", "findings.json", "technical.html"]
    assert all(p.stat().st_size for p in paths)
    assert {p.name for p in paths[0].parent.iterdir()} == {p.name for p in paths}


def test_a_finding_that_comes_back_keeps_its_first_day() -> None:
    here = [failing("key.file.private", "a")]
    results = [audits.build(f, as_of=DAY - n * WEEK, passes={"key.file.private": 1}) for f, n in ((here, 2), ([], 1), (here, 0))]
    row = context(*results).worst[0]
    assert (row.change, row.first_seen) == ("opened", DAY - 2 * WEEK)


def test_context_can_be_replaced_but_not_changed() -> None:
    report = context(sample(certificates=10))
    assert replace(report, shown=1).shown == 1
    with pytest.raises(AttributeError):
        report.shown = 2  # type: ignore[misc]
