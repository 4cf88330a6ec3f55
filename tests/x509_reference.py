"""What a certificate says, the obvious way: every column asked of cryptography, one extension at a time. Slow, and plain to read.

Extensions are isolated: each is put alone into a small certificate, so that one that is broken leaves the others readable.
pyasn1, which shares no code with the product or with cryptography, finds the extensions.
"""

from __future__ import annotations

import hashlib
import ipaddress
import warnings
from datetime import UTC, datetime
from typing import Any

from bench.corpus import extension, instant, integer, name, oid, tlv
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x448, x25519
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, ExtensionOID, NameOID
from pyasn1.codec.der.decoder import decode as der_decode
from pyasn1.codec.der.encoder import encode as der_encode
from pyasn1_alt_modules import rfc5280

BROKEN = object()
"""Stands for the value of an extension that cryptography refuses."""
UNJUDGED = object()
"""Stands for a value that is DER but contradicts itself or is not supported: encipherOnly without keyAgreement, pathLen without cA …"""
EXTENSION_NAMES = {
    "2.5.29.9": "subjectDirectoryAttributes", "2.5.29.14": "subjectKeyIdentifier", "2.5.29.15": "keyUsage",
    "2.5.29.16": "privateKeyUsagePeriod", "2.5.29.17": "subjectAltName", "2.5.29.18": "issuerAltName", "2.5.29.19": "basicConstraints",
    "2.5.29.30": "nameConstraints", "2.5.29.31": "cRLDistributionPoints", "2.5.29.32": "certificatePolicies",
    "2.5.29.33": "policyMappings", "2.5.29.35": "authorityKeyIdentifier", "2.5.29.36": "policyConstraints", "2.5.29.37": "extKeyUsage",
    "2.5.29.46": "freshestCRL", "2.5.29.54": "inhibitAnyPolicy", "1.3.6.1.5.5.7.1.1": "authorityInfoAccess",
    "1.3.6.1.5.5.7.1.11": "subjectInfoAccess",
}  # fmt: skip
RECOGNISED = {*EXTENSION_NAMES, "1.3.6.1.4.1.11129.2.4.3", "1.3.6.1.4.1.11129.2.4.2", "1.3.6.1.5.5.7.1.24", "1.3.6.1.5.5.7.48.1.5"}
ATTRIBUTE_NAMES = {
    NameOID.COMMON_NAME: "CN", NameOID.COUNTRY_NAME: "C", NameOID.ORGANIZATION_NAME: "O", NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.LOCALITY_NAME: "L", NameOID.STATE_OR_PROVINCE_NAME: "ST", NameOID.STREET_ADDRESS: "STREET", NameOID.DOMAIN_COMPONENT: "DC",
    NameOID.USER_ID: "UID", NameOID.SURNAME: "SN", NameOID.SERIAL_NUMBER: "serialNumber", NameOID.TITLE: "title",
    NameOID.BUSINESS_CATEGORY: "businessCategory", NameOID.POSTAL_CODE: "postalCode", NameOID.GIVEN_NAME: "givenName",
    NameOID.INITIALS: "initials", NameOID.GENERATION_QUALIFIER: "generationQualifier", NameOID.DN_QUALIFIER: "dnQualifier",
    NameOID.PSEUDONYM: "pseudonym", NameOID.ORGANIZATION_IDENTIFIER: "organizationIdentifier", NameOID.EMAIL_ADDRESS: "emailAddress",
    NameOID.JURISDICTION_COUNTRY_NAME: "jurisdictionCountry", NameOID.JURISDICTION_LOCALITY_NAME: "jurisdictionLocality",
    NameOID.JURISDICTION_STATE_OR_PROVINCE_NAME: "jurisdictionStateOrProvince",
}  # fmt: skip
PURPOSES = {
    ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth", ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth",
    ExtendedKeyUsageOID.CODE_SIGNING: "codeSigning", ExtendedKeyUsageOID.EMAIL_PROTECTION: "emailProtection",
    ExtendedKeyUsageOID.TIME_STAMPING: "timeStamping", ExtendedKeyUsageOID.OCSP_SIGNING: "OCSPSigning",
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "anyExtendedKeyUsage",
}  # fmt: skip
GENERAL_NAMES = {
    x509.OtherName: "otherName", x509.RFC822Name: "rfc822Name", x509.DNSName: "dNSName", x509.DirectoryName: "directoryName",
    x509.UniformResourceIdentifier: "uniformResourceIdentifier", x509.IPAddress: "iPAddress", x509.RegisteredID: "registeredID",
}  # fmt: skip
USAGES = {
    "digital_signature": "digitalSignature", "content_commitment": "nonRepudiation", "key_encipherment": "keyEncipherment",
    "data_encipherment": "dataEncipherment", "key_agreement": "keyAgreement", "key_cert_sign": "keyCertSign", "crl_sign": "cRLSign",
    "encipher_only": "encipherOnly", "decipher_only": "decipherOnly",
}  # fmt: skip
CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521", "secp224r1": "P-224", "secp192r1": "P-192"}
SIGNATURES = {
    "1.2.840.113549.1.1.5": "sha1WithRSAEncryption", "1.2.840.113549.1.1.11": "sha256WithRSAEncryption",
    "1.2.840.113549.1.1.12": "sha384WithRSAEncryption", "1.2.840.113549.1.1.13": "sha512WithRSAEncryption",
    "1.2.840.113549.1.1.10": "RSASSA-PSS", "1.2.840.10045.4.1": "ecdsa-with-SHA1", "1.2.840.10045.4.3.2": "ecdsa-with-SHA256",
    "1.2.840.10045.4.3.3": "ecdsa-with-SHA384", "1.2.840.10045.4.3.4": "ecdsa-with-SHA512", "1.3.101.112": "Ed25519",
    "1.3.101.113": "Ed448",
}  # fmt: skip


