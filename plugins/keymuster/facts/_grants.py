"""Permission statements: what their actions amount to, whom they reach, and what a principal holds through all of them.

Sources begin a grant's locator with both elements, for which the vocabulary has no columns: `<principal> <resource> <statement>`.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import delivered, holds, series
from keymuster.facts._reference import document
from keymuster.frame import Frame, empty
from keymuster.protocols import FactContext, Unknowable

EVERYONE = frozenset({
    "*", "everyone", "anonymous", "authenticated users", "s-1-1-0", "s-1-5-7", "s-1-5-11", "allusers", "allauthenticatedusers",
})  # fmt: skip


EVERYTHING = frozenset({"*", "*:*"})
PERMISSIONS, GROUPS = "permissions:", "groups:"
"""What a station tells of: permission statements, memberships of groups."""


def tests(context: FactContext) -> dict[str, Callable[[str], bool]]:
    """For each capability, whether an action or pattern of actions confers it. Unknowable without the reference table."""
    found = document(context.reference, "actions.yaml")
    if found is None:
        raise Unknowable("reference data has no actions.yaml")
    names: dict[str, set[str]] = {}
    for capabilities in found.values():
        for capability, actions in capabilities.items():
            names.setdefault(capability, set()).update(str(action).lower() for action in actions)
    return {capability: partial(_confers, frozenset(actions)) for capability, actions in names.items()}


def _confers(actions: frozenset[str], pattern: str) -> bool:
    pattern = pattern.lower()
    if not any(sign in pattern for sign in "*?["):
        return pattern in actions
    return any(fnmatch.fnmatchcase(action, pattern) for action in actions)


def principal(frame: Frame) -> pa.Array:
    """Principal element of each grant; null where the locator is a single word."""
    return _word(frame, 0)


def resource(frame: Frame) -> pa.Array:
    """Resource element of each grant; null where the locator is a single word."""
    return _word(frame, 1)


def _word(frame: Frame, position: int) -> pa.Array:
    words = pc.split_pattern(frame.arrow("locator"), " ", max_splits=2)
    complete = pc.greater_equal(pc.list_value_length(words), 3)
    padded = pc.if_else(complete, words, pa.scalar(["", "", ""], words.type))
    return pc.if_else(complete, pc.list_element(padded, position), None)


def survey(frames: Mapping[str, Frame], context: FactContext) -> pa.Table:
    """Who holds what in the estate: principal, capability. A null principal names a station that tells of permissions or of groups."""
    grants = frames.get("grants", empty("grants"))
    actions, who, station = delivered(grants, "actions"), grants.arrow("principal_asset_id"), grants.arrow("station")
    masks = {name: holds(actions, test) for name, test in tests(context).items()}
    whole = pc.equal(resource(grants), "*").fill_null(False).to_numpy(zero_copy_only=False)
    masks["full_admin"] = holds(actions, EVERYTHING.__contains__) & whole
    masks["privileged_group"] = holds(actions, partial(_is_privileged_group, context.policy.privileged_groups or ()))
    parts = [_pairs(who.filter(pa.array(mask)).drop_null().unique(), name) for name, mask in masks.items()]
    of_groups = pc.equal(grants.arrow("resource_kind"), "group").fill_null(False)
    parts.append(_told(PERMISSIONS, station.filter(pc.invert(of_groups))))
    if context.policy.privileged_groups is not None:
        parts.append(_told(GROUPS, station.filter(of_groups)))
    return pa.concat_tables(parts)


def _is_privileged_group(patterns: Sequence[str], action: str) -> bool:
    """Whether an action is the membership of a group that policy calls privileged."""
    prefix, _, group = action.partition(":")
    return prefix == "member_of" and any(fnmatch.fnmatchcase(group.lower(), p.lower()) for p in patterns)


def _pairs(principals: pa.Array, capability: str) -> pa.Table:
    return pa.table({"principal": principals, "capability": pa.repeat(pa.scalar(capability), len(principals))})


def _told(what: str, stations: pa.Array) -> pa.Table:
    names = pa.array([what + name for name in stations.unique().drop_null().to_pylist()], pa.string())
    return pa.table({"principal": pa.nulls(len(names), pa.string()), "capability": names})


def granted(
    frame: Frame, context: FactContext, column: str, capabilities: Sequence[str], told: Sequence[str] = (PERMISSIONS,)
) -> pd.Series[Any]:
    """Whether principals hold one of the capabilities: true for the account's root, null where the station does not tell."""
    found = context.survey.get(column)
    table = found if found is not None else survey(context.frames, context)
    principals, names = table["principal"].combine_chunks(), table["capability"].combine_chunks()
    holders = principals.filter(pc.is_in(names, value_set=pa.array(capabilities))).drop_null().unique()
    speaking = names.filter(principals.is_null()).to_pylist()
    stations = pa.array([n.removeprefix(t) for n in speaking for t in told if n.startswith(t)], pa.string())
    is_root = pc.equal(frame.arrow("kind"), "root").fill_null(False)
    yes = pc.or_(pc.is_in(frame.arrow("asset_id"), value_set=holders), is_root)
    return series(frame, pc.if_else(pc.or_(yes, pc.is_in(frame.arrow("station"), value_set=stations)), yes, None))
