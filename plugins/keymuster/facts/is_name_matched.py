"""Whether the certificate served is for the name asked for."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import delivered, series, table
from keymuster.facts._names import is_matched
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "is_name_matched"
TABLE = "endpoints"
NEEDS = ("server_name", "certificate_asset_id", "certificates.asset_id", "certificates.san_names", "certificates.san_types")
DOC = (
    "A SAN entry matches server_name (RFC 9525 section 6): commonName is ignored, a wildcard is the whole left-most "
    "label, addresses only match addresses; null without name or certificate."
)


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    certificates = table(context, "certificates")
    ids = certificates.arrow("asset_id")
    leaves, asked = frame.arrow("certificate_asset_id"), delivered(frame, "server_name")
    rows = pc.index_in(leaves, value_set=ids).fill_null(-1).to_pylist() if len(ids) else [-1] * len(frame)
    used = pa.array(sorted({row for row in rows if row >= 0}), pa.int64())
    names = delivered(certificates, "san_names").take(used).to_pylist()
    types = delivered(certificates, "san_types").take(used).to_pylist()
    sans = {
        row: (frozenset(map(str.lower, n)), t)
        for row, n, t in zip(used.to_pylist(), names, types, strict=True)
        if n is not None and t is not None
    }
    pairs = zip(asked.to_pylist(), rows, strict=True)
    answers = [None if name is None or row not in sans else is_matched(name, *sans[row]) for name, row in pairs]
    return series(frame, pa.array(answers, pa.bool_()))
