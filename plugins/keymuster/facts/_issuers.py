"""Who signed what: certificates of a shard linked to the keys that verify them, and to the roots that those hang on.

Links are signatures (`verify_directly_issued_by`), not valid paths: which hierarchy a certificate comes from does not change because it is
expired, or because an issuer is too weak for today's clients, and those are the certificates that rules are after (docs/adr/0030).
Whether a client would accept a chain is asked of `x509.verification` in `_paths`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from keymuster.errors import ContentError
from keymuster.facts._arrays import table
from keymuster.facts._reference import Roots, roots
from keymuster.frame import Frame
from keymuster.protocols import FactContext

Node = tuple[bytes, str]
"""An authority: DER of its name, spki_sha256 of its key. Several certificates may certify one."""
CLASSES = ("public_tls", "public_smime", "public_codesign", "private")
PURPOSES = {
    "public_tls": {"1.3.6.1.5.5.7.3.1"},
    "public_smime": {"1.3.6.1.5.5.7.3.4"},
    "public_codesign": {"1.3.6.1.5.5.7.3.3", "1.3.6.1.5.5.7.3.8"},
}
"""Trust class -> key purposes that it is about: serverAuth; emailProtection; codeSigning, timeStamping."""
ANY_PURPOSE = "2.5.29.37.0"
E = TypeVar("E", bound=x509.ExtensionType)
MAX_TRIES = 32
"""Keys of one name that are tried on a certificate."""
BATCH = 20_000
"""Certificates whose DER is in memory at one time."""
LIMIT = 2_000_000
_verified: dict[tuple[str, str], bool] = {}
"""(fingerprint, spki_sha256 of a key) -> whether the certificate verifies under the key; true for all time, so kept between facts."""


def fingerprint(certificate: x509.Certificate) -> str:
    """sha256 of the DER, hex."""
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


@lru_cache(maxsize=65_536)
def spki_sha256(certificate: x509.Certificate) -> str | None:
    """sha256 of the SubjectPublicKeyInfo, hex; None if the key cannot be read."""
    try:
        key = certificate.public_key()
        return hashlib.sha256(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest()
    except (ValueError, UnsupportedAlgorithm):
        return None


@dataclass
class Hierarchy:
    """Links of one shard."""

    authorities: dict[Node, dict[str, x509.Certificate]] = field(default_factory=dict)
    """Certificates by authority and fingerprint: candidates of the inventory, root lists, files that policy names."""
    by_name: dict[bytes, list[str]] = field(default_factory=dict)
    """Keys by DER of the name."""
    by_identifier: dict[tuple[bytes, bytes], list[str]] = field(default_factory=dict)
    """Keys by DER of the name and subject key identifier."""
    issuers: dict[str, Node] = field(default_factory=dict)
    """Fingerprint -> authority whose key verifies it."""
    purposes: dict[str, frozenset[str] | None] = field(default_factory=dict)
    """Fingerprint -> extended key usage; None where it is not restricted."""
    listed: dict[Node, set[str]] = field(default_factory=dict)
    """Authorities on a root list or among the private roots of the policy, with their classes."""
    private: frozenset[str] = frozenset()
    _memory: dict[tuple[Node, frozenset[str] | None], frozenset[str]] = field(default_factory=dict)

    def add(self, certificate: x509.Certificate) -> Node | None:
        """Make a certificate a candidate issuer."""
        key = spki_sha256(certificate)
        if key is None:
            return None
        node = (certificate.subject.public_bytes(), key)
        if node not in self.authorities:
            self.by_name.setdefault(node[0], []).append(key)
        self.authorities.setdefault(node, {})[fingerprint(certificate)] = certificate
        identifier = _extension(certificate, x509.SubjectKeyIdentifier)
        if identifier is not None:
            self.by_identifier.setdefault((node[0], identifier.digest), []).append(key)
        return node

    def link(self, print_: str, certificate: x509.Certificate) -> None:
        """Find the authority that signed a certificate."""
        self.purposes[print_] = _purposes(certificate)
        name = certificate.issuer.public_bytes()
        for key in self._likely(name, certificate):
            issuer = next(iter(self.authorities[name, key].values()))
            if is_signed(print_, certificate, key, issuer):
                self.issuers[print_] = (name, key)
                return

    def _likely(self, name: bytes, certificate: x509.Certificate) -> list[str]:
        """Keys to try, likely ones first. Many appliances make a CA of the same name: only so many are tried."""
        keys = self.by_name.get(name, [])
        if len(keys) <= 1:
            return keys
        identifier = _extension(certificate, x509.AuthorityKeyIdentifier)
        hinted = self.by_identifier.get((name, identifier.key_identifier or b""), []) if identifier is not None else []
        own = spki_sha256(certificate)
        first = [own] if own is not None and (name, own) in self.authorities else []
        return list(dict.fromkeys([*first, *hinted, *keys[:MAX_TRIES]]))[: 2 * MAX_TRIES]

    def classes(self, print_: str) -> frozenset[str]:
        """Classes of the roots that a certificate hangs on, for the purposes that it and its issuers leave."""
        node = self.issuers.get(print_)
        return frozenset() if node is None else self._above(node, self.purposes[print_], frozenset())

    def _above(self, node: Node, purposes: frozenset[str] | None, seen: frozenset[Node]) -> frozenset[str]:
        if not seen and (node, purposes) in self._memory:
            return self._memory[node, purposes]
        found = {c for c in self.listed.get(node, ()) if c == "private" or purposes is None or purposes & PURPOSES[c]}
        if node[1] in self.private:
            found.add("private")
        for print_ in self.authorities.get(node, ()):
            above = self.issuers.get(print_)
            if above is not None and above != node and above not in seen:
                found |= self._above(above, _narrowed(purposes, self.purposes[print_]), seen | {node})
        if not seen:  # below a start the answer leaves out what was seen, which cross-certificates can make matter
            self._memory[node, purposes] = frozenset(found)
        return frozenset(found)


def _narrowed(purposes: frozenset[str] | None, limit: frozenset[str] | None) -> frozenset[str] | None:
    if limit is None or purposes is None:
        return purposes if limit is None else limit
    return purposes & limit


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    """An extension; None if it is not there or the extensions cannot be read."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
        return None


