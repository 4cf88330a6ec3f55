"""The register of record: one station of the estate, named by policy."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from keymuster.frame import Frame
from keymuster.protocols import FactContext, Unknowable


def survey(frames: Mapping[str, Frame], context: FactContext) -> pa.Table:
    """Whether the register delivered anything to the estate: one row, column `rows`."""
    station = context.policy.register_station
    rows = sum(int(pc.sum(pc.equal(f.arrow("station"), station)).as_py() or 0) for f in frames.values()) if station else 0
    return pa.table({"rows": pa.array([rows], pa.int64())})


def register(context: FactContext) -> str:
    """Name of the register's station. Unknowable if policy names none or it delivered nothing, for then absence proves nothing."""
    station = context.policy.register_station
    if station is None:
        raise Unknowable("policy names no register of record (register_station)")
    found = context.survey.get("is_registered", context.survey.get("register_gaps"))
    answer = found if found is not None else survey(context.frames, context)
    if not answer["rows"][0].as_py():
        raise Unknowable(f"the register of record, station {station!r}, delivered nothing")
    return station


def registered(frame: Frame, station: str) -> pa.Array:
    """Per row whether its asset has a row of the register."""
    ids = frame.arrow("asset_id")
    return pc.is_in(ids, value_set=ids.filter(pc.equal(frame.arrow("station"), station)).unique())
