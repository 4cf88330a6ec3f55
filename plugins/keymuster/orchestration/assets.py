"""What wakes what. An event only wakes a DAG; what there is to do, the DAG finds by comparing state.

snapshot of a station ─▶ audit ─▶ audits ─▶ report, remediate
"""

from __future__ import annotations

from airflow.sdk import Asset

AUDITS = Asset(name="audits", uri="x-keymuster://audits", group="keymuster")
"""A new audit lies in the store."""
WAKE = Asset(name="audit-wake", uri="x-keymuster://wake/audit", group="keymuster")
"""The sweep found snapshots that no audit has judged."""


def snapshot(station: str) -> Asset:
    """A new accepted snapshot of this station lies in the store."""
    return Asset(name=f"snapshot-{station}", uri=f"x-keymuster://snapshots/{station}", group="keymuster")