def _purposes(certificate: x509.Certificate) -> frozenset[str] | None:
    """Extended key usage as OIDs; None where there is none, where it holds anyExtendedKeyUsage, or where extensions are unreadable."""
    usage = _extension(certificate, x509.ExtendedKeyUsage)
    if usage is None:
        return None
    found = frozenset(oid.dotted_string for oid in usage)
    return None if ANY_PURPOSE in found else found


def is_signed(print_: str, certificate: x509.Certificate, key: str, issuer: x509.Certificate) -> bool:
    """Whether a certificate names this issuer and verifies under its key."""
    known = _verified.get((print_, key))
    if known is not None:
        return known
    if len(_verified) >= LIMIT:
        _verified.clear()
    try:
        certificate.verify_directly_issued_by(issuer)
        answer = True
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        answer = False
    _verified[print_, key] = answer
    return answer


def load(der: bytes) -> x509.Certificate | None:
    """A certificate, None if the DER is none."""
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError:
        return None


def named_keys(entries: Iterable[str]) -> tuple[frozenset[str], tuple[x509.Certificate, ...]]:
    """What a policy list of `spki_sha256` and `file:<path>` names: digests of keys, and the certificates of the files."""
    keys, certificates = set(), []
    for entry in entries:
        if entry.startswith("file:"):
            found = _of_file(Path(entry.removeprefix("file:")))
            certificates += found
            keys |= {key for key in map(spki_sha256, found) if key}
        else:
            keys.add(entry.lower())
    return frozenset(keys), tuple(certificates)


def _of_file(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ContentError(f"{path}: policy names this file, but no PEM certificates can be read from it ({error})") from None


_last: tuple[Any, Hierarchy] | None = None
"""The hierarchy of the shard at work, which several facts ask for."""


def hierarchy(context: FactContext) -> Hierarchy:
    """Links of the shard's certificates; worked out once per shard. ContentError if reference data or policy files are wrong."""
    global _last  # noqa: PLW0603 (one entry; keyed by all inputs)
    frame = table(context, "certificates")
    ids = frame.arrow("asset_id").unique().drop_null()
    policy = (context.policy.private_roots, context.policy.approved_issuers)
    key = (hashlib.sha256("".join(ids.to_pylist()).encode()).hexdigest(), context.ders, context.reference, policy)
    if _last is None or _last[0] != key:
        _last = (key, _built(frame, ids, context))
    return _last[1]


def _built(frame: Frame, ids: pa.Array, context: FactContext) -> Hierarchy:
    found = Hierarchy()
    _add_roots(found, roots(context.reference), context)
    for _, certificate in loaded(_candidates(frame), context):
        found.add(certificate)
    for members in list(found.authorities.values()):
        for print_, certificate in members.items():
            found.link(print_, certificate)
    for print_, certificate in loaded(ids, context):
        if print_ not in found.purposes:
            found.link(print_, certificate)
    return found


def _add_roots(found: Hierarchy, lists: Roots, context: FactContext) -> None:
    for trust, certificates in lists.items():
        for certificate in certificates:
            node = found.add(certificate)
            if node is not None:
                found.listed.setdefault(node, set()).add(trust)
    for entries in (context.policy.private_roots or (), context.policy.approved_issuers or ()):
        for certificate in named_keys(entries)[1]:
            found.add(certificate)
    found.private = named_keys(context.policy.private_roots or ())[0]


def _candidates(frame: Frame) -> pa.Array:
    """Fingerprints of CA certificates and of what endpoints present as their chain: those that every shard has."""
    is_chain = pc.equal(frame.arrow("role"), "chain").fill_null(False)
    chosen = pc.or_(frame.arrow("is_ca").fill_null(False), is_chain)
    return frame.arrow("asset_id").filter(chosen).unique().drop_null()


def loaded(ids: pa.Array, context: FactContext) -> Iterator[tuple[str, x509.Certificate]]:
    """Certificates by fingerprint, in batches; those whose DER was not kept or is none are left out."""
    for start in range(0, len(ids), BATCH):
        ders: Mapping[str, bytes] = context.ders(ids[start : start + BATCH].to_pylist())
        for print_, der in ders.items():
            certificate = load(der)
            if certificate is not None:
                yield print_, certificate
