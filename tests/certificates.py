"""A small certificate builder for tests: fluent, sane defaults, one knob a test.

    root = authority("Test Root")
    issuing = authority("Test Issuing CA", by=root, path_length=0)
    leaf = Builder("www.example.com").dns("www.example.com").valid(days=90).issue(issuing)
    leaf.der, leaf.fingerprint, leaf.spki_sha256, leaf.pem, leaf.private_pem

Keys are EC P-256 and derived from the subject, signatures are deterministic: the same knobs give the same bytes.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

AS_OF = datetime(2026, 11, 23, tzinfo=UTC)
"""The `as_of` that the default validity is centred on."""
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
SPKI = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
BITS = [
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
]


def ec_key(seed: str, curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    """An EC key that is always the same for the same seed."""
    return ec.derive_private_key(int.from_bytes(hashlib.sha256(seed.encode()).digest(), "big") >> 8, curve or ec.SECP256R1())


def rsa_key(bits: int = 2048, exponent: int = 65537) -> rsa.RSAPrivateKey:
    """A fresh RSA key (slow: some 50 ms for 2048 bits)."""
    return rsa.generate_private_key(exponent, bits)


def spki(public_key: Any) -> bytes:
    """DER SubjectPublicKeyInfo of a public key."""
    return bytes(public_key.public_bytes(*SPKI))


def rsa_spki(modulus: int, exponent: int = 65537) -> bytes:
    """DER SubjectPublicKeyInfo of an RSA public key made of any modulus, weak ones included."""
    return spki(rsa.RSAPublicNumbers(exponent, modulus).public_key())


@dataclass(frozen=True)
class Issued:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: Any

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.der).hexdigest()

    @property
    def spki(self) -> bytes:
        return spki(self.certificate.public_key())

    @property
    def spki_sha256(self) -> str:
        return hashlib.sha256(self.spki).hexdigest()

    @property
    def private_pem(self) -> str:
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return self.key.private_bytes(*form).decode()


@dataclass(frozen=True)
class Builder:
    """Collects knobs; every method gives a new builder, `issue` signs."""

    common_name: str = "leaf.example.com"
    attributes: tuple[tuple[x509.ObjectIdentifier, str], ...] = ()
    san: tuple[x509.GeneralName, ...] = ()
    not_before: datetime = AS_OF - timedelta(days=30)
    not_after: datetime = AS_OF + timedelta(days=60) - timedelta(seconds=1)
    private_key: Any = None
    public_key: Any = None
    serial_number: int | None = None
    is_ca: bool = False
    path_length: int | None = None
    usages: tuple[x509.ObjectIdentifier, ...] | None = (SERVER,)
    bits: tuple[str, ...] | None = ("digital_signature",)
    more: tuple[tuple[x509.ExtensionType, bool], ...] = ()
    dropped: tuple[type[x509.ExtensionType], ...] = ()
    digest: hashes.HashAlgorithm | None = field(default_factory=hashes.SHA256)

    def named(self, common_name: str, **attributes: str) -> Builder:
        """Subject: commonName and further attributes by NameOID name, e.g. `ORGANIZATION_NAME="Acme"`."""
        pairs = tuple((getattr(NameOID, k), v) for k, v in attributes.items())
        return replace(self, common_name=common_name, attributes=pairs)

    def dns(self, *names: str) -> Builder:
        """dNSName entries, added."""
        return replace(self, san=self.san + tuple(x509.DNSName(n) for n in names))

    def ip(self, *addresses: str) -> Builder:
        """iPAddress entries, added."""
        return replace(self, san=self.san + tuple(x509.IPAddress(ipaddress.ip_address(a)) for a in addresses))

    def mail(self, *addresses: str) -> Builder:
        """rfc822Name entries, added."""
        return replace(self, san=self.san + tuple(x509.RFC822Name(a) for a in addresses))

    def general_names(self, *names: x509.GeneralName) -> Builder:
        """Any other SAN entries, added."""
        return replace(self, san=self.san + names)

    def valid(self, not_before: datetime | None = None, not_after: datetime | None = None, days: int | None = None) -> Builder:
        """Validity; `days` counts as the Baseline Requirements do, the last second included."""
        start = not_before or self.not_before
        return replace(self, not_before=start, not_after=not_after or start + timedelta(days=days or 90, seconds=-1))

    def with_key(self, private_key: Any) -> Builder:
        """The subject's own key pair."""
        return replace(self, private_key=private_key)

    def with_public_key(self, public_key: Any) -> Builder:
        """Certify a bare public key; the result's `key` is then None."""
        return replace(self, public_key=public_key)

    def serial(self, number: int) -> Builder:
        return replace(self, serial_number=number)

    def ca(self, path_length: int | None = None) -> Builder:
        """A CA certificate: cA, keyCertSign, cRLSign, no extended key usage."""
        bits = ("digital_signature", "key_cert_sign", "crl_sign")
        return replace(self, is_ca=True, path_length=path_length, bits=bits, usages=None)

    def eku(self, *usages: x509.ObjectIdentifier) -> Builder:
        """Extended key usage, replaced; none given: no such extension."""
        return replace(self, usages=usages or None)

    def key_usage(self, *bits: str) -> Builder:
        """Key usage bits by their names in cryptography, replaced; none given: no such extension."""
        return replace(self, bits=bits or None)

    def extension(self, value: x509.ExtensionType, critical: bool = False) -> Builder:
        """Any other extension, added."""
        return replace(self, more=(*self.more, (value, critical)))

    def without(self, *types: type[x509.ExtensionType]) -> Builder:
        """Leave out extensions that are there by default."""
        return replace(self, dropped=self.dropped + types)

    def policies(self, *oids: str) -> Builder:
        return self.extension(x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier(o), None) for o in oids]))

    def crl(self, *urls: str) -> Builder:
        points = [x509.DistributionPoint([x509.UniformResourceIdentifier(u)], None, None, None) for u in urls]
        return self.extension(x509.CRLDistributionPoints(points))

    def aia(self, ocsp: Iterable[str] = (), issuers: Iterable[str] = ()) -> Builder:
        """Authority information access: OCSP and caIssuers addresses."""
        methods = [(AuthorityInformationAccessOID.OCSP, u) for u in ocsp] + [(AuthorityInformationAccessOID.CA_ISSUERS, u) for u in issuers]
        return self.extension(
            x509.AuthorityInformationAccess([x509.AccessDescription(m, x509.UniformResourceIdentifier(u)) for m, u in methods])
        )

    def must_staple(self) -> Builder:
        return self.extension(x509.TLSFeature([x509.TLSFeatureType.status_request]))

    def poison(self) -> Builder:
        """Make it a precertificate (RFC 6962)."""
        return self.extension(x509.PrecertPoison(), critical=True)

    def sign_with(self, digest: hashes.HashAlgorithm | None) -> Builder:
        """Hash of the signature; None for Ed25519 and Ed448 issuers."""
        return replace(self, digest=digest)

    def name(self) -> x509.Name:
        parts = [x509.NameAttribute(oid, value) for oid, value in self.attributes]
        return x509.Name([*parts, *([x509.NameAttribute(NameOID.COMMON_NAME, self.common_name)] if self.common_name else [])])

    def extensions(self, issuer_public: Any, subject_public: Any) -> list[tuple[x509.ExtensionType, bool]]:
        found: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(self.is_ca, self.path_length if self.is_ca else None), True),
            (x509.SubjectKeyIdentifier.from_public_key(subject_public), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_public), False),
        ]
        if self.bits is not None:
            found.append((x509.KeyUsage(**{b: b in self.bits for b in BITS}), True))
        if self.usages is not None:
            found.append((x509.ExtendedKeyUsage(self.usages), False))
        if self.san:
            found.append((x509.SubjectAlternativeName(self.san), not self.common_name and not self.attributes))
        return [e for e in [*found, *self.more] if not isinstance(e[0], self.dropped)]

    def issue(self, by: Issued | None = None) -> Issued:
        """Sign; without issuer it is self-signed."""
        key = self.private_key or (None if self.public_key is not None else ec_key(self.common_name))
        public = self.public_key if self.public_key is not None else key.public_key()
        issuer = by.certificate.subject if by else self.name()
        signer = by.key if by else key
        serial = self.serial_number or int.from_bytes(
            hashlib.sha256(f"{issuer.rfc4514_string()}{self.common_name}{self.not_before}".encode()).digest()[:16], "big"
        )
        builder = x509.CertificateBuilder().subject_name(self.name()).issuer_name(issuer).public_key(public).serial_number(serial)
        builder = builder.not_valid_before(self.not_before).not_valid_after(self.not_after)
        for value, critical in self.extensions(signer.public_key(), public):
            builder = builder.add_extension(value, critical)
        options = {"ecdsa_deterministic": True} if isinstance(signer, ec.EllipticCurvePrivateKey) else {}
        return Issued(builder.sign(signer, self.digest, **options), key)


def authority(name: str = "Test Root", *, by: Issued | None = None, path_length: int | None = None, key: Any = None) -> Issued:
    """A CA valid from 2020 to 2040: a root, or subordinate to another one."""
    builder = Builder(name).ca(path_length).valid(datetime(2020, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC))
    return builder.with_key(key or ec_key(name)).issue(by)


def leaf(*names: str, by: Issued, **knobs: Any) -> Issued:
    """A server certificate for these DNS names; `knobs` are fields of Builder."""
    return replace(Builder(names[0]).dns(*names), **knobs).issue(by)
