"""Writes tickets and comments from the templates in `reports/ticket/`."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from keymuster import content
from keymuster.markdown import render
from keymuster.protocols import Ticket
from keymuster.results import AuditResult
from keymuster.text import clip

TITLE = 255
"""Most characters of a title; Redmine and Jira take no more."""
BODY = 30_000
"""Most characters of a body; Jira takes 32,767."""
_TITLE_SIGNS = str.maketrans("<>`", "‹›'")
"""A title is plain text to everybody, but some viewers know better."""
Row = Mapping[str, Any]
"""One row of FINDINGS."""


def told_of(row: Row) -> str:
    """What a reader of the ticket knows of the finding: a comment is due when it differs."""
    places = hashlib.sha256("\n".join(row["locators"] or ()).encode()).hexdigest()[:12]
    known = {name: row[name] for name in ("severity", "owner", "outcome", "places")}
    return json.dumps({**known, "where": places}, sort_keys=True)


def changes_between(before: str, after: str) -> list[dict[str, Any]]:
    """The differences of two `told`, for people."""
    old, new = json.loads(before), json.loads(after)
    changed = [
        {"what": what, "before": old.get(name) or "nobody", "after": new.get(name) or "nobody"}
        for name, what in (("severity", "Severity"), ("owner", "Owner"), ("places", "Places"))
        if old.get(name) != new.get(name)
    ]
    if old.get("outcome") == "waived" and new.get("outcome") == "fail":
        changed.append({"what": "Waiver", "before": "in force", "after": "no longer in force"})
    if old.get("where") != new.get("where") and old.get("places") == new.get("places"):
        changed.append({"what": "Places", "before": "others", "after": "those below"})
    return changed


@dataclass(frozen=True)
class Writer:
    """Writes for one audit."""

    result: AuditResult
    first_seen: Mapping[str, datetime]
    open_since: Mapping[str, datetime]
    fix_days: Mapping[str, int]

    def ticket(self, row: Row, previous_ref: str | None) -> Ticket:
        """What to file for a finding."""
        rule = self._rule(row)
        due = self.due(row)
        citation = rule.get("citation") or {}
        named = ", ".join(str(citation[name]) for name in ("document", "section") if citation.get(name))
        values = {
            "rule": rule,
            "finding": row,
            "first_seen": self.first_seen.get(row["key"], self.result.manifest.as_of),
            "due": due,
            "previous_ref": previous_ref,
            "citation": named or "none is named",
            "citation_url": citation.get("url"),
        }
        label = clip(row["label"] or row["asset_id"], 120).translate(_TITLE_SIGNS)
        title = clip(f"{rule['code']}: {label} fails “{rule['title']}”", TITLE)
        labels = ("keymuster", str(rule["code"]))
        return Ticket(
            row["key"], title, self._body("ticket.md.j2", values, row["key"]), row["severity"], row["owner"], due, labels, self._start(row)
        )

    def due(self, row: Row) -> datetime:
        """The clock starts when the finding was first seen; one that was resolved and came back starts anew."""
        return self._start(row) + timedelta(days=self.fix_days.get(row["severity"], 365))

    def _start(self, row: Row) -> datetime:
        return self.open_since.get(row["key"], self.result.manifest.as_of)

    def comment(self, event: str, row: Row | None, changes: Sequence[Mapping[str, Any]] = ()) -> str:
        """A comment, or the reason to close or reopen."""
        return self._body("comment.md.j2", {"event": event, "finding": row, "changes": changes})

    def overflow(self, event: str, key: str, rows: Sequence[Row], count: int, *, limit: int, threshold: str) -> str:
        """Body of the overflow ticket, or a comment to it."""
        by_rule = Counter(row["rule_id"] for row in rows)
        known = {row["rule_id"]: self._rule(row) for row in rows}
        most = [{"count": n, "code": known[r]["code"], "title": known[r]["title"]} for r, n in by_rule.most_common(20)]
        values = {"event": event, "key": key, "count": count, "limit": limit, "threshold": threshold}
        return self._body("overflow.md.j2", {**values, "rules": most, "more_rules": len(by_rule) - len(most)}, key)

    def overflow_ticket(self, key: str, rows: Sequence[Row], count: int, *, limit: int, threshold: str) -> Ticket:
        """One ticket for all findings beyond the limit; of the worst severity among them."""
        title = f"{count:,} findings of the estate {clip(self.result.manifest.estate, 80)} wait for a ticket"
        worst = rows[0]["severity"] if rows else threshold
        body = self.overflow("overflow", key, rows, count, limit=limit, threshold=threshold)
        return Ticket(key, title, body, worst, None, None, ("keymuster", "overflow"))

    def _rule(self, row: Row) -> Mapping[str, Any]:
        fallback = {"code": row["code"], "title": row["title"], "remediation": "", "why": None, "unverified": row["unverified"]}
        return {**fallback, **self.result.manifest.rules.get(row["rule_id"], {})}

    def _body(self, template: str, values: Mapping[str, Any], key: str | None = None) -> str:
        manifest = self.result.manifest
        same = {"as_of": manifest.as_of, "audit_uri": self.result.uri, "estate": manifest.estate}
        body = render(content.reports() / "ticket", template, {**same, **values})
        if len(body) <= BODY:
            return body
        return body[:BODY].rpartition("\n")[0] + "\n\n… cut.\n" + (f"\nkeymuster:{key}\n" if key else "")
