"""One DAG a station: pull → gate → snapshot asset."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from keymuster.orchestration.assets import snapshot
from keymuster.orchestration.estate import Station, load_estates
from keymuster.orchestration.shape import AS_OF, OVERRULE, clock, shape


def collect(station: Station) -> DAG:
    """The DAG of one station. Tasks hand on references; rows stay in the store."""
    with DAG(
        f"collect__{station.name}",
        schedule=clock(station.schedule),
        params={"as_of": AS_OF, "overrule": OVERRULE},
        **shape(
            purpose=f"Pulls what station {station.name} of estate {station.estate} (source {station.source}) sees, "
            "keeps it as a snapshot and has its contract checked.",
            fails_when="The source cannot be read (tried again when that may help), its connection or a setting is missing, or the "
            "snapshot breaks its contract and is quarantined. The audit then uses the last good snapshot and says how old it is.",
            rerun="Yes. A run whose snapshot is there already does not call the source again. It cannot be backfilled: "
            "a live system knows only the present.",
            owner=station.owner,
            tags=("collect", f"source:{station.source}", f"estate:{station.estate}"),
        ),
    ) as dag:

        @task(multiple_outputs=False)
        def pull(**context: Any) -> dict[str, Any]:
            """Read the source; write the snapshot."""
            from keymuster.orchestration import tasks  # noqa: PLC0415 (nothing heavy at parse time)

            return tasks.pull(station.name, context)

        @task(outlets=[snapshot(station.name)], multiple_outputs=False)
        def gate(ref: dict[str, Any], **context: Any) -> dict[str, Any]:
            """Check the snapshot against its contract."""
            from keymuster.orchestration import tasks  # noqa: PLC0415 (nothing heavy at parse time)

            return tasks.gate(ref, context)

        gate(pull())
    return dag


for each in (station for estate in load_estates() for station in estate.stations):
    globals()[f"collect__{each.name}"] = collect(each)
