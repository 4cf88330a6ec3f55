"""Judges rows by rules: vectorised, three-valued, closed vocabulary.

A clause is true, false or unknown for a row. Two kinds of null (`schema.Column.missing`) and columns that a source does not deliver
come in through `Frame`. "And" is Kleene's: false wins, then unknown, then true. No loop over rows, no code in rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.frame import Frame, Mask
from keymuster.model import Outcome
from keymuster.rules_file import anchored, load_rules
from keymuster.rules_model import Clause, Rule, Value

__all__ = ["ORDER", "Reader", "Rule", "Verdicts", "evaluate", "judge", "load_rules", "severities"]

Codes: TypeAlias = npt.NDArray[np.int8]
Instants: TypeAlias = npt.NDArray[np.int64]
"""Microseconds since 1970, UTC."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ORDER = (Outcome.NOT_APPLICABLE, Outcome.NOT_EFFECTIVE, Outcome.PASS, Outcome.UNKNOWN, Outcome.FAIL)
"""Outcomes by code, from mild to grave: of several sightings of one asset the gravest counts."""
NOT_APPLICABLE, NOT_EFFECTIVE, PASS, UNKNOWN, FAIL = range(5)
_TRUE_OF_NOTHING = {"is_not", "none_of", "contains_none", "contains_only"}
"""Operators that hold for a known nothing, which equals nothing and contains nothing."""


def evaluate(rule: Rule, frame: Frame, as_of: datetime) -> pd.Series[Any]:
    """Outcome of every row, as a categorical series. Shape: (rows,)."""
    return judge(rule, Reader(frame), as_of).series()


def severities(rule: Rule, frame: Frame) -> Codes:
    """Severity that every row would have if it failed. Shape: (rows,); values of `Severity`."""
    return _severities(rule, Reader(frame))


