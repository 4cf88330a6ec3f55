"""Places of SSH keys."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import counted
from keymuster.frame import Frame


def distinct(frame: Frame, kind: str, names: pa.Array) -> pa.Array:
    """Per row, the distinct (station, name) among rows of one kind with the same key; null where key or kind is unknown."""
    keys, kinds = frame.arrow("spki_sha256"), frame.arrow("kind")
    rows = pa.table({"key": keys, "station": frame.arrow("station"), "name": names}).filter(pc.equal(kinds, kind).fill_null(False))
    met = rows.to_pandas().dropna().drop_duplicates()
    return pc.if_else(kinds.is_valid(), counted(keys, met["key"].value_counts()), None)
