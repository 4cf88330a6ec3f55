"""Which environment an asset belongs to."""

from __future__ import annotations

from typing import Any

import pandas as pd

from keymuster.facts._arrays import series
from keymuster.facts._ownership import named
from keymuster.frame import Frame
from keymuster.protocols import FactContext
from keymuster.schema import tables

COLUMN = "environment"
TABLE = tuple(tables())
NEEDS = ("station", "locator", "certificates.spki_sha256", "certificates.subject", "certificates.san_names")
DOC = "The first ownership rule of the policy that fits and names an environment; null where none does."


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    return series(frame, named(frame, context, "environment"))
