"""Does the steps of a plan, so that a crash, a time-out or a second run never makes a second ticket.

Filing one: reserve its key in the ledger, look for its marker, note `sent`, create, note the reference. Whoever dies in between leaves
a state that says what may have happened: `reserved` nothing, `sent` and `unknown` perhaps. One run at a time holds the tracker.
Closing and reopening look at the ticket first, so that doing them twice is doing them once. A comment is noted before it is sent:
without an answer it may be lost, but it is not said twice.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from keymuster.errors import ConfigurationError, TrackerError, TrackerRefused, TrackerUnreachable
from keymuster.ledger import Ledger, TicketRow
from keymuster.remediation_plan import Action, ActionKind, Applied, RemediationPlan
from keymuster.remediation_tracker import Tracker

_log = logging.getLogger(__name__)


def apply(
    plan: RemediationPlan,
    ledger: Ledger,
    tracker_name: str,
    tracker_settings: BaseModel | Mapping[str, Any] | None,
    *,
    wait_seconds: float = 600,
) -> Applied:
    """Do it. Steps that another run has overtaken are left out.

    Raises ConfigurationError for a plan that is not of a live audit or was made for another tracker; TrackerUnreachable at the first
    request without an answer (the rest waits for the next run); TrackerRefused at the end, if single steps were turned down;
    LedgerError, also when another run holds the tracker for longer than `wait_seconds`.
    """
    if plan.kind != "live":
        raise ConfigurationError(f"the plan of a {plan.kind} audit is for reading; only live audits move tickets")
    tracker = Tracker(tracker_name, tracker_settings)
    if tracker.target != plan.tracker:
        raise ConfigurationError(f"the plan was made for {plan.tracker}, not for {tracker.target}")
    run = _Run(plan, ledger, tracker)
    if plan.actions and tracker.files:
        tracker.check()
        with ledger.exclusive(plan.tracker, wait_seconds):
            run.all()
    return Applied(dict(run.done), run.overtaken)


@dataclass
class _Run:
    plan: RemediationPlan
    ledger: Ledger
    tracker: Tracker
    done: Counter[str] = field(default_factory=Counter)
    overtaken: int = 0
    refused: list[str] = field(default_factory=list)

    def all(self) -> None:
        steps: Mapping[ActionKind, Callable[[Action], str | None]] = {
            ActionKind.OPEN: self._open,
            ActionKind.ADOPT: self._adopt,
            ActionKind.COMMENT: self._comment,
            ActionKind.REOPEN: self._reopen,
            ActionKind.CLOSE: self._close,
            ActionKind.OVERFLOW: self._overflow,
        }
        for action in self.plan.actions:
            try:
                kind = steps[action.kind](action)
            except TrackerRefused as error:
                self.refused.append(f"{action.kind} {action.ref or action.key}: {error}")
                continue
            except TrackerUnreachable as error:
                raise TrackerUnreachable(f"{error}; {self._progress()}, the rest waits for the next run") from error
            if kind is None:
                self.overtaken += 1
            else:
                self.done[kind] += 1
        _log.info("tickets of %s in %s: %s", self.plan.estate, self.plan.tracker, self._progress())
        if self.refused:
            raise TrackerRefused(f"{self._progress()}; {len(self.refused)} refused: {' | '.join(self.refused[:5])}")

    def _progress(self) -> str:
        counted = ", ".join(f"{kind} {number}" for kind, number in sorted(self.done.items())) or "nothing"
        return f"done: {counted} of {len(self.plan.actions)} steps, {self.overtaken} overtaken"

    def _open(self, action: Action) -> str | None:
        """File it, or take the ticket that is there."""
        ticket, now = action.ticket, self.plan.now
        if ticket is None:
            raise ValueError(f"the step to open {action.key} has no ticket")
        at = (self.plan.tracker, action.key)
        version = self.ledger.reserve(*at, estate=self.plan.estate, told=action.told, now=now, version=action.version)
        if version is None:
            return None
        try:
            found = self.tracker.find(action.key)
        except TrackerError as error:
            self.ledger.release(*at, version, now=now, detail=str(error))
            raise
        if found and found != action.previous_ref:
            return self._take(action, version, found)
        version = self.ledger.sent(*at, version, now=now)
        return None if version is None else self._file(action, version)

    def _file(self, action: Action, version: int) -> str | None:
        at, now = (self.plan.tracker, action.key), self.plan.now
        assert action.ticket is not None  # noqa: S101 (`_open` has seen it)
        try:
            ref = self.tracker.create(action.ticket)
        except TrackerRefused as error:
            self.ledger.release(*at, version, now=now, detail=str(error))
            raise
        except TrackerUnreachable as error:
            if error.sent:
                self.ledger.unknown(*at, version, now=now, detail=str(error))
            else:
                self.ledger.release(*at, version, now=now, detail=str(error))
            raise
        moved = self.ledger.confirmed(*at, version, now=now, ref=ref, detail=action.reason)
        if moved and action.event == "deleted":
            self.ledger.move(*at, version=moved, event="counted", now=now, reopens=1)
        return str(action.kind)

    def _take(self, action: Action, version: int, found: str) -> str | None:
        """A ticket with the marker is there already: from a run whose end is unknown, or from a ledger that was lost."""
        moved = self.ledger.confirmed(self.plan.tracker, action.key, version, now=self.plan.now, ref=found, detail="found by its marker")
        if moved is None:
            return None
        if not self.tracker.is_open(found):
            self.tracker.reopen(found, action.body)
        return str(ActionKind.ADOPT)

    def _adopt(self, action: Action) -> str | None:
        moved = self.ledger.confirmed(
            self.plan.tracker, action.key, action.version, now=self.plan.now, ref=action.ref or "", detail=action.reason
        )
        return str(action.kind) if moved else None

    def _comment(self, action: Action) -> str | None:
        before = self._unchanged(action)
        if before is None:
            return None
        changes: dict[str, Any] = {"told": action.told}
        if action.event == "waiver_requested":
            changes |= {"state": "closed", "closed_at": self.plan.now, "waiver_requested_at": self.plan.now}
        if action.event == "waiver_granted":
            changes |= {"closed_at": self.plan.now, "waiver_requested_at": None}
        return self._say(action, before, changes)

    def _say(self, action: Action, before: TicketRow, changes: Mapping[str, Any]) -> str | None:
        version = self._move(action, changes)
        if version is None:
            return None
        try:
            if action.ref:
                self.tracker.comment(action.ref, action.body)
        except TrackerError as error:
            back = {} if isinstance(error, TrackerUnreachable) and error.sent else {name: getattr(before, name) for name in changes}
            event = "comment_failed" if back else "comment_unknown"
            self.ledger.move(self.plan.tracker, action.key, version=version, event=event, now=self.plan.now, detail=str(error), **back)
            raise
        return str(action.kind)

    def _reopen(self, action: Action) -> str | None:
        before = self._unchanged(action)
        if before is None or action.ref is None:
            return None
        if not self.tracker.is_open(action.ref):
            self.tracker.reopen(action.ref, action.body)
        reopens = before.reopens + (action.event == "still_stands")
        self._move(action, {"state": "confirmed", "told": action.told, "closed_at": None, "reopens": reopens})
        return str(action.kind)

    def _close(self, action: Action) -> str | None:
        if self._unchanged(action) is None:
            return None
        if action.ref and self.tracker.is_open(action.ref):
            self.tracker.close(action.ref, action.body)
        self.ledger.closed(self.plan.tracker, action.key, action.version, now=self.plan.now, detail=action.reason)
        return str(action.kind)

    def _overflow(self, action: Action) -> str | None:
        """First who stands in it, then what it says: a run that dies between the two is mended by the next."""
        self.ledger.scatter(self.plan.tracker, action.leaving)
        self.ledger.gather(self.plan.tracker, action.members, estate=self.plan.estate, told=action.key, now=self.plan.now)
        if action.ticket is not None:
            return self._open(action)
        step = {"resolved": self._close, "released": self._reopen, "changed": self._comment}.get(action.event)
        return step(action) if step else str(action.kind)

    def _move(self, action: Action, changes: Mapping[str, Any]) -> int | None:
        at = (self.plan.tracker, action.key)
        return self.ledger.move(*at, version=action.version, event=action.event, now=self.plan.now, detail=action.reason, **changes)

    def _unchanged(self, action: Action) -> TicketRow | None:
        row = self.ledger.ticket(self.plan.tracker, action.key)
        return row if row is not None and row.version == action.version else None
