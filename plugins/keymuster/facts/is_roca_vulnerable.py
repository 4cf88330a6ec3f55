"""Keys of the Infineon library (CVE-2017-15361)."""

from __future__ import annotations

from typing import Any

import pandas as pd
from badkeys.rsakeys import roca

from keymuster.facts._memory import BADKEYS, of_modulus
from keymuster.facts._public_keys import of_moduli
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "is_roca_vulnerable"
TABLE = "keys"
NEEDS = ("spki_sha256", "key_algorithm", "certificates.spki_sha256", "certificates.asset_id")
DOC = (
    "The modulus lies in the subgroup that 65537 generates modulo the primes of the ROCA fingerprint (badkeys); null for "
    "keys that are not RSA."
)
TEST = of_modulus("roca", f"1-{BADKEYS}")


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    return of_moduli(frame, context, TEST, lambda n: bool(roca(n)))
