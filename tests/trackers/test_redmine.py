"""Tickets in a real Redmine, over networks that lose requests and answers, and the traps of its interface."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from keymuster.errors import TrackerRefused, TrackerUnreachable
from keymuster.ledger import Ledger
from keymuster.trackers import redmine as tracker
from tests.remediation_cases import Desk, day, finding
from tests.trackers.conformance import new_key, ticket
from tests.trackers.faulty_proxy import Proxy, proxy_to

pytestmark = pytest.mark.server("redmine")
FAR = 36500
"""Days: audits here are later than any real 'closed on'."""


@pytest.fixture
def proxy(redmine) -> Iterator[Proxy]:
    with proxy_to(redmine.url) as proxy:
        yield proxy


@pytest.fixture
def desk(redmine, proxy: Proxy, tmp_path: Path) -> Iterator[Desk]:
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db").migrate()
    settings = {"url": proxy.url, "api_key": redmine.api_key, "project": redmine.project, "text_formatting": "markdown"}
    yield Desk(ledger, "redmine", {**settings, "timeout_seconds": 20}, today=FAR)
    ledger.close()


@pytest.fixture
def settings(redmine) -> tracker.Settings:
    return tracker.Settings(url=redmine.url, api_key=redmine.api_key, project=redmine.project)


def unique() -> dict[str, Any]:
    return finding(f"host-{uuid4().hex}")


def issues(redmine, key: str) -> list[dict[str, Any]]:
    query = {"status_id": "*", "description": f"~keymuster:{key}"}
    answer = requests.get(f"{redmine.url}/issues.json", query, headers={"X-Redmine-API-Key": redmine.api_key}, timeout=30)
    return answer.json()["issues"]


def notes(redmine, ref: str) -> list[str]:
    url = f"{redmine.url}/issues/{ref}.json?include=journals"
    journals = requests.get(url, headers={"X-Redmine-API-Key": redmine.api_key}, timeout=30).json()["issue"]["journals"]
    return [j["notes"] for j in journals if j["notes"]]


def put_status(redmine, ref: str, status: int) -> None:
    body = {"issue": {"status_id": status}}
    requests.put(
        f"{redmine.url}/issues/{ref}.json", json=body, headers={"X-Redmine-API-Key": redmine.api_key}, timeout=30
    ).raise_for_status()


def test_a_whole_life_in_redmine(redmine, desk: Desk) -> None:
    a = unique()
    assert desk.run(a) == [("open", "new")]
    assert desk.run(a) == []
    (issue,) = issues(redmine, a["key"])
    ref = str(issue["id"])
    assert (issue["priority"]["name"], issue["status"]["name"]) == ("Urgent", "New")
    assert (issue["start_date"], issue["due_date"]) == (f"{day(FAR + 1):%Y-%m-%d}", f"{day(FAR + 31):%Y-%m-%d}")
    assert desk.run({**a, "severity": "critical"}) == [("comment", "changed")]
    assert desk.run() == [("close", "resolved")]
    assert desk.run(a) == [("reopen", "returned")]
    put_status(redmine, ref, 5)
    assert desk.run(a) == [("reopen", "still_stands")]
    put_status(redmine, ref, 6)
    assert desk.run(a) == [("comment", "waiver_requested")]
    assert len(issues(redmine, a["key"])) == 1
    said = notes(redmine, ref)
    assert [next(w for w in ("changed", "no longer finds", "is back", "Opened again, once", "waiver request") if w in n) for n in said] == [
        "changed", "no longer finds", "is back", "Opened again, once", "waiver request",
    ]  # fmt: skip


def test_an_answer_that_is_lost_makes_no_second_ticket(redmine, desk: Desk, proxy: Proxy) -> None:
    a, b = unique(), unique()
    desk.audit(a, b)
    proxy.faults = ["lose_answer"]
    with pytest.raises(TrackerUnreachable, match="the rest waits for the next run"):
        desk.apply(desk.plan())
    states = sorted(t.state for t in desk.ledger.tickets(f"redmine {proxy.url}/projects/certops").values())
    assert states == ["unknown"], "after the first request without an answer the run stops"
    assert sorted(desk.again()) == [("adopt", "found"), ("open", "new")]
    assert [len(issues(redmine, row["key"])) for row in (a, b)] == [1, 1]


def test_a_request_that_is_lost_is_sent_again_when_it_can_no_longer_arrive(redmine, desk: Desk, proxy: Proxy) -> None:
    a = unique()
    desk.audit(a)
    proxy.faults = ["lose_request"]
    with pytest.raises(TrackerUnreachable):
        desk.apply(desk.plan())
    assert desk.again() == []
    assert desk.plan().left[0].event == "waiting"
    later = day(desk.today) + timedelta(minutes=11)
    assert desk.again(now=later) == [("open", "retry")]
    assert len(issues(redmine, a["key"])) == 1


def test_a_time_out_is_no_answer(redmine, desk: Desk, proxy: Proxy) -> None:
    a = unique()
    desk.audit(a)
    desk.plan()  # Redmine is warm, the key is proved
    desk.settings["timeout_seconds"] = 5
    proxy.faults = ["hang"]
    with pytest.raises(TrackerUnreachable, match=r"timed out"):
        desk.apply(desk.plan())
    desk.settings["timeout_seconds"] = 20
    assert desk.again() == [("adopt", "found")]
    assert len(issues(redmine, a["key"])) == 1


def test_a_comment_whose_answer_is_lost_is_not_said_twice(redmine, desk: Desk, proxy: Proxy) -> None:
    a = unique()
    desk.run(a)
    desk.audit({**a, "severity": "critical"})
    proxy.faults = ["lose_answer"]
    with pytest.raises(TrackerUnreachable):
        desk.apply(desk.plan())
    assert desk.plan().empty
    (issue,) = issues(redmine, a["key"])
    assert len(notes(redmine, str(issue["id"]))) == 1


def test_a_close_whose_answer_is_lost_is_done_once(redmine, desk: Desk, proxy: Proxy) -> None:
    a = unique()
    desk.run(a)
    desk.audit()
    proxy.faults = ["lose_answer"]
    with pytest.raises(TrackerUnreachable):
        desk.apply(desk.plan())
    assert desk.again() == [("close", "resolved")]
    (issue,) = issues(redmine, a["key"])
    assert issue["status"]["name"] == "Closed"
    assert len(notes(redmine, str(issue["id"]))) == 1


@pytest.mark.parametrize("seed", range(3))
def test_random_faults_then_exactly_one_ticket_each(redmine, desk: Desk, proxy: Proxy, seed: int) -> None:
    chance = random.Random(seed)
    rows = [unique() for _ in range(4)]
    desk.audit(*rows)
    proxy.faults = [chance.choice(["pass", "lose_request", "lose_answer"]) for _ in range(8)]
    for run in range(12):
        try:
            plan = desk.plan(now=day(desk.today) + timedelta(minutes=11 * run))
            desk.apply(plan)
        except TrackerUnreachable:
            continue
        if plan.empty:
            break
    assert [len(issues(redmine, row["key"])) for row in rows] == [1] * 4
    assert desk.plan(now=day(desk.today + 1)).empty


def test_nobody_there_leaves_no_trace_in_the_ledger(redmine, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    settings = {"url": f"http://127.0.0.1:{port}", "api_key": "x", "project": "p"}
    desk = Desk(Ledger(f"sqlite:///{tmp_path}/ledger.db").migrate(), "redmine", settings)
    desk.audit(finding())
    with pytest.raises(TrackerUnreachable, match="Connection refused") as caught:
        desk.plan()
    assert (caught.value.retryable, caught.value.sent) == (True, False)
    assert desk.ledger.tickets(f"redmine {settings['url']}/projects/p") == {}
    desk.ledger.close()


def test_a_wrong_key_and_a_wrong_project_are_told_apart(settings: tracker.Settings) -> None:
    wrong = settings.model_copy(update={"api_key": type(settings.api_key)("c" * 40)})
    for use in (tracker.check, lambda s: tracker.find(s, new_key()), lambda s: tracker.create(s, ticket(new_key()))):
        with pytest.raises(TrackerRefused, match="401, the API key is not accepted"):
            use(wrong)
    with pytest.raises(TrackerRefused, match="no project 'nosuch' that this key may see"):
        tracker.check(settings.model_copy(update={"project": "nosuch"}))


def test_what_redmine_objects_to_is_passed_on(settings: tracker.Settings) -> None:
    with pytest.raises(TrackerRefused, match=r"422 .*Subject cannot be blank"):
        tracker.create(settings, ticket(new_key(), title=""))
    with pytest.raises(TrackerRefused, match="no status 'Burnt'; there are New, In Progress"):
        tracker.close(settings.model_copy(update={"closed_status": "Burnt"}), "1", "x")


def test_one_ticket_that_is_refused_does_not_stop_the_others(redmine, desk: Desk) -> None:
    a, b = unique(), unique()
    desk.settings["assignees"] = {"nobody": 999_999}
    desk.audit({**a, "owner": "nobody", "severity": "critical"}, b)
    with pytest.raises(TrackerRefused, match=r"done: open 1 of 2 steps.*1 refused: open .*Assignee is invalid"):
        desk.apply(desk.plan())
    assert [len(issues(redmine, row["key"])) for row in (a, b)] == [0, 1]
    desk.settings["assignees"] = {}
    assert desk.again() == [("open", "new")]


def test_an_overdue_ticket_can_be_filed(redmine, settings: tracker.Settings) -> None:
    key = new_key()
    tracker.create(settings, ticket(key, due=day(-3000), since=day(-3030)))
    (issue,) = issues(redmine, key)
    assert (issue["start_date"], issue["due_date"]) == (f"{day(-3030):%Y-%m-%d}", f"{day(-3000):%Y-%m-%d}")


def test_with_textile_the_text_is_preformatted_and_still_found(redmine, settings: tracker.Settings) -> None:
    key = new_key()
    body = f"- `!http://evil.example/x.png!`\n- `</pre><script>alert(1)</script>`\n\nkeymuster:{key}\n"
    ref = tracker.create(settings, ticket(key, body=body))
    (issue,) = issues(redmine, key)
    assert issue["description"].startswith("<pre>")
    assert issue["description"].count("</pre>") == 1
    assert tracker.find(settings, key) == ref


def test_a_hundred_tickets_are_looked_at_in_pages(settings: tracker.Settings) -> None:
    refs = [tracker.create(settings, ticket(new_key())) for _ in range(3)]
    missing = [str(900_000 + n) for n in range(2)]
    states = tracker.states(settings, [*refs, *missing])
    assert [states[r].status for r in (*refs, *missing)] == ["open"] * 3 + ["gone"] * 2
