"""Decides, finding by finding, what its ticket needs. `remediation` tells the rules in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from keymuster.ledger import TicketRow
from keymuster.model import Outcome, Severity
from keymuster.protocols import TicketState
from keymuster.remediation_plan import Action, ActionKind
from keymuster.remediation_ticket import Row, Writer, changes_between, told_of
from keymuster.remediation_tracker import Tracker

_PENDING = {"sent", "unknown"}


@dataclass
class Reconciler:
    """One pass over an audit. `opening` collects who needs a ticket, so that the limit can take the worst first."""

    writer: Writer
    tracker: Tracker
    rows: Mapping[str, TicketRow]
    threshold: Severity
    reopen_within: timedelta
    settle: timedelta
    now: datetime
    evidence: Mapping[str, datetime]
    """When the evidence of each station was gathered."""
    states: Mapping[str, TicketState] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)
    left: list[Action] = field(default_factory=list)
    opening: list[tuple[Row, Action]] = field(default_factory=list)

    def standing(self, findings: Sequence[Row]) -> None:
        """Findings that this audit has, failing or waived."""
        tickets = (self.rows.get(f["key"]) for f in findings)
        self.states = self.tracker.states([t.ref for t in tickets if t and t.ref and (t.state == "confirmed" or self._is_recent(t))])
        for finding in findings:
            ticket = self.settled(finding["key"], self.rows.get(finding["key"]))
            if ticket is not None or finding["key"] not in self.rows:
                self._one(finding, ticket)

    def want(self, findings: Iterable[Row]) -> None:
        """Findings that waited in the overflow ticket and now get their own."""
        for finding in findings:
            self._open(finding, self.rows[finding["key"]], "released", "people closed the overflow ticket to get more")

    def resolved(self, keys: Iterable[str]) -> None:
        """Findings that are proved to be gone."""
        for key in keys:
            ticket = self.settled(key, self.rows.get(key))
            if ticket and ticket.state != "overflow":
                self._do(
                    ActionKind.CLOSE, ticket, "resolved", "resolved, with complete evidence", body=self.writer.comment("resolved", None)
                )

    def _one(self, finding: Row, ticket: TicketRow | None) -> None:
        waived = finding["outcome"] == Outcome.WAIVED
        wanted = not waived and Severity.of(finding["severity"]) >= self.threshold
        if ticket is None or ticket.state == "reserved":
            if wanted:
                event = ("new", "no ticket yet") if ticket is None else ("retry", "reserved by a run that ended before anything was sent")
                self._open(finding, ticket, *event)
        elif ticket.state == "confirmed":
            self._confirmed(finding, ticket, wanted=wanted)
        elif ticket.state == "closed":
            self._closed(finding, ticket, wanted=wanted)

    def settled(self, key: str, ticket: TicketRow | None) -> TicketRow | None:
        """A ticket of which it is not known whether it was filed is looked for by its marker; None: wait."""
        if ticket is None or ticket.state not in _PENDING:
            return ticket
        found = self.tracker.find(key)
        if found and found != ticket.previous_ref:
            self.states = {**self.states, **self.tracker.states([found])}
            self._do(ActionKind.ADOPT, replace(ticket, ref=found), "found", f"filed as {found}, found by its marker")
            return replace(ticket, state="confirmed", ref=found, version=ticket.version + 1)
        if self.now - (ticket.sent_at or ticket.reserved_at) < self.settle:
            self._leave(ticket, "waiting", f"no answer came when it was filed; it may still appear, wait {self.settle}")
            return None
        return replace(ticket, state="reserved")

    def _confirmed(self, finding: Row, ticket: TicketRow, *, wanted: bool) -> None:
        state = self.states.get(ticket.ref or "", TicketState("open"))
        if state.status == "open":
            self._changed(finding, ticket)
        elif not wanted:
            self._leave(ticket, "closed_by_people", "closed by people; it does not need a ticket any more")
        elif state.closed_at and state.closed_at > self._gathered(finding):
            self._leave(ticket, "evidence_older", "closed by people after this audit's evidence was gathered: the next audit decides")
        elif state.status == "rejected" or ticket.reopens:
            self._ask_for_waiver(finding, ticket, deleted=state.status == "gone")
        elif state.status == "gone":
            self._open(finding, ticket, "deleted", f"ticket {ticket.ref} was deleted although the finding stands")
        else:
            why = "closed by people, but it still fails in evidence gathered since"
            body = self.writer.comment("still_stands", finding, changes_between(ticket.told, told_of(finding)))
            self._do(ActionKind.REOPEN, ticket, "still_stands", why, body=body, told=told_of(finding))

    def _closed(self, finding: Row, ticket: TicketRow, *, wanted: bool) -> None:
        if ticket.waiver_requested_at:
            self._asked(finding, ticket)
        elif wanted and self._is_recent(ticket) and self.states.get(ticket.ref or "", TicketState("open")).status != "gone":
            body = self.writer.comment("returned", finding, changes_between(ticket.told, told_of(finding)))
            self._do(ActionKind.REOPEN, ticket, "returned", "it is back", body=body, told=told_of(finding))
        elif wanted:
            self._open(
                finding,
                ticket,
                "follows" if ticket.ref else "new",
                f"it is back; {ticket.ref or 'its reservation'} is too old to be reopened, or gone",
            )

    def _is_recent(self, ticket: TicketRow) -> bool:
        """Closed so short a time ago that it is reopened."""
        return ticket.state == "closed" and bool(ticket.ref and ticket.closed_at and self.now - ticket.closed_at <= self.reopen_within)

    def _asked(self, finding: Row, ticket: TicketRow) -> None:
        """People asked for a waiver. Only what they could not know then is told them: that it was granted, or that it got worse."""
        before = changes_between(ticket.told, told_of(finding))
        if finding["outcome"] == Outcome.WAIVED:
            body = self.writer.comment("waived", finding)
            self._do(ActionKind.COMMENT, ticket, "waiver_granted", "the waiver is in force", body=body, told=told_of(finding))
        elif any(c["what"] == "Severity" and Severity.of(c["after"]) > Severity.of(c["before"]) for c in before):
            body = self.writer.comment("changed", finding, before)
            self._do(ActionKind.COMMENT, ticket, "changed", "it got worse", body=body, told=told_of(finding))
        else:
            self._leave(ticket, "waiver_requested", f"people ask for a waiver since {ticket.waiver_requested_at:%Y-%m-%d}")

    def _changed(self, finding: Row, ticket: TicketRow) -> None:
        told = told_of(finding)
        if told == ticket.told:
            return
        changes = changes_between(ticket.told, told)
        event = "waived" if finding["outcome"] == Outcome.WAIVED else "changed"
        why = "; ".join(f"{c['what'].lower()}: {c['before']} → {c['after']}" for c in changes) or "a waiver covers it"
        self._do(ActionKind.COMMENT, ticket, event, why, body=self.writer.comment(event, finding, changes), told=told)

    def _ask_for_waiver(self, finding: Row, ticket: TicketRow, *, deleted: bool) -> None:
        why = "people closed it for good although it stands: taken as a request for a waiver"
        known = replace(ticket, ref=None) if deleted else ticket
        body = self.writer.comment("waiver_requested", finding)
        self._do(ActionKind.COMMENT, known, "waiver_requested", why, body=body, told=told_of(finding))

    def _open(self, finding: Row, ticket: TicketRow | None, event: str, reason: str) -> None:
        previous = ticket.ref or ticket.previous_ref if ticket else None
        version = ticket.version if ticket else 0
        action = Action(ActionKind.OPEN, finding["key"], event, reason, version, previous_ref=previous, told=told_of(finding))
        self.opening.append((finding, action))

    def take_openings(self, limit: int) -> list[Row]:
        """Turn the worst into actions, up to the limit; the rest are given back."""
        self.opening.sort(key=lambda pair: (-Severity.of(pair[0]["severity"]), pair[0]["rule_id"], pair[0]["asset_id"]))
        for finding, action in self.opening[:limit]:
            self.actions.append(
                replace(action, ticket=self.writer.ticket(finding, action.previous_ref), body=self.writer.comment("found_closed", finding))
            )
        return [finding for finding, _ in self.opening[limit:]]

    def _gathered(self, finding: Row) -> datetime:
        as_of = self.writer.result.manifest.as_of
        return min((self.evidence.get(name, as_of) for name in finding["stations"] or ()), default=as_of)

    def _do(self, kind: ActionKind, ticket: TicketRow, event: str, reason: str, **values: Any) -> None:
        self.actions.append(Action(kind, ticket.finding_key, event, reason, ticket.version, ref=ticket.ref, **values))

    def _leave(self, ticket: TicketRow, event: str, reason: str) -> None:
        self.left.append(Action(ActionKind.NONE, ticket.finding_key, event, reason, ticket.version, ref=ticket.ref))
