"""What kind of account an SSH key belongs to."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa

from keymuster.facts._arrays import delivered, each, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "account_kind"
TABLE = "ssh_keys"
NEEDS = ("account",)
DOC = "privileged for the superuser by name; null for other accounts, of which no source tells what they are."

SUPERUSERS = frozenset({"root", "toor", "administrator"})


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    del context
    return series(frame, each(delivered(frame, "account"), lambda name: "privileged" if name.lower() in SUPERUSERS else None, pa.string()))
