"""Tickets follow findings: each rule of `keymuster.remediation` on real files and a real ledger."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from keymuster.errors import ConfigurationError, LedgerError, TrackerRefused
from keymuster.ledger import Ledger
from keymuster.model import Coverage
from keymuster.remediation import apply, ticket_of
from tests.audit_results import station
from tests.remediation_cases import Desk, day, files_of, finding, set_status

A, B = finding("a"), finding("b")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tickets"


@pytest.fixture
def desk(tmp_path: Path, folder: Path) -> Iterator[Desk]:
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db").migrate()
    yield Desk(ledger, "files", {"folder": folder})
    ledger.close()


def close_at(path: Path, status: str, moment: float) -> None:
    set_status(path, status)
    os.utime(path, (day(moment).timestamp(),) * 2)


def row_of(desk: Desk, finding_row=A):
    return ticket_of(desk.ledger, desk.tracker, desk.settings, finding_row["key"])


def test_one_ticket_for_one_finding_and_nothing_on_the_second_day(desk: Desk, folder: Path) -> None:
    assert desk.run(A) == [("open", "new")]
    text = files_of(folder)[f"{A['key']}.md"]
    assert f"\nkeymuster:{A['key']}\n" in text
    assert "status: open" in text
    assert "due: 2026-12-24" in text  # first seen on 24 November, high: 30 days
    assert desk.run(A) == []
    assert files_of(folder) == {f"{A['key']}.md": text}


def test_only_failures_at_or_above_the_threshold_get_tickets(desk: Desk, folder: Path) -> None:
    assert desk.run(finding("low", severity="medium"), finding("waived", outcome="waived", waiver="WVR-1")) == []
    assert not files_of(folder)
    assert desk.again(threshold="medium") == [("open", "new")]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"severity": "critical"}, "Severity: `high` → `critical`"),
        ({"owner": "payments"}, "Owner: `web-team` → `payments`"),
        ({"owner": None}, "Owner: `web-team` → `nobody`"),
        ({"places": 3}, "Places: `1` → `3`"),
        ({"locators": ["shop-tls:elsewhere:443"]}, "`shop-tls:elsewhere:443`"),
        ({"severity": "low"}, "Severity: `high` → `low`"),
    ],
)
def test_a_change_is_told_once(desk: Desk, folder: Path, change, said) -> None:
    desk.run(A)
    assert desk.run({**A, **change}) == [("comment", "changed")]
    assert desk.run({**A, **change}) == []
    assert files_of(folder)[f"{A['key']}.md"].count(said) == 1


def test_observed_values_change_every_day_and_are_no_news(desk: Desk) -> None:
    desk.run(A)
    assert desk.run({**A, "observed": "days_left=-4.5", "snapshot_uri": "snapshots/other"}) == []


def test_a_waiver_is_told_once_and_so_is_its_end(desk: Desk, folder: Path) -> None:
    desk.run(A)
    waived = {**A, "outcome": "waived", "waiver": "WVR-7 until 2026-12-31"}
    assert desk.run(waived) == [("comment", "waived")]
    assert desk.run(waived) == []
    assert desk.run(A) == [("comment", "changed")]
    text = files_of(folder)[f"{A['key']}.md"]
    assert "Covered by a waiver: `WVR-7 until 2026-12-31`" in text
    assert "Waiver: `in force` → `no longer in force`" in text


def test_resolved_closes_and_a_return_reopens(desk: Desk, folder: Path) -> None:
    desk.run(A, B)
    assert desk.run(B) == [("close", "resolved")]
    assert "status: closed" in files_of(folder)[f"{A['key']}.md"]
    assert "status: open" in files_of(folder)[f"{B['key']}.md"]
    assert desk.run(A, B) == [("reopen", "returned")]
    assert "status: open" in files_of(folder)[f"{A['key']}.md"]
    assert len(files_of(folder)) == 2


def test_a_late_return_gets_a_new_ticket_that_names_the_old(desk: Desk, folder: Path) -> None:
    desk.run(A)
    desk.run()
    desk.today += 31
    assert desk.run(A) == [("open", "follows")]
    old, new = (files_of(folder)[f"{A['key']}{suffix}.md"] for suffix in ("", "-2"))
    assert f"Follows the closed ticket `{A['key']}.md`" in new
    assert "due: 2027-01-26" in new  # the clock starts anew: back on 27 December
    assert "status: closed" in old
    assert desk.run() == [("close", "resolved")]
    assert "status: closed" in files_of(folder)[f"{A['key']}-2.md"]


def test_unconfirmed_closes_nothing_until_the_station_is_back(desk: Desk, folder: Path) -> None:
    desk.run(A)
    short = [station(coverage=Coverage(expected=10, fetched=5))]
    assert desk.run(gone="unconfirmed", stations=short) == []
    assert desk.run(gone="unconfirmed", stations=short) == []
    assert "status: open" in files_of(folder)[f"{A['key']}.md"]
    assert desk.run() == [("close", "resolved")]


def test_a_close_that_failed_is_done_by_a_later_run(desk: Desk, folder: Path) -> None:
    desk.run(A)
    desk.audit()  # its remediation never runs
    assert desk.run() == [("close", "resolved")]
    assert "status: closed" in files_of(folder)[f"{A['key']}.md"]


def test_closed_by_people_too_early_is_reopened_once_then_a_request_for_a_waiver(desk: Desk, folder: Path) -> None:
    path = folder / f"{A['key']}.md"
    desk.run(A)
    close_at(path, "done", 1.5)
    assert desk.run(A) == [("reopen", "still_stands")]
    close_at(path, "done", 2.5)
    assert desk.run(A) == [("comment", "waiver_requested")]
    text = path.read_text()
    assert desk.run(A) == []
    assert path.read_text() == text
    assert "status: done" in text
    assert [t.finding_key for t in desk.ledger.waiver_requests()] == [A["key"]]
    assert desk.plan().left[0].event == "waiver_requested"


def test_wont_fix_is_a_request_for_a_waiver_at_once(desk: Desk, folder: Path) -> None:
    path = folder / f"{A['key']}.md"
    desk.run(A)
    close_at(path, "won't fix", 1.5)
    assert desk.run(A) == [("comment", "waiver_requested")]
    assert desk.run({**A, "places": 9}) == []
    assert desk.run({**A, "severity": "critical"}) == [("comment", "changed")]
    assert desk.run({**A, "outcome": "waived", "waiver": "WVR-9"}) == [("comment", "waiver_granted")]
    assert desk.ledger.waiver_requests() == ()
    assert desk.run(A) == [("reopen", "returned")]


def test_a_waiver_request_ends_when_the_problem_does(desk: Desk, folder: Path) -> None:
    desk.run(A)
    close_at(folder / f"{A['key']}.md", "rejected", 1.5)
    desk.run(A)
    assert desk.run() == [("close", "resolved")]
    assert desk.ledger.waiver_requests() == ()


def test_closed_by_people_after_the_evidence_was_gathered_waits(desk: Desk, folder: Path) -> None:
    path = folder / f"{A['key']}.md"
    desk.run(A)
    close_at(path, "done", 2.5)
    assert desk.run(A) == []  # audit of day 2
    assert desk.plan().left[0].event == "evidence_older"
    desk.audit(A, stations=[station(state="stale", reason="unreachable", as_of=day(2))])  # day 3, from a snapshot of day 2
    assert desk.again() == []
    assert desk.run(A, stations=[station(as_of=day(4))]) == [("reopen", "still_stands")]


def test_mended_and_closed_by_people_needs_no_word(desk: Desk, folder: Path) -> None:
    path = folder / f"{A['key']}.md"
    desk.run(A)
    close_at(path, "done", 1.5)
    text = path.read_text()
    assert desk.run() == [("close", "resolved")]
    assert path.read_text() == text


def test_deleted_by_people_is_filed_once_more_then_a_request_for_a_waiver(desk: Desk, folder: Path) -> None:
    desk.run(A)
    (folder / f"{A['key']}.md").unlink()
    assert desk.run(A) == [("open", "deleted")]
    (folder / f"{A['key']}.md").unlink()
    assert desk.run(A) == [("comment", "waiver_requested")]
    assert not files_of(folder)
    assert desk.run(A) == []


def test_the_limit_sends_the_rest_into_one_overflow_ticket(desk: Desk, folder: Path) -> None:
    desk.limit = 3
    many = [finding(f"f{n}", severity="critical" if n in {4, 5} else "high") for n in range(6)]
    assert desk.run(*many) == [("open", "new")] * 3 + [("overflow", "overflow")]
    assert {many[4]["key"], many[5]["key"]} <= {name.removesuffix(".md") for name in files_of(folder)}, "the worst first"
    (overflow,) = [folder / name for name, text in files_of(folder).items() if "have no ticket of their own" in text]
    assert "**3** findings of severity high or above" in overflow.read_text()
    assert desk.run(*many) == []
    assert desk.run(*many[1:]) in ([("close", "resolved")], [("overflow", "changed")])
    set_status(overflow, "closed")
    waiting = sum(t.state == "overflow" for t in desk.ledger.tickets(f"files {folder}").values())
    assert desk.run(*many[1:])[:waiting] == [("open", "released")] * waiting
    assert desk.run() == [("close", "resolved")] * 5
    assert not any("status: open" in text for text in files_of(folder).values())


def test_a_flood_that_is_released_in_parts(desk: Desk, folder: Path) -> None:
    desk.limit = 2
    many = [finding(f"f{n}") for n in range(7)]
    desk.run(*many)
    (overflow,) = [folder / name for name, text in files_of(folder).items() if "**5** findings" in text]
    set_status(overflow, "done")
    assert desk.run(*many) == [("open", "released")] * 2 + [("overflow", "released")]
    assert "**3** findings still wait" in overflow.read_text()
    assert "status: open" in overflow.read_text()
    overflow.unlink()
    assert desk.run(*many) == [("open", "released")] * 2 + [("overflow", "overflow")]
    assert desk.run(*many[:0]) == [("close", "resolved")] * 6 + [("overflow", "resolved")]
    assert len(files_of(folder)) == 7
    assert not any("status: open" in text for text in files_of(folder).values())


def test_waived_and_smaller_findings_leave_the_overflow_ticket(desk: Desk, folder: Path) -> None:
    desk.limit = 1
    one, two, three = (finding(n, severity=s) for n, s in (("1", "critical"), ("2", "high"), ("3", "high")))
    desk.run(one, two, three)
    assert desk.run(one, {**two, "severity": "low"}, {**three, "outcome": "waived"}) == [("overflow", "resolved")]
    assert row_of(desk, two) is None


@pytest.mark.parametrize("kind", ["backfill", "what_if"])
def test_audits_that_are_not_live_are_planned_but_never_applied(desk: Desk, folder: Path, kind: str) -> None:
    result = desk.audit(A, kind=kind)
    plan = desk.plan(result)
    assert plan.counts == {"open": 1}
    with pytest.raises(ConfigurationError, match=f"a {kind} audit is for reading"):
        desk.apply(plan)
    assert not folder.exists()


def test_an_audit_that_a_newer_one_has_overtaken_asks_for_nothing(desk: Desk) -> None:
    old = desk.audit(A, B)
    desk.run(A)
    plan = desk.plan(old)
    assert plan.empty
    assert plan.left[0].event == "superseded"


def test_a_plan_made_before_another_run_does_nothing(desk: Desk, folder: Path) -> None:
    desk.audit(A, B)
    one, two = desk.plan(), desk.plan()
    assert desk.apply(one).counts == {"open": 2}
    second = desk.apply(two)
    assert (second.counts, second.overtaken) == ({}, 2)
    desk.audit({**A, "severity": "critical"})
    one, two = desk.plan(), desk.plan()
    assert desk.apply(one).counts == {"comment": 1, "close": 1}
    before = files_of(folder)
    assert desk.apply(two).overtaken == 2
    assert files_of(folder) == before


def test_a_lost_ledger_makes_no_second_ticket(desk: Desk, folder: Path, tmp_path: Path) -> None:
    desk.run(A, B)
    close_at(folder / f"{B['key']}.md", "done", 0.5)
    desk.ledger = Ledger(f"sqlite:///{tmp_path}/other.db").migrate()
    desk.audit(A, B)
    assert desk.apply(desk.plan()).counts == {"adopt": 2}
    assert desk.plan().empty
    assert len(files_of(folder)) == 2
    assert "status: open" in files_of(folder)[f"{B['key']}.md"]
    desk.ledger.close()


def test_two_estates_share_a_ticket_until_both_are_clean(desk: Desk, folder: Path) -> None:
    desk.run(A)
    assert desk.run(A, estate="other") == []
    desk.results = [r for r in desk.results if r.manifest.estate == "sample"]
    assert desk.run(estate="sample") == []
    assert "status: open" in files_of(folder)[f"{A['key']}.md"]
    desk.results = [desk.results[0]]
    assert desk.run(estate="other") == [("close", "resolved")]


def test_tickets_of_another_folder_are_others(desk: Desk, folder: Path, tmp_path: Path) -> None:
    desk.run(A)
    desk.settings = {"folder": tmp_path / "elsewhere"}
    assert desk.run(A) == [("open", "new")]
    plan = desk.plan()
    desk.settings = {"folder": folder}
    with pytest.raises(ConfigurationError, match="the plan was made for files"):
        desk.apply(plan)


def test_the_tracker_none_files_nothing(desk: Desk, folder: Path) -> None:
    desk.tracker = "none"
    desk.audit(A)
    plan = desk.plan()
    assert plan.counts == {"open": 1}
    assert desk.apply(plan).counts == {}
    assert not folder.exists()


def test_bad_settings_are_named_and_their_values_are_not(desk: Desk) -> None:
    desk.tracker, desk.settings = "redmine", {"url": "https://user:hunter2@redmine", "api_key": "hunter2", "project": "p"}
    desk.audit(A)
    with pytest.raises(ConfigurationError, match="tracker redmine: setting 'url'") as caught:
        desk.plan()
    assert "hunter2" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_reserved(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    desk.settings = {"folder": tmp_path / "file"}
    desk.audit(A)
    with pytest.raises(TrackerRefused, match="file"):
        desk.plan()


def test_while_another_run_files_one_waits_and_then_says_so(desk: Desk) -> None:
    desk.audit(A)
    plan = desk.plan()
    other = Ledger(desk.ledger.name).migrate()
    with other.exclusive(plan.tracker, 1), pytest.raises(LedgerError, match="another process"):
        apply(plan, desk.ledger, desk.tracker, desk.settings, wait_seconds=0.1)
    other.close()


def test_what_happened_is_written_down(desk: Desk, folder: Path) -> None:
    desk.run(A)
    desk.run({**A, "severity": "critical"})
    desk.run()
    log = desk.ledger.ticket_log(f"files {folder}", A["key"])
    assert [event for _, event, _, _ in log] == ["reserved", "sent", "confirmed", "changed", "closed"]
