"""The benchmark measures what it says: its corpus is the same everywhere, sound where it should be, and its verdict can be negative."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import pytest
from bench.corpus import AS_OF, corpus
from bench.parse_and_judge import summary, worked_again
from bench.plain import read

from keymuster.normalise import parse_certificate
from tests.x509_reference import load

MADE = corpus(150, seed=7, cache=None)


def test_the_corpus_is_the_same_on_every_machine() -> None:
    assert len(set(MADE)) == 150
    assert hashlib.sha256(b"".join(MADE)).hexdigest() == "62694858535481ffe4e101fd072666b2840fdfb3e67fb06db5bb4cf730f199d3"


def test_chains_verify_and_most_leaves_are_sound() -> None:
    rows = [parse_certificate(der) for der in MADE]
    authorities = {row["subject"]: load(der) for row, der in zip(rows, MADE, strict=True) if row["is_ca"]}
    assert len(authorities) == 10
    for row, der in zip(rows, MADE, strict=True):
        if row["signature_hash"] != "SHA1":  # a planted fault, which cryptography does not even check
            load(der).verify_directly_issued_by(authorities[row["issuer"]])
    leaves = [row for row in rows if not row["is_ca"]]
    assert sum(row["not_after"] > AS_OF for row in leaves) > len(leaves) * 0.8
    assert len(Counter(row["key_algorithm"] for row in leaves)) >= 2
    assert any(row["encoding_defects"] for row in leaves), "some faults are planted"


def test_the_plain_loop_reads_the_same_certificates() -> None:
    for der in MADE:
        ours, plain = parse_certificate(der), read(der)
        if "encoding_defects" not in plain:
            for column in ("asset_id", "spki_sha256", "serial_number", "subject", "issuer", "not_after", "san_names", "is_ca", "crl_urls"):
                assert plain[column] == ours[column], column


def result(worked_out: dict[str, int] | None = None, **again: Any) -> dict[str, Any]:
    work = {"rules": 1, "not_evaluated": 0, "findings": 0, "outcomes": {}, "steps": {"parse": 1.0}}
    tomorrow = {"cpu": 1.0, "parsed": 0, "worked_out": worked_out or {}, "remembered": 9}
    reruns = {"again": {"cpu": 0.1, "parsed": 0, "same_audit": True, **again}, "tomorrow": tomorrow}
    ours = {"cpu": 2.0, "certificates": 100, "peak_mib": 9.0, **work, **reruns}
    other = {"cpu": 4.0, "certificates": 100, "peak_mib": 9.0}
    return summary({"keymuster": [ours], "parse": [ours], "plain": [other], "pkilint": [{**other, "certificates": 10}]}, 100, 1)


@pytest.mark.parametrize(
    ("again", "is_fine"), [({}, True), ({"parsed": 1}, False), ({"same_audit": False}, False), ({"worked_out": {"fermat": 1}}, False)]
)
def test_a_rerun_that_works_again_is_told(again: dict[str, Any], is_fine: bool) -> None:
    found = result(**again)
    assert worked_again(found) is not is_fine
    assert found["ratios"]["keymuster / pkilint"] == pytest.approx(20)
