"""Moduli that trial division breaks."""

from __future__ import annotations

from typing import Any

import gmpy2
import pandas as pd

from keymuster.facts._memory import of_modulus
from keymuster.facts._public_keys import of_moduli
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "has_small_factor"
TABLE = "keys"
NEEDS = ("spki_sha256", "key_algorithm", "certificates.spki_sha256", "certificates.asset_id")
DOC = "The modulus is even, has a factor below 752 or is a power of a prime (TLS BR 6.1.6); null for keys that are not RSA."

PRIMORIAL = gmpy2.primorial(751)
"""Product of the primes below 752."""
TEST = of_modulus("small-factor", "1")


def _is_broken(n: int) -> bool:
    return bool(gmpy2.gcd(n, PRIMORIAL) != 1 or gmpy2.is_power(n))


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    return of_moduli(frame, context, TEST, _is_broken)
