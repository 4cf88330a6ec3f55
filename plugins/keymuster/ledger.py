"""Findings and tickets over time, in SQLite (one machine) or PostgreSQL.

    ledger = Ledger("sqlite:////var/keymuster/ledger.db").migrate()
    ledger.record(result, delta)      # live audits only; once per audit
    ledger.history("production")      # for the chart

Every function raises LedgerError, which says whether to try again; ConfigurationError for an address that is not understood.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from keymuster import ledger_record, ledger_tickets
from keymuster.ledger_database import Database
from keymuster.ledger_rows import Audit, LedgerFinding, TicketRow
from keymuster.ledger_schema import SEVERITIES, Instant, audits, findings, ticket_log, tickets
from keymuster.model import Delta
from keymuster.results import AuditResult

__all__ = ["Audit", "Ledger", "LedgerFinding", "TicketRow"]

_CHUNK = 10_000
"""Keys asked for at once: below SQLite's limit of 32,766 parameters."""


class Ledger:
    """The ledger at one address. Connects when it is first used."""

    def __init__(self, address: str) -> None:
        self._database = Database(address)

    @property
    def name(self) -> str:
        """Its address without the password."""
        return self._database.name

    def migrate(self) -> Ledger:
        """Make or renew the tables; may be called at each start, by any number of processes."""
        self._database.migrate()
        return self

    def close(self) -> None:
        """Give the connections back."""
        self._database.dispose()

    # ── audits and findings

    def record(self, result: AuditResult, delta: Delta | None) -> bool:
        """Take in one audit; False if it was taken in before, or is a backfill or a what-if (those move nothing).

        `delta` compares it with the audit before it; None for the first. An audit older than the newest one recorded is kept for
        `history` but does not move findings: the world has gone on since.
        """
        with self._database.write() as connection:
            return ledger_record.record(connection, result, delta)

    def history(self, estate: str) -> tuple[Audit, ...]:
        """All live audits of an estate, oldest first."""
        return self._audits(estate)

    def last_audit(self, estate: str) -> Audit | None:
        """The newest live audit of an estate."""
        found = self._audits(estate, newest=True)
        return found[0] if found else None

    def findings(self, estate: str, state: str | None = None) -> tuple[LedgerFinding, ...]:
        """Findings of an estate, of one state or of all."""
        columns = [findings.c[name] for name in LedgerFinding.__slots__]
        query = select(*columns).where(findings.c.estate == estate).order_by(findings.c.id)
        if state is not None:
            query = query.where(findings.c.state == state)
        with self._database.read() as connection:
            return tuple(_finding(row) for row in connection.execute(query))

    def first_seen(self, keys: Iterable[str], estate: str | None = None) -> dict[str, datetime]:
        """When each finding was seen first, in this estate or in any; keys that were never seen are left out."""
        return self._instants(func.min(findings.c.first_seen, type_=Instant), keys, estate)

    def open_since(self, keys: Iterable[str], estate: str | None = None) -> dict[str, datetime]:
        """Start of each finding's present spell."""
        return self._instants(func.min(findings.c.open_since, type_=Instant), keys, estate)

    def resolved_with_ticket(self, estate: str, tracker: str) -> tuple[str, ...]:
        """Keys that this estate has resolved, that no estate has standing, and whose ticket is open or asks for a waiver."""
        alive = (tickets.c.state != "closed") | tickets.c.waiver_requested_at.is_not(None)
        standing = select(findings.c.finding_key).where(findings.c.state != "resolved")
        query = (
            select(findings.c.finding_key)
            .join(tickets, tickets.c.finding_key == findings.c.finding_key)
            .where(findings.c.estate == estate, findings.c.state == "resolved", tickets.c.tracker == tracker, alive)
            .where(findings.c.finding_key.not_in(standing))
        )
        with self._database.read() as connection:
            return tuple(connection.execute(query.order_by(findings.c.finding_key)).scalars())

    # ── tickets (used by remediation)

    def tickets(self, tracker: str) -> dict[str, TicketRow]:
        """All tickets of a tracker (its `target`) by finding key."""
        with self._database.read() as connection:
            return ledger_tickets.rows(connection, tracker)

    def ticket(self, tracker: str, key: str) -> TicketRow | None:
        """One ticket as it is now."""
        with self._database.read() as connection:
            return ledger_tickets.row(connection, tracker, key)

    def ticket_log(self, tracker: str, key: str) -> tuple[tuple[datetime, str, str | None, str], ...]:
        """What happened to a ticket: (at, event, ref, detail), oldest first."""
        columns = (ticket_log.c.at, ticket_log.c.event, ticket_log.c.ref, ticket_log.c.detail)
        query = select(*columns).where(ticket_log.c.tracker == tracker, ticket_log.c.finding_key == key).order_by(ticket_log.c.id)
        with self._database.read() as connection:
            return tuple((at, event, ref, detail) for at, event, ref, detail in connection.execute(query))

    def waiver_requests(self) -> tuple[TicketRow, ...]:
        """Tickets that people closed for good although the finding stands: they ask for a waiver."""
        query = select(*ledger_tickets.COLUMNS).where(tickets.c.waiver_requested_at.is_not(None)).order_by(tickets.c.id)
        with self._database.read() as connection:
            return tuple(TicketRow(*row) for row in connection.execute(query))

    def exclusive(self, tracker: str, wait_seconds: float) -> AbstractContextManager[None]:
        """One run at a time files tickets in a tracker. The lock dies with its process, so what a dead run left may be taken over."""
        return self._database.lock(f"tickets-{ledger_lock_name(tracker)}", wait_seconds)

    def reserve(self, tracker: str, key: str, *, estate: str, told: str, now: datetime, version: int) -> int | None:
        """See `ledger_tickets.reserve`."""
        with self._database.write() as connection:
            return ledger_tickets.reserve(connection, tracker, key, estate=estate, told=told, now=now, version=version)

    def sent(self, tracker: str, key: str, version: int, *, now: datetime) -> int | None:
        """Note, just before the request, that from now on a ticket may be there."""
        return self.move(tracker, key, version=version, event="sent", now=now, state="sent", sent_at=now)

    def confirmed(self, tracker: str, key: str, version: int, *, now: datetime, ref: str, detail: str = "") -> int | None:
        """The tracker has it."""
        changes = {"state": "confirmed", "ref": ref, "confirmed_at": now, "closed_at": None}
        return self.move(tracker, key, version=version, event="confirmed", now=now, detail=detail, **changes)

    def unknown(self, tracker: str, key: str, version: int, *, now: datetime, detail: str) -> int | None:
        """No answer came: it may be there or not. Only its marker can tell, later."""
        return self.move(tracker, key, version=version, event="unknown", now=now, detail=detail, state="unknown")

    def closed(self, tracker: str, key: str, version: int, *, now: datetime, detail: str) -> int | None:
        """Nobody has to work on it any more."""
        changes = {"state": "closed", "closed_at": now, "waiver_requested_at": None, "reopens": 0}
        return self.move(tracker, key, version=version, event="closed", now=now, detail=detail, **changes)

    def release(self, tracker: str, key: str, version: int, *, now: datetime, detail: str) -> None:
        """See `ledger_tickets.release`."""
        with self._database.write() as connection:
            ledger_tickets.release(connection, tracker, key, version=version, now=now, detail=detail)

    def move(self, tracker: str, key: str, *, version: int, event: str, now: datetime, detail: str = "", **values: Any) -> int | None:
        """See `ledger_tickets.move`."""
        with self._database.write() as connection:
            return ledger_tickets.move(connection, tracker, key, version=version, event=event, now=now, detail=detail, **values)

    def gather(self, tracker: str, keys: Sequence[str], *, estate: str, told: str, now: datetime) -> None:
        """See `ledger_tickets.gather`."""
        with self._database.write() as connection:
            ledger_tickets.gather(connection, tracker, keys, estate=estate, told=told, now=now)

    def scatter(self, tracker: str, keys: Iterable[str]) -> None:
        """See `ledger_tickets.scatter`."""
        with self._database.write() as connection:
            ledger_tickets.scatter(connection, tracker, keys)

    def _audits(self, estate: str, *, newest: bool = False) -> tuple[Audit, ...]:
        order = (audits.c.as_of, audits.c.id)
        query = select(audits).where(audits.c.estate == estate).order_by(*((c.desc() for c in order) if newest else order))
        with self._database.read() as connection:
            rows = connection.execute(query.limit(1) if newest else query).mappings().all()
        return tuple(
            Audit(r["estate"], r["key"], r["as_of"], r["kind"], r["uri"], {name: r[name] for name in SEVERITIES}, r["waived"]) for r in rows
        )

    def _instants(self, column: Any, keys: Iterable[str], estate: str | None) -> dict[str, datetime]:
        wanted, found = list(keys), dict[str, datetime]()
        with self._database.read() as connection:
            for start in range(0, len(wanted), _CHUNK):
                query = select(findings.c.finding_key, column).where(findings.c.finding_key.in_(wanted[start : start + _CHUNK]))
                if estate is not None:
                    query = query.where(findings.c.estate == estate)
                found |= {row[0]: row[1] for row in connection.execute(query.group_by(findings.c.finding_key))}
        return found


def ledger_lock_name(tracker: str) -> str:
    """Fit for a file's name."""
    return "".join(c if c.isalnum() else "_" for c in tracker)[-80:]


def _finding(row: Any) -> LedgerFinding:
    values = dict(row._mapping)  # noqa: SLF001 (SQLAlchemy's public name)
    return LedgerFinding(**{**values, "stations": tuple(values["stations"].split("\n")) if values["stations"] else ()})
