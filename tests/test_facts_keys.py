"""Facts about keys: weak moduli built from their published structure, lists of known keys, purposes, places."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import gmpy2
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519

from keymuster.errors import ContentError
from keymuster.facts._batch_gcd import sharing
from keymuster.facts.has_shared_factor import survey
from keymuster.normalise import parse_spki
from keymuster.policy import CompromisedKey, Policy
from keymuster.protocols import Unknowable
from tests.certificates import AS_OF, Builder, authority, ec_key, rsa_spki, spki
from tests.fact_runs import context_of, run, sighting


def prime(seed: str, bits: int = 512) -> int:
    """A prime that is always the same for the same seed; its two highest bits are set."""
    text = hashlib.shake_256(seed.encode()).digest(bits // 8)
    return int(gmpy2.next_prime(int.from_bytes(text, "big") | (3 << (bits - 2))))


@cache
def roca_prime(seed: str) -> int:
    """A 256-bit prime k * M + (65537^a mod M), M the product of the first 39 primes (CVE-2017-15361)."""
    m = int(gmpy2.primorial(167))
    a = int.from_bytes(hashlib.sha256(seed.encode()).digest(), "big")
    k = (3 << 254) // m + a % 1_000_003
    while not gmpy2.is_prime(k * m + pow(65537, a, m)):
        k += 1
    return int(k * m + pow(65537, a, m))


SOUND = prime("a") * prime("b")
CLOSE = prime("c") * int(gmpy2.next_prime(prime("c") + (1 << 200)))
ROCA = roca_prime("d") * roca_prime("e")


def key(info: bytes, **columns: Any) -> dict[str, Any]:
    """A row of `keys` for a public key."""
    return {"asset_id": hashlib.sha256(info).hexdigest(), "station": "s", "locator": "l", "kind": "private", **parse_spki(info), **columns}


def kept(*infos: bytes) -> dict[str, bytes]:
    return {hashlib.sha256(info).hexdigest(): info for info in infos}


def weak(fact: str, modulus: int) -> bool | None:
    info = rsa_spki(modulus)
    answer: bool | None = run(fact, "keys", [key(info)], ders=kept(info))[0]
    return answer


@pytest.mark.parametrize(
    ("fact", "modulus", "answer"),
    [
        ("is_fermat_factorable", SOUND, False),
        ("is_fermat_factorable", CLOSE, True),
        ("is_fermat_factorable", prime("c") ** 2, True),
        ("is_roca_vulnerable", SOUND, False),
        ("is_roca_vulnerable", ROCA, True),
        ("is_roca_vulnerable", roca_prime("d") * prime("b", 256), False),
        ("has_small_factor", SOUND, False),
        ("has_small_factor", 751 * prime("f", 1008), True),
        ("has_small_factor", 757 * prime("f", 1008), False),
        ("has_small_factor", 3 * prime("f", 1008), True),
        ("has_small_factor", prime("c") ** 2, True),
        ("has_small_factor", prime("g", 344) ** 3, True),
    ],
)
def test_moduli(fact: str, modulus: int, answer: bool) -> None:
    assert weak(fact, modulus) is answer


WEAK = ["is_fermat_factorable", "is_roca_vulnerable", "has_small_factor", "has_shared_factor"]


@pytest.mark.parametrize("fact", WEAK)
def test_no_answer_for_other_keys_and_for_keys_that_were_not_kept(fact: str) -> None:
    elliptic, info = spki(ec_key("x").public_key()), rsa_spki(SOUND)
    rows = [key(elliptic), key(info), {"spki_sha256": None, "key_algorithm": "RSA"}, {"key_algorithm": "RSA"}]
    assert run(fact, "keys", rows, ders=kept(elliptic)) == [None] * 4


@pytest.mark.parametrize("fact", WEAK)
def test_the_key_of_a_certificate_will_do(fact: str) -> None:
    """A store that hands out no public key, and a certificate of the same key elsewhere."""
    issued = Builder("w").with_public_key(_public(CLOSE)).issue(authority())
    row = key(issued.spki)
    found = run(fact, "keys", [row], {"certificates": [sighting(issued)]}, ders={issued.fingerprint: issued.der})
    assert found == [fact == "is_fermat_factorable"]


def _public(modulus: int) -> Any:
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    return load_der_public_key(rsa_spki(modulus))


def test_shared_factor_over_keys_and_certificates() -> None:
    shared = prime("p")
    infos = [rsa_spki(shared * prime("q1")), rsa_spki(SOUND), rsa_spki(SOUND, exponent=3)]
    issued = Builder("w").with_public_key(_public(shared * prime("q2"))).issue(authority())
    ders = {**kept(*infos), issued.fingerprint: issued.der}
    rows = [key(info) for info in infos]
    assert run("has_shared_factor", "keys", rows, {"certificates": [sighting(issued)]}, ders=ders) == [True, False, False]
    assert run("has_shared_factor", "keys", rows, ders=ders) == [False, False, False]


def test_a_shard_takes_the_survey_of_the_estate() -> None:
    shared = prime("p")
    infos = [rsa_spki(shared * prime("q1")), rsa_spki(shared * prime("q2")), rsa_spki(SOUND)]
    estate = context_of({"keys": [key(info) for info in infos]}, ders=kept(*infos))
    answers = survey(estate.frames, estate)
    for info, answer in zip(infos, [True, True, False], strict=True):
        assert run("has_shared_factor", "keys", [key(info)], survey={"has_shared_factor": answers}) == [answer]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 33])
def test_batch_gcd(count: int) -> None:
    sound = [prime(f"x{i}", 64) * prime(f"y{i}", 64) for i in range(count)]
    assert sharing(sound) == set()
    if count > 1:
        bad = [sound[0] // prime("y0", 64) * prime("z", 64), sound[-1]]
        assert sharing([*sound, bad[0]]) == {sound[0], bad[0]}


def test_modulus_whose_primes_are_both_shared() -> None:
    p, q, r, s = (prime(c, 64) for c in "pqrs")
    assert sharing([p * q, p * r, q * s]) == {p * q, p * r, q * s}


def test_an_even_modulus() -> None:
    assert weak("has_small_factor", 2 * prime("f", 1023)) is True


def test_points() -> None:
    good = spki(ec_key("x").public_key())
    off = good[:-1] + bytes([good[-1] ^ 1])
    rows = [key(good), {**key(good), "spki_sha256": hashlib.sha256(off).hexdigest()}, key(rsa_spki(SOUND))]
    assert run("is_point_valid", "keys", rows, ders=kept(good, off, rsa_spki(SOUND))) == [True, False, None]


def record(number: int, identifier: int) -> bytes:
    return hashlib.sha256(number.to_bytes((number.bit_length() + 7) // 8, "big")).digest()[:15] + bytes([identifier])


def mounted(folder: Path, *records: bytes, **change: Any) -> Path:
    """A reference folder with a list of weak keys in badkeys' format."""
    raw = b"".join(sorted(records))
    (folder / "blocklist.dat").write_bytes(raw)
    names = {"blocklists": [{"id": 1, "name": "debianssl"}, {"id": 4, "name": "documentation"}]}
    (folder / "badkeysdata.json").write_text(json.dumps(names))
    entry = {
        "file": "blocklist.dat",
        "names": "badkeysdata.json",
        "date": "2026-11-01",
        "sha256": hashlib.sha256(raw).hexdigest(),
        **change,
    }
    (folder / "index.yaml").write_text(yaml.safe_dump({"weak_keys": entry}))
    return folder


