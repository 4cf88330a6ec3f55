"""Redmines that are older, stricter or broken: a small server that answers as they do."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import ValidationError

from keymuster.errors import TrackerError, TrackerRefused, TrackerUnreachable
from keymuster.trackers import redmine as tracker
from tests.trackers.conformance import new_key, ticket

NEW = {"id": 1, "name": "New", "is_closed": False}
BASE: dict[str, Any] = {
    "GET /users/current.json": (200, {"user": {"id": 5}}),
    "GET /projects/certops.json": (200, {"project": {"id": 1}}),
    "GET /issue_statuses.json": (200, {"issue_statuses": [NEW, {"id": 5, "name": "Closed", "is_closed": True}]}),
    "GET /enumerations/issue_priorities.json": (200, {"issue_priorities": [{"id": 4, "name": "Urgent"}]}),
}


class Server(ThreadingHTTPServer):
    """Answers by method and path: (status, JSON or text, headers). Remembers what it was asked."""

    answers: dict[str, Any]
    asked: list[tuple[str, str, str | None, Any]]

    @property
    def settings(self) -> tracker.Settings:
        return tracker.Settings(url=f"http://127.0.0.1:{self.server_port}", api_key="secret", project="certops")


class Handler(BaseHTTPRequestHandler):
    server: Server

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        self.server.asked.append((self.command, path, self.headers.get("X-Redmine-API-Key"), json.loads(body) if body else query))
        status, content, *headers = self.server.answers.get(f"{self.command} {path}", (404, {}))
        raw = (json.dumps(content) if isinstance(content, dict | list) else content).encode()
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(raw)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = do_PUT = answer  # noqa: N815 (names of the standard library)

    def log_message(self, *args: Any) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.answers, server.asked = dict(BASE), []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def listed(*issues: dict[str, Any], total: int | None = None) -> tuple[int, dict[str, Any]]:
    return 200, {"issues": list(issues), "total_count": len(issues) if total is None else total}


def test_a_filter_that_is_ignored_finds_no_strange_ticket(server: Server) -> None:
    key, other = new_key(), new_key()
    server.answers["GET /issues.json"] = listed({"id": 9, "description": f"keymuster:{other}"}, {"id": 8, "description": None})
    assert tracker.find(server.settings, key) is None
    assert tracker.find(server.settings, other) == "9"


def test_a_list_that_never_ends_is_given_up(server: Server) -> None:
    server.answers["GET /issues.json"] = listed({"id": 9, "description": "x"}, total=10**9)
    with pytest.raises(TrackerRefused, match="does it ignore the filter"):
        tracker.find(server.settings, new_key())


def test_a_workflow_that_forbids_closing_is_noticed(server: Server) -> None:
    server.answers["PUT /issues/7.json"] = (204, "")
    server.answers["GET /issues/7.json"] = (200, {"issue": {"id": 7, "status": NEW, "allowed_statuses": [NEW]}})
    with pytest.raises(TrackerRefused, match="issue 7 stays 'New': the workflow lets us set New, not 'Closed'"):
        tracker.close(server.settings, "7", "Resolved.")


def test_a_hidden_ticket_is_no_deleted_one(server: Server) -> None:
    server.answers["GET /issues.json"] = listed()
    server.answers["GET /issues/7.json"] = (403, {})
    with pytest.raises(TrackerRefused, match="403, this key has not the right"):
        tracker.states(server.settings, ["7"])


def test_the_key_does_not_follow_a_redirect(server: Server) -> None:
    server.answers["GET /users/current.json"] = (302, "", ("Location", f"http://127.0.0.1:{server.server_port}/elsewhere"))
    with pytest.raises(TrackerRefused, match=r"it redirects to .*/elsewhere; give that address"):
        tracker.check(server.settings)
    assert [path for _, path, _, _ in server.asked] == ["/users/current.json"]


@pytest.mark.parametrize(
    ("answer", "error", "sent"),
    [
        ((500, "oops"), TrackerUnreachable, True),
        ((502, "bad gateway"), TrackerUnreachable, True),
        ((503, ""), TrackerUnreachable, True),
        ((429, ""), TrackerUnreachable, False),
        ((201, "<html>a log-in page</html>"), TrackerUnreachable, True),
        ((401, {}), TrackerRefused, None),
        ((403, {}), TrackerRefused, None),
        ((422, {"errors": ["Subject is too long"]}), TrackerRefused, None),
        ((413, "too large"), TrackerRefused, None),
    ],
)
def test_answers_to_a_new_ticket_by_what_they_mean(server: Server, answer, error: type[TrackerError], sent: bool | None) -> None:
    server.answers["POST /issues.json"] = answer
    with pytest.raises(error) as caught:
        tracker.create(server.settings, ticket(new_key()))
    assert getattr(caught.value, "sent", None) is sent
    assert "secret" not in str(caught.value)


def test_a_custom_field_takes_the_key_and_is_searched_first(server: Server) -> None:
    key = new_key()
    settings = server.settings.model_copy(update={"marker_field": 3, "tracker_id": 2, "assignees": {"web-team": 12}})
    server.answers["POST /issues.json"] = (201, {"issue": {"id": 11}})
    assert tracker.create(settings, ticket(key)) == "11"
    sent = server.asked[-1][3]["issue"]
    assert sent["custom_fields"] == [{"id": 3, "value": key}]
    assert (sent["tracker_id"], sent["assigned_to_id"], sent["priority_id"]) == (2, 12, 4)
    server.answers["GET /issues.json"] = listed({"id": 11, "description": "", "custom_fields": [{"id": 3, "value": key}]})
    assert tracker.find(settings, key) == "11"
    assert f"cf_3={key}" in server.asked[-1][3]
    assert tracker.find(settings, new_key()) is None


@pytest.mark.parametrize("url", ["ftp://x", "redmine.example.com", "https://user:pw@redmine", "https://redmine/?key=1", "https://"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ValidationError, match="http or https address"):
        tracker.Settings(url=url, api_key="k", project="p")
