"""Which hierarchy a certificate comes from."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa

from keymuster.facts._arrays import each, series
from keymuster.facts._issuers import CLASSES, hierarchy
from keymuster.frame import Frame
from keymuster.protocols import FactContext, Unknowable

COLUMN = "trust"
TABLE = "certificates"
NEEDS = ("asset_id", "is_ca", "role", "spki_sha256")
DOC = (
    "Signatures are followed up to a root: public_tls, public_smime, public_codesign where it is on a dated root list of that class "
    "and the purposes along the way allow it, private where policy names it; null where no such root is reached."
)


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    found = hierarchy(context)
    if not found.listed and context.policy.private_roots is None:
        raise Unknowable("reference data has no root list and policy names no private roots (private_roots)")

    def trust(print_: str) -> str | None:
        classes = found.classes(print_)
        return next((c for c in CLASSES if c in classes), None)

    return series(frame, each(frame.arrow("asset_id"), trust, pa.string()))