RSA_2048 = prime("r1", 1024) * prime("r2", 1024)
RSA_2048_SOUND = prime("r3", 1024) * prime("r4", 1024)


def test_debian_list(tmp_path: Path) -> None:
    curve = ec_key("debian")
    bad = [record(RSA_2048, 1), record(curve.public_key().public_numbers().x, 1), record(SOUND, 4)]
    others = [record(prime(f"o{i}", 64), 1) for i in range(50)]
    reference = mounted(tmp_path, *bad, *others)
    infos = [
        rsa_spki(RSA_2048),
        rsa_spki(RSA_2048_SOUND),
        spki(curve.public_key()),
        spki(ec_key("sound").public_key()),
        rsa_spki(SOUND),
        rsa_spki(prime("s", 768) * prime("t", 768)),
        spki(ec_key("x", ec.SECP521R1()).public_key()),
        spki(ed25519.Ed25519PrivateKey.from_private_bytes(b"1" * 32).public_key()),
    ]
    answers = run("is_debian_weak", "keys", [key(info) for info in infos], ders=kept(*infos), reference=reference)
    assert answers == [True, False, True, False, False, None, None, None]
    answers = run("is_test_material", "keys", [key(info) for info in infos[:5]], ders=kept(*infos), reference=reference)
    assert answers == [False, False, False, False, True]


def test_debian_list_knows_dsa(tmp_path: Path) -> None:
    made = dsa.generate_private_key(1024).public_key()  # noqa: S505 (the size that the list covers)
    info = spki(made)
    reference = mounted(tmp_path, record(made.public_numbers().y, 1))
    assert run("is_debian_weak", "keys", [key(info)], ders=kept(info), reference=reference) == [True]


@pytest.mark.parametrize("fact", ["is_debian_weak", "is_test_material"])
def test_no_list_no_answer(fact: str) -> None:
    with pytest.raises(Unknowable, match="badkeys does not package it"):
        run(fact, "keys", [key(rsa_spki(SOUND))])


@pytest.mark.parametrize(
    ("change", "message"), [({"sha256": "0" * 64}, "sha256 is"), ({"date": ""}, "sha256 is"), ({"names": "absent.json"}, "badkeysdata")]
)
def test_a_list_that_is_not_what_the_index_says(tmp_path: Path, change: dict[str, str], message: str) -> None:
    reference = mounted(tmp_path, record(SOUND, 1), **change)
    with pytest.raises(ContentError, match=message):
        run("is_debian_weak", "keys", [key(rsa_spki(SOUND))], reference=reference)


