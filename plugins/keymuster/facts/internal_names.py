"""SAN names outside the public name space."""

from __future__ import annotations

from typing import Any

import pandas as pd

from keymuster.facts._arrays import chosen, delivered, series
from keymuster.facts._names import Blocks, address, is_internal
from keymuster.facts._reference import document
from keymuster.frame import Frame
from keymuster.protocols import FactContext, Unknowable

COLUMN = "internal_names"
TABLE = "certificates"
NEEDS = ("san_names",)
DOC = (
    "Names below a special-use domain or without a domain of the public suffix list, and addresses in special-purpose "
    "blocks (TLS BR 4.2.2)."
)


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    special = document(context.reference, "special_names.yaml")
    blocks = document(context.reference, "special_addresses.yaml")
    if special is None or blocks is None:
        raise Unknowable("reference data has no special_names.yaml or no special_addresses.yaml")
    zones, ranges = tuple(e["name"] for e in special["names"]), Blocks(blocks["blocks"])

    def outside(name: str) -> bool:
        value = address(name)
        return is_internal(name, zones) if value is None else ranges.kind(value) != "global"

    return series(frame, chosen(delivered(frame, "san_names"), outside))
