"""Whether an issued certificate can log on, enrol for others or sign code."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa

from keymuster.facts._arrays import flags, holds, joined, known, series, table
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "is_privileged_purpose"
TABLE = "issuances"
NEEDS = ("certificate_asset_id", "certificates.asset_id", "certificates.extended_key_usage", "certificates.is_ca")
DOC = (
    "The certificate has clientAuth, smartcardLogon, pkinitClientAuth, certificateRequestAgent, codeSigning or "
    "anyExtendedKeyUsage, no extended key usage at all, or is a CA; null where the certificate is not in the inventory."
)

PURPOSES = frozenset({
    "clientAuth", "codeSigning", "anyExtendedKeyUsage", "smartcardLogon", "pkinitClientAuth", "certificateRequestAgent",
    "1.3.6.1.4.1.311.20.2.2", "1.3.6.1.5.2.3.4", "1.3.6.1.4.1.311.20.2.1",
})  # fmt: skip
"""By name and by OID: MS-WCCE, RFC 4556."""


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    certificates = table(context, "certificates")
    purposes = certificates.arrow("extended_key_usage")
    strong = holds(purposes, PURPOSES.__contains__) | flags(certificates.arrow("is_ca")) | purposes.is_null().to_numpy(zero_copy_only=False)
    answer = known(pa.array(strong), certificates.unknown("extended_key_usage"))
    return series(frame, joined(frame.arrow("certificate_asset_id"), certificates.arrow("asset_id"), answer))
