"""Batch GCD (D. J. Bernstein, "How to find smooth parts of integers"): which of many moduli share a factor, in quasi-linear time."""

from __future__ import annotations

from collections.abc import Collection

import gmpy2


def sharing(moduli: Collection[int]) -> set[int]:
    """The moduli that have a common factor with another one. They must be distinct."""
    leaves = [gmpy2.mpz(n) for n in moduli if n > 1]
    if len(leaves) < 2:
        return set()
    tree = [leaves]
    while len(tree[-1]) > 1:
        level = tree[-1]
        tree.append([gmpy2.mul(level[i], level[i + 1]) if i + 1 < len(level) else level[i] for i in range(0, len(level), 2)])
    remainders = tree.pop()
    for level in reversed(tree):
        remainders = [remainders[i // 2] % (n * n) for i, n in enumerate(level)]
    return {int(n) for n, rest in zip(leaves, remainders, strict=True) if gmpy2.gcd(n, rest // n) != 1}
