"""The real DAGs, run in this process on a small estate."""

from __future__ import annotations

from datetime import timedelta

import pytest

from keymuster.settings import settings
from tests.orchestration.lab import ESTATE, NOON, Lab

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def test_the_whole_way_twice(lab: Lab) -> None:
    """From certificates to tickets; the second time nothing has changed and no second ticket is filed."""
    for station in ("lab-files", "lab-ca"):
        assert lab.run(f"collect__{station}", NOON) == {"run": "success", "pull": "success", "gate": "success"}
    lab.round(NOON)
    (first,) = lab.audits
    assert (first.manifest.kind, first.manifest.as_of) == ("live", NOON)
    assert {s.station: s.state for s in first.manifest.stations} == {"lab-files": "current", "lab-ca": "current"}
    (loose,) = [row for row in first.findings.to_pylist() if row["rule_id"] == "key.file.private"]
    assert "old.lab.test.key" in loose["locators"][0]
    (folder,) = (settings().home / "reports" / "lab").iterdir()
    assert {"executive.html", "technical.html"} <= {path.name for path in folder.iterdir()}
    tickets = lab.tickets
    assert any("old.lab.test" in text for text in tickets.values())

    lab.collect(NOON + HOUR)
    assert lab.run("audit", NOON + HOUR)["conclude"] == "success"
    second = lab.audits[-1]
    delta = lab.place.delta(second)
    assert (delta.opened, delta.resolved, delta.unconfirmed) == ((), (), ())
    assert len(delta.standing) == first.manifest.outcomes["fail"]
    states = lab.run("remediate", NOON + HOUR)
    assert (states["run"], states["plan"], states["apply"]) == ("success", "skipped", "skipped")
    assert lab.tickets == tickets


def test_collecting_again_for_the_same_instant_does_not_ask_the_source(lab: Lab) -> None:
    assert lab.run("collect__lab-files", NOON)["run"] == "success"
    lab.put("new.lab.test")
    assert lab.run("collect__lab-files", NOON)["run"] == "success"
    (ref,) = lab.place.store.snapshots("lab-files")
    names = lab.place.store.read_snapshot(ref).tables["certificates"]["subject"].to_pylist()
    assert not [name for name in names if "new.lab.test" in name]


def test_one_run_of_the_audit_handles_ten_changes_and_the_next_finds_nothing_to_do(lab: Lab) -> None:
    for number in range(5):
        lab.put(f"burst{number}.lab.test")
        lab.collect(NOON + number * HOUR)
    assert lab.run("audit__sweep", NOON + 5 * HOUR)["sweep"] == "success"
    assert lab.run("audit", NOON + 5 * HOUR)["conclude"] == "success"
    (result,) = lab.audits
    assert {s.snapshot.as_of for s in result.manifest.stations if s.snapshot} == {NOON + 4 * HOUR}
    states = lab.run("audit", NOON + 6 * HOUR)
    assert (states["run"], states["plan"], states["conclude"]) == ("success", "success", "skipped")
    assert lab.run("audit__sweep", NOON + 6 * HOUR)["sweep"] == "skipped"
    assert len(lab.audits) == 1
    assert lab.run("audit", NOON + DAY)["conclude"] == "success", "another day: certificates age"


@pytest.mark.parametrize("trouble", ["unreachable", "quarantined"])
def test_a_station_that_fails_leaves_its_last_good_snapshot_and_closes_nothing(lab: Lab, trouble: str) -> None:
    lab.round(NOON)
    tickets, station = lab.tickets, {"unreachable": "lab-ca", "quarantined": "lab-files"}[trouble]
    if trouble == "unreachable":
        (lab.folder / "ca" / "index.txt").unlink()
    else:
        for path in sorted((lab.folder / "pki").iterdir())[1:]:
            path.unlink()
    states = lab.run(f"collect__{station}", NOON + HOUR)
    assert states["run"] == "failed"
    assert states["gate"] == ("upstream_failed" if trouble == "unreachable" else "failed")
    for dag_id in ("audit", "report", "remediate"):
        assert lab.run(dag_id, NOON + HOUR)["run"] == "success"
    before, after = lab.audits
    status = next(s for s in after.manifest.stations if s.station == station)
    assert status.state == "stale"
    assert status.reason.startswith(trouble)
    assert status.snapshot is not None
    assert status.snapshot.as_of == NOON
    assert after.findings["key"].to_pylist() == before.findings["key"].to_pylist()
    assert lab.place.delta(after).resolved == ()
    assert lab.tickets == tickets


