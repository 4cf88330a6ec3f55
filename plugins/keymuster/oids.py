"""Names of the object identifiers that X.509 inventories meet. Keys are content octets of the DER, ready for a look-up without decoding."""

from __future__ import annotations

from collections.abc import Mapping

from keymuster.der import dotted, encoded


def _table(names: Mapping[str, str]) -> Mapping[bytes, str]:
    return {encoded(oid): name for oid, name in names.items()}


def name_of(table: Mapping[bytes, str], oid: bytes) -> str:
    """Name of the identifier, or its dotted text if the table has none."""
    return table.get(oid) or dotted(oid)


RFC4514 = _table({
    "2.5.4.3": "CN", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.6": "C", "2.5.4.9": "STREET",
    "0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID",
})  # fmt: skip
"""Attribute types that RFC 4514 section 3 gives a short name."""

ATTRIBUTE_TYPES = {
    **RFC4514,
    **_table({
        "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.12": "title", "2.5.4.15": "businessCategory", "2.5.4.17": "postalCode",
        "2.5.4.42": "givenName", "2.5.4.43": "initials", "2.5.4.44": "generationQualifier", "2.5.4.46": "dnQualifier",
        "2.5.4.65": "pseudonym", "2.5.4.97": "organizationIdentifier", "1.2.840.113549.1.9.1": "emailAddress",
        "1.3.6.1.4.1.311.60.2.1.1": "jurisdictionLocality", "1.3.6.1.4.1.311.60.2.1.2": "jurisdictionStateOrProvince",
        "1.3.6.1.4.1.311.60.2.1.3": "jurisdictionCountry",
    }),
}  # fmt: skip

EXTENSIONS = _table({
    "2.5.29.9": "subjectDirectoryAttributes", "2.5.29.14": "subjectKeyIdentifier", "2.5.29.15": "keyUsage",
    "2.5.29.16": "privateKeyUsagePeriod", "2.5.29.17": "subjectAltName", "2.5.29.18": "issuerAltName", "2.5.29.19": "basicConstraints",
    "2.5.29.30": "nameConstraints", "2.5.29.31": "cRLDistributionPoints", "2.5.29.32": "certificatePolicies",
    "2.5.29.33": "policyMappings", "2.5.29.35": "authorityKeyIdentifier", "2.5.29.36": "policyConstraints", "2.5.29.37": "extKeyUsage",
    "2.5.29.46": "freshestCRL", "2.5.29.54": "inhibitAnyPolicy", "1.3.6.1.5.5.7.1.1": "authorityInfoAccess",
    "1.3.6.1.5.5.7.1.11": "subjectInfoAccess",
})  # fmt: skip
"""Extensions of RFC 5280 section 4.2."""

POISON = encoded("1.3.6.1.4.1.11129.2.4.3")
SCT_LIST = encoded("1.3.6.1.4.1.11129.2.4.2")
RECOGNISED = frozenset(EXTENSIONS) | {POISON, SCT_LIST, encoded("1.3.6.1.5.5.7.1.24"), encoded("1.3.6.1.5.5.7.48.1.5")}
"""Extensions that are no surprise when critical: RFC 5280, RFC 6962, tlsFeature (RFC 7633), OCSP no-check (RFC 6960)."""

KEY_PURPOSES = _table({
    "1.3.6.1.5.5.7.3.1": "serverAuth", "1.3.6.1.5.5.7.3.2": "clientAuth", "1.3.6.1.5.5.7.3.3": "codeSigning",
    "1.3.6.1.5.5.7.3.4": "emailProtection", "1.3.6.1.5.5.7.3.8": "timeStamping", "1.3.6.1.5.5.7.3.9": "OCSPSigning",
    "2.5.29.37.0": "anyExtendedKeyUsage",
})  # fmt: skip
ACCESS_METHODS = _table({"1.3.6.1.5.5.7.48.1": "ocsp", "1.3.6.1.5.5.7.48.2": "caIssuers"})

HASHES = _table({
    "1.2.840.113549.2.2": "MD2", "1.2.840.113549.2.4": "MD4", "1.2.840.113549.2.5": "MD5", "1.3.14.3.2.26": "SHA1",
    "2.16.840.1.101.3.4.2.4": "SHA224", "2.16.840.1.101.3.4.2.1": "SHA256", "2.16.840.1.101.3.4.2.2": "SHA384",
    "2.16.840.1.101.3.4.2.3": "SHA512", "2.16.840.1.101.3.4.2.7": "SHA3-224", "2.16.840.1.101.3.4.2.8": "SHA3-256",
    "2.16.840.1.101.3.4.2.9": "SHA3-384", "2.16.840.1.101.3.4.2.10": "SHA3-512",
})  # fmt: skip

_RSA, _ECDSA, _NIST = "1.2.840.113549.1.1", "1.2.840.10045.4", "2.16.840.1.101.3.4.3"
_SLH = ("SHA2-128s", "SHA2-128f", "SHA2-192s", "SHA2-192f", "SHA2-256s", "SHA2-256f",
        "SHAKE-128s", "SHAKE-128f", "SHAKE-192s", "SHAKE-192f", "SHAKE-256s", "SHAKE-256f")  # fmt: skip
