"""Tickets in Redmine (5.0 or newer) over its REST interface.

Traps that are dealt with here: a wrong key still reads public issues (200), so the key is proved first; a filter that Redmine does not
know is ignored and every issue comes back, so each marker is looked at again; a change of status that the workflow forbids is dropped
with 204, so the status is read back; a due date before the start date is refused, and the start date is today unless it is named, so that
an overdue ticket names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from keymuster.errors import TrackerRefused
from keymuster.protocols import Ticket, TicketState
from keymuster.trackers._redmine_client import Client, client

_PAGE = 100
"""Redmine gives no more at once, whatever is asked."""
_MOST_PAGES = 100


class Settings(BaseModel):
    """Which Redmine, which project, and how its fields are filled."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(description="Address of Redmine, e.g. https://redmine.example.com.")
    api_key: SecretStr = Field(description="API key of a user who may view, add and edit issues of the project.")
    project: str = Field(description="Identifier of the project.")
    tracker_id: int | None = Field(default=None, description="Redmine's tracker (kind of issue); default: the project's first.")
    marker_field: int | None = Field(
        default=None,
        description="Id of a text custom field, used as a filter, that takes the finding's key; default: the description has it.",
    )
    text_formatting: Literal["textile", "markdown"] = Field(
        default="textile", description="As in Redmine's settings; Redmine does not tell it. With textile, texts become preformatted blocks."
    )
    priorities: Mapping[str, str] = Field(
        default={"critical": "Immediate", "high": "Urgent", "medium": "High", "low": "Normal", "info": "Low"},
        description="Name of the priority by severity; Redmine's default priority where there is none of that name.",
    )
    assignees: Mapping[str, int] = Field(default={}, description="Id of the user or group by owner; others are left unassigned.")
    closed_status: str = Field(default="Closed", description="Status that a ticket gets when it is resolved.")
    reopened_status: str = Field(default="", description="Status of a reopened ticket; default: the first that is not closed.")
    rejected_statuses: tuple[str, ...] = Field(default=("Rejected",), description="Closed statuses that mean 'will not be mended'.")
    ca_file: Path | None = Field(default=None, description="PEM file of the CA that issued Redmine's certificate, if it is a private one.")
    timeout_seconds: float = Field(default=30.0, gt=0, description="How long to wait for an answer.")

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc or parts.query:
            raise ValueError("is an http or https address without user, password and query")
        return value.rstrip("/")


def target(settings: Settings) -> str:
    """Address and project."""
    return f"{settings.url}/projects/{settings.project}"


def check(settings: Settings) -> None:
    """Whether the key is right and the project may be seen."""
    _client(settings)


def find(settings: Settings, key: str) -> str | None:
    """The newest issue, wherever it was moved to, with the key in the custom field or the marker on a line of its description."""
    redmine = _client(settings)
    marker = re.compile(rf"(?m)^[ \t]*keymuster:{re.escape(key)}[ \t]*\r?$")
    field = settings.marker_field
    if field is not None:
        for issue in _issues(redmine, {f"cf_{field}": key}):
            if any(f.get("id") == field and f.get("value") == key for f in issue.get("custom_fields", ())):
                return str(issue["id"])
    found = (issue for issue in _issues(redmine, {"description": f"~keymuster:{key}"}) if marker.search(issue.get("description") or ""))
    return next((str(issue["id"]) for issue in found), None)


def is_open(settings: Settings, ref: str) -> bool:
    """Whether its status is not a closed one; False for a deleted issue."""
    redmine = _client(settings)
    issue = _issue(redmine, ref)
    return issue is not None and not _is_closed(redmine, issue)


def states(settings: Settings, refs: Sequence[str]) -> Mapping[str, TicketState]:
    """A hundred at a time. One that the list leaves out is asked for by itself: hidden is an error, deleted is not."""
    redmine = _client(settings)
    found: dict[str, TicketState] = {}
    for start in range(0, len(refs), _PAGE):
        wanted = [_number(ref) for ref in refs[start : start + _PAGE]]
        listed = {str(i["id"]): i for i in _issues(redmine, {"issue_id": ",".join(wanted)})}
        for ref in wanted:
            found[ref] = _state(settings, redmine, listed.get(ref) or _issue(redmine, ref))
    return found


