"""Security strength of a classical key."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import delivered, each, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "security_strength_bits"
TABLE = "certificates"
NEEDS = ("key_algorithm", "key_bits", "key_curve")
DOC = "80, 112, 128, 192 or 256 by SP 800-57 Part 1 Rev. 5 Table 2, rounded down; null for post-quantum keys."

FINITE = ((15_360, 256), (7_680, 192), (3_072, 128), (2_048, 112), (0, 80))
ELLIPTIC = ((512, 256), (384, 192), (256, 128), (224, 112), (0, 80))
STEPS = {("RSA", "DSA"): FINITE, ("EC",): ELLIPTIC, ("AES",): ((256, 256), (192, 192), (128, 128), (0, 80))}
"""Key algorithm -> (smallest size, strength), largest first."""
FIXED = {"Ed25519": 128, "Ed448": 192}
"""Ed448 has 224 bits (SP 800-186), of which the table's grades leave 192."""


def _strength(steps: tuple[tuple[int, int], ...], bits: int) -> int:
    return next(strength for least, strength in steps if bits >= least)


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    del context
    algorithm, size = delivered(frame, "key_algorithm"), delivered(frame, "key_bits")
    columns = [each(algorithm, FIXED.get, pa.int64())]
    for names, steps in STEPS.items():
        chosen = pc.is_in(algorithm, value_set=pa.array(list(names)))
        columns.append(pc.if_else(chosen, each(size, partial(_strength, steps), pa.int64()), None))
    return series(frame, pc.coalesce(*columns))
