"""Whether a grant reaches every resource of its kind."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pyarrow as pa

from keymuster.facts._arrays import each, series
from keymuster.facts._grants import resource
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "is_resource_wildcard"
TABLE = "grants"
NEEDS = ("locator",)
DOC = (
    "The resource element, second word of the locator, is `*` or ends in a wildcard right after its type, as "
    "arn:aws:kms:*:*:key/*; null where the locator names none."
)

WHOLE = re.compile(r"\*+|\*:\*|arn:[^:]*:[^:]*:[^:]*:[^:]*:(\*|[a-z-]+[/:]\*)")


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    del context
    return series(frame, each(resource(frame), lambda text: bool(WHOLE.fullmatch(text)), pa.bool_()))
