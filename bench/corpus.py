"""Distinct certificates for benchmarks: the same (count, seed) gives the same bytes, 20,000 in well under a minute.

Every leaf has its own key. RSA moduli are random odd numbers without small factors (nobody needs the private half), EC points and
Ed25519 keys are real. Eight issuing CAs below two roots sign for real (deterministic ECDSA, PKCS#1), so that chains verify. About one leaf
in eight has one of the faults below, planted on purpose. SCTs are well formed; the signatures in them are random.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from keymuster.der import encoded

AS_OF = datetime(2026, 11, 23, tzinfo=UTC)
CACHE = Path("var/bench")
FAULTS = ("expired", "too_long", "sha1", "rsa_1024", "no_san", "underscore", "no_purpose", "wildcard", "internal_name", "exponent_3",
          "generalized_time", "duplicate_extension", "no_revocation", "ou_present")  # fmt: skip
FAULT_SHARE = 0.125
KEYS = (("rsa", 2048, 0.50), ("rsa", 3072, 0.06), ("rsa", 4096, 0.08), ("p256", 0, 0.27), ("p384", 0, 0.06), ("ed25519", 0, 0.03))
_SMALL = math.prod(p for p in range(3, 752) if all(p % q for q in range(2, int(p**0.5) + 1)))
_SPKI = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
_RSA_SHA256 = bytes.fromhex("300d06092a864886f70d01010b0500")
_ECDSA = {256: "300a06082a8648ce3d040302", 384: "300a06082a8648ce3d040303", 1: "300906072a8648ce3d0401"}


def tlv(tag: int, *parts: bytes) -> bytes:
    """One DER element."""
    body = b"".join(parts)
    size = len(body)
    if size < 128:
        return bytes((tag, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 128 | len(length))) + length + body


def integer(value: int) -> bytes:
    """INTEGER, not negative."""
    return tlv(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def oid(text: str) -> bytes:
    """OBJECT IDENTIFIER."""
    return tlv(6, encoded(text))


def name(*attributes: tuple[str, str]) -> bytes:
    """Name of one-valued RDNs; countries are PrintableString, the rest UTF8String."""
    return tlv(0x30, *(tlv(0x31, tlv(0x30, oid(t), tlv(0x13 if t == "2.5.4.6" else 0x0C, v.encode()))) for t, v in attributes))


def extension(identifier: str, value: bytes, *, critical: bool = False) -> bytes:
    """One Extension."""
    return tlv(0x30, oid(identifier), b"\x01\x01\xff" if critical else b"", tlv(4, value))


def instant(moment: datetime, *, generalized: bool = False) -> bytes:
    """UTCTime, or GeneralizedTime where the norm would not have it."""
    return tlv(0x18, moment.strftime("%Y%m%d%H%M%SZ").encode()) if generalized else tlv(0x17, moment.strftime("%y%m%d%H%M%SZ").encode())


@dataclass(frozen=True)
class Authority:
    """A CA that signs for real."""

    name: bytes
    key: Any
    spki: bytes
    der: bytes

    def sign(self, tbs_of: Any, *, sha1: bool = False) -> bytes:
        """Certificate over `tbs_of(algorithm)`."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            tbs = tbs_of(_RSA_SHA256)
            return tlv(0x30, tbs, _RSA_SHA256, tlv(3, b"\0", self.key.sign(tbs, padding.PKCS1v15(), hashes.SHA256())))
        size = self.key.curve.key_size
        algorithm = bytes.fromhex(_ECDSA[1 if sha1 else size])
        hashed = hashes.SHA1() if sha1 else hashes.SHA384() if size == 384 else hashes.SHA256()  # noqa: S303 (a planted fault)
        tbs = tbs_of(algorithm)
        return tlv(0x30, tbs, algorithm, tlv(3, b"\0", self.key.sign(tbs, ec.ECDSA(hashed, deterministic_signing=True))))


def corpus(count: int, seed: int = 1, cache: Path | None = CACHE) -> list[bytes]:
    """Roots, issuing CAs and leaves, `count` in all; kept on disk between runs unless `cache` is None."""
    file = None if cache is None else cache / f"corpus-{count}-{seed}-{_version()}.bin"
    if file is not None and file.exists():
        return list(_unpacked(file.read_bytes()))
    ders = list(_made(count, seed))
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"".join(struct.pack(">I", len(d)) + d for d in ders))
    return ders


def _version() -> str:
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]


