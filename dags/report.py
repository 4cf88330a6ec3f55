"""New audits → reports, in every form that people read."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, task

from keymuster.orchestration.assets import AUDITS
from keymuster.orchestration.shape import SWEEP, assets_or_clock, shape

with DAG(
    "report",
    schedule=assets_or_clock(AUDITS, SWEEP),
    params={"again": Param(default=False, type="boolean", title="Write again", description="Also those that are there already.")},
    **shape(
        purpose="Writes the reports of every audit that has none yet, those of backfilled days included.",
        fails_when="A template is wrong, a stored audit is corrupt, or the report folder cannot be written.",
        rerun="Yes. What is there stays, unless 'again' is set; then it is written anew from the same audit.",
        tags=("report",),
    ),
):

    @task
    def write(**context: Any) -> list[str]:
        """Returns the folders written."""
        from keymuster.orchestration import tasks  # noqa: PLC0415 (nothing heavy at parse time)

        return tasks.report(context)

    write()
