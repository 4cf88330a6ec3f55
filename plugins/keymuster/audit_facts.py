"""Computes facts: finds their modules, puts them in order, asks each one, and keeps the reason where it cannot know."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from keymuster.errors import ConfigurationError
from keymuster.frame import Frame
from keymuster.protocols import FactContext, Partial, Unknowable
from keymuster.registry import listing, load
from keymuster.rules import Rule
from keymuster.schema import tables

log = logging.getLogger(__name__)

Cell = tuple[str, str]
"""(table, column)"""
Modules = Mapping[Cell, Any]
REPORTED = ("owner", "environment", "is_deployed")
"""Facts that findings and assets show, whether a rule reads them or not."""


def modules() -> dict[Cell, Any]:
    """Every registered fact module by the cells that it computes. ConfigurationError if two compute the same one."""
    found: dict[Cell, Any] = {}
    for name in listing("facts"):
        module = load("facts", name)
        for table in (module.TABLE,) if isinstance(module.TABLE, str) else module.TABLE:
            cell = (table, module.COLUMN)
            if cell in found:
                raise ConfigurationError(f"facts {found[cell].__name__} and {module.__name__} both compute {table}.{module.COLUMN}")
            found[cell] = module
    return found


def needs(cell: Cell, known: Modules) -> list[Cell]:
    """Cells that a fact reads, from its module's NEEDS."""
    if cell not in known:
        return []
    pairs = (n.split(".", 1) if "." in n else (cell[0], n) for n in known[cell].NEEDS)
    return [(table, column) for table, column in pairs]


def wanted(rules: Iterable[Rule], present: Iterable[str], known: Modules) -> list[Cell]:
    """Facts that the rules and the reports read, with all that those need, in an order in which each can be computed."""
    facts = {(t.name, c.name) for t in tables().values() for c in t.columns.values() if c.origin == "fact"}
    todo = {(r.table, c) for r in rules for c in r.columns} | {(t, c) for t in present for c in REPORTED}
    graph: dict[Cell, list[Cell]] = {}
    stack = sorted(todo & facts)
    while stack:
        cell = stack.pop()
        if cell not in graph:
            graph[cell] = [n for n in needs(cell, known) if n in facts]
            stack += graph[cell]
    try:
        return list(TopologicalSorter({cell: sorted(graph[cell]) for cell in sorted(graph)}).static_order())
    except CycleError as error:
        circle = " -> ".join(f"{table}.{column}" for table, column in error.args[1])
        raise ConfigurationError(f"facts need one another in a circle: {circle}") from None


def read_across(known: Modules) -> set[str]:
    """Tables that facts of other tables read."""
    return {table for cell in known for table, _ in needs(cell, known) if table != cell[0]}


def survey(cells: Iterable[Cell], known: Modules, context: FactContext) -> tuple[dict[str, pa.Table], dict[str, str]]:
    """Estate-wide answers by column, and reasons of those that could not be given. Each survey function is asked once."""
    answers: dict[str, pa.Table] = {}
    reasons: dict[str, str] = {}
    asked: dict[Any, pa.Table | str] = {}
    for cell in cells:
        function = getattr(known.get(cell), "survey", None)
        if function is None:
            continue
        if function not in asked:
            asked[function] = _guarded(partial(function, context.frames, context), f"survey of {cell[1]}")
        answer = asked[function]
        if isinstance(answer, str):
            reasons[cell[1]] = answer
        else:
            answers[cell[1]] = answer
    return answers, reasons


def _guarded(ask: Callable[[], Any], what: str) -> Any:
    """The answer, or the reason why there is none: a fact that crashes leaves its column unknown and the others alone."""
    try:
        return ask()
    except Unknowable as reason:
        return str(reason)
    except Exception as error:
        log.exception("%s crashed", what)
        return f"the computation crashed ({type(error).__name__}); see the log"


def compute(
    frames: Mapping[str, Frame], cells: Iterable[Cell], known: Modules, context: FactContext, without: Mapping[str, str] | None = None
) -> tuple[dict[str, Frame], dict[str, str]]:
    """Frames with the facts added, and `table.column` -> reason for those that stay unknown. `without`: columns whose survey failed."""
    made = dict(frames)
    reasons: dict[str, str] = {}
    failed = without or {}
    seen = replace(context, frames=MappingProxyType(made))
    for table, column in cells:
        if table not in made:
            continue
        module = known.get((table, column))
        if module is None or column in failed:
            reasons[f"{table}.{column}"] = failed.get(column, f"no fact module computes {column}")
            continue
        answer = _guarded(partial(_added, module, made[table], column, seen), f"fact {table}.{column}")
        if isinstance(answer, str):
            reasons[f"{table}.{column}"] = answer
        else:
            made[table] = answer
    return made, reasons


def _added(module: Any, frame: Frame, column: str, context: FactContext) -> Frame:
    answer = module.compute(frame, context)
    values, unknown = (answer.values, answer.unknown) if isinstance(answer, Partial) else (answer, None)
    if len(values) != len(frame):
        raise ValueError(f"{column}: {len(values)} values for {len(frame)} rows")
    return frame.with_column(column, values, unknown)
