"""Which instant a run is about. Asked once, on a task's first line; everything below is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

from keymuster.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class AsOf:
    """The instant of a run."""

    instant: datetime
    """Aware, UTC."""
    asked: bool
    """Somebody asked about this instant (a param, a partition key, a backfill), instead of a run being about the present."""

    @property
    def kind(self) -> str:
        """Kind of an audit at this instant: only `live` ones move the ledger and the tickets."""
        return "backfill" if self.asked else "live"


def resolve(context: Mapping[str, Any]) -> AsOf:
    """From a task's context: param `as_of`, else partition key, else logical date, else end of the interval, else `run_after`.

    Asset-triggered runs have neither a logical date nor an interval. ConfigurationError for a param that is no instant.
    """
    run = context["dag_run"]
    wanted = (context.get("params") or {}).get("as_of") or context.get("partition_key") or getattr(run, "partition_key", None)
    if wanted:
        return AsOf(parse(str(wanted)), asked=True)
    instant = context.get("logical_date") or context.get("data_interval_end") or run.run_after
    return AsOf(instant.astimezone(UTC), asked=run_type(run) == "backfill")


def run_type(run: Any) -> str:
    """`manual`, `scheduled`, `backfill`, `asset_triggered`, …: of the enum's value or of plain text."""
    return str(getattr(run.run_type, "value", run.run_type))


def parse(text: str) -> datetime:
    """An ISO 8601 instant; without an offset it is UTC; a plain date means the last second of that day."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"as_of {text!r} is no instant; write 2026-11-05 or 2026-11-05T04:00:00+00:00") from None
    if len(text) <= len("2026-11-05"):
        instant = datetime.combine(instant, time(23, 59, 59))
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
