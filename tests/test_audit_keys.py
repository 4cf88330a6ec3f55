"""Public keys of certificates as rows of `keys`."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from keymuster.audit_keys import with_bare_keys, with_delivered
from keymuster.schema import tables as vocabulary
from tests.certificates import AS_OF, authority, leaf
from tests.fact_runs import sighting


def table(name: str, *rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), vocabulary()[name].stored())


ROOT = authority()
LEAF = leaf("www.example.com", by=ROOT)


def test_every_sighting_of_a_certificate_shows_its_key() -> None:
    made = with_bare_keys({"certificates": table("certificates", sighting(LEAF, locator="a"), sighting(LEAF, locator="b"))})["keys"]
    assert made.schema == vocabulary()["keys"].stored()
    assert made["locator"].to_pylist() == ["a", "b"]
    row = {name: value for name, value in made.to_pylist()[0].items() if value is not None}
    assert row == {
        "asset_id": LEAF.spki_sha256, "spki_sha256": LEAF.spki_sha256, "station": "s", "locator": "a", "observed_at": AS_OF,
        "kind": "public", "provider": "certificate", "key_algorithm": "EC", "key_bits": 256, "key_curve": "P-256",
    }  # fmt: skip


def test_a_place_keeps_its_own_key_row() -> None:
    own = {"station": "s", "locator": "a", "asset_id": "k", "kind": "private"}
    certificates = table("certificates", sighting(LEAF, locator="a"), sighting(ROOT, locator="b"), sighting(LEAF, locator="a", station="t"))
    made = with_bare_keys({"certificates": certificates, "keys": table("keys", own)})["keys"]
    found = sorted((r["station"], r["locator"], r["kind"]) for r in made.to_pylist())
    assert found == [("s", "a", "private"), ("s", "b", "public"), ("t", "a", "public")]


def test_no_certificates_no_keys() -> None:
    assert with_bare_keys({}) == {}
    assert "keys" not in with_bare_keys({"certificates": table("certificates")})


def test_stations_that_deliver_no_keys_know_what_certificates_tell() -> None:
    made = with_delivered(
        {"scan": {"certificates": ["role"]}, "files": {"certificates": ["role"], "keys": ["kind"]}, "iam": {"principals": ["kind"]}}
    )
    assert {"kind", "key_bits", "spki_sha256"} <= set(made["scan"]["keys"])
    assert "file_mode" not in made["scan"]["keys"]
    assert made["files"]["keys"] == ["kind"]
    assert "keys" not in made["iam"]
