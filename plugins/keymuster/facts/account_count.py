"""Accounts that an SSH key opens."""

from __future__ import annotations

from typing import Any

import pandas as pd

from keymuster.facts._arrays import series
from keymuster.facts._ssh import distinct
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "account_count"
TABLE = "ssh_keys"
NEEDS = ("spki_sha256", "kind", "account", "station")
DOC = "Distinct (station, account) of authorized entries with the same key."


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    del context
    return series(frame, distinct(frame, "authorized", frame.arrow("account")))
