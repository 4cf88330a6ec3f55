"""The private CA of the sample estate: certificates from plans, and the database that `openssl ca` would have left."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from keys import Key, KeySmith
from organisation import DOMAIN, Plan

PURPOSES = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}
PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class Issuer:
    """A CA: its certificate and its key."""

    certificate: x509.Certificate
    key: Key


@dataclass(frozen=True)
class Issued:
    """A certificate, its key and the plan behind both."""

    plan: Plan
    certificate: x509.Certificate
    key: Key


def name(common_name: str) -> x509.Name:
    """A distinguished name of the organisation."""
    parts = ((NameOID.COUNTRY_NAME, "DE"), (NameOID.ORGANIZATION_NAME, "Brightpost"), (NameOID.COMMON_NAME, common_name))
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts])


def _sign(builder: x509.CertificateBuilder, key: Key, digest: str) -> x509.Certificate:
    # Deterministic ECDSA: the same seed and day give the same bytes.
    deterministic = True if isinstance(key, ec.EllipticCurvePrivateKey) else None
    certificate = builder.sign(key, hashes.SHA256(), ecdsa_deterministic=deterministic)
    return sha1_instead(certificate, key) if digest == "sha1" else certificate


SHA256_WITH_RSA, SHA1_WITH_RSA = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
SHA1_PREFIX = bytes.fromhex("3021300906052b0e03021a05000414")  # DigestInfo, RFC 8017 section 9.2


def sha1_instead(certificate: x509.Certificate, key: Key) -> x509.Certificate:
    """The same certificate signed with SHA-1, which the library rightly refuses to make (RFC 8017 section 8.2)."""
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("only RSA CAs of the sample estate sign with SHA-1")
    tbs = certificate.tbs_certificate_bytes.replace(SHA256_WITH_RSA, SHA1_WITH_RSA)
    numbers, size = key.private_numbers(), key.key_size // 8
    digest = SHA1_PREFIX + hashlib.sha1(tbs, usedforsecurity=False).digest()
    padded = b"\0\1" + b"\xff" * (size - len(digest) - 3) + b"\0" + digest
    signature = pow(int.from_bytes(padded), numbers.d, numbers.public_numbers.n).to_bytes(size)
    whole = certificate.public_bytes(serialization.Encoding.DER).replace(certificate.tbs_certificate_bytes, tbs)
    return x509.load_der_x509_certificate(whole.replace(SHA256_WITH_RSA, SHA1_WITH_RSA).replace(certificate.signature, signature))


def authority(
    common_name: str, key: Key, validity: tuple[datetime, int], serial: int, parent: Issuer | None = None, *, digest: str = "sha256"
) -> Issuer:
    """A CA certificate, valid from an instant for so many days; without a parent a self-signed root."""
    signer = parent.key if parent else key
    start, days = validity
    builder = (
        x509.CertificateBuilder(parent.certificate.subject if parent else name(common_name), name(common_name), key.public_key(), serial)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days) - timedelta(seconds=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0 if parent else None), critical=True)
        .add_extension(_usage(ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    return Issuer(_sign(builder, signer, digest), key)


def leaf(plan: Plan, key: Key, issuer: Issuer | None, as_of: datetime, serial: int) -> x509.Certificate:
    """The certificate of a plan; without an issuer a self-signed one."""
    start = (as_of - timedelta(days=plan.age_days)).replace(microsecond=0)
    builder = (
        x509.CertificateBuilder(issuer.certificate.subject if issuer else name(plan.name), name(plan.name), key.public_key(), serial)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=plan.validity_days) - timedelta(seconds=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([PURPOSES[plan.purpose]]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in plan.san]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(f"http://pki.{DOMAIN}/issuing.crl")], None, None, None)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.certificate.public_key())  # type: ignore[arg-type]
        builder = builder.add_extension(identifier, critical=False)
    return _sign(builder, issuer.key if issuer else key, plan.digest)


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def key_for(plan: Plan, smith: KeySmith, shared: dict[str, Key]) -> Key:
    """The key of a plan; shared ones are made once."""
    if plan.key.startswith("shared:"):
        return shared.setdefault(plan.key, smith.ec())
    if plan.key in ("pair_a", "pair_b"):
        if "pair_a" not in shared:
            shared["pair_a"], shared["pair_b"] = smith.shared_prime(2048)
        return shared[plan.key]
    return smith.ec() if plan.key == "ec" else smith.close_primes(2048) if plan.key == "close_primes" else smith.rsa(int(plan.key[3:]))


def _time(instant: datetime) -> str:
    """UTCTime until 2049, GeneralizedTime from 2050, as in index.txt."""
    return instant.strftime("%y%m%d%H%M%SZ" if instant.year < 2050 else "%Y%m%d%H%M%SZ")


def write_database(folder: Path, issuer: Issuer, root: Issuer, issued: list[Issued], as_of: datetime) -> None:
    """index.txt, newcerts/, the CA's certificates and the CRL, in the layout of `openssl ca`."""
    (folder / "newcerts").mkdir(parents=True, exist_ok=True)
    (folder / "ca.pem").write_bytes(issuer.certificate.public_bytes(PEM))
    (folder / "root.pem").write_bytes(root.certificate.public_bytes(PEM))
    crl = x509.CertificateRevocationListBuilder(issuer.certificate.subject, as_of - timedelta(hours=6), as_of + timedelta(days=6))
    crl = crl.add_extension(x509.CRLNumber(417), critical=False)
    crl = crl.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
    rows = []
    for one in issued:
        certificate, revoked = one.certificate, one.plan.revoked
        serial = f"{certificate.serial_number:X}"
        serial = serial if len(serial) % 2 == 0 else f"0{serial}"
        (folder / "newcerts" / f"{serial}.pem").write_bytes(certificate.public_bytes(PEM))
        flag, field = "V", ""
        if revoked:
            when = (as_of - timedelta(days=revoked[0])).replace(microsecond=0)
            flag, field = "R", f"{_time(when)},{revoked[1]}"
            crl = crl.add_revoked_certificate(_entry(certificate.serial_number, when, revoked[1]))
        subject = f"/C=DE/O=Brightpost/CN={one.plan.name}"
        rows.append(f"{flag}\t{_time(certificate.not_valid_after_utc)}\t{field}\t{serial}\tunknown\t{subject}\n")
    (folder / "index.txt").write_text("".join(rows))
    (folder / "crl.pem").write_bytes(crl.sign(issuer.key, hashes.SHA256()).public_bytes(PEM))


def _entry(serial: int, when: datetime, reason: str) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when)
    return builder.add_extension(x509.CRLReason(x509.ReasonFlags(reason)), critical=False).build()
