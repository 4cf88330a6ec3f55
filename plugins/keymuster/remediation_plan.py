"""What is to be done with tickets, as plain values: made by `remediation.reconcile`, read by people, done by `remediation.apply`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from keymuster.protocols import Ticket


class ActionKind(StrEnum):
    """What one step does; `none` says why nothing is done."""

    OPEN = "open"
    ADOPT = "adopt"
    """A ticket whose filing was never confirmed has been found by its marker."""
    COMMENT = "comment"
    REOPEN = "reopen"
    CLOSE = "close"
    OVERFLOW = "overflow"
    """Findings beyond the limit go into one ticket."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Action:
    """One step. It is done only if the ledger's row still has this version."""

    kind: ActionKind
    key: str
    event: str
    """Which rule of `remediation` asks for it, e.g. `new`, `changed`, `resolved`, `still_stands`."""
    reason: str
    """For people."""
    version: int = 0
    """Version of the ticket's row when this was planned; 0: there was none."""
    ref: str | None = None
    previous_ref: str | None = None
    ticket: Ticket | None = None
    """What to file (open, overflow)."""
    body: str = ""
    """Comment or reason, in Markdown."""
    told: str = ""
    """What readers know after this step."""
    members: tuple[str, ...] = ()
    """overflow: keys that go into it."""
    leaving: tuple[str, ...] = ()
    """overflow: keys that no longer stand in it."""


@dataclass(frozen=True)
class RemediationPlan:
    """All steps of one run, in order."""

    estate: str
    tracker: str
    """The tracker and where it files to; the ledger's name for it."""
    audit_key: str
    as_of: datetime
    kind: str
    """Kind of the audit: only plans of `live` ones can be applied."""
    now: datetime
    actions: tuple[Action, ...]
    """What there is to do; empty when everything is as it should be."""
    left: tuple[Action, ...] = field(default=())
    """Of kind `none`: cases where nothing is done although one might expect it, and why."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.actions

    @property
    def counts(self) -> Mapping[str, int]:
        """Actions by kind."""
        return dict(Counter(str(a.kind) for a in self.actions))

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values, for a plan file."""
        actions = {name: [_action_as_json(a) for a in getattr(self, name)] for name in ("actions", "left")}
        return {**_shallow(self), "as_of": self.as_of.isoformat(), "now": self.now.isoformat(), **actions}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RemediationPlan:
        """Inverse of `as_json`."""
        times = {name: datetime.fromisoformat(value[name]) for name in ("as_of", "now")}
        actions = {name: tuple(_action_from_json(a) for a in value[name]) for name in ("actions", "left")}
        return cls(**{**value, **times, **actions})


@dataclass(frozen=True)
class Applied:
    """What a run did."""

    counts: Mapping[str, int]
    """Steps done, by kind; an `open` that found a ticket already there counts as `adopt`."""
    overtaken: int
    """Steps that another run had done, or made needless, since this plan was made."""


def _shallow(plan: RemediationPlan) -> dict[str, Any]:
    return {name: getattr(plan, name) for name in ("estate", "tracker", "audit_key", "kind")}


def _action_as_json(action: Action) -> dict[str, Any]:
    value = asdict(action)
    if action.ticket:
        value["ticket"] |= {name: getattr(action.ticket, name) and getattr(action.ticket, name).isoformat() for name in ("due", "since")}
        value["ticket"]["labels"] = list(action.ticket.labels)
    return {**value, "kind": str(action.kind), "members": list(action.members), "leaving": list(action.leaving)}


def _action_from_json(value: Mapping[str, Any]) -> Action:
    ticket = value["ticket"]
    if ticket:
        times = {name: ticket[name] and datetime.fromisoformat(ticket[name]) for name in ("due", "since")}
        ticket = Ticket(**{**ticket, **times, "labels": tuple(ticket["labels"])})
    lists = {"members": tuple(value["members"]), "leaving": tuple(value["leaving"])}
    return Action(**{**value, **lists, "kind": ActionKind(value["kind"]), "ticket": ticket})
