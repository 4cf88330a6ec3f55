"""Whether the provider can rotate a key by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import delivered, each, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "is_rotation_supported"
TABLE = "keys"
NEEDS = ("provider", "kind", "is_rotation_enabled")
DOC = (
    "By provider and kind: true for symmetric keys of gcp_kms, for azure_key_vault and vault, and where rotation is on; "
    "false for asymmetric and HMAC keys of aws_kms and gcp_kms and for files and tokens; null for symmetric keys of "
    "aws_kms, whose origin decides."
)

KINDS = ("private", "public", "symmetric", "hmac")
SUPPORT: Mapping[str, Mapping[str, bool]] = {
    "aws_kms": dict.fromkeys(("private", "public", "hmac"), False),
    "gcp_kms": {"symmetric": True, **dict.fromkeys(("private", "public", "hmac"), False)},
    "azure_key_vault": dict.fromkeys(KINDS, True),
    "vault": dict.fromkeys(KINDS, True),
    **{provider: dict.fromkeys(KINDS, False) for provider in ("file", "pkcs11", "jks", "cng")},
}


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    del context
    pairs = pc.binary_join_element_wise(delivered(frame, "provider"), delivered(frame, "kind"), " ")
    answers = {f"{provider} {kind}": answer for provider, kinds in SUPPORT.items() for kind, answer in kinds.items()}
    is_on = pc.if_else(pc.equal(frame.arrow("is_rotation_enabled"), True), True, None)
    return series(frame, pc.coalesce(is_on, each(pairs, answers.get, pa.bool_())))
