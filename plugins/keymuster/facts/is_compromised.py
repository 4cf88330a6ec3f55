"""Keys known as compromised."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import each, series, table
from keymuster.facts._public_keys import digests, infos, parsed
from keymuster.facts._weak_list import ABSENT, WeakList, weak_list
from keymuster.frame import Frame
from keymuster.protocols import FactContext, Unknowable

COLUMN = "is_compromised"
TABLE = "keys"
NEEDS = ("spki_sha256", "key_algorithm", "certificates.spki_sha256", "certificates.asset_id", "certificates.revocation_status")
DOC = (
    "In the policy's register of compromised keys, on the mounted list of known private keys, or key of a certificate "
    "revoked for keyCompromise. Unknowable while policy says nothing and no list is mounted."
)


def _listed(context: FactContext) -> WeakList | None:
    try:
        return weak_list(context.reference)
    except Unknowable:
        return None


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    listed = _listed(context)
    if listed is None and "compromised_keys" not in context.policy.model_fields_set:
        raise Unknowable("policy has no register of compromised keys (`compromised_keys: []` states that none is known), and " + ABSENT)
    bad = {entry.spki_sha256 for entry in context.policy.compromised_keys if entry.since <= context.as_of}
    certificates = table(context, "certificates")
    revoked = pc.equal(certificates.arrow("revocation_status"), "revoked_key_compromise").fill_null(False)
    bad.update(certificates.arrow("spki_sha256").filter(revoked).to_pylist())
    for digest, info in infos(digests(frame), context).items() if listed is not None else ():
        key = parsed(info)
        if key is not None and listed is not None and listed.category(key) is not None:
            bad.add(digest)
    return series(frame, each(frame.arrow("spki_sha256"), bad.__contains__, pa.bool_()))