def _unpacked(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def _made(count: int, seed: int) -> Iterator[bytes]:
    rng = random.Random(seed)
    authorities = _authorities(rng)
    yield from (a.der for a in authorities)
    issuing = authorities[2:]
    for index in range(count - len(authorities)):
        fault = rng.choice(FAULTS) if rng.random() < FAULT_SHARE else ""
        yield _leaf(rng, rng.choice(issuing[4:] if fault == "sha1" else issuing), index, fault)


def _authorities(rng: random.Random) -> list[Authority]:
    """Two roots, then eight issuing CAs: four with RSA keys, two on P-256, two on P-384."""
    made: list[Authority] = []
    for number in range(10):
        key = _rsa_private(rng) if 2 <= number < 6 else _ec_private(rng, 384 if number in (0, 8, 9) else 256)
        title = f"Bench Root {number}" if number < 2 else f"Bench Issuing CA {number}"
        subject = name(("2.5.4.6", "DE"), ("2.5.4.10", "Bench Trust GmbH"), ("2.5.4.3", title))
        spki = key.public_key().public_bytes(*_SPKI)
        signer = Authority(subject, key, spki, b"") if number < 2 else made[number % 2]
        identifier = hashlib.sha1(spki, usedforsecurity=False).digest()
        extensions = [
            extension("2.5.29.19", bytes.fromhex("30030101ff" if number < 2 else "30060101ff020100"), critical=True),
            extension("2.5.29.15", bytes.fromhex("03020106"), critical=True),
            extension("2.5.29.14", tlv(4, identifier)),
            extension("2.5.29.35", tlv(0x30, tlv(0x80, hashlib.sha1(signer.spki, usedforsecurity=False).digest()))),
        ]
        start = AS_OF - timedelta(days=rng.randrange(700, 2500))
        validity = tlv(0x30, instant(start), instant(start + timedelta(days=5475)))
        serial = rng.getrandbits(120)

        head, tail = (tlv(0xA0, b"\2\1\2") + integer(serial)), signer.name + validity + subject + spki + tlv(0xA3, tlv(0x30, *extensions))
        made.append(Authority(subject, key, spki, signer.sign(_around(head, tail))))
    return made


def _around(head: bytes, tail: bytes) -> Any:
    """TBSCertificate as a function of the signature algorithm, which stands between the two."""
    return lambda algorithm: tlv(0x30, head, algorithm, tail)


def _leaf(rng: random.Random, issuer: Authority, index: int, fault: str) -> bytes:
    kind, trade = rng.choice(("www", "api", "mail", "vpn", "db")), rng.choice(("shop", "bank", "clinic", "works"))
    host = f"{kind}{index}.{trade}{index % 977}.example.com"
    bent = {"underscore": host.replace(".", "_x.", 1), "wildcard": f"*.{host}", "internal_name": f"server{index}.corp.local"}
    host = bent.get(fault, host)
    start = AS_OF - timedelta(days=rng.randrange(1, 80), seconds=rng.randrange(86_400))
    days = 825 if fault == "too_long" else rng.choice((47, 90, 90, 199, 200))
    start = start - timedelta(days=400) if fault == "expired" else start
    end = start + timedelta(days=days, seconds=-1)
    subject = [("2.5.4.6", "DE"), ("2.5.4.10", f"Organisation {index % 1999}"), ("2.5.4.3", host)]
    if fault == "ou_present":
        subject.insert(2, ("2.5.4.11", "Hosting"))
    loose = fault == "generalized_time"
    validity = tlv(0x30, instant(start, generalized=loose), instant(end, generalized=loose))
    spki, serial = _spki(rng, fault), rng.getrandbits(126) | 1 << 120
    extensions = _extensions(rng, issuer, spki, host=host, start=start, fault=fault)

    def tbs(algorithm: bytes) -> bytes:
        return tlv(0x30, tlv(0xA0, b"\2\1\2"), integer(serial), algorithm, issuer.name, validity, name(*subject), spki,
                   tlv(0xA3, tlv(0x30, *extensions)))  # fmt: skip

    return issuer.sign(tbs, sha1=fault == "sha1")


def _extensions(rng: random.Random, issuer: Authority, spki: bytes, *, host: str, start: datetime, fault: str) -> list[bytes]:
    mark = hashlib.sha256(issuer.name).hexdigest()[:6]
    uri = [tlv(0x86, f"http://{kind}.{mark}.bench.example/{kind}".encode()) for kind in ("ocsp", "ca", "crl")]
    access = tlv(0x30, tlv(0x30, oid("1.3.6.1.5.5.7.48.1"), uri[0]), tlv(0x30, oid("1.3.6.1.5.5.7.48.2"), uri[1]))
    names = [tlv(0x82, f"{prefix}{host}".encode()) for prefix in ("", "m.", "static.", "dev.")[: rng.randrange(1, 5)]]
    scts = b"".join(_sct(rng, start) for _ in range(rng.randrange(2, 4)))
    found = [
        extension("2.5.29.15", bytes.fromhex("030205a0"), critical=True),
        extension("2.5.29.37", tlv(0x30, oid("1.3.6.1.5.5.7.3.1"), oid("1.3.6.1.5.5.7.3.2") if rng.random() < 0.3 else b"")),
        extension("2.5.29.19", b"\x30\x00", critical=True),
        extension("2.5.29.14", tlv(4, hashlib.sha1(spki, usedforsecurity=False).digest())),
        extension("2.5.29.35", tlv(0x30, tlv(0x80, hashlib.sha1(issuer.spki, usedforsecurity=False).digest()))),
        extension("1.3.6.1.5.5.7.1.1", access),
        extension("2.5.29.17", tlv(0x30, *names)),
        extension("2.5.29.32", tlv(0x30, tlv(0x30, oid(rng.choice(("2.23.140.1.2.1", "2.23.140.1.2.2")))))),
        extension("2.5.29.31", tlv(0x30, tlv(0x30, tlv(0xA0, tlv(0xA0, uri[2]))))),
        extension("1.3.6.1.4.1.11129.2.4.2", tlv(4, struct.pack(">H", len(scts)) + scts)),
    ]
    left_out = {"no_purpose": (1,), "no_san": (6,), "no_revocation": (5, 8)}.get(fault, ())
    found = [e for i, e in enumerate(found) if i not in left_out]
    return [*found, found[3]] if fault == "duplicate_extension" else found


def _sct(rng: random.Random, start: datetime) -> bytes:
    log, signature = rng.choice(_LOGS), rng.randbytes(71)
    body = b"\0" + log + struct.pack(">Q", int(start.timestamp() * 1000) + rng.randrange(3_600_000)) + b"\0\0\4\3"
    body += struct.pack(">H", len(signature)) + signature
    return struct.pack(">H", len(body)) + body


_LOGS = [hashlib.sha256(b"log %d" % i).digest() for i in range(6)]


def _spki(rng: random.Random, fault: str) -> bytes:
    kind, bits, _ = rng.choices(KEYS, [share for _, _, share in KEYS])[0]
    if fault in ("rsa_1024", "exponent_3") or kind == "rsa":
        size = 1024 if fault == "rsa_1024" else bits or 2048
        return _rsa_spki(_modulus(rng, size), 3 if fault == "exponent_3" else 65537)
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.from_private_bytes(rng.randbytes(32)).public_key().public_bytes(*_SPKI)
    return _ec_private(rng, 384 if kind == "p384" else 256).public_key().public_bytes(*_SPKI)


def _modulus(rng: random.Random, bits: int) -> int:
    while True:
        value = rng.getrandbits(bits) | 3 << (bits - 2) | 1
        if math.gcd(value, _SMALL) == 1:
            return value


def _rsa_spki(modulus: int, exponent: int) -> bytes:
    key = tlv(0x30, integer(modulus), integer(exponent))
    return tlv(0x30, bytes.fromhex("300d06092a864886f70d0101010500"), tlv(3, b"\0", key))


def _ec_private(rng: random.Random, size: int) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(rng.getrandbits(size - 8) | 1, ec.SECP384R1() if size == 384 else ec.SECP256R1())


def _rsa_private(rng: random.Random) -> rsa.RSAPrivateKey:
    p, q = _prime(rng, 1024), _prime(rng, 1024)
    d = pow(65537, -1, math.lcm(p - 1, q - 1))
    public = rsa.RSAPublicNumbers(65537, p * q)
    return rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public).private_key()


def _prime(rng: random.Random, bits: int) -> int:
    """A probable prime (Fermat to four bases: enough for a benchmark), e not dividing p - 1."""
    while True:
        value = _modulus(rng, bits)
        if value % 65537 != 1 and all(pow(base, value - 1, value) == 1 for base in (2, 3, 5, 7)):
            return value


def main() -> None:
    """Make a corpus and say where it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, nargs="?", default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    ders = corpus(arguments.count, arguments.seed)
    print(f"{len(ders):,} certificates, {len(set(ders)):,} distinct, {sum(map(len, ders)):,} bytes below {CACHE}")


if __name__ == "__main__":
    main()
