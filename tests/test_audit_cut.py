"""Cutting an estate: every row in one shard, and beside it what its facts must see."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from keymuster.audit_cut import cut, shard_count
from keymuster.schema import tables
from tests.estate_rows import certificate, spki


def table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([{"station": "s", "locator": f"l{i}", **r} for i, r in enumerate(rows)], tables()[name].stored())


LEAF = st.builds(
    lambda n, k, role, ca: certificate(f"c{n}", spki_sha256=None if k is None else spki(f"k{k}"), role=role, is_ca=ca),
    st.integers(0, 9), st.none() | st.integers(0, 5), st.sampled_from(["served", "chain"]), st.sampled_from([True, False, None]),
)  # fmt: skip
END = st.builds(
    lambda n, c: {"asset_id": f"e{n}", "certificate_asset_id": None if c is None else certificate(f"c{c}")["asset_id"]},
    st.integers(0, 4), st.none() | st.integers(0, 12),
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.lists(LEAF, max_size=15), st.lists(END, max_size=10), st.integers(2, 5))
def test_assets_stay_together_and_see_what_they_refer_to(leaves: list[dict[str, Any]], ends: list[dict[str, Any]], shards: int) -> None:
    given_tables = {
        "certificates": table("certificates", leaves),
        "endpoints": table("endpoints", ends),
        "principals": table("principals", [{"asset_id": "p"}]),
    }
    pieces = cut(given_tables, shards, {"principals"})
    for name, whole in given_tables.items():
        own = [r for p in pieces if name in p for r in p[name].own["locator"].to_pylist()]
        assert sorted(own) == sorted(whole["locator"].to_pylist())
        homes: dict[str, set[int]] = {}
        for i, p in enumerate(pieces):
            for asset in p[name].own["asset_id"].to_pylist() if name in p else ():
                homes.setdefault(asset, set()).add(i)
        assert all(len(where) == 1 for where in homes.values())
    present = {r["asset_id"] for r in leaves}
    for p in pieces:
        assert p["principals"].own.num_rows + p["principals"].context.num_rows == 1
        if "certificates" not in p:
            continue
        seen = {r for part in (p["certificates"].own, p["certificates"].context) for r in part["asset_id"].to_pylist()}
        assert {r["asset_id"] for r in leaves if r["is_ca"] or r["role"] == "chain"} <= seen
        if "endpoints" in p:
            linked = set(p["endpoints"].own["certificate_asset_id"].to_pylist()) & present
            assert linked <= seen
            visible = {r for part in (p["endpoints"].own, p["endpoints"].context) for r in part["locator"].to_pylist()}
            mine = set(p["certificates"].own["asset_id"].to_pylist())
            assert {f"l{i}" for i, e in enumerate(ends) if e["certificate_asset_id"] in mine} <= visible


def test_one_shard_is_the_whole() -> None:
    whole = {"certificates": table("certificates", [certificate("a")])}
    (piece,) = cut(whole, 1, set())
    assert piece["certificates"].own.equals(whole["certificates"])
    assert piece["certificates"].context.num_rows == 0


def test_one_key_lies_in_one_shard_across_tables() -> None:
    names = [f"k{i}" for i in range(40)]
    given_tables = {
        "certificates": table("certificates", [certificate(n) for n in names]),
        "keys": table("keys", [{"asset_id": spki(n), "spki_sha256": spki(n)} for n in names]),
    }
    for piece in cut(given_tables, 4, set()):
        certificates, keys = (set(piece[n].own["spki_sha256"].to_pylist()) for n in ("certificates", "keys"))
        assert certificates == keys
        assert certificates


def test_small_estates_are_one_shard_and_large_ones_are_bounded() -> None:
    rows = {"keys": table("keys", [{"asset_id": str(i)} for i in range(10)])}
    assert [shard_count(rows, n, 3) for n in (100, 10, 5, 1)] == [1, 1, 2, 3]
    assert shard_count({}, 10, 3) == 1
