"""The bodies of the DAGs' tasks: find the run's instant, call the step, say it in Airflow's words."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from keymuster.audit_plan import Plan
from keymuster.model import SnapshotRef
from keymuster.orchestration import as_of, connections, steps
from keymuster.orchestration.workplace import Secrets, Workplace

log = logging.getLogger(__name__)


@cache
def place() -> Workplace:
    """The workplace of this process, its secrets in Airflow's connections."""
    return Workplace(secrets=Secrets(connections.fields, connections.database_address, connections.storage_options))


def pull(station: str, context: Mapping[str, Any]) -> dict[str, Any]:
    """Task `pull` of `collect__<station>`."""
    return steps.pull(place(), station, as_of.resolve(context).instant).as_json()


def gate(ref: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """Task `gate` of `collect__<station>`."""
    return steps.settle(place(), SnapshotRef.from_json(ref), context["params"].get("overrule") or "").as_json()


def audit_plan(context: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Task `plan` of `audit`: one {plan, shard} a shard; none where there is nothing to do."""
    run = as_of.resolve(context)
    wanted = context["params"].get("estate")
    names = [wanted] if wanted else [estate.name for estate in place().estates]
    due = [name for name in names if run.asked or wanted or steps.is_due(place(), name, run.instant)]
    for name in (name for name in names if name not in due):
        log.info("estate %s: nothing to do: the newest audit has judged all that is there", name)
    planned = [steps.audit_plan(place(), name, run.instant, run.kind) for name in due]
    # An audit that is there already has no shards; it still goes through once, should its conclusion have failed half-way.
    return [{"plan": plan.as_json(), "shard": shard} for plan in planned if plan for shard in range(max(plan.shards, 1))]


def audit_shard(shard: Mapping[str, Any]) -> None:
    """Task `judge` of `audit`; names its shard for the UI."""
    plan = Plan.from_json(shard["plan"])
    get_current_context()["shard_name"] = f"{plan.estate} {shard['shard'] + 1} of {max(plan.shards, 1)}"
    steps.audit_shard(place(), plan, shard["shard"])


def audit_conclude(shards: list[dict[str, Any]]) -> list[str]:
    """Task `conclude` of `audit`."""
    return [steps.audit_conclude(place(), Plan.from_json(shard["plan"])) for shard in shards if shard["shard"] == 0]


def sweep(context: Mapping[str, Any]) -> None:
    """Task `sweep` of `audit__sweep`: skipped, so that nothing is woken, unless some estate is due."""
    instant = as_of.resolve(context).instant
    due = [estate.name for estate in place().estates if steps.is_due(place(), estate.name, instant)]
    if not due:
        raise AirflowSkipException("nothing to do: the newest audits have judged all that is there")
    log.info("to be audited: %s", ", ".join(due))


def report(context: Mapping[str, Any]) -> list[str]:
    """Task `write` of `report`."""
    folders = steps.report(place(), again=bool(context["params"].get("again")))
    if not folders:
        raise AirflowSkipException("nothing to do: every audit has its reports")
    return [str(folder) for folder in folders]


def remediation_plan(context: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Task `plan` of `remediate`: what would be done, by estate."""
    now = as_of.resolve(context).instant
    planned = [steps.remediation_plan(place(), estate.name, now) for estate in place().estates]
    wanted = [plan for plan in planned if plan]
    if not wanted:
        raise AirflowSkipException("nothing to do: the tickets are as the newest audits want them")
    return wanted


def remediation_apply(plans: list[dict[str, Any]], context: Mapping[str, Any]) -> dict[str, int]:
    """Task `apply` of `remediate`."""
    now = as_of.resolve(context).instant
    return steps.remediation_apply(place(), [plan["estate"] for plan in plans], now)
