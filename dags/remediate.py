"""The newest audit of each estate → tickets: plan first, then apply."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from keymuster.orchestration.assets import AUDITS
from keymuster.orchestration.shape import SWEEP, assets_or_clock, shape

with DAG(
    "remediate",
    schedule=assets_or_clock(AUDITS, SWEEP),
    **shape(
        purpose="Compares the newest live audit with the tickets there are; opens, comments on, reopens and closes what differs.",
        fails_when="The ledger or the ticket system is away or turns a ticket down.",
        rerun="Yes. A ticket is reserved in the ledger before it is filed, so a second run finds nothing to do. Audits of past days "
        "touch no ticket, and it cannot be backfilled.",
        tags=("remediate", "tickets"),
    ),
):

    @task
    def plan(**context: Any) -> list[dict[str, Any]]:
        """What would be done, and why."""
        from keymuster.orchestration import tasks  # noqa: PLC0415 (nothing heavy at parse time)

        return tasks.remediation_plan(context)

    @task(multiple_outputs=False)
    def apply(plans: list[dict[str, Any]], **context: Any) -> dict[str, int]:
        """Do it. Returns counts."""
        from keymuster.orchestration import tasks  # noqa: PLC0415 (nothing heavy at parse time)

        return tasks.remediation_apply(plans, context)

    apply(plan())
