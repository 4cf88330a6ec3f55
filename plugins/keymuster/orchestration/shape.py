"""What all DAGs of ours have in common: owner, retries, tags, the page shown in the UI, and which runs are allowed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, Param
from airflow.sdk.bases.timetable import BaseTimetable

from keymuster.orchestration.retry import RETRIES

START = datetime(2020, 1, 1, tzinfo=UTC)
"""First day that can be backfilled."""
SWEEP = "*/10 * * * *"
"""Asset events can be stranded; state is compared this often whatever the events do."""
DEFAULT_OWNER = "pki"
PRESENT = ("manual", "scheduled", "asset_triggered", "asset_materialization", "operator_triggered")
"""Every type of run but backfills: the DAG acts on the present, and Airflow refuses to backfill it."""

AS_OF = Param(
    None,
    type=["null", "string"],
    title="As of",
    description_md="A day (`2026-11-05`) or an instant (`2026-11-05T04:00:00+00:00`). Empty: the run's own date.",
)

OVERRULE = Param(
    None,
    type=["null", "string"],
    title="Overrule the gate",
    description_md="Why a snapshot that breaks its contract is accepted all the same; every report shows it. Empty: the gate decides.",
)


def shape(
    *, purpose: str, fails_when: str, rerun: str, tags: tuple[str, ...], owner: str | None = None, backfill: bool = False
) -> dict[str, Any]:
    """Keyword arguments of `DAG`. The four texts become its page in the UI."""
    who = owner or DEFAULT_OWNER
    return {
        "description": purpose,
        "doc_md": f"**Purpose.** {purpose}\n\n**Fails when.** {fails_when}\n\n**Safe to re-run.** {rerun}\n\n**Owner.** {who}\n",
        "default_args": {"owner": who, **RETRIES},
        "start_date": START,
        "catchup": False,
        "max_active_runs": 1,
        "tags": ["keymuster", *tags],
        "allowed_run_types": None if backfill else list(PRESENT),
    }


def clock(cron: str | None) -> BaseTimetable | None:
    """A schedule in UTC, or none."""
    return CronTriggerTimetable(cron, timezone="UTC") if cron else None


def assets_or_clock(assets: Any, cron: str) -> AssetOrTimeSchedule:
    """Any of these assets, or the clock; unlike assets alone it can be backfilled."""
    return AssetOrTimeSchedule(timetable=CronTriggerTimetable(cron, timezone="UTC"), assets=assets)
