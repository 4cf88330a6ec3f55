"""Who signed what: certificates of a shard linked to the keys that verify them, and to the roots that those hang on.

Links are signatures (`verify_directly_issued_by`), not valid paths: which hierarchy a certificate comes from does not change because it is
expired, or because an issuer is too weak for today's clients, and those are the certificates that rules are after (docs/adr/0030).
Whether a client would accept a chain is asked of `x509.verification` in `_paths`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from cryptography import x509

from keymuster.errors import ContentError
from keymuster.facts._arrays import table
from keymuster.facts._certificates import BATCH, extension, fingerprint, loaded, names, spki_sha256
from keymuster.facts._reference import Roots, roots
from keymuster.facts._signatures import Batch, Reading
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
MAX_TRIES = 32
"""Keys of one name that are tried on a certificate."""


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
        """Make a certificate a candidate issuer, unless its name or key cannot be read."""
        key, named = spki_sha256(certificate), names(certificate)
        if key is None or named is None:
            return None
        name = named[1].public_bytes()
        if (name, key) not in self.authorities:
            self.by_name.setdefault(name, []).append(key)
        self.authorities.setdefault((name, key), {})[fingerprint(certificate)] = certificate
        identifier = extension(certificate, x509.SubjectKeyIdentifier)
        if identifier is not None:
            self.by_identifier.setdefault((name, identifier.digest), []).append(key)
        return name, key

    def link(self, own_keys: Mapping[str, str | None], context: FactContext) -> None:
        """Find the authorities that signed these certificates, and those of the candidates. `own_keys`: spki_sha256 by fingerprint."""
        at_hand = {print_: (c, key) for (_, key), members in self.authorities.items() for print_, c in members.items()}
        keys = {**own_keys, **{print_: key for print_, (_, key) in at_hand.items()}}
        every = list(keys)
        for start in range(0, len(every), BATCH):
            batch = Batch(every[start : start + BATCH], context, {print_: c for print_, (c, _) in at_hand.items()})
            read = batch.readings()
            self.purposes |= {print_: reading.purposes for print_, reading in read.items()}
            tries = {print_: self._likely(reading, keys[print_]) for print_, reading in read.items()}
            for print_, key in batch.verdicts(tries).items():
                self.issuers[print_] = (read[print_].issuer, key)

    def _likely(self, reading: Reading, own_key: str | None) -> dict[str, x509.Certificate]:
        """Keys to try with an issuer that has them, likely ones first. Many appliances make a CA of one name: only so many are tried."""
        name, keys = reading.issuer, self.by_name.get(reading.issuer, [])
        if len(keys) > 1:
            hinted = self.by_identifier.get((name, reading.identifier), []) if reading.identifier is not None else []
            first = [own_key] if own_key is not None and (name, own_key) in self.authorities else []
            keys = list(dict.fromkeys([*first, *hinted, *keys[:MAX_TRIES]]))[: 2 * MAX_TRIES]
        return {key: next(iter(self.authorities[name, key].values())) for key in keys}

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
    key = (hashlib.sha256("".join(ids.to_pylist()).encode()).hexdigest(), context.ders, context.memory, context.reference, policy)
    if _last is None or _last[0] != key:
        _last = (key, _built(frame, ids, context))
    return _last[1]


def _built(frame: Frame, ids: pa.Array, context: FactContext) -> Hierarchy:
    found = Hierarchy()
    _add_roots(found, roots(context.reference), context)
    for _, certificate in loaded(_candidates(frame), context):
        found.add(certificate)
    found.link(own_keys(frame, ids), context)
    return found


def own_keys(frame: Frame, ids: pa.Array) -> dict[str, str | None]:
    """spki_sha256 of these certificates by fingerprint."""
    rows = pc.index_in(ids, value_set=frame.arrow("asset_id"))
    return dict(zip(ids.to_pylist(), frame.arrow("spki_sha256").take(rows).to_pylist(), strict=True))


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
