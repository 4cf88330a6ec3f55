"""The tracker contract, applied to every tracker in the registry: to real files and to a real Redmine."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from keymuster import registry
from keymuster.errors import TrackerRefused
from keymuster.trackers import files as files_tracker
from keymuster.trackers import redmine as redmine_tracker
from tests.remediation_cases import set_status
from tests.trackers.conformance import Case, new_key, ticket


def _files_case(tmp_path: Path) -> Case:
    folder = tmp_path / "tickets"
    return Case(
        "files",
        files_tracker.Settings(folder=folder),
        text=lambda ref: (folder / ref).read_text(),
        set_status=lambda ref, status: set_status(folder / ref, status),
        delete=lambda ref: (folder / ref).unlink(),
    )


def _redmine_case(server) -> Case:
    headers = {"X-Redmine-API-Key": server.api_key}
    ids = {"open": 2, "done": 5, "rejected": 6}

    def text(ref: str) -> str:
        issue = requests.get(f"{server.url}/issues/{ref}.json?include=journals", headers=headers, timeout=30).json()["issue"]
        return "\n".join([issue["subject"], issue["description"], *(j["notes"] or "" for j in issue["journals"])])

    def put(ref: str, status: str) -> None:
        body = {"issue": {"status_id": ids[status]}}
        requests.put(f"{server.url}/issues/{ref}.json", json=body, headers=headers, timeout=30).raise_for_status()

    def delete(ref: str) -> None:
        requests.delete(f"{server.url}/issues/{ref}.json", headers=headers, timeout=30).raise_for_status()

    settings = redmine_tracker.Settings(url=server.url, api_key=server.api_key, project=server.project, text_formatting="markdown")
    return Case("redmine", settings, text, put, delete)


CASES = {"files": [], "redmine": [pytest.mark.server("redmine")]}


@pytest.fixture(params=[pytest.param(name, marks=marks) for name, marks in CASES.items()])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    return _files_case(tmp_path) if request.param == "files" else _redmine_case(request.getfixturevalue("redmine"))


def test_every_tracker_is_put_to_the_test() -> None:
    assert set(CASES) == set(registry.listing("trackers"))


@pytest.mark.parametrize("name", registry.listing("trackers"))
def test_settings_are_described_and_secrets_do_not_show(name: str) -> None:
    fields = registry.load("trackers", name).Settings.model_fields
    assert all(f.description and f.description[0].isupper() and f.description.endswith(".") for f in fields.values())
    assert all("Secret" in str(f.annotation) for n, f in fields.items() if any(word in n for word in ("key", "password", "token")))


def test_a_ticket_lives_through_everything(case: Case) -> None:
    tracker, key = case.module, new_key()
    tracker.check(case.settings)
    assert tracker.find(case.settings, key) is None
    ref = tracker.create(case.settings, ticket(key))
    assert tracker.find(case.settings, key) == ref
    assert tracker.is_open(case.settings, ref)
    tracker.comment(case.settings, ref, "It has `changed`.")
    tracker.close(case.settings, ref, "It is resolved.")
    assert not tracker.is_open(case.settings, ref)
    assert tracker.find(case.settings, key) == ref, "closed ones are found too"
    tracker.reopen(case.settings, ref, "It is back.")
    assert tracker.is_open(case.settings, ref)
    text = case.text(ref)
    places = [text.index(words) for words in (f"keymuster:{key}", "It has `changed`.", "It is resolved.", "It is back.")]
    assert places == sorted(places)


def test_states_tell_open_done_rejected_and_gone_apart(case: Case) -> None:
    tracker = case.module
    refs = [tracker.create(case.settings, ticket(new_key())) for _ in range(4)]
    case.set_status(refs[1], "done")
    case.set_status(refs[2], "rejected")
    case.delete(refs[3])
    states = tracker.states(case.settings, refs)
    assert [states[ref].status for ref in refs] == ["open", "done", "rejected", "gone"]
    closed = states[refs[1]].closed_at
    assert closed is not None
    assert closed.tzinfo is not None
    assert states[refs[0]].closed_at is None
    assert not tracker.is_open(case.settings, refs[3])
    with pytest.raises(TrackerRefused):
        tracker.comment(case.settings, refs[3], "Anybody there?")


def test_the_newest_of_two_with_one_marker_is_found(case: Case) -> None:
    tracker, key = case.module, new_key()
    old = tracker.create(case.settings, ticket(key))
    tracker.close(case.settings, old, "Done.")
    new = tracker.create(case.settings, ticket(key))
    assert new != old
    assert tracker.find(case.settings, key) == new


def test_a_marker_inside_a_line_is_no_marker(case: Case) -> None:
    """Somebody who may choose a certificate's subject must not be able to pass a ticket off as another finding's."""
    tracker, key, other = case.module, new_key(), new_key()
    tracker.create(case.settings, ticket(other, body=f"- Asset: `CN=x keymuster:{key}`\n- `keymuster:{key}`\n\nkeymuster:{other}\n"))
    assert tracker.find(case.settings, key) is None


@pytest.mark.parametrize("ref", ["", "../../etc/passwd", "0", "1?x=y", "1/../2", "-1", "a b.md", "..", "/etc/passwd", "x.md\n"])
def test_a_reference_that_is_none_leads_nowhere(case: Case, ref: str) -> None:
    for use in (case.module.is_open, lambda s, r: case.module.comment(s, r, "x"), lambda s, r: case.module.close(s, r, "x")):
        with pytest.raises(TrackerRefused):
            use(case.settings, ref)


@pytest.mark.parametrize("severity", ["critical", "high", "medium", "low", "info"])
def test_every_severity_can_be_filed_without_owner_and_due_date(case: Case, severity: str) -> None:
    ref = case.module.create(case.settings, ticket(new_key(), severity=severity, owner=None, due=None, labels=()))
    assert case.module.is_open(case.settings, ref)


def test_long_and_hostile_text_arrives_whole(case: Case) -> None:
    title = "<b>'\"&\\ `x` --- : # ⟨U+202E⟩ ' *{}[]|>%@!" + "ä" * 212
    body = "---\nstatus: closed\n---\n" + "- `x`\n" * 4000
    key = new_key()
    ref = case.module.create(case.settings, ticket(key, title=title, body=f"{body}\nkeymuster:{key}\n"))
    text = case.text(ref).replace("\r\n", "\n")
    assert body in text
    assert case.module.find(case.settings, key) == ref
    assert case.module.is_open(case.settings, ref)
    case.module.comment(case.settings, ref, "status: closed")
    assert case.module.is_open(case.settings, ref)
