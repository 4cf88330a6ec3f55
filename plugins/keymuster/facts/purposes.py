"""What a key is used for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import flags, holds, labels, series, table
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "purposes"
TABLE = "keys"
NEEDS = ("spki_sha256", "certificates.spki_sha256", "certificates.usages", "certificates.key_usage")
DOC = (
    "From the usages of the certificates with the same key; mail certificates count as signature or encryption by their "
    "key usage. Null for keys without certificate."
)

PURPOSES: Mapping[str, frozenset[str]] = {
    "signature": frozenset({"ocsp_signing"}),
    "authentication": frozenset({"tls_server", "tls_client"}),
    "encryption": frozenset(),
    "ca": frozenset({"ca"}),
    "code_signing": frozenset({"code_signing"}),
    "timestamping": frozenset({"timestamping"}),
}


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    certificates = table(context, "certificates")
    keys, usages, bits = (certificates.arrow(name) for name in ("spki_sha256", "usages", "key_usage"))
    is_mail = holds(usages, "smime".__eq__)
    marks = {purpose: holds(usages, names.__contains__) for purpose, names in PURPOSES.items()}
    marks["signature"] |= is_mail & holds(bits, {"digitalSignature", "nonRepudiation", "contentCommitment"}.__contains__)
    marks["encryption"] |= is_mail & holds(bits, {"keyEncipherment", "keyAgreement", "dataEncipherment"}.__contains__)
    own = frame.arrow("spki_sha256")
    known_ = keys.filter(usages.is_valid()).unique()
    masks = {purpose: flags(pc.is_in(own, value_set=keys.filter(pa.array(mask)).unique().drop_null())) for purpose, mask in marks.items()}
    return series(frame, labels(masks, ~flags(pc.is_in(own, value_set=known_.drop_null()))))
