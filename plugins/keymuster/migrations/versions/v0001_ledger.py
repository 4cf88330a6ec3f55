"""Audits, findings, tickets and what happened to them.

Written out and not taken from `ledger_schema`: a revision must stay what it was when later ones build on it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_row_id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_instant = sa.DateTime(timezone=True)


def _text(name: str, length: int | None = None, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length) if length else sa.Text(), nullable=nullable)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False)


def _audits() -> None:
    op.create_table(
        "audits",
        sa.Column("id", _row_id, primary_key=True),
        _text("estate", 200),
        _text("key", 64),
        sa.Column("as_of", _instant, nullable=False),
        _text("kind", 20),
        _text("uri"),
        *(_number(name) for name in ("critical", "high", "medium", "low", "info", "waived", "moved")),
        sa.UniqueConstraint("estate", "key", name="uq_audits_estate_key"),
    )
    op.create_index("ix_audits_estate_as_of", "audits", ["estate", "as_of"])


def _findings() -> None:
    op.create_table(
        "findings",
        sa.Column("id", _row_id, primary_key=True),
        _text("estate", 200),
        _text("finding_key", 32),
        _text("rule_id", 200),
        _text("asset_id"),
        _text("severity", 10),
        _text("owner", nullable=True),
        _text("stations"),
        *(sa.Column(name, _instant, nullable=False) for name in ("first_seen", "last_seen", "open_since")),
        sa.Column("resolved_at", _instant),
        _number("reopened"),
        _text("state", 12),
        sa.UniqueConstraint("estate", "finding_key", name="uq_findings_estate_finding_key"),
    )
    op.create_index("ix_findings_estate_state", "findings", ["estate", "state"])
    op.create_index("ix_findings_finding_key", "findings", ["finding_key"])


def _tickets() -> None:
    op.create_table(
        "tickets",
        sa.Column("id", _row_id, primary_key=True),
        _text("tracker", 500),
        _text("finding_key", 32),
        _text("estate", 200),
        _text("state", 12),
        _text("ref", 500, nullable=True),
        _text("previous_ref", 500, nullable=True),
        sa.Column("reserved_at", _instant, nullable=False),
        *(sa.Column(name, _instant) for name in ("sent_at", "confirmed_at", "closed_at")),
        _text("told"),
        _number("reopens"),
        sa.Column("waiver_requested_at", _instant),
        _number("version"),
        sa.UniqueConstraint("tracker", "finding_key", name="uq_tickets_tracker_finding_key"),
    )
    op.create_index("ix_tickets_tracker_state", "tickets", ["tracker", "state"])


def _ticket_log() -> None:
    op.create_table(
        "ticket_log",
        sa.Column("id", _row_id, primary_key=True),
        _text("tracker", 500),
        _text("finding_key", 32),
        sa.Column("at", _instant, nullable=False),
        _text("event", 30),
        _text("ref", 500, nullable=True),
        _text("detail"),
    )
    op.create_index("ix_ticket_log_tracker_finding_key", "ticket_log", ["tracker", "finding_key"])


def upgrade() -> None:
    """Make the first tables."""
    _audits()
    _findings()
    _tickets()
    _ticket_log()