def load(der: bytes) -> x509.Certificate:
    """cryptography's own loader, without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return x509.load_der_x509_certificate(der)


def alone(identifier: str, value: bytes) -> Any:
    """What cryptography makes of one extension in a certificate of its own; BROKEN if it refuses it."""
    try:
        return load(_carrier(extension(identifier, value))).extensions[0].value
    except (ValueError, x509.UnsupportedGeneralNameType, TypeError, OverflowError) as error:
        return BROKEN if any(sign in str(error) for sign in ("ParseError", "SCT length", "SCT list", "version")) else UNJUDGED


def _carrier(ext: bytes) -> bytes:
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    someone = name(("2.5.4.3", "x"))
    validity = tlv(0x30, instant(datetime(2025, 1, 1, tzinfo=UTC)), instant(datetime(2026, 1, 1, tzinfo=UTC)))
    spki = tlv(0x30, tlv(0x30, oid("1.3.101.112")), tlv(3, b"\0" * 33))
    tbs = tlv(0x30, tlv(0xA0, b"\2\1\2"), integer(1), algorithm, someone, validity, someone, spki, tlv(0xA3, tlv(0x30, ext)))
    return tlv(0x30, tbs, algorithm, tlv(3, b"\0\0"))


def reference(der: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Columns (those that cryptography can give), and the isolated extension values by OID, of a certificate that loads."""
    certificate = load(der)
    decoded = der_decode(der, asn1Spec=rfc5280.Certificate())[0]
    tbs = decoded["tbsCertificate"]
    raw = [(str(e["extnID"]), bool(e["critical"]), bytes(e["extnValue"])) for e in tbs["extensions"]] if tbs["extensions"].isValue else []
    first = {}
    for identifier, _, value in raw:
        first.setdefault(identifier, value)
    values = {identifier: alone(identifier, value) for identifier, value in first.items()}
    serial = certificate.serial_number
    columns: dict[str, Any] = {
        "asset_id": hashlib.sha256(der).hexdigest(),
        "serial_number": f"{serial:x}",
        "not_before": certificate.not_valid_before_utc,
        "not_after": certificate.not_valid_after_utc,
        "signature_algorithm": SIGNATURES.get(certificate.signature_algorithm_oid.dotted_string),
        "extensions": list(dict.fromkeys(EXTENSION_NAMES.get(i, i) for i, _, _ in raw)),
        "critical_extensions": list(dict.fromkeys(EXTENSION_NAMES.get(i, i) for i, c, _ in raw if c)),
        "is_precertificate": "1.3.6.1.4.1.11129.2.4.3" in first,
        "spki_sha256": hashlib.sha256(der_encode(tbs["subjectPublicKeyInfo"])).hexdigest(),
        "spki_algorithm_der": der_encode(tbs["subjectPublicKeyInfo"]["algorithm"]).hex(),
        "is_self_signed": _is_self_signed(certificate, tbs),
        **_names(certificate), **_signature(certificate), **_key(tbs), **_of_extensions(values),
    }  # fmt: skip
    columns["framing_defects"] = {
        "not_v3": certificate.version is not x509.Version.v3,
        "unique_id_present": tbs["issuerUniqueID"].isValue or tbs["subjectUniqueID"].isValue,
        "duplicate_extension": len(first) != len(raw),
        "unknown_critical_extension": any(c and i not in RECOGNISED for i, c, _ in raw),
        "bad_time_encoding": any(tbs["validity"][n].getName() == "generalTime" and moment.year < 2050 for n, moment in
                                 (("notBefore", certificate.not_valid_before_utc), ("notAfter", certificate.not_valid_after_utc))),
        "signature_algorithm_mismatch": tbs["signature"] != decoded["signatureAlgorithm"],
    }  # fmt: skip
    return {k: v for k, v in columns.items() if v is not BROKEN}, values