def create(settings: Settings, ticket: Ticket) -> str:
    """File it once."""
    redmine = _client(settings)
    fields: dict[str, Any] = {
        "project_id": settings.project,
        "subject": ticket.title[:255],
        "description": formatted(settings, ticket.body),
        "priority_id": redmine.priorities.get(settings.priorities.get(ticket.severity, "")),
        "tracker_id": settings.tracker_id,
        "assigned_to_id": settings.assignees.get(ticket.owner or ""),
    }
    if ticket.due:
        fields |= {"due_date": ticket.due.date().isoformat(), "start_date": (ticket.since or ticket.due).date().isoformat()}
    if settings.marker_field is not None:
        fields["custom_fields"] = [{"id": settings.marker_field, "value": ticket.key}]
    answer = redmine.send("POST", "/issues.json", {"issue": {name: value for name, value in fields.items() if value is not None}})
    return str(answer["issue"]["id"])


def comment(settings: Settings, ref: str, body: str) -> None:
    """Add a note."""
    _client(settings).send("PUT", f"/issues/{_number(ref)}.json", {"issue": {"notes": formatted(settings, body)}})


def reopen(settings: Settings, ref: str, reason: str) -> None:
    """Give it a status that is not closed."""
    redmine = _client(settings)
    first = next((name for name, status in redmine.statuses.items() if not status["is_closed"]), "")
    _set_status(settings, redmine, ref, settings.reopened_status or first, reason)


def close(settings: Settings, ref: str, reason: str) -> None:
    """Give it the closed status."""
    _set_status(settings, _client(settings), ref, settings.closed_status, reason)


def formatted(settings: Settings, body: str) -> str:
    """Our Markdown as this Redmine shows it best. Textile has other signs, and images among them: there it stands preformatted."""
    if settings.text_formatting == "markdown":
        return body
    harmless = re.sub(r"(?i)<(/?)(pre|code|notextile)", "<\u200b\\1\\2", body)
    return f"<pre>\n{harmless.strip()}\n</pre>"


def _client(settings: Settings) -> Client:
    return client(
        settings.url, settings.api_key.get_secret_value(), settings.project, str(settings.ca_file or ""), settings.timeout_seconds
    )


def _issues(redmine: Client, filters: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """All issues, open and closed, newest first."""
    for page in range(_MOST_PAGES):
        query = {**filters, "status_id": "*", "sort": "id:desc", "limit": str(_PAGE), "offset": str(page * _PAGE)}
        answer = redmine.get("/issues.json", query)
        yield from answer["issues"]
        if not answer["issues"] or (page + 1) * _PAGE >= answer["total_count"]:
            return
    raise TrackerRefused(f"{redmine.url} lists more than {_MOST_PAGES * _PAGE:,} issues for {dict(filters)}; does it ignore the filter?")


def _issue(redmine: Client, ref: str) -> dict[str, Any] | None:
    answer = redmine.get(f"/issues/{_number(ref)}.json", {"include": "allowed_statuses"}, missing=True)
    return dict(answer["issue"]) if answer else None


def _state(settings: Settings, redmine: Client, issue: Mapping[str, Any] | None) -> TicketState:
    if issue is None:
        return TicketState("gone")
    if not _is_closed(redmine, issue):
        return TicketState("open")
    closed_on = issue.get("closed_on")
    status: Literal["rejected", "done"] = "rejected" if issue["status"]["name"] in settings.rejected_statuses else "done"
    return TicketState(status, datetime.fromisoformat(closed_on) if closed_on else None)


def _is_closed(redmine: Client, issue: Mapping[str, Any]) -> bool:
    return any(status["id"] == issue["status"]["id"] and status["is_closed"] for status in redmine.statuses.values())


def _set_status(settings: Settings, redmine: Client, ref: str, name: str, reason: str) -> None:
    status = redmine.statuses.get(name)
    if status is None:
        raise TrackerRefused(f"{redmine.url} has no status {name!r}; there are {', '.join(redmine.statuses)}")
    redmine.send("PUT", f"/issues/{_number(ref)}.json", {"issue": {"status_id": status["id"], "notes": formatted(settings, reason)}})
    after = _issue(redmine, ref)
    if after is not None and after["status"]["id"] != status["id"]:
        allowed = ", ".join(s["name"] for s in after.get("allowed_statuses", ())) or "none"
        raise TrackerRefused(f"issue {ref} stays {after['status']['name']!r}: the workflow lets us set {allowed}, not {name!r}")


def _number(ref: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,17}", ref):
        raise TrackerRefused(f"{ref!r} is not the number of an issue")
    return ref
