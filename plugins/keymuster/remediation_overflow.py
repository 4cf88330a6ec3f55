"""One ticket for all findings beyond the limit of a run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from keymuster.ledger import TicketRow
from keymuster.model import Outcome, Severity
from keymuster.protocols import TicketState
from keymuster.remediation_plan import Action, ActionKind
from keymuster.remediation_ticket import Row, Writer


@dataclass
class Overflow:
    """Who stands in the overflow ticket, who joins, who leaves, and what its readers have to know."""

    key: str
    limit: int
    threshold: Severity
    writer: Writer
    rows: Mapping[str, TicketRow]
    ticket: TicketRow | None
    """The overflow ticket's own row, settled; None: there is none."""
    state: TicketState
    waiting: bool
    """It is not known whether the overflow ticket was filed: only the ledger moves."""
    actions: list[Action] = field(default_factory=list)

    def holds(self, finding: Row) -> bool:
        """Whether the overflow ticket, or another estate's, speaks for this finding."""
        ticket = self.rows.get(finding["key"])
        return ticket is not None and ticket.state == "overflow"

    @property
    def is_released(self) -> bool:
        """Whether people closed it, to get the next tickets."""
        return self.ticket is not None and self.ticket.state == "confirmed" and self.state.status != "open"

    def released(self, findings: Iterable[Row]) -> list[Row]:
        """Findings that wait and may now have tickets of their own."""
        return [f for f in findings if self._is_mine(f["key"]) and self._is_wanted(f)] if self.is_released else []

    def plan(self, findings: Sequence[Row], rest: Sequence[Row], opened: set[str], resolved: Iterable[str]) -> None:
        """`rest`: those beyond the limit now; `opened`: keys that get a ticket of their own now."""
        gone, by_key = set(resolved), {f["key"]: f for f in findings}
        members = {key for key in self.rows if self._is_mine(key)} - opened
        leaving = tuple(sorted(k for k in members if k in gone or (k in by_key and not self._is_wanted(by_key[k]))))
        joining = tuple(f["key"] for f in rest if f["key"] not in members)
        waiting = (members | set(joining)) - set(leaving)
        shown = sorted((by_key[k] for k in waiting if k in by_key), key=lambda f: (-Severity.of(f["severity"]), f["rule_id"], f["key"]))
        self._act(shown, len(waiting), joining, leaving)

    def _act(self, shown: Sequence[Row], count: int, joining: tuple[str, ...], leaving: tuple[str, ...]) -> None:
        told = json.dumps({"waiting": count})
        ticket = self.ticket if self.ticket and self.ticket.state == "confirmed" and self.state.status != "gone" else None
        moving: dict[str, Any] = {"members": joining, "leaving": leaving, "told": told}
        if self.waiting or (count == 0 and ticket is None):
            if joining or leaving:
                self._do("moved", "findings join or leave the overflow ticket", None, **moving)
        elif count == 0:
            self._do("resolved", "no finding waits any more", ticket, body=self._text("resolved", (), 0), **moving)
        elif ticket is None:
            filed = self.writer.overflow_ticket(self.key, shown, count, limit=self.limit, threshold=self.threshold.label)
            self._do("overflow", f"{count} findings beyond the limit of {self.limit}", self.ticket, ticket=filed, **moving)
        elif self.is_released:
            self._do("released", f"people asked for more; {count} still wait", ticket, body=self._text("released", shown, count), **moving)
        elif told != ticket.told:
            self._do("changed", f"{count} findings wait now", ticket, body=self._text("changed", shown, count), **moving)
        elif joining or leaving:
            self._do("moved", "as many findings wait, but others", None, **moving)

    def _do(self, event: str, reason: str, row: TicketRow | None, **values: Any) -> None:
        version, ref = (row.version, row.ref) if row else (0, None)
        previous = ref if "ticket" in values else None
        self.actions.append(Action(ActionKind.OVERFLOW, self.key, event, reason, version, ref=ref, previous_ref=previous, **values))

    def _text(self, event: str, shown: Sequence[Row], count: int) -> str:
        return self.writer.overflow(event, self.key, shown, count, limit=self.limit, threshold=self.threshold.label)

    def _is_mine(self, key: str) -> bool:
        ticket = self.rows.get(key)
        return ticket is not None and ticket.state == "overflow" and ticket.estate == self.writer.result.manifest.estate

    def _is_wanted(self, finding: Row) -> bool:
        return finding["outcome"] != Outcome.WAIVED and Severity.of(finding["severity"]) >= self.threshold