_MODERN = {
    "1.3.101.112": "Ed25519", "1.3.101.113": "Ed448",
    **{f"{_NIST}.{17 + i}": f"ML-DSA-{n}" for i, n in enumerate((44, 65, 87))},
    **{f"{_NIST}.{20 + i}": f"SLH-DSA-{n}" for i, n in enumerate(_SLH)},
    "1.2.840.113549.1.9.16.3.17": "LMS", "1.3.6.1.5.5.7.6.34": "XMSS",
}  # fmt: skip
"""Schemes whose key and signature share one identifier and that fix their hash."""

SIGNATURES: Mapping[bytes, tuple[str, str | None]] = {encoded(oid): pair for oid, pair in {
    f"{_RSA}.2": ("md2WithRSAEncryption", "MD2"), f"{_RSA}.3": ("md4WithRSAEncryption", "MD4"),
    f"{_RSA}.4": ("md5WithRSAEncryption", "MD5"),
    f"{_RSA}.5": ("sha1WithRSAEncryption", "SHA1"), "1.3.14.3.2.29": ("sha1WithRSAEncryption", "SHA1"),
    f"{_RSA}.14": ("sha224WithRSAEncryption", "SHA224"), f"{_RSA}.11": ("sha256WithRSAEncryption", "SHA256"),
    f"{_RSA}.12": ("sha384WithRSAEncryption", "SHA384"), f"{_RSA}.13": ("sha512WithRSAEncryption", "SHA512"),
    f"{_RSA}.10": ("RSASSA-PSS", None),
    f"{_ECDSA}.1": ("ecdsa-with-SHA1", "SHA1"), f"{_ECDSA}.3.1": ("ecdsa-with-SHA224", "SHA224"),
    f"{_ECDSA}.3.2": ("ecdsa-with-SHA256", "SHA256"), f"{_ECDSA}.3.3": ("ecdsa-with-SHA384", "SHA384"),
    f"{_ECDSA}.3.4": ("ecdsa-with-SHA512", "SHA512"),
    "1.2.840.10040.4.3": ("dsa-with-SHA1", "SHA1"),
    f"{_NIST}.1": ("dsa-with-SHA224", "SHA224"), f"{_NIST}.2": ("dsa-with-SHA256", "SHA256"),
    f"{_NIST}.3": ("dsa-with-SHA384", "SHA384"), f"{_NIST}.4": ("dsa-with-SHA512", "SHA512"),
    **{f"{_NIST}.{9 + i}": (f"ecdsa-with-SHA3-{n}", f"SHA3-{n}") for i, n in enumerate((224, 256, 384, 512))},
    **{f"{_NIST}.{13 + i}": (f"rsa-with-SHA3-{n}", f"SHA3-{n}") for i, n in enumerate((224, 256, 384, 512))},
    **{oid: (name, "intrinsic") for oid, name in _MODERN.items()},
}.items()}  # fmt: skip
"""Signature algorithm -> name, hash (None: look into the parameters)."""
PSS = encoded(f"{_RSA}.10")

RSA_KEYS = frozenset(encoded(f"{_RSA}.{n}") for n in (1, 7, 10))
"""rsaEncryption, id-RSAES-OAEP, id-RSASSA-PSS (RFC 4055)."""
EC_KEY, DSA_KEY = encoded("1.2.840.10045.2.1"), encoded("1.2.840.10040.4.1")
KEYS = _table({
    "1.3.101.110": "X25519", "1.3.101.111": "X448",
    **{f"2.16.840.1.101.3.4.4.{1 + i}": f"ML-KEM-{n}" for i, n in enumerate((512, 768, 1024))}, **_MODERN,
})  # fmt: skip
"""Keys without a size parameter."""

CURVES: Mapping[bytes, tuple[str, int]] = {encoded(oid): pair for oid, pair in {
    "1.2.840.10045.3.1.1": ("P-192", 192), "1.3.132.0.33": ("P-224", 224), "1.2.840.10045.3.1.7": ("P-256", 256),
    "1.3.132.0.34": ("P-384", 384), "1.3.132.0.35": ("P-521", 521), "1.3.132.0.10": ("secp256k1", 256),
    "1.3.132.0.8": ("secp160r1", 160), "1.3.132.0.31": ("secp192k1", 192), "1.3.132.0.32": ("secp224k1", 224),
    "1.3.132.0.1": ("sect163k1", 163), "1.3.132.0.15": ("sect163r2", 163), "1.3.132.0.26": ("sect233k1", 233),
    "1.3.132.0.27": ("sect233r1", 233), "1.3.132.0.16": ("sect283k1", 283), "1.3.132.0.17": ("sect283r1", 283),
    "1.3.132.0.36": ("sect409k1", 409), "1.3.132.0.37": ("sect409r1", 409), "1.3.132.0.38": ("sect571k1", 571),
    "1.3.132.0.39": ("sect571r1", 571), "1.3.36.3.3.2.8.1.1.3": ("brainpoolP192r1", 192),
    "1.3.36.3.3.2.8.1.1.5": ("brainpoolP224r1", 224), "1.3.36.3.3.2.8.1.1.7": ("brainpoolP256r1", 256),
    "1.3.36.3.3.2.8.1.1.9": ("brainpoolP320r1", 320), "1.3.36.3.3.2.8.1.1.11": ("brainpoolP384r1", 384),
    "1.3.36.3.3.2.8.1.1.13": ("brainpoolP512r1", 512), "1.2.156.10197.1.301": ("SM2", 256),
}.items()}  # fmt: skip
"""Named curve -> name, field size in bits (RFC 5480, SEC 2, RFC 5639)."""
