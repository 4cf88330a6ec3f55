"""Which of many moduli share a factor, in quasi-linear time (batch GCD; D. J. Bernstein, "How to find smooth parts of integers").

A modulus n shares a factor with another one if gcd(n, P/n) is not 1, P being the product of all. The sum of all P/n grows with the product
tree (it is the derivative of P), and modulo n only the term P/n of it is left: remainders modulo n instead of modulo n squared, at little
more than half the price.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import gmpy2

CHUNK = 4_096
"""Moduli whose product tree is in memory at one time; of the other chunks only the products are."""
FEW = 32
"""Up to so many moduli are compared with others one by one: cheaper than the product of the others."""
Numbers = Sequence[Any]
"""gmpy2.mpz"""


def sharing(moduli: Iterable[int]) -> set[int]:
    """The moduli that have a common factor with another one. They must be distinct."""
    leaves = [gmpy2.mpz(n) for n in moduli if n > 1]
    chunks = [leaves[i : i + CHUNK] for i in range(0, len(leaves), CHUNK)]
    if len(leaves) < 2:
        return set()
    rests = _remainders(*_derived([_whole(chunk) for chunk in chunks]))
    return {n for chunk, rest in zip(chunks, rests, strict=True) for n in _touching(chunk, rest)}


def crossing(some: Collection[int], others: Collection[int]) -> set[int]:
    """Of both groups those that have a common factor with one of the other group. No modulus may be in both."""
    few, many = sorted((some, others), key=len)
    if len(few) > FEW:
        touched = touching(few, _product(many))
        return touched | touching(many, _product(touched)) if touched else set()
    product = _product(few)
    met = {n for n in many if gmpy2.gcd(n, product) != 1}
    return met | touching(few, _product(met)) if met else set()


def touching(moduli: Iterable[int], product: int) -> set[int]:
    """The moduli that have a common factor with the product."""
    leaves = [gmpy2.mpz(n) for n in moduli if n > 1]
    return {n for i in range(0, len(leaves), CHUNK) for n in _touching(leaves[i : i + CHUNK], gmpy2.mpz(product))}


def _touching(leaves: Numbers, number: Any) -> set[int]:
    return {int(n) for n, rest in zip(leaves, _remainders(_tree(leaves), number), strict=True) if gmpy2.gcd(n, rest) != 1}


def _product(moduli: Iterable[int]) -> Any:
    level = [gmpy2.mpz(n) for n in moduli]
    while len(level) > 1:
        level = _products(level)
    return level[0] if level else gmpy2.mpz(1)


def _products(level: Numbers) -> list[Any]:
    return [level[i] * level[i + 1] if i + 1 < len(level) else level[i] for i in range(0, len(level), 2)]


def _tree(leaves: Numbers) -> list[Numbers]:
    """Products of two, of four and so on; leaves first."""
    tree = [leaves]
    while len(tree[-1]) > 1:
        tree.append(_products(tree[-1]))
    return tree


def _whole(leaves: Numbers) -> tuple[Any, Any]:
    """Product and derivative of one chunk."""
    tree, derivative = _derived([(n, gmpy2.mpz(1)) for n in leaves])
    return tree[-1][0], derivative


def _derived(pairs: Sequence[tuple[Any, Any]]) -> tuple[list[Numbers], Any]:
    """Product tree of the first numbers, and the derivative of their product; the second numbers are the derivatives of the first."""
    level, above = [n for n, _ in pairs], [d for _, d in pairs]
    tree: list[Numbers] = [level]
    while len(level) > 1:
        above = [above[i] * level[i + 1] + above[i + 1] * level[i] if i + 1 < len(level) else above[i] for i in range(0, len(level), 2)]
        level = _products(level)
        tree.append(level)
    return tree, above[0]


def _remainders(tree: Sequence[Numbers], number: Any) -> list[Any]:
    """The number modulo each leaf of a product tree."""
    rests = [number % tree[-1][0]]
    for level in reversed(tree[:-1]):
        rests = [rests[i // 2] % n for i, n in enumerate(level)]
    return rests
