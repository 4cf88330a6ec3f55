"""The public keys of certificates as rows of `keys`: a weak or stolen key is found wherever its certificate was met.

No source delivers these rows and no snapshot holds them; they follow from the certificates.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from keymuster.schema import tables as vocabulary

SHARED = ("station", "locator", "observed_at", "key_algorithm", "key_bits", "key_curve", "spki_sha256")
FIXED = {"kind": "public", "provider": "certificate"}
DELIVERED = frozenset({"asset_id", *FIXED, *SHARED})
"""Columns of `keys` that a certificate tells."""


def with_bare_keys(tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """The tables, with one row of kind `public` in `keys` for each sighting of a certificate, unless that place has a key row already."""
    certificates = tables.get("certificates")
    if certificates is None or not certificates.num_rows:
        return dict(tables)
    schema = vocabulary()["keys"].stored()
    keys = tables.get("keys", schema.empty_table())
    met = certificates.filter(pc.and_(certificates["spki_sha256"].is_valid(), pc.invert(pc.is_in(_places(certificates), _places(keys)))))
    given = {name: met[name] for name in SHARED}
    given |= {"asset_id": met["spki_sha256"], **{name: pa.repeat(pa.scalar(value), met.num_rows) for name, value in FIXED.items()}}
    made = pa.table([given.get(f.name, pa.nulls(met.num_rows, f.type)) for f in schema], schema=schema)
    return {**tables, "keys": pa.concat_tables([keys, made])}


def _places(table: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(table["station"], table["locator"], "\0")


def with_delivered(delivers: Mapping[str, Mapping[str, list[str]]]) -> dict[str, dict[str, list[str]]]:
    """What stations deliver, with what certificates tell of keys where a station delivers no keys of its own."""
    return {
        station: {"keys": sorted(DELIVERED), **columns} if "certificates" in columns else dict(columns)
        for station, columns in delivers.items()
    }
