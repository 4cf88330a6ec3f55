"""SAN names that are no well-formed domain names."""

from __future__ import annotations

from typing import Any

import pandas as pd

from keymuster.facts._arrays import chosen, delivered, series
from keymuster.facts._names import is_sound
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "malformed_names"
TABLE = "certificates"
NEEDS = ("san_names",)
DOC = (
    "dNSName entries that are no wildcard-or-FQDN of LDH labels or P-labels of at most 63 octets without trailing dot "
    "(TLS BR 1.6.1, 7.1.2.7.12)."
)


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    del context
    return series(frame, chosen(delivered(frame, "san_names"), lambda name: not is_sound(name)))
