"""Whether a certificate was issued by a CA that we chose."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import each, series
from keymuster.facts._issuers import hierarchy, named_keys
from keymuster.frame import Frame
from keymuster.protocols import FactContext, Unknowable

COLUMN = "is_issuer_approved"
TABLE = "certificates"
NEEDS = ("asset_id", "is_ca", "role", "spki_sha256")
DOC = (
    "The key that verifies the certificate is on the policy's list approved_issuers (private_roots count for trust anchors), "
    "for a trust anchor its own key; null where the issuing key is not in the inventory."
)


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    if context.policy.approved_issuers is None:
        raise Unknowable("policy names no approved issuers (approved_issuers)")
    approved = named_keys(context.policy.approved_issuers)[0]
    anchors = approved | named_keys(context.policy.private_roots or ())[0]
    found = hierarchy(context)

    def by_issuer(print_: str) -> bool | None:
        node = found.issuers.get(print_)
        return None if node is None else node[1] in approved

    issued = each(frame.arrow("asset_id"), by_issuer, pa.bool_())
    own = each(frame.arrow("spki_sha256"), anchors.__contains__, pa.bool_())
    is_anchor = pc.is_in(frame.arrow("role"), value_set=pa.array(["trust_anchor", "client_trust"]))
    return series(frame, pc.if_else(is_anchor, own, issued))
