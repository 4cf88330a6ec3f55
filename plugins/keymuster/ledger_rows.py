"""What the ledger gives out: small frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Audit:
    """One live audit in brief, for charts and for 'what was the last one'."""

    estate: str
    key: str
    as_of: datetime
    kind: str
    uri: str
    counts: Mapping[str, int]
    """Failing findings by severity (`critical`, `high`, `medium`, `low`, `info`), waived ones left out."""
    waived: int


@dataclass(frozen=True, slots=True)
class LedgerFinding:
    """One finding over time."""

    estate: str
    finding_key: str
    rule_id: str
    asset_id: str
    severity: str
    owner: str | None
    stations: tuple[str, ...]
    """Stations that saw it failing last."""
    first_seen: datetime
    last_seen: datetime
    open_since: datetime
    """Start of the present spell: `first_seen`, until it was resolved and came back."""
    resolved_at: datetime | None
    reopened: int
    """How often it came back after it was resolved."""
    state: str
    """`open`, `waived`, `unconfirmed` (gone from evidence that proves nothing) or `resolved`."""


@dataclass(frozen=True, slots=True)
class TicketRow:
    """What the ledger knows of one ticket."""

    tracker: str
    finding_key: str
    estate: str
    state: str
    """`reserved` (nothing was sent), `sent` (it may have been), `confirmed`, `unknown` (no answer came), `closed`, or `overflow`."""
    ref: str | None
    previous_ref: str | None
    reserved_at: datetime
    sent_at: datetime | None
    confirmed_at: datetime | None
    closed_at: datetime | None
    told: str
    """What its readers were told last, as JSON."""
    reopens: int
    waiver_requested_at: datetime | None
    version: int
    """Grows with each change. Who acts on an older one is too late."""
