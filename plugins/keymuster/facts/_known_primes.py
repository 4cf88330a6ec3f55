"""Moduli with a prime that devices are known to share (badkeys). badkeys asks one at a time; here all of one size are asked at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

import gmpy2

from keymuster.facts._batch_gcd import touching

SIZES = (512, 768, 1024, 2048, 4096)
"""Bits of the moduli that badkeys has primes for."""


@cache
def _product(bits: int) -> Any:
    return gmpy2.from_binary((files("badkeys") / "keydata" / f"primes{bits}.dat").read_bytes())


def known(moduli: Iterable[int]) -> set[int]:
    """The moduli with a known shared prime: those of which `badkeys.rsakeys.sharedprimes` says so."""
    by_size: dict[int, list[int]] = defaultdict(list)
    for n in moduli:
        by_size[n.bit_length()].append(n)
    return {n for bits in SIZES for n in touching(by_size.get(bits, ()), _product(bits))} if by_size else set()
