"""Wakes the audit when state calls for one although no event did: events can be stranded."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from keymuster.orchestration.assets import WAKE
from keymuster.orchestration.shape import SWEEP, clock, shape

with DAG(
    "audit__sweep",
    schedule=clock(SWEEP),
    **shape(
        purpose="Compares the snapshots there are with those that the newest audit judged, and wakes the audit if they differ.",
        fails_when="The store is away, or content or the estate file is wrong.",
        rerun="Yes. It changes nothing but to wake the audit.",
        tags=("audit",),
    ),
):

    @task(outlets=[WAKE])
    def sweep(**context: Any) -> None:
        """Skipped, so that no event goes out, when there is nothing to do."""
        from keymuster.orchestration import tasks  # noqa: PLC0415 (nothing heavy at parse time)

        tasks.sweep(context)

    sweep()
