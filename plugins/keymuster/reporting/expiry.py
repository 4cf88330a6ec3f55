"""The expiry calendar: what ends when, and whose it is."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pandas as pd
import pyarrow as pa

from keymuster.report_context import Expiry, OwnerExpiry, Period

WEEKS = 53
MONTHS = 12


def calendar(assets: pa.Table, as_of: datetime) -> Expiry:
    """Count the assets with a known end by week and month from as_of on (UTC), and by owner and month."""
    frame = assets.select(["not_after", "is_deployed", "owner"]).to_pandas()
    dated = frame[frame["not_after"].notna()]
    ends = pd.to_datetime(dated["not_after"], utc=True)
    deployed = dated["is_deployed"].fillna(value=False).astype(bool)
    expired = ends < pd.Timestamp(as_of)
    weeks, months = _weeks(as_of.date()), _months(as_of.date())
    days = ends[~expired].dt.date
    month = _slot(days, months)
    return Expiry(
        expired=int(expired.sum()),
        expired_deployed=int((expired & deployed).sum()),
        weeks=_count(days, deployed, weeks),
        months=_count(days, deployed, months),
        owners=_owners(dated["owner"], expired, month),
        later=int((days >= months[-1][1]).sum()),
        dated=len(dated),
        undated=len(frame) - len(dated),
    )


Span = tuple[date, date]


def _weeks(start: date) -> list[Span]:
    return [(start + timedelta(days=7 * n), start + timedelta(days=7 * n + 7)) for n in range(WEEKS)]


def _months(start: date) -> list[Span]:
    firsts = [date(start.year + (start.month - 1 + n) // 12, (start.month - 1 + n) % 12 + 1, 1) for n in range(MONTHS + 1)]
    return list(zip([start, *firsts[1:-1]], firsts[1:], strict=True))


def _slot(days: pd.Series[date], spans: list[Span]) -> pd.Series[int]:
    """Number of the span that each day lies in; -1 beyond the last."""
    edges = pd.DatetimeIndex([*(span[0] for span in spans), spans[-1][1]])
    return pd.Series(pd.cut(pd.to_datetime(days), edges, right=False, labels=False), index=days.index).fillna(-1).astype(int)


def _count(days: pd.Series[date], deployed: pd.Series[bool], spans: list[Span]) -> tuple[Period, ...]:
    slot = _slot(days, spans)
    every, used = slot.value_counts(), slot[deployed.reindex(slot.index)].value_counts()
    return tuple(
        Period(f"{span[0]:%b %Y}" if len(spans) == MONTHS else f"{span[0]:%d %b}", *span, int(every.get(n, 0)), int(used.get(n, 0)))
        for n, span in enumerate(spans)
    )


def _owners(owner: pd.Series[str], expired: pd.Series[bool], month: pd.Series[int]) -> tuple[OwnerExpiry, ...]:
    slots = month.reindex(owner.index).where(~expired, MONTHS).astype(int)  # expired ones in a slot of their own
    table = pd.crosstab(owner.fillna("\0"), slots)  # no owner has that name
    rows = [
        OwnerExpiry(None if name == "\0" else str(name), int(row.get(MONTHS, 0)), tuple(int(row.get(n, 0)) for n in range(MONTHS)))
        for name, row in table.iterrows()
    ]
    rows = [row for row in rows if row.expired or any(row.months)]
    return tuple(sorted(rows, key=lambda r: (-r.expired, *(-n for n in r.months), r.owner or "")))
