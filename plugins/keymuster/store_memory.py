"""What audits worked out of certificates and keys, kept for those that come later: signatures verified, keys tested, moduli compared.

A memory, not evidence: whatever is not there, is damaged or was removed is worked out again. Answers are kept in packs that are named by
the sha256 of their bytes and read only if they have it, so that a damaged one is never believed. Steps that write at the same time write
packs of their own; what two of them worked out both is there twice until packs are merged.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from keymuster.errors import Corrupt
from keymuster.protocols import Kind
from keymuster.store_files import Files
from keymuster.store_packs import decode, encode

log = logging.getLogger(__name__)

MOST_PACKS = 16
"""Packs of one kind that are read one by one; with one more they are merged, for a request costs more than what is in a small pack."""


class FactMemory:
    """Memory of one store (see `protocols.Memory`). Nothing is written before `keep`, which ends a step of an audit."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._packs: dict[Kind, dict[str, pa.Table]] = {}
        self._fresh: dict[Kind, dict[str, Any]] = {}
        self._damaged: set[str] = set()
        self.recalled: Counter[str] = Counter()
        """Answers that were there, by name of their kind."""
        self.computed: Counter[str] = Counter()
        """Answers that had to be worked out, by name of their kind."""

    def recall(self, kind: Kind, keys: Iterable[str] | None = None) -> dict[str, Any]:
        """See `protocols.Memory`."""
        wanted = None if keys is None else pa.array(sorted(set(keys)), pa.string())
        found: dict[str, Any] = {}
        for pack in self._known(kind).values():
            part = pack if wanted is None else pack.filter(pc.is_in(pack["key"], value_set=wanted))
            found.update(zip(part["key"].to_pylist(), part["answer"].to_pylist(), strict=True))
        fresh = self._fresh.get(kind, {})
        found.update(fresh if wanted is None else {key: fresh[key] for key in (wanted.to_pylist() if fresh else ()) if key in fresh})
        self.recalled[kind.name] += len(found)
        return found

    def remember(self, kind: Kind, answers: Mapping[str, Any]) -> None:
        """See `protocols.Memory`."""
        self.computed[kind.name] += len(answers)
        if answers:
            self._fresh.setdefault(kind, {}).update(answers)

    def keep(self) -> None:
        """Write what was worked out since, one pack a kind, and clear away what was damaged."""
        for kind, answers in self._fresh.items():
            known = self._known(kind)
            merged = dict(known) if len(known) >= MOST_PACKS else {}
            table = _table(kind, answers)
            name = self._put(kind, pa.concat_tables([*merged.values(), table]) if merged else table)
            for old in merged.keys() - {name}:  # another step may be about to read it, and then works it out again
                self._files.drop(old)
        self._fresh.clear()
        for name in self._damaged:
            self._files.drop(name)
        self._damaged.clear()

    def told(self) -> str:
        """What this process worked out and what it remembered so far, for the log."""
        new = ", ".join(f"{count:,} {name}" for name, count in sorted((+self.computed).items())) or "nothing"
        return f"worked out: {new}; remembered: {self.recalled.total():,}"

    def _put(self, kind: Kind, table: pa.Table) -> str:
        ordered = _each_once(table.sort_by("key").combine_chunks())
        data = encode(ordered)
        name = f"{_folder(kind)}/{hashlib.sha256(data).hexdigest()}.parquet"
        self._files.put(name, data)
        self._damaged.discard(name)
        self._packs.setdefault(kind, {})[name] = ordered
        return name

    def _known(self, kind: Kind) -> dict[str, pa.Table]:
        """Packs by name; they are never changed, so only new ones are read."""
        names = [n for n in self._files.find(_folder(kind)) if n.endswith(".parquet") and n not in self._damaged]
        before = self._packs.get(kind, {})
        read = {name: before[name] if name in before else self._read(kind, name) for name in names}
        self._packs[kind] = {name: table for name, table in read.items() if table is not None}
        return self._packs[kind]

    def _read(self, kind: Kind, name: str) -> pa.Table | None:
        data = self._files.get(name)
        if data is None:
            return None  # merged by another step since it was listed
        try:
            if hashlib.sha256(data).hexdigest() == PurePosixPath(name).stem:
                return decode(data, name).select(["key", "answer"]).cast(_schema(kind))
        except (Corrupt, pa.ArrowException, KeyError):
            log.debug("%s: has its digest, but is no pack of %s", name, kind.name)
        log.warning("%s is damaged: what it held is worked out again", self._files.address(name))
        self._damaged.add(name)
        return None


def _folder(kind: Kind) -> str:
    return f"facts/{kind.name}/{kind.version}"


def _schema(kind: Kind) -> pa.Schema:
    return pa.schema([("key", pa.string()), ("answer", kind.type)])


def _table(kind: Kind, answers: Mapping[str, Any]) -> pa.Table:
    return pa.table([pa.array(list(answers), pa.string()), pa.array(list(answers.values()), kind.type)], schema=_schema(kind))


def _each_once(ordered: pa.Table) -> pa.Table:
    """The table without rows whose key is that of the row before."""
    keys = ordered["key"].combine_chunks()
    is_new = pc.not_equal(keys[1:], keys[:-1])
    return ordered.filter(pa.concat_arrays([pa.array([True][: len(keys)], pa.bool_()), is_new]))
