"""Tickets in the ledger: reserved before anything is sent, moved only by whoever saw the newest version, each step logged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, MetaData, String, Table, delete, insert, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from keymuster.ledger_bulk import fill
from keymuster.ledger_rows import TicketRow
from keymuster.ledger_schema import Instant, ticket_log, tickets

waiting = Table("keymuster_waiting", MetaData(), Column("finding_key", String(32), primary_key=True), prefixes=["TEMPORARY"])
COLUMNS = tuple(tickets.c[name] for name in TicketRow.__slots__)


def rows(connection: Connection, tracker: str) -> dict[str, TicketRow]:
    """All tickets of a tracker by finding key."""
    found = connection.execute(select(*COLUMNS).where(tickets.c.tracker == tracker))
    return {row.finding_key: TicketRow(*row) for row in found}


def row(connection: Connection, tracker: str, key: str) -> TicketRow | None:
    """One ticket."""
    found = connection.execute(select(*COLUMNS).where(_is(tracker, key))).first()
    return TicketRow(*found) if found else None


def reserve(connection: Connection, tracker: str, key: str, *, estate: str, told: str, now: datetime, version: int) -> int | None:
    """Claim a key before the request; the new version, or None if somebody was quicker. `version` 0: there was no row when we planned.

    A row that had a ticket keeps its reference as `previous_ref`, so that the new ticket can name the old one.
    """
    if version == 0:
        fresh = {"tracker": tracker, "finding_key": key, "estate": estate, "state": "reserved", "reserved_at": now, "told": told}
        values = {**fresh, "reopens": 0, "version": 1}
        done = connection.execute(_ignoring(connection, tickets, lambda insertion: insertion.values(values)))
        moved = 1 if done.rowcount == 1 else None
    else:
        before = row(connection, tracker, key)
        previous = (before.ref or before.previous_ref) if before and before.state != "overflow" else None
        values = {"state": "reserved", "ref": None, "previous_ref": previous, "reserved_at": now, "sent_at": None, "told": told}
        moved = _update(connection, tracker, key, version, values)
    if moved:
        log(connection, tracker, key, now=now, event="reserved")
    return moved


def move(
    connection: Connection, tracker: str, key: str, *, version: int, event: str, now: datetime, detail: str = "", **values: Any
) -> int | None:
    """Change a row that still is what the caller saw, and log it; the new version, or None if it is not."""
    moved = _update(connection, tracker, key, version, values)
    if moved:
        log(connection, tracker, key, now=now, event=event, ref=values.get("ref"), detail=detail)
    return moved


def release(connection: Connection, tracker: str, key: str, *, version: int, now: datetime, detail: str) -> None:
    """Undo a reservation for which certainly nothing was filed."""
    before = row(connection, tracker, key)
    if before is None or before.version != version:
        return
    if before.previous_ref is None:
        connection.execute(delete(tickets).where(_is(tracker, key), tickets.c.version == version))
    else:
        _update(connection, tracker, key, version, {"state": "closed", "ref": before.previous_ref, "previous_ref": None})
    log(connection, tracker, key, now=now, event="released", ref=before.previous_ref, detail=detail)


def gather(connection: Connection, tracker: str, keys: Sequence[str], *, estate: str, told: str, now: datetime) -> None:
    """Note many findings as standing in the overflow ticket; those that have a row already stay as they are."""
    if not keys:
        return
    fill(connection, waiting, [(key,) for key in sorted(set(keys))])
    same = {"tracker": tracker, "estate": estate, "state": "overflow", "told": told, "reopens": 0, "version": 1}
    columns = {"finding_key": waiting.c.finding_key, "reserved_at": literal(now, Instant), **{n: literal(v) for n, v in same.items()}}
    chosen = select(*columns.values())
    # The condition is there for SQLite's parser, which takes ON CONFLICT for part of the join otherwise.
    chosen = chosen.where(waiting.c.finding_key.is_not(None))
    connection.execute(_ignoring(connection, tickets, lambda fresh: fresh.from_select(list(columns), chosen, include_defaults=False)))
    waiting.drop(connection)


def scatter(connection: Connection, tracker: str, keys: Iterable[str]) -> None:
    """Forget that findings stand in the overflow ticket: they are gone, or get tickets of their own."""
    keys = list(keys)
    for start in range(0, len(keys), 10_000):
        chunk = keys[start : start + 10_000]
        connection.execute(
            delete(tickets).where(tickets.c.tracker == tracker, tickets.c.state == "overflow", tickets.c.finding_key.in_(chunk))
        )


def log(connection: Connection, tracker: str, key: str, *, now: datetime, event: str, ref: str | None = None, detail: str = "") -> None:
    """Write down what happened."""
    values: Mapping[str, Any] = {"tracker": tracker, "finding_key": key, "at": now, "event": event, "ref": ref, "detail": detail[:2000]}
    connection.execute(insert(ticket_log).values(values))


def _is(tracker: str, key: str) -> Any:
    return (tickets.c.tracker == tracker) & (tickets.c.finding_key == key)


def _update(connection: Connection, tracker: str, key: str, version: int, values: Mapping[str, Any]) -> int | None:
    statement = update(tickets).where(_is(tracker, key), tickets.c.version == version).values({**values, "version": version + 1})
    return version + 1 if connection.execute(statement).rowcount == 1 else None


def _ignoring(connection: Connection, table: Table, filled: Callable[[Any], Any]) -> Any:
    """INSERT that leaves a row with the same unique key alone."""
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    return filled(dialect.insert(table)).on_conflict_do_nothing()
