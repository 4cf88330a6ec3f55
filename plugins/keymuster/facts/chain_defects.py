"""What is wrong with the chain that a server sends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from cryptography import x509

from keymuster.facts._arrays import series, table
from keymuster.facts._certificates import loaded, names
from keymuster.facts._issuers import Hierarchy, hierarchy
from keymuster.facts._paths import Paths
from keymuster.frame import Frame
from keymuster.protocols import FactContext, Unknowable

COLUMN = "chain_defects"
TABLE = "endpoints"
NEEDS = (
    "station",
    "locator",
    "certificate_asset_id",
    "certificates.asset_id",
    "certificates.station",
    "certificates.locator",
    "certificates.role",
    "certificates.is_ca",
    "certificates.spki_sha256",
    "stations.station",
    "stations.kind",
)
DOC = (
    "Paths from the leaf (x509.verification; its expiry, name and purpose aside): `incomplete` if what was sent reaches no root, "
    "`misordered` if a certificate does not certify the one before it, `untrusted` if the inventory's issuers reach no root either, "
    "`unapproved_root` if the only root is neither listed nor named by policy; null without leaf or chain, or while policy names no roots."
)
POSITION = r"^(?P<base>.*)#(?P<position>\d+)$"
"""Locator of a chain certificate: the endpoint's, and its place in the chain as sent."""
LEAF_ONLY = ("nmap_xml",)
"""Sources that report the leaf of a service and no more: of its chain nothing is known."""
Chain = tuple[str, ...]


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    judge = _Judge(hierarchy(context), context)
    sent = _sent(table(context, "certificates"))
    places = zip(frame.arrow("station").to_pylist(), frame.arrow("locator").to_pylist(), strict=True)
    leaves = _told(frame, context).to_pylist()
    chains = [(leaf, *(f for f in sent.get(place, ()) if f != leaf)) if leaf else None for leaf, place in zip(leaves, places, strict=True)]
    prints = pa.array(sorted({print_ for chain in chains if chain for print_ in chain}), pa.string())
    judge.certificates = {print_: c for print_, c in loaded(prints, context) if names(c) is not None}
    answers = {chain: judge.defects(chain) for chain in set(chains) if chain}
    return series(frame, pa.array([None if chain is None else answers[chain] for chain in chains], pa.list_(pa.string())))


def _told(frame: Frame, context: FactContext) -> pa.Array:
    """Leaves of the endpoints whose source tells what else was sent."""
    stations = table(context, "stations")
    silent = stations.arrow("station").filter(pc.is_in(stations.arrow("kind"), value_set=pa.array(LEAF_ONLY)))
    return pc.if_else(pc.is_in(frame.arrow("station"), value_set=silent), None, frame.arrow("certificate_asset_id"))


def _sent(certificates: Frame) -> dict[tuple[str, str], Chain]:
    """Chain certificates as sent, by (station, locator of the endpoint)."""
    chosen = pc.equal(certificates.arrow("role"), "chain").fill_null(False)
    columns = {name: certificates.arrow(name).filter(chosen) for name in ("station", "locator", "asset_id")}
    parts = pc.extract_regex(columns["locator"], pattern=POSITION)
    rows = zip(columns["station"].to_pylist(), parts.to_pylist(), columns["asset_id"].to_pylist(), strict=True)
    found: dict[tuple[str, str], set[tuple[int, str]]] = defaultdict(set)
    for station, part, print_ in rows:
        if part is not None and len(part["position"]) < 4:
            found[station, part["base"]].add((int(part["position"]), print_))
    return {place: tuple(print_ for _, print_ in sorted(chain)) for place, chain in found.items()}


class _Judge:
    """Judges chains of one shard."""

    def __init__(self, found: Hierarchy, context: FactContext) -> None:
        if not found.listed and context.policy.private_roots is None:
            raise Unknowable("reference data has no root list and policy names no private roots (private_roots)")
        every = [(node, c) for node, members in found.authorities.items() for c in members.values()]
        trusted = [c for node, c in every if node in found.listed or node[1] in found.private]
        roots = [c for _, c in every if c.subject == c.issuer]
        self._pool = [c for _, c in every if c.subject != c.issuer]
        self._trusted, self._any = Paths(trusted), Paths([*trusted, *roots])
        self._is_open = context.policy.private_roots is None
        self._as_of = context.as_of
        self.certificates: dict[str, x509.Certificate] = {}

    def defects(self, chain: Chain) -> list[str] | None:
        """Defects of one chain as sent, leaf first; None if the leaf's DER was not kept, or if only policy could say whom to trust."""
        leaf = self.certificates.get(chain[0])
        if leaf is None:
            return None
        sent = [self.certificates[print_] for print_ in chain[1:] if print_ in self.certificates]
        is_trusted = self._trusted.reaches(leaf, sent, self._as_of)
        is_complete = is_trusted or self._any.reaches(leaf, sent, self._as_of)
        is_trusted = is_trusted or self._trusted.reaches(leaf, [*sent, *self._near(leaf)], self._as_of)
        is_reached = is_complete or is_trusted or self._any.reaches(leaf, [*sent, *self._near(leaf)], self._as_of)
        if not is_trusted and self._is_open:
            return None
        marks = {
            "incomplete": not is_complete and leaf.issuer != leaf.subject,
            "misordered": _is_misordered([leaf, *sent]),
            "untrusted": not is_reached,
            "unapproved_root": is_reached and not is_trusted,
        }
        return [name for name, is_there in marks.items() if is_there]

    def _near(self, leaf: x509.Certificate) -> Sequence[x509.Certificate]:
        """Intermediates of the inventory that may lie above the leaf: those on the way by name, at most a few levels."""
        found: list[x509.Certificate] = []
        names = {leaf.issuer}
        while names:
            level = [c for c in self._pool if c.subject in names and c not in found]
            found += level
            names = {c.issuer for c in level}
        return found


def _is_misordered(chain: Sequence[x509.Certificate]) -> bool:
    """Whether some certificate does not certify the one directly before it (RFC 5246 7.4.2)."""
    return any(below.issuer != above.subject for below, above in pairwise(chain))
