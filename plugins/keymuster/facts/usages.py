"""What a certificate may be used for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import flags, holds, labels, series
from keymuster.facts._certificates import loaded
from keymuster.facts._issuers import Hierarchy, own_keys
from keymuster.frame import Frame, Mask, empty
from keymuster.protocols import FactContext

COLUMN = "usages"
TABLE = "certificates"
NEEDS = ("asset_id", "subject", "issuer", "is_self_signed", "spki_sha256", "extended_key_usage", "key_usage", "is_ca", "san_types")
DOC = (
    "Purposes of the extended key usage; without it, or with anyExtendedKeyUsage, those that the SAN types and the key usage leave open "
    "(RFC 5280 4.2.1.12). `ca` where cA is asserted or another certificate of the inventory verifies under the key; a CA has no other."
)

PURPOSES = {
    "tls_server": "serverAuth",
    "tls_client": "clientAuth",
    "code_signing": "codeSigning",
    "smime": "emailProtection",
    "timestamping": "timeStamping",
    "ocsp_signing": "OCSPSigning",
}
TLS_BITS = frozenset({"digitalSignature", "keyEncipherment", "keyAgreement"})
MAIL_BITS = TLS_BITS | {"nonRepudiation", "contentCommitment"}


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    purposes, bits, types = frame.arrow("extended_key_usage"), frame.arrow("key_usage"), frame.arrow("san_types")
    is_open = purposes.is_null().to_numpy(zero_copy_only=False) | holds(purposes, "anyExtendedKeyUsage".__eq__)
    no_bits = bits.is_null().to_numpy(zero_copy_only=False)
    is_mail = holds(types, "rfc822Name".__eq__)
    is_host = holds(types, {"dNSName", "iPAddress"}.__contains__) | ~is_mail
    masks = {usage: holds(purposes, purpose.__eq__) for usage, purpose in PURPOSES.items()}
    masks["tls_server"] |= is_open & is_host & (no_bits | holds(bits, TLS_BITS.__contains__))
    masks["tls_client"] |= is_open & (no_bits | holds(bits, {"digitalSignature", "keyAgreement"}.__contains__))
    masks["smime"] |= is_open & is_mail & (no_bits | holds(bits, MAIL_BITS.__contains__))
    is_ca = flags(frame.arrow("is_ca")) | _signs_others(frame, context)
    needed = ("extended_key_usage", "key_usage", "is_ca", "san_types")
    unknown = np.logical_or.reduce([frame.unknown(column) for column in needed]) & ~is_ca
    return series(frame, labels({**{usage: mask & ~is_ca for usage, mask in masks.items()}, "ca": is_ca}, unknown))


def _signs_others(frame: Frame, context: FactContext) -> Mask:
    """Rows whose key verifies certificates although cA is not asserted. Shape: (rows,)."""
    found = context.survey.get(COLUMN)
    signers = (found if found is not None else survey({TABLE: frame}, context))["spki_sha256"].combine_chunks()
    return flags(pc.is_in(frame.arrow("spki_sha256"), value_set=signers))


def survey(frames: Mapping[str, Frame], context: FactContext) -> pa.Table:
    """Keys of the estate's certificates without cA that verify another certificate: spki_sha256."""
    frame = frames.get(TABLE, empty(TABLE))
    subjects, issuers, ids = frame.arrow("subject"), frame.arrow("issuer"), frame.arrow("asset_id")
    foreign = pc.invert(frame.arrow("is_self_signed").fill_null(False))
    parents = pc.and_(
        pc.invert(frame.arrow("is_ca").fill_null(False)), pc.is_in(subjects, value_set=issuers.filter(foreign).unique().drop_null())
    )
    children = pc.and_(foreign, pc.is_in(issuers, value_set=subjects.filter(parents).unique().drop_null()))
    possible = Hierarchy()
    for _, certificate in loaded(ids.filter(parents).unique().drop_null(), context):
        possible.add(certificate)
    possible.link(own_keys(frame, ids.filter(children).unique().drop_null()), context)
    signers = {node[1] for print_, node in possible.issuers.items() if print_ not in possible.authorities[node]}
    return pa.table({"spki_sha256": pa.array(sorted(signers), pa.string())})