class Reader:
    """Reads one frame for many rules: columns and clauses are worked out once."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.rows = len(frame)
        self._arrays: dict[str, pa.Array] = {}
        self._unknown: dict[str, Mask] = {}
        self._clauses: dict[tuple[str, str, str], Mask] = {}

    def arrow(self, column: str) -> pa.Array:
        """One column, dictionaries decoded."""
        if column not in self._arrays:
            array = self.frame.arrow(column)
            self._arrays[column] = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
        return self._arrays[column]

    def unknown(self, column: str) -> Mask:
        """Where the value is not known; a float that is no number counts as not known."""
        if column not in self._unknown:
            mask, array = self.frame.unknown(column), self.arrow(column)
            if pa.types.is_floating(array.type):
                mask = mask | _mask(pc.is_nan(array))
            self._unknown[column] = mask
        return self._unknown[column]

    def undelivered(self, column: str) -> Mask:
        """Where nobody could have delivered a value."""
        if column not in self.frame.data.columns:
            return np.ones(self.rows, dtype=bool)
        return self.frame.undelivered.get(column, np.zeros(self.rows, dtype=bool))

    def holds(self, clause: Clause, wanted: Value | None) -> Mask:
        """Where the clause is true; never true where the column is unknown."""
        key = (clause.column, clause.op, repr(wanted))
        if key not in self._clauses:
            self._clauses[key] = self._holds(clause.column, clause.op, wanted)
        return self._clauses[key]

    def _holds(self, column: str, op: str, wanted: Value | None) -> Mask:
        array, unknown = self.arrow(column), self.unknown(column)
        null = _mask(pc.is_null(array))
        if op in ("present", "absent"):
            result = (null | _is_empty(array)) == (op == "absent")
        else:
            result = np.where(null, op in _TRUE_OF_NOTHING, _OPERATORS[op](array, wanted))
        answer: Mask = result & ~unknown
        return answer


def _mask(values: pa.Array | pa.ChunkedArray) -> Mask:
    mask: Mask = pc.fill_null(values, False).to_numpy(zero_copy_only=False).astype(bool, copy=False)
    return mask


def _is_empty(array: pa.Array) -> Mask:
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return _mask(pc.equal(pc.list_value_length(array), 0))
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        return _mask(pc.equal(array, pa.scalar("", array.type)))
    return np.zeros(len(array), dtype=bool)


def _compare(function: Callable[..., Any]) -> Callable[[pa.Array, Any], Mask]:
    return lambda array, wanted: _mask(function(array, pa.scalar(wanted, array.type)))


def _among(array: pa.Array, wanted: Any) -> Mask:
    return _mask(pc.is_in(array, value_set=pa.array(wanted, array.type)))


def _rows_with(array: pa.Array, element: Callable[[pa.Array], Mask]) -> Mask:
    """Rows of a list column of which some element fits."""
    found = np.zeros(len(array), dtype=bool)
    parents = pc.list_parent_indices(array).to_numpy(zero_copy_only=False)
    found[parents[element(pc.list_flatten(array))]] = True
    return found


def _contains_any(array: pa.Array, wanted: Any) -> Mask:
    return _rows_with(array, lambda flat: _among(flat, wanted))


def _contains_only(array: pa.Array, wanted: Any) -> Mask:
    return ~_rows_with(array, lambda flat: ~_among(flat, wanted))


def _matches(array: pa.Array, wanted: Any) -> Mask:
    pattern = anchored(wanted)
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return ~_rows_with(array, lambda flat: ~_mask(pc.match_substring_regex(flat, pattern)))
    return _mask(pc.match_substring_regex(array, pattern))


_OPERATORS: Mapping[str, Callable[[pa.Array, Any], Mask]] = {
    "is": _compare(pc.equal),
    "is_not": _compare(pc.not_equal),
    "at_least": _compare(pc.greater_equal),
    "at_most": _compare(pc.less_equal),
    "one_of": _among,
    "none_of": lambda array, wanted: ~_among(array, wanted),
    "matches": _matches,
    "contains_any": _contains_any,
    "contains_none": lambda array, wanted: ~_contains_any(array, wanted),
    "contains_only": _contains_only,
}


@dataclass(frozen=True)
class Verdicts:
    """What one rule says of every row of one frame, and why."""

    rule: Rule
    reader: Reader
    codes: Codes
    """Index into `ORDER`. Shape: (rows,)."""
    since: Instants | None
    """Instant that picks the step by row; None where nothing is stepped."""
    crash: str = ""
    """Class of the error that kept the rule from being evaluated; then every row is unknown."""

    def series(self) -> pd.Series[Any]:
        """Outcomes as a categorical series."""
        return pd.Series(pd.Categorical.from_codes(self.codes, categories=[str(o) for o in ORDER]))

    def severities(self) -> Codes:
        """Severity of every row if it failed."""
        return _severities(self.rule, self.reader)

    def counts(self) -> dict[str, int]:
        """Rows by outcome."""
        found = np.bincount(self.codes, minlength=len(ORDER))
        return {str(o): int(n) for o, n in zip(ORDER, found, strict=True)}

    def gaps(self) -> npt.NDArray[np.int64]:
        """Which columns kept a row unknown: bit 2i for an undelivered, bit 2i + 1 for an empty `rule.columns[i]`; 0 elsewhere."""
        bits = np.zeros(self.reader.rows, dtype=np.int64)
        if self.crash:
            return bits
        open_rows = self.codes == UNKNOWN
        scope_true = _all_true(self.reader, self.rule.scope)
        for columns, rows in ((_columns(self.rule.scope), open_rows & ~scope_true), (self._wanted(), open_rows & scope_true)):
            for column in columns:
                self._mark(bits, column, rows)
        return bits

    def _wanted(self) -> set[str]:
        dated = self.rule.dated_by
        return _columns(self.rule.expect) | ({dated} if dated and dated != "as_of" else set())

    def _mark(self, bits: npt.NDArray[np.int64], column: str, rows: Mask) -> None:
        unknown = self.reader.unknown(column)
        if column == self.rule.dated_by:
            unknown = unknown | _mask(pc.is_null(self.reader.arrow(column)))
        undelivered, at = self.reader.undelivered(column), 2 * self.rule.columns.index(column)
        bits[rows & undelivered] |= 1 << at
        bits[rows & unknown & ~undelivered] |= 1 << (at + 1)

    def observed(self, rows: npt.NDArray[np.intp]) -> pa.Array:
        """`column=value` of the clauses that these rows fail, joined by `; `. Hostile text, bounded in length."""
        parts, dated = [], self.rule.dated_by
        for column in sorted(_columns(self.rule.expect)):
            broken = np.zeros(len(rows), dtype=bool)
            for clause in (c for c in self.rule.expect if c.column == column):
                broken |= ~self._expected(clause)[rows]
            parts.append(_masked(_named(column, self.reader.arrow(column), rows), broken))
        if dated and dated != "as_of" and dated not in _columns(self.rule.expect):
            parts.append(_named(dated, self.reader.arrow(dated), rows))
        return _joined(parts)

    def expected(self, rows: npt.NDArray[np.intp]) -> pa.Array:
        """What the clauses that these rows fail demand of them, in words, joined by `; `."""
        parts = []
        for clause in self.rule.expect:
            words = [clause.in_words(value) for _, value in clause.steps] or [clause.in_words()]
            index = np.zeros(len(rows), dtype=np.intp) if self.since is None or not clause.steps else _step(clause, self.since[rows])
            texts = pc.take(pa.array(words), pa.array(np.clip(index, 0, len(words) - 1)))
            parts.append(_masked(texts, ~self._expected(clause)[rows]))
        return _joined(parts)

    def _expected(self, clause: Clause) -> Mask:
        """True where the clause holds or is not known, so that only what is known to be broken is named."""
        held = _held(self.reader, clause, self.since)
        answer: Mask = held | self.reader.unknown(clause.column)
        return answer


TEXT_LENGTH = 300
"""Characters of one observed value that are kept."""


def _named(column: str, array: pa.Array, rows: npt.NDArray[np.intp]) -> pa.Array:
    part = pc.take(array, pa.array(rows))
    if pa.types.is_list(part.type) or pa.types.is_large_list(part.type):
        text = pc.binary_join(pc.cast(part, pa.list_(pa.string())), ", ")
    elif pa.types.is_timestamp(part.type):
        text = pc.strftime(pc.cast(part, pa.timestamp("s", tz="UTC"), safe=False), "%Y-%m-%dT%H:%M:%SZ")
    else:
        text = pc.cast(pc.round(part, 4) if pa.types.is_floating(part.type) else part, pa.string())
    text = pc.utf8_slice_codeunits(pc.fill_null(text, "(none)"), 0, TEXT_LENGTH)
    return pc.binary_join_element_wise(column, text, "=")


def _masked(texts: pa.Array, keep: Mask) -> pa.Array:
    return pc.if_else(pa.array(keep), texts, pa.scalar(None, pa.string()))


def _joined(parts: list[pa.Array]) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "; ", null_handling="skip")


def judge(rule: Rule, reader: Reader, as_of: datetime) -> Verdicts:
    """Evaluate one rule over the reader's frame."""
    scope_true, scope_false = _and(reader, rule.scope, None)
    since, undated = _dates(rule, reader, as_of)
    expect_true, expect_false = _and(reader, rule.expect, since)
    early = np.zeros(reader.rows, dtype=bool)
    for clause in rule.expect:
        if clause.steps and since is not None:
            early |= _step(clause, since) < 0
    inner = np.where(expect_false, FAIL, np.where(expect_true, PASS, UNKNOWN))
    inner = np.where(undated, UNKNOWN, np.where(early, NOT_EFFECTIVE, inner))
    codes = np.where(scope_false, NOT_APPLICABLE, np.where(scope_true, inner, UNKNOWN))
    return Verdicts(rule, reader, codes.astype(np.int8), since)


