"""Whether an elliptic-curve point lies on its curve."""

from __future__ import annotations

from typing import Any

import pandas as pd
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from keymuster.facts._memory import POINTS
from keymuster.facts._public_keys import by_digest, digests, of_infos
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "is_point_valid"
TABLE = "keys"
NEEDS = ("spki_sha256", "key_algorithm", "certificates.spki_sha256", "certificates.asset_id")
DOC = (
    "OpenSSL accepts the point of the SubjectPublicKeyInfo: on the curve, not infinity, and on curves of cofactor 1 so in"
    " the right subgroup; null for other keys."
)


def _is_valid(info: bytes) -> bool | None:
    try:
        serialization.load_der_public_key(info)
    except UnsupportedAlgorithm:
        return None
    except ValueError:
        return False
    return True


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    return by_digest(frame, of_infos(POINTS, digests(frame, "EC"), context, _is_valid))
