"""What a grant's actions amount to."""

from __future__ import annotations

from typing import Any

import pandas as pd

from keymuster.facts._arrays import delivered, holds, labels, series
from keymuster.facts._grants import tests
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "capabilities"
TABLE = "grants"
NEEDS = ("actions",)
DOC = (
    "Of use, export, issue, delegate, administer and read, by the reference table of actions; a pattern has every "
    "capability of the names it covers."
)


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    actions = delivered(frame, "actions")
    masks = {name: holds(actions, test) for name, test in tests(context).items()}
    return series(frame, labels(masks, actions.is_null().to_numpy(zero_copy_only=False)))
