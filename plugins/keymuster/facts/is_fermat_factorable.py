"""Keys whose primes are too close (CVE-2022-26320)."""

from __future__ import annotations

from typing import Any

import pandas as pd
from badkeys.rsakeys import fermat

from keymuster.facts._memory import BADKEYS, of_modulus
from keymuster.facts._public_keys import of_moduli
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "is_fermat_factorable"
TABLE = "keys"
NEEDS = ("spki_sha256", "key_algorithm", "certificates.spki_sha256", "certificates.asset_id")
DOC = "100 rounds of Fermat factorisation find the primes (badkeys); null for keys that are not RSA."
TEST = of_modulus("fermat", f"1-{BADKEYS}")


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    return of_moduli(frame, context, TEST, lambda n: bool(fermat(n)))
