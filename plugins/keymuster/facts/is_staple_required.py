"""Whether a certificate obliges its server to staple."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import delivered, holds, joined, series, table
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "is_staple_required"
TABLE = "endpoints"
NEEDS = ("certificate_asset_id", "certificates.asset_id", "certificates.extensions")
DOC = "The leaf carries the TLS feature extension (RFC 7633); null where the leaf is not in the inventory."


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    certificates = table(context, "certificates")
    lists = delivered(certificates, "extensions")
    stapling = pc.if_else(lists.is_valid(), pa.array(holds(lists, ("tlsFeature", "1.3.6.1.5.5.7.1.24").__contains__)), None)
    return series(frame, joined(frame.arrow("certificate_asset_id"), certificates.arrow("asset_id"), stapling))
