"""Things kept once, by fingerprint: many of them in one Parquet file (a pack) that is named by the sha256 of its own bytes.

A million small files would cost more than what is in them; one pack holds what one snapshot brought that was not kept yet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from keymuster.errors import Corrupt
from keymuster.store_files import Files

ROW_GROUP = 16_384
"""Rows that are read together when a few fingerprints are asked for."""


def encode(table: pa.Table) -> bytes:
    """Parquet bytes of a table; the same rows give the same bytes, however they were chunked."""
    sink = pa.BufferOutputStream()
    pq.write_table(table.combine_chunks(), sink, compression="zstd", compression_level=1, row_group_size=ROW_GROUP, version="2.6")
    return bytes(sink.getvalue())


def decode(data: bytes, address: str) -> pa.Table:
    """Table of Parquet bytes; Corrupt names the file."""
    try:
        return pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        raise Corrupt(
            f"{address}: is not a Parquet file that can be read ({_line(error)}); restore it, or remove it and run again"
        ) from error


class Packs:
    """All packs of one folder. Tables have the column `key` (sha256, hex) and others; a key counts where it is met first."""

    def __init__(self, files: Files, folder: str, key: str) -> None:
        self._files, self._folder, self._key = files, folder, key
        self._index: dict[str, pa.Array] = {}

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those of the keys that no pack holds, sorted."""
        wanted = pa.array(sorted(set(keys)), pa.string())
        for known in self._refreshed().values():
            wanted = wanted.filter(pc.invert(pc.is_in(wanted, value_set=known)))
        return list(wanted.to_pylist())

    def add(self, table: pa.Table) -> None:
        """Keep the rows whose key is not kept yet as one more pack, unless there are none."""
        fresh = pa.array(self.missing(table[self._key].to_pylist()), pa.string())
        ordered = table.filter(pc.is_in(table[self._key], value_set=fresh)).sort_by(self._key).combine_chunks()
        if ordered.num_rows:
            data = encode(ordered)
            name = f"{self._folder}/{hashlib.sha256(data).hexdigest()}.parquet"
            self._files.put(name, data)
            self._index[name] = ordered[self._key].combine_chunks()

    def rows(self, keys: Iterable[str], schema: pa.Schema) -> pa.Table:
        """Rows of those keys that are kept, each once. Corrupt names the pack that is damaged."""
        wanted = pa.array(sorted(set(keys)), pa.string())
        parts = []
        for name, known in self._refreshed().items():
            if not len(wanted):
                break
            here = wanted.filter(pc.is_in(wanted, value_set=known))
            if len(here):
                parts.append(self._read(name, here, schema))
                wanted = wanted.filter(pc.invert(pc.is_in(wanted, value_set=known)))
        return pa.concat_tables(parts) if parts else schema.empty_table()

    def _read(self, name: str, keys: pa.Array, schema: pa.Schema) -> pa.Table:
        groups: list[pa.Table] = []
        with self._opened(name) as pack:
            for group in range(pack.num_row_groups):
                here = pc.is_in(pack.read_row_group(group, columns=[self._key])[self._key], value_set=keys)
                if pc.any(here).as_py():
                    groups.append(pack.read_row_group(group).filter(here).select(schema.names).cast(schema))
        return pa.concat_tables(groups)

    def _refreshed(self) -> dict[str, pa.Array]:
        """Keys by pack; packs are never changed, so only new ones are read."""
        names = [n for n in self._files.find(self._folder) if n.endswith(".parquet")]
        for name in names:
            if name not in self._index:
                self._index[name] = self._keys(name)
        self._index = {name: self._index[name] for name in names}
        return self._index

    def _keys(self, name: str) -> pa.Array:
        with self._opened(name) as pack:
            return pack.read(columns=[self._key])[self._key].combine_chunks()

    @contextmanager
    def _opened(self, name: str) -> Iterator[pq.ParquetFile]:
        """One pack for reading. Corrupt names it if its bytes are damaged; what the file system says is left to `Files.open`."""
        with self._files.open(name) as file:
            try:
                with pq.ParquetFile(file) as pack:
                    yield pack
            except (pa.ArrowException, OSError, KeyError) as error:
                if getattr(error, "errno", None):
                    raise
                advice = "restore it from a backup, or remove it and collect again"
                raise Corrupt(f"{self._files.address(name)}: this pack is damaged ({_line(error)}); {advice}") from error


def _line(error: Any) -> str:
    return " ".join(str(error).split())[:200]
