"""Ownership rules of the policy, applied to whole columns. The first rule that fits a row and names a value gives it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import joined, table
from keymuster.frame import Frame, Mask
from keymuster.protocols import FactContext, Unknowable

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "station": ("station",),
    "locator": ("locator",),
    "subject": ("subject",),
    "name": ("san_names", "server_name"),
    "account": ("account",),
}
"""Fields of a policy's `match` and the columns that they look at."""


def named(frame: Frame, context: FactContext, field: str) -> pa.Array:
    """What ownership rules say of each row in one field, as strings (scopes joined by a space); null where none names a value.

    Unknowable if the policy has no ownership rules at all: then nobody has said anything.
    """
    policy = context.policy
    if "ownership" not in policy.model_fields_set:
        raise Unknowable("policy has no ownership rules; `ownership: []` states that there are none")
    seen = _with_names(frame, context) if frame.table == "keys" else frame
    answers: list[str | None] = [None]
    chosen = np.zeros(len(frame), dtype=np.int64)
    for rule in policy.ownership:
        value = getattr(rule, field)
        if value is None or rule.match.table not in (None, frame.table):
            continue
        answers.append(value if isinstance(value, str) else " ".join(value))
        chosen[(chosen == 0) & fits(seen, rule.match.model_dump(exclude_none=True, exclude={"table"}))] = len(answers) - 1
    return pa.array(answers, pa.string()).take(pa.array(chosen))


def _with_names(frame: Frame, context: FactContext) -> Frame:
    """Keys with subject and names of a certificate of theirs, the one at the same place if there is one."""
    certificates = table(context, "certificates")
    places = [pc.binary_join_element_wise(f.arrow("station"), f.arrow("locator"), "\0") for f in (frame, certificates)]
    keys = [f.arrow("spki_sha256") for f in (frame, certificates)]
    made = {}
    for column in ("subject", "san_names"):
        values = certificates.arrow(column)
        array = pc.coalesce(joined(places[0], places[1], values), joined(keys[0], keys[1], values))
        made[column] = pd.Series(pd.arrays.ArrowExtensionArray(array), index=frame.data.index)
    return Frame(frame.table, frame.data.assign(**made))


def fits(frame: Frame, patterns: Mapping[str, str]) -> Mask:
    """Rows that all patterns fit. Shape: (rows,)."""
    mask: Mask = np.ones(len(frame), dtype=bool)
    for field, pattern in patterns.items():
        found = [_column(frame, column, pattern) for column in COLUMNS[field] if column in frame.data.columns]
        mask &= np.logical_or.reduce(found) if found else np.zeros(len(frame), dtype=bool)
    return mask


def _column(frame: Frame, column: str, pattern: str) -> Mask:
    array = frame.arrow(column)
    is_list = pa.types.is_list(array.type)
    flat = pc.list_flatten(array) if is_list else array
    hit = pc.match_substring_regex(flat, expression(pattern), ignore_case=True).fill_null(False).to_numpy(zero_copy_only=False)
    if not is_list:
        return np.asarray(hit, dtype=bool)
    parents: Any = pc.list_parent_indices(array).to_numpy()
    mask: Mask = np.bincount(parents[hit], minlength=len(array)) > 0
    return mask


def expression(pattern: str) -> str:
    """A shell wildcard as an anchored expression of Arrow's regex engine, which never backtracks."""
    parts = re.split(r"(\*|\?|\[[^\]]+\])", pattern)
    return "^(?s:" + "".join(_part(p) for p in parts) + ")$"


def _part(text: str) -> str:
    if text in ("*", "?"):
        return ".*" if text == "*" else "."
    if text.startswith("[") and text.endswith("]") and len(text) > 2:
        inner = text[1:-1].replace("\\", "\\\\")
        return f"[^{inner[1:]}]" if inner.startswith("!") else f"[{inner}]"
    return re.sub(r"([.^$+{}()|\\\[\]])", r"\\\1", text)
