"""Which regimes an asset falls under."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa

from keymuster.facts._arrays import each, series
from keymuster.facts._ownership import named
from keymuster.frame import Frame
from keymuster.protocols import FactContext, Unknowable
from keymuster.schema import tables

COLUMN = "assurance_scopes"
TABLE = tuple(tables())
NEEDS = ("station", "locator", "certificates.spki_sha256", "certificates.subject", "certificates.san_names")
DOC = (
    "The scopes of the first ownership rule that fits and names any; an empty list where none does. Unknowable while no "
    "rule of the policy names scopes."
)


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    if not any(rule.scopes is not None for rule in context.policy.ownership):
        raise Unknowable("policy names no scopes; `scopes: []` in an ownership rule states that there are none")
    joined = named(frame, context, "scopes").fill_null("")
    lists = each(joined, str.split, pa.list_(pa.string()))
    return series(frame, lists)