def crashed(rule: Rule, reader: Reader, error: Exception) -> Verdicts:
    """Verdicts of a rule that could not be evaluated: unknown throughout, never a pass."""
    codes = np.full(reader.rows, UNKNOWN, dtype=np.int8)
    return Verdicts(rule, reader, codes, None, type(error).__name__)


def _columns(clauses: tuple[Clause, ...]) -> set[str]:
    return {c.column for c in clauses}


def _all_true(reader: Reader, clauses: tuple[Clause, ...]) -> Mask:
    return _and(reader, clauses, None)[0]


def _and(reader: Reader, clauses: tuple[Clause, ...], since: Instants | None) -> tuple[Mask, Mask]:
    """Kleene's "and": rows where all clauses are true, rows where some clause is false."""
    true, false = np.ones(reader.rows, dtype=bool), np.zeros(reader.rows, dtype=bool)
    for clause in clauses:
        held = _held(reader, clause, since)
        true &= held
        false |= ~held & ~reader.unknown(clause.column)
    return true, false


def _held(reader: Reader, clause: Clause, since: Instants | None) -> Mask:
    if not clause.steps or since is None:
        return reader.holds(clause, clause.value)
    held, step = np.zeros(reader.rows, dtype=bool), _step(clause, since)
    for i, (_, value) in enumerate(clause.steps):
        held |= reader.holds(clause, value) & (step == i)
    return held


def _step(clause: Clause, since: Instants) -> npt.NDArray[np.intp]:
    """Step in force by row; -1 before the first one."""
    starts = np.array([_microseconds(start) for start, _ in clause.steps])
    step: npt.NDArray[np.intp] = np.searchsorted(starts, since, side="right") - 1
    return step


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _dates(rule: Rule, reader: Reader, as_of: datetime) -> tuple[Instants | None, Mask]:
    """The instants that pick the steps, and where there is none. None if nothing is stepped."""
    undated = np.zeros(reader.rows, dtype=bool)
    if rule.dated_by is None:
        return None, undated
    if rule.dated_by == "as_of":
        return np.full(reader.rows, _microseconds(as_of), dtype=np.int64), undated
    array = reader.arrow(rule.dated_by)
    undated = _mask(pc.is_null(array)) | reader.unknown(rule.dated_by)
    return pc.fill_null(pc.cast(array, pa.int64()), 0).to_numpy(zero_copy_only=False), undated


def _severities(rule: Rule, reader: Reader) -> Codes:
    found = np.full(reader.rows, int(rule.severity), dtype=np.int8)
    for escalation in reversed(rule.severity_when):
        found[reader.holds(escalation.clause, escalation.clause.value)] = int(escalation.severity)
    return found
