"""Tables of the ledger: audits, findings and tickets over time. `migrations/` makes them; a test compares the two."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import BigInteger, Column, DateTime, Dialect, Index, Integer, MetaData, String, Table, Text, UniqueConstraint
from sqlalchemy.types import TypeDecorator

from keymuster.model import Severity

metadata = MetaData(naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "uq": "uq_%(table_name)s_%(column_0_N_name)s"})
SEVERITIES = tuple(s.label for s in sorted(Severity, reverse=True))


class Instant(TypeDecorator[datetime]):
    """An aware instant, kept in UTC. SQLite knows no zones: there it is text that sorts by time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 (SQLAlchemy's signature)
        """Turn to UTC; a naive instant is a mistake of ours."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 (SQLAlchemy's signature)
        """Give the zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


_row_id = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only where the type is exactly INTEGER."""

audits = Table(
    "audits",
    metadata,
    Column("id", _row_id, primary_key=True),
    Column("estate", String(200), nullable=False),
    Column("key", String(64), nullable=False),
    Column("as_of", Instant, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("uri", Text, nullable=False),
    *(Column(name, Integer, nullable=False) for name in SEVERITIES),
    Column("waived", Integer, nullable=False),
    Column("moved", Integer, nullable=False, doc="1: it moved the findings; 0: it came after a newer one and only counts"),
    UniqueConstraint("estate", "key"),
    Index(None, "estate", "as_of"),
)

findings = Table(
    "findings",
    metadata,
    Column("id", _row_id, primary_key=True),
    Column("estate", String(200), nullable=False),
    Column("finding_key", String(32), nullable=False),
    Column("rule_id", String(200), nullable=False),
    Column("asset_id", Text, nullable=False),
    Column("severity", String(10), nullable=False),
    Column("owner", Text),
    Column("stations", Text, nullable=False, doc="stations that saw it last, joined by newlines, sorted"),
    Column("first_seen", Instant, nullable=False),
    Column("last_seen", Instant, nullable=False),
    Column("open_since", Instant, nullable=False, doc="start of the present spell: first_seen until it returns"),
    Column("resolved_at", Instant),
    Column("reopened", Integer, nullable=False, doc="how often it came back after it was resolved"),
    Column("state", String(12), nullable=False, doc="open, waived, unconfirmed or resolved"),
    UniqueConstraint("estate", "finding_key"),
    Index(None, "estate", "state"),
    Index(None, "finding_key"),
)

tickets = Table(
    "tickets",
    metadata,
    Column("id", _row_id, primary_key=True),
    Column("tracker", String(500), nullable=False, doc="name of the tracker and the place it files to"),
    Column("finding_key", String(32), nullable=False),
    Column("estate", String(200), nullable=False, doc="estate that asked for it first"),
    Column(
        "state",
        String(12),
        nullable=False,
        doc="reserved, sent, confirmed, unknown, closed, or overflow (stands in the overflow ticket)",
    ),
    Column("ref", String(500)),
    Column("previous_ref", String(500), doc="the closed ticket that this one follows"),
    Column("reserved_at", Instant, nullable=False),
    Column("sent_at", Instant),
    Column("confirmed_at", Instant),
    Column("closed_at", Instant),
    Column("told", Text, nullable=False, doc="what its readers were told last, as JSON: severity, owner, places, outcome"),
    Column("reopens", Integer, nullable=False, doc="how often people closed it although the finding stood"),
    Column("waiver_requested_at", Instant, doc="people closed it for good: they ask for a waiver"),
    Column("version", Integer, nullable=False, doc="grows with each change; who acts on an older one is too late"),
    UniqueConstraint("tracker", "finding_key"),
    Index(None, "tracker", "state"),
)

ticket_log = Table(
    "ticket_log",
    metadata,
    Column("id", _row_id, primary_key=True),
    Column("tracker", String(500), nullable=False),
    Column("finding_key", String(32), nullable=False),
    Column("at", Instant, nullable=False),
    Column("event", String(30), nullable=False),
    Column("ref", String(500)),
    Column("detail", Text, nullable=False),
    Index(None, "tracker", "finding_key"),
)
