"""Cuts an estate into shards by key identity, so that no verdict depends on how many there are.

Everything about one key lies in one shard: certificates, keys and SSH keys go by spki_sha256, endpoints and issuances with the key of
their certificate, all other tables to the first shard. What rows need beside their own key comes along as *context*, which facts see and
nobody judges: CA certificates and presented chains everywhere, certificates and endpoints that refer to one another across keys, and
those other tables that facts read. Facts that must see all keys at once answer in a survey before the cut.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from keymuster.frame import Mask

_KEYED = ("certificates", "keys", "ssh_keys")
_LINK = "certificate_asset_id"
_Shards = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Piece:
    """One table of one shard."""

    own: pa.Table
    """Rows judged here; every row is judged in exactly one shard."""
    context: pa.Table
    """Rows that facts see beside them."""


def shard_count(tables: Mapping[str, pa.Table], shard_rows: int, most: int) -> int:
    """Shards that keep each one at about `shard_rows` rows, at most `most`."""
    rows = sum(table.num_rows for table in tables.values())
    return int(max(1, min(most, -(-rows // shard_rows))))


def cut(tables: Mapping[str, pa.Table], shards: int, read_across: Collection[str]) -> list[dict[str, Piece]]:
    """Pieces by table for each shard. `read_across`: tables that facts of other tables read."""
    if shards == 1:
        return [{name: Piece(table, table.slice(0, 0)) for name, table in tables.items()}]
    homes = {name: _homes(table, shards) for name, table in tables.items() if name in _KEYED}
    certificates = _home_by_asset(tables.get("certificates"), homes.get("certificates"))
    wanted: dict[str, list[Mask]] = {name: [np.zeros(table.num_rows, dtype=bool) for _ in range(shards)] for name, table in tables.items()}
    for name, table in tables.items():
        if _LINK in table.column_names:
            homes[name] = _link(name, tables, certificates, shards, wanted)
        elif name not in homes:
            homes[name] = np.zeros(table.num_rows, dtype=np.int64)
            if name in read_across:
                wanted[name] = [np.ones(table.num_rows, dtype=bool) for _ in range(shards)]
    if "certificates" in tables:
        everywhere = _everywhere(tables["certificates"])
        wanted["certificates"] = [mask | everywhere for mask in wanted["certificates"]]
    return [_pieces(tables, homes, wanted, i) for i in range(shards)]


def _pieces(tables: Mapping[str, pa.Table], homes: Mapping[str, _Shards], wanted: Mapping[str, list[Mask]], index: int) -> dict[str, Piece]:
    made = {}
    for name, table in tables.items():
        own = homes[name] == index
        context = wanted[name][index] & ~own
        if own.any() or context.any():
            made[name] = Piece(table.filter(pa.array(own)), table.filter(pa.array(context)))
    return made


def _hashed(values: pd.Series[str], shards: int) -> _Shards:
    """Shard by text: the same in every process and on every machine."""
    hashed: _Shards = (pd.util.hash_array(values.to_numpy(dtype=object)) % np.uint64(shards)).astype(np.int64)
    return hashed


def _per_asset(table: pa.Table, column: str) -> pd.Series[str]:
    """For each row the smallest value of the column among the sightings of its asset, else its asset_id."""
    assets = table["asset_id"].to_pandas().astype(object)
    values = table[column].to_pandas().astype(object)
    known = values.notna()
    first = values[known].groupby(assets[known]).min()
    return assets.map(first).where(lambda found: found.notna(), assets)


def _homes(table: pa.Table, shards: int) -> _Shards:
    return _hashed(_per_asset(table, "spki_sha256"), shards)


def _home_by_asset(table: pa.Table | None, homes: _Shards | None) -> pd.Series[int]:
    if table is None or homes is None:
        return pd.Series(dtype=np.int64)
    return pd.Series(homes, index=table["asset_id"].to_pandas().astype(object)).groupby(level=0).first()


def _everywhere(table: pa.Table) -> Mask:
    """CA certificates, and whatever endpoints present as their chain: chains are built from these."""
    is_ca = table["is_ca"].to_pandas().fillna(value=False).to_numpy(dtype=bool)
    chain: Mask = is_ca | (table["role"].to_pandas() == "chain").to_numpy(dtype=bool)
    return chain


def _link(name: str, tables: Mapping[str, pa.Table], certificates: pd.Series[int], shards: int, wanted: dict[str, list[Mask]]) -> _Shards:
    """Homes of a table whose rows refer to certificates; what refers across shards is wanted as context on both sides."""
    table = tables[name]
    by_asset = _per_asset(table, _LINK)
    home = by_asset.map(certificates)
    homes: _Shards = home.where(home.notna(), pd.Series(_hashed(by_asset, shards))).to_numpy(dtype=np.int64)
    linked = table[_LINK].to_pandas().astype(object)
    there = linked.map(certificates).to_numpy(dtype=float)
    across = ~np.isnan(there) & (there != homes)
    for index in range(shards):
        wanted[name][index] |= across & (there == index)
        if "certificates" in tables:
            needed = set(linked[across & (homes == index)])
            wanted["certificates"][index] |= tables["certificates"]["asset_id"].to_pandas().isin(needed).to_numpy(dtype=bool)
    return homes