def is_suspect(der: bytes, columns: dict[str, Any], values: dict[str, Any]) -> bool:
    """Whether anything at all could make a certificate `bad_der`."""
    certificate = load(der)
    if any(v in (BROKEN, UNJUDGED) for v in values.values()) or not {"subject", "issuer", "key_algorithm"} <= columns.keys():
        return True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kinds = {a._type.value for n in (certificate.subject, certificate.issuer) for a in n}
        is_plain = all(len(rdn) == 1 for n in (certificate.subject, certificate.issuer) for rdn in n.rdns)
    names = [*columns.get("san_names", ()), *(n.value for n in values.get("2.5.29.17", ()) if isinstance(n.value, str))]
    odd = any(not n.isascii() or n.startswith("#") for n in names)
    return bool(kinds & {4, 23, 24}) or not is_plain or odd or "2.5.29.15" in values


def _is_self_signed(certificate: x509.Certificate, tbs: Any) -> Any:
    if der_encode(tbs["issuer"]) != der_encode(tbs["subject"]):
        return False
    try:
        certificate.verify_directly_issued_by(certificate)
    except InvalidSignature:
        return False
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return _by_arithmetic(certificate)
    return True


ENDINGS = {
    "1.2.840.113549.1.1.4": ("md5", "3020300c06082a864886f70d020505000410"),
    "1.2.840.113549.1.1.5": ("sha1", "3021300906052b0e03021a05000414"),
}


