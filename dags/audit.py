"""Any snapshot changed, or the clock → findings. The one to backfill."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, AssetAny, Param, task

from keymuster.orchestration.assets import AUDITS, WAKE, snapshot
from keymuster.orchestration.estate import load_estates
from keymuster.orchestration.shape import AS_OF, assets_or_clock, shape

ESTATES = load_estates()
ANY_SNAPSHOT = AssetAny(WAKE, *(snapshot(station.name) for estate in ESTATES for station in estate.stations))

with DAG(
    "audit",
    schedule=assets_or_clock(ANY_SNAPSHOT, "0 4 * * *"),
    params={
        "estate": Param(None, type=["null", "string"], enum=[None, *(e.name for e in ESTATES)], title="Estate", description="Empty: all."),
        "as_of": AS_OF,
    },
    **shape(
        purpose="Judges the last good snapshot of every station by the rules and keeps the result.",
        fails_when="Content (rules, policy, waivers) or the estate file is wrong, a stored file is corrupt, or the store or the ledger is "
        "away. A station without a snapshot does not fail it: its rules count as not evaluated. A day without any says 'no evidence'.",
        rerun="Yes. Same snapshots, rules and date give the result that is there already. A backfill judges the snapshots of past days, "
        "calls no live system and touches neither ledger nor tickets.",
        tags=("audit",),
        backfill=True,
    ),
):

    @task
    def plan(**context: Any) -> list[dict[str, Any]]:
        """Find what there is to judge and cut it into shards; none where there is nothing to do."""
        from keymuster.orchestration import tasks  # noqa: PLC0415 (nothing heavy at parse time)

        return tasks.audit_plan(context)

    @task(map_index_template="{{ shard_name }}")
    def judge(shard: dict[str, Any]) -> None:
        """Judge one shard."""
        from keymuster.orchestration import tasks  # noqa: PLC0415 (nothing heavy at parse time)

        tasks.audit_shard(shard)

    @task(outlets=[AUDITS])
    def conclude(shards: list[dict[str, Any]]) -> list[str]:
        """Merge the shards, score the frameworks, move the ledger. Returns the addresses of the audits."""
        from keymuster.orchestration import tasks  # noqa: PLC0415 (nothing heavy at parse time)

        return tasks.audit_conclude(shards)

    planned = plan()
    judge.expand(shard=planned) >> conclude(planned)
