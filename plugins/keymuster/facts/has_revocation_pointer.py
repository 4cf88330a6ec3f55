"""Where a certificate's revocation can be asked."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import delivered, holds, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "has_revocation_pointer"
TABLE = "certificates"
NEEDS = ("crl_urls", "aia_entries")
DOC = "At least one CRL distribution point URI or one OCSP URI in the AIA extension."


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    del context
    crl = pc.greater(pc.list_value_length(delivered(frame, "crl_urls")), 0)
    aia = delivered(frame, "aia_entries")
    ocsp = pc.if_else(aia.is_valid(), pa.array(holds(aia, lambda entry: entry.startswith("ocsp="))), None)
    return series(frame, pc.or_kleene(crl, ocsp))
