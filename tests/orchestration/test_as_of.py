from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from keymuster.errors import ConfigurationError
from keymuster.orchestration.as_of import parse, resolve

LOGICAL, END, AFTER = (datetime(2026, 11, day, 4, tzinfo=UTC) for day in (5, 6, 7))


def context(run_type: str = "manual", **more: Any) -> dict[str, Any]:
    return {"dag_run": SimpleNamespace(run_type=run_type, run_after=AFTER, partition_key=more.pop("key", None)), "params": {}, **more}


@pytest.mark.parametrize(
    ("given", "instant", "asked"),
    [
        (context(params={"as_of": "2026-10-01"}, partition_key="2026-10-02", logical_date=LOGICAL), (2026, 10, 1, 23, 59, 59), True),
        (context(params={"as_of": None}, partition_key="2026-10-02", logical_date=LOGICAL), (2026, 10, 2, 23, 59, 59), True),
        (context(key="2026-10-03", logical_date=LOGICAL), (2026, 10, 3, 23, 59, 59), True),
        (context(logical_date=LOGICAL, data_interval_end=END), (2026, 11, 5, 4), False),
        (context(logical_date=None, data_interval_end=END), (2026, 11, 6, 4), False),
        (context("asset_triggered"), (2026, 11, 7, 4), False),
        (context("scheduled", logical_date=LOGICAL), (2026, 11, 5, 4), False),
        (context("backfill", logical_date=LOGICAL), (2026, 11, 5, 4), True),
    ],
)
def test_first_that_is_there_wins(given: dict[str, Any], instant: tuple[int, ...], asked: bool) -> None:
    found = resolve(given)
    assert (found.instant, found.asked) == (datetime(*instant, tzinfo=UTC), asked)  # type: ignore[arg-type,misc]
    assert found.kind == ("backfill" if asked else "live")


def test_instants_become_utc() -> None:
    east = datetime(2026, 11, 5, 4, tzinfo=timezone(timedelta(hours=2)))
    assert resolve(context(logical_date=east)).instant == datetime(2026, 11, 5, 2, tzinfo=UTC)
    assert parse("2026-11-05T04:00:00+02:00") == datetime(2026, 11, 5, 2, tzinfo=UTC)
    assert parse("2026-11-05T04:00") == datetime(2026, 11, 5, 4, tzinfo=UTC)


def test_what_is_no_instant_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="as_of 'yesterday' is no instant; write 2026-11-05"):
        resolve(context(params={"as_of": "yesterday"}))
