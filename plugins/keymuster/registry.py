"""Finds sources, facts, renderers and trackers: the file's name is the key.

Listing imports nothing; loading imports one module. Other packages join through the entry-point groups
`keymuster.sources`, `keymuster.facts`, `keymuster.renderers` and `keymuster.trackers`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from keymuster.errors import NotRegistered

KINDS = ("sources", "facts", "renderers", "trackers")


@cache
def listing(kind: str) -> tuple[str, ...]:
    """Names of all modules of a kind, sorted; none of them is imported."""
    if kind not in KINDS:
        raise ValueError(f"no kind named {kind!r}; there are {', '.join(KINDS)}")
    here = str(Path(__file__).with_name(kind))
    own = {m.name for m in pkgutil.iter_modules([here]) if not m.name.startswith("_")}
    return tuple(sorted(own | set(_entries(kind))))


@cache
def load(kind: str, name: str) -> ModuleType:
    """Import one module; NotRegistered names what there is instead. Cached: looking entry points up costs tens of milliseconds."""
    if name not in listing(kind):
        raise NotRegistered(f"no {kind.removesuffix('s')} named {name!r}; there are {', '.join(listing(kind))}")
    entry = _entries(kind).get(name)
    if entry is not None:
        module = entry.load()
        if isinstance(module, ModuleType):
            return module
    return importlib.import_module(f"keymuster.{kind}.{name}")


@cache
def _entries(kind: str) -> dict[str, EntryPoint]:
    """Entry points of other packages by name. Asking for them reads the metadata of every package that is installed: once is enough."""
    return {entry.name: entry for entry in entry_points(group=f"keymuster.{kind}")}