def test_a_person_may_overrule_the_gate_and_the_audit_says_so(lab: Lab) -> None:
    lab.collect(NOON)
    for path in sorted((lab.folder / "pki").iterdir())[1:]:
        path.unlink()
    assert lab.run("collect__lab-files", NOON + HOUR)["gate"] == "failed"
    conf = {"as_of": (NOON + HOUR).isoformat(), "overrule": "the other hosts were switched off"}
    assert lab.run("collect__lab-files", NOON + 2 * HOUR, **conf)["gate"] == "success"
    assert lab.run("audit", NOON + 2 * HOUR)["run"] == "success"
    status = next(s for s in lab.audits[-1].manifest.stations if s.station == "lab-files")
    assert (status.state, status.snapshot and status.snapshot.as_of) == ("current", NOON + HOUR)
    assert status.validation
    assert status.validation["success"] is False
    assert status.validation["failed"][-1] == "accepted by hand: the other hosts were switched off"


def test_a_missing_connection_stops_its_station_only(lab: Lab) -> None:
    extra = "  - {name: lab-bao, source: vault_pki, connection: bao_prod, owner: x, settings: {url: 'https://bao.lab.test'}}\n"
    (lab.folder / "estate.yaml").write_text(ESTATE + extra)
    lab.load()
    lab.collect(NOON)
    assert lab.run("collect__lab-bao", NOON)["pull"] == "failed"
    assert lab.run("audit", NOON)["run"] == "success"
    (result,) = lab.audits
    status = next(s for s in result.manifest.stations if s.station == "lab-bao")
    assert status.state == "absent"
    assert "connection_missing: no Airflow connection 'bao_prod'" in status.reason
    assert "AIRFLOW_CONN_BAO_PROD" in status.reason


def test_a_wrong_setting_stops_its_station_only(lab: Lab) -> None:
    (lab.folder / "estate.yaml").write_text(ESTATE.replace("{folder: ca}", "{foldr: ca}"))
    lab.load()
    lab.run("collect__lab-files", NOON)
    assert lab.run("collect__lab-ca", NOON)["pull"] == "failed"
    refusal = lab.place.store.last_refusal("lab-ca", NOON)
    assert refusal is not None
    assert f"{lab.folder / 'estate.yaml'}: station 'lab-ca': settings.folder" in refusal.detail


def test_an_audit_of_a_past_day_moves_neither_ledger_nor_tickets(lab: Lab) -> None:
    lab.round(NOON)
    tickets, history = lab.tickets, lab.place.ledger.history("lab")
    lab.put_key("later.lab.test")
    lab.collect(NOON + 2 * DAY)
    assert lab.run("audit", NOON + 3 * DAY, as_of="2026-11-24")["conclude"] == "success"
    result = lab.audits[-1]
    assert (result.manifest.kind, f"{result.manifest.as_of:%Y-%m-%d %H:%M:%S}") == ("backfill", "2026-11-24 23:59:59")
    assert {s.snapshot.as_of for s in result.manifest.stations if s.snapshot} == {NOON}
    assert lab.run("report", NOON + 3 * DAY)["write"] == "success"
    assert [p.name[:8] for p in sorted((settings().home / "reports" / "lab").iterdir())] == ["20261123", "20261124"]
    lab.run("remediate", NOON + 3 * DAY)
    assert (lab.tickets, lab.place.ledger.history("lab")) == (tickets, history)

    assert lab.run("audit", NOON + 4 * DAY, as_of="2026-11-24")["run"] == "success"
    assert len(lab.audits) == 2, "the same day judged again is the audit that is there"


def test_a_day_without_any_snapshot_is_no_evidence_and_no_pass(lab: Lab) -> None:
    lab.collect(NOON)
    states = lab.run("audit", NOON, as_of="2026-10-01")
    assert (states["run"], states["plan"], states["conclude"]) == ("success", "success", "skipped")
    assert lab.audits == []
    (folder,) = (settings().home / "reports" / "lab").iterdir()
    assert folder.name == "20261001T235959000000Z-no-evidence"
    page = (folder / "no-evidence.html").read_text()
    assert "no evidence" in page
    assert "lab-files: was never collected" in page


def test_nothing_collected_yet_is_nothing_to_do(lab: Lab) -> None:
    for dag_id in ("audit", "audit__sweep", "report", "remediate"):
        assert lab.run(dag_id, NOON)["run"] == "success"
    assert lab.audits == []


def test_reports_are_written_again_when_asked(lab: Lab) -> None:
    lab.round(NOON)
    (folder,) = (settings().home / "reports" / "lab").iterdir()
    (folder / "executive.html").write_text("old")
    assert lab.run("report", NOON + HOUR)["write"] == "skipped"
    assert lab.run("report", NOON + 2 * HOUR, again=True)["write"] == "success"
    assert (folder / "executive.html").read_text() != "old"