def _by_arithmetic(certificate: x509.Certificate) -> bool | None:
    """RFC 8017 section 8.2.2, for the hashes that the package refuses."""
    name, prefix = ENDINGS.get(certificate.signature_algorithm_oid.dotted_string, ("", ""))
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    if not name or not isinstance(key, rsa.RSAPublicKey):
        return None
    numbers, size = key.public_numbers(), -(-key.key_size // 8)
    digest = bytes.fromhex(prefix) + hashlib.new(name, certificate.tbs_certificate_bytes).digest()
    wanted = b"\0\1" + b"\xff" * (size - len(digest) - 3) + b"\0" + digest
    signature = int.from_bytes(certificate.signature, "big")
    is_whole = len(certificate.signature) == size and signature < numbers.n
    return is_whole and pow(signature, numbers.e, numbers.n) == int.from_bytes(wanted, "big")


def _names(certificate: x509.Certificate) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: dict[str, Any] = {}
        for column in ("subject", "issuer"):
            try:
                value = getattr(certificate, column)
                # of a BIT STRING cryptography shows the content; RFC 4514 section 2.4 wants the whole encoding
                found[column] = BROKEN if any(isinstance(a.value, bytes) for a in value) else value.rfc4514_string()
                if column == "subject":
                    found["subject_attribute_types"] = list(dict.fromkeys(ATTRIBUTE_NAMES.get(a.oid, a.oid.dotted_string) for a in value))
            except (ValueError, TypeError):
                found[column] = BROKEN
        return found


def _signature(certificate: x509.Certificate) -> dict[str, Any]:
    try:
        hashed = certificate.signature_hash_algorithm
    except (UnsupportedAlgorithm, ValueError):
        return {}
    return {"signature_hash": hashed.name.upper() if hashed else "intrinsic"}


def _key(tbs: Any) -> dict[str, Any]:
    try:
        key = load_der_public_key(der_encode(tbs["subjectPublicKeyInfo"]))
    except (ValueError, UnsupportedAlgorithm):
        return {}
    if isinstance(key, rsa.RSAPublicKey):
        exponent = min(key.public_numbers().e, 2**63 - 1)
        return {"key_algorithm": "RSA", "key_bits": key.key_size, "key_curve": None, "rsa_exponent": exponent}
    if isinstance(key, ec.EllipticCurvePublicKey):
        curve = CURVES.get(key.curve.name, key.curve.name)
        return {"key_algorithm": "EC", "key_bits": key.key_size, "key_curve": curve, "rsa_exponent": None}
    if isinstance(key, dsa.DSAPublicKey):
        return {"key_algorithm": "DSA", "key_bits": key.key_size, "key_curve": None, "rsa_exponent": None}
    named = {
        ed25519.Ed25519PublicKey: "Ed25519",
        ed448.Ed448PublicKey: "Ed448",
        x25519.X25519PublicKey: "X25519",
        x448.X448PublicKey: "X448",
    }
    algorithm = next(n for kind, n in named.items() if isinstance(key, kind))
    return {"key_algorithm": algorithm, "key_bits": None, "key_curve": None, "rsa_exponent": None}


def _of_extensions(values: dict[str, Any]) -> dict[str, Any]:
    return {
        **_san(values.get(ExtensionOID.SUBJECT_ALTERNATIVE_NAME.dotted_string)),
        "key_usage": _read(values, ExtensionOID.KEY_USAGE, None, _usages),
        "extended_key_usage": _read(values, ExtensionOID.EXTENDED_KEY_USAGE, None, lambda v: [PURPOSES.get(o, o.dotted_string) for o in v]),
        "is_ca": _read(values, ExtensionOID.BASIC_CONSTRAINTS, False, lambda v: v.ca),
        "policy_oids": _read(values, ExtensionOID.CERTIFICATE_POLICIES, [], lambda v: [p.policy_identifier.dotted_string for p in v]),
        "crl_urls": _read(values, ExtensionOID.CRL_DISTRIBUTION_POINTS, [], _crl_urls),
        "aia_entries": _read(values, ExtensionOID.AUTHORITY_INFORMATION_ACCESS, [], _access),
        "earliest_sct_at": _read(values, ExtensionOID.PRECERT_SIGNED_CERTIFICATE_TIMESTAMPS, None, _earliest),
    }


def _read(values: dict[str, Any], identifier: x509.ObjectIdentifier, absent: Any, reader: Any) -> Any:
    value = values.get(identifier.dotted_string)
    return absent if value is None else BROKEN if value in (BROKEN, UNJUDGED) else reader(value)


def _usages(value: x509.KeyUsage) -> list[str]:
    asserted = []
    for attribute, usage in USAGES.items():
        if attribute in ("encipher_only", "decipher_only") and not value.key_agreement:
            continue
        if getattr(value, attribute):
            asserted.append(usage)
    return asserted


def _san(value: Any) -> dict[str, Any]:
    if value is None:
        return {"san_names": [], "san_types": [], "is_wildcard": False}
    if value in (BROKEN, UNJUDGED):
        return {}
    shown = [n for n in value if isinstance(n, x509.DNSName | x509.IPAddress)]
    texts = [_address(n.value) if isinstance(n, x509.IPAddress) else n.value for n in shown]
    wildcard = any(isinstance(n, x509.DNSName) and n.value.startswith("*.") for n in shown)
    return {"san_names": texts, "san_types": list(dict.fromkeys(GENERAL_NAMES[type(n)] for n in value)), "is_wildcard": wildcard}


def _address(value: Any) -> str:
    if isinstance(value, ipaddress.IPv4Network | ipaddress.IPv6Network):
        return "#" + (value.network_address.packed + value.netmask.packed).hex()
    return str(value)


def _crl_urls(value: x509.CRLDistributionPoints) -> list[str]:
    return [n.value for p in value for n in p.full_name or () if isinstance(n, x509.UniformResourceIdentifier)]


def _access(value: x509.AuthorityInformationAccess) -> list[str]:
    methods = {AuthorityInformationAccessOID.OCSP: "ocsp", AuthorityInformationAccessOID.CA_ISSUERS: "caIssuers"}
    entries = [d for d in value if isinstance(d.access_location, x509.UniformResourceIdentifier)]
    return [f"{methods.get(d.access_method, d.access_method.dotted_string)}={d.access_location.value}" for d in entries]


def _earliest(value: x509.PrecertificateSignedCertificateTimestamps) -> Any:
    try:
        return min((s.timestamp.replace(tzinfo=UTC) for s in value), default=None)
    except (ValueError, OverflowError, OSError):
        return BROKEN
