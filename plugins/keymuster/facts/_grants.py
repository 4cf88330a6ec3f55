"""Permission statements: what their actions amount to, whom they reach, and what a principal holds through all of them.

Sources begin a grant's locator with both elements, for which the vocabulary has no columns: `<principal> <resource> <statement>`.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping
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
    """Who holds what in the estate: principal, capability; and a row with null principal for every station that delivers grants."""
    grants = frames.get("grants", empty("grants"))
    actions, who = delivered(grants, "actions"), grants.arrow("principal_asset_id")
    masks = {name: holds(actions, test) for name, test in tests(context).items()}
    whole = pc.equal(resource(grants), "*").fill_null(False).to_numpy(zero_copy_only=False)
    masks["full_admin"] = holds(actions, EVERYTHING.__contains__) & whole
    parts = [_pairs(who.filter(pa.array(mask)).drop_null().unique(), name) for name, mask in masks.items()]
    stations = grants.arrow("station").unique().drop_null()
    parts.append(pa.table({"principal": pa.nulls(len(stations), pa.string()), "capability": stations}))
    return pa.concat_tables(parts)


def _pairs(principals: pa.Array, capability: str) -> pa.Table:
    return pa.table({"principal": principals, "capability": pa.repeat(pa.scalar(capability), len(principals))})


def granted(frame: Frame, context: FactContext, column: str, capabilities: frozenset[str]) -> pd.Series[Any]:
    """Whether principals hold one of the capabilities: true for the account's root, null where the station delivers no grants."""
    found = context.survey.get(column)
    table = found if found is not None else survey(context.frames, context)
    is_station = table["principal"].is_null()
    holders = table.filter(pc.and_(pc.invert(is_station), pc.is_in(table["capability"], value_set=pa.array(sorted(capabilities)))))
    have = pc.is_in(frame.arrow("asset_id"), value_set=holders["principal"].combine_chunks().unique())
    told = pc.is_in(frame.arrow("station"), value_set=table.filter(is_station)["capability"].combine_chunks())
    is_root = pc.equal(frame.arrow("kind"), "root").fill_null(False)
    yes = pc.or_(have, is_root)
    return series(frame, pc.if_else(pc.or_(yes, told), yes, None))
