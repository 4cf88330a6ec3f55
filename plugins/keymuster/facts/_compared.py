"""Which moduli of an estate share a factor, with the memory of what was compared before.

An answer holds for one exact set of moduli. A remembered set is kept as its difference to an earlier one, with those that share a factor
within it. The same set again costs the look-up of its name. A set like an earlier one costs the comparison of what is new with everything:
pairs of old moduli were compared, and a pair that shares a factor has both its moduli among those that were flagged. Steps that run at the
same time may start from the same earlier set; each remembers its own, and none depends on the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import pyarrow as pa

from keymuster.facts._batch_gcd import crossing, sharing
from keymuster.protocols import Kind, Memory

_NAMES = pa.list_(pa.string())
COMPARED = Kind("compared-moduli", "1", pa.struct([("parent", pa.string()), ("added", _NAMES), ("removed", _NAMES), ("flagged", _NAMES)]))
"""sha256 of the sorted names of a set -> the set that it was made from (null: none), what came and went, and what shares a factor."""
Load = Callable[[Collection[str]], Mapping[str, int]]
"""Moduli by name (sha256 of the modulus); those that cannot be had are left out."""
_Sets = Mapping[str, Mapping[str, Any]]


def sharing_names(names: Collection[str], load: Load, memory: Memory | None) -> set[str]:
    """Names of the moduli that have a common factor with another one of the set; those that cannot be had are not compared."""
    wanted = set(names)
    if memory is None or len(wanted) < 2:
        return _flagged(load(wanted))
    digest = _digest(wanted)
    exact = memory.recall(COMPARED, [digest]).get(digest)
    if exact is not None:
        return set(exact["flagged"])
    moduli = load(wanted)
    if moduli.keys() != wanted:
        return sharing_names(moduli.keys(), load, memory)
    parent, before, flagged = _nearest(wanted, memory.recall(COMPARED))
    found = _extended(moduli, before, flagged) if parent else _flagged(moduli)
    answer = {"parent": parent, "added": sorted(wanted - before), "removed": sorted(before - wanted), "flagged": sorted(found)}
    memory.remember(COMPARED, {digest: answer})
    return found


def _digest(names: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()


def _flagged(moduli: Mapping[str, int]) -> set[str]:
    by_value = {n: name for name, n in moduli.items()}
    return {by_value[n] for n in sharing(by_value)}


def _extended(moduli: Mapping[str, int], before: set[str], flagged: set[str]) -> set[str]:
    """Names that share a factor, when all pairs within `before` were compared and found those in `flagged`."""
    by_value = {n: name for name, n in moduli.items()}
    old = [n for n, name in by_value.items() if name in before]
    new = [n for n, name in by_value.items() if name not in before]
    among_old = flagged if before <= moduli.keys() else {by_value[n] for n in sharing(moduli[name] for name in flagged & moduli.keys())}
    return among_old | {by_value[n] for n in sharing(new) | (crossing(old, new) if new else set())}


def _nearest(wanted: set[str], sets: _Sets) -> tuple[str | None, set[str], set[str]]:
    """The remembered set from which the least is new: its digest, its names, its flagged ones. None if starting afresh is cheaper."""
    common: dict[str | None, int] = {None: 0}
    for digest in _parents_first(sets):
        entry = sets[digest]
        gone, come = (sum(name in wanted for name in entry[part]) for part in ("removed", "added"))
        common[digest] = common[entry["parent"]] + come - gone
    best = max(common, key=lambda digest: (common[digest], digest or ""))
    members = _members(best, sets)
    if best is None or 2 * common[best] < len(wanted) or _digest(members) != best:
        return None, set(), set()
    return best, members, set(sets[best]["flagged"])


def _parents_first(sets: _Sets) -> list[str]:
    """Digests such that a parent comes before its children; those whose parents were forgotten are left out."""
    children: dict[str | None, list[str]] = {}
    for digest, entry in sets.items():
        children.setdefault(entry["parent"], []).append(digest)
    order = list(children.get(None, ()))
    for digest in order:  # grows while it is walked
        order += children.get(digest, ())
    return order


def _members(digest: str | None, sets: _Sets) -> set[str]:
    line = []
    while digest is not None:
        line.append(sets[digest])
        digest = sets[digest]["parent"]
    found: set[str] = set()
    for entry in reversed(line):
        found = (found - set(entry["removed"])) | set(entry["added"])
    return found