def test_a_list_cut_short(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match="no whole records"):
        run("is_debian_weak", "keys", [key(rsa_spki(SOUND))], reference=mounted(tmp_path, b"x" * 17))


def test_compromised_by_register_revocation_and_list(tmp_path: Path) -> None:
    infos = [rsa_spki(SOUND), rsa_spki(CLOSE), rsa_spki(ROCA), spki(ec_key("x").public_key())]
    rows = [key(info) for info in infos]
    ids = [row["spki_sha256"] for row in rows]
    known = CompromisedKey(spki_sha256=ids[0], since=AS_OF, source="case 7")
    later = CompromisedKey(spki_sha256=ids[3], since=AS_OF + timedelta(seconds=1), source="case 8")
    beside = {
        "certificates": [
            {"spki_sha256": ids[1], "revocation_status": "revoked_key_compromise"},
            {"spki_sha256": ids[3], "revocation_status": "revoked"},
        ]
    }
    policy = Policy(compromised_keys=(known, later))
    assert run("is_compromised", "keys", rows, beside, policy=policy) == [True, True, False, False]
    reference = mounted(tmp_path, record(ROCA, 4))
    assert run("is_compromised", "keys", rows, ders=kept(*infos), reference=reference) == [False, False, True, False]
    assert run("is_compromised", "keys", [{"spki_sha256": None}], policy=policy) == [None]


def test_no_register_is_not_an_empty_register() -> None:
    row = key(rsa_spki(SOUND))
    with pytest.raises(Unknowable, match="compromised_keys"):
        run("is_compromised", "keys", [row])
    assert run("is_compromised", "keys", [row], policy=Policy(compromised_keys=())) == [False]


def test_shared_across_environments() -> None:
    rows = [{"spki_sha256": c, "environment": e} for c, e in [("a", "production"), ("b", "production"), ("c", "test"), ("d", None)]]
    beside = {
        "certificates": [{"spki_sha256": "a", "environment": "test"}, {"spki_sha256": "c", "environment": "staging"}, {"spki_sha256": "b"}]
    }
    assert run("is_shared_across_environments", "keys", rows, beside) == [True, False, False, False]
    assert run("is_shared_across_environments", "keys", [{"spki_sha256": "a"}], beside) == [None]


def test_location_count_counts_places_of_private_parts_once() -> None:
    rows = [
        {"asset_id": "a", "station": "s", "locator": "1", "kind": "private"},
        {"asset_id": "a", "station": "s", "locator": "1", "kind": "private"},
        {"asset_id": "a", "station": "t", "locator": "1", "kind": "private"},
        {"asset_id": "a", "station": "t", "locator": "2", "kind": "public"},
        {"asset_id": "b", "station": "t", "locator": "3", "kind": "public"},
        {"asset_id": "c", "station": "t", "locator": "4", "kind": "symmetric"},
        {"asset_id": "d", "station": "t", "locator": "5"},
    ]
    assert run("location_count", "keys", rows) == [2, 2, 2, 2, 0, 1, None]


def test_purposes_come_from_certificates() -> None:
    beside = {
        "certificates": [
            {"spki_sha256": "a", "usages": ["tls_server", "tls_client"], "key_usage": ["digitalSignature"]},
            {"spki_sha256": "a", "usages": ["code_signing"], "key_usage": None},
            {"spki_sha256": "b", "usages": ["smime"], "key_usage": ["keyEncipherment"]},
            {"spki_sha256": "c", "usages": ["ca"], "key_usage": ["keyCertSign"]},
            {"spki_sha256": "e", "usages": [], "key_usage": None},
        ]
    }
    rows = [{"spki_sha256": c} for c in ("a", "b", "c", "d", "e", None)]
    found = run("purposes", "keys", rows, beside)
    assert found == [["authentication", "code_signing"], ["encryption"], ["ca"], None, [], None]
    assert run("purpose_count", "keys", [{"purposes": p} for p in found]) == [2, 1, 1, None, 0, None]


@pytest.mark.parametrize(
    ("provider", "kind", "is_on", "supported"),
    [
        ("aws_kms", "private", False, False),
        ("aws_kms", "hmac", False, False),
        ("aws_kms", "symmetric", False, None),
        ("aws_kms", "symmetric", True, True),
        ("azure_key_vault", "private", False, True),
        ("gcp_kms", "symmetric", None, True),
        ("gcp_kms", "private", None, False),
        ("file", "private", None, False),
        ("okta", "private", None, None),
        (None, "private", None, None),
    ],
)
def test_rotation_support(provider: str | None, kind: str, is_on: bool | None, supported: bool | None) -> None:
    row = {"provider": provider, "kind": kind, "is_rotation_enabled": is_on}
    assert run("is_rotation_supported", "keys", [row]) == [supported]
