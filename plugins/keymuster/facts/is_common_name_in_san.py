"""Whether the commonName is a copy of a SAN entry."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from cryptography import x509
from cryptography.x509.oid import NameOID

from keymuster.facts._arrays import delivered, each, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "is_common_name_in_san"
TABLE = "certificates"
NEEDS = ("subject", "san_names")
DOC = (
    "The subject has exactly one commonName and it equals a dNSName or iPAddress entry character by character (TLS BR "
    "7.1.4.3); null without commonName."
)

ESCAPED = re.compile(r'[\\"+#;<>]|(^|,)\s|\s(,|$)')
"""What makes RFC 4514 text need a parser."""


def _common_names(subject: str) -> list[str] | None:
    """Values of commonName in an RFC 4514 text; None if there is none or the text cannot be read."""
    if not ESCAPED.search(subject):
        return [part[3:] for part in subject.split(",") if part.startswith("CN=")] or None
    try:
        name = x509.Name.from_rfc4514_string(subject)
    except ValueError:
        return None
    return [str(attribute.value) for attribute in name.get_attributes_for_oid(NameOID.COMMON_NAME)] or None


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    del context
    names = each(delivered(frame, "subject"), _common_names, pa.list_(pa.string()))
    count = pc.list_value_length(names)
    single = pc.if_else(pc.equal(count, 1), pc.list_element(pc.if_else(pc.equal(count, 1), names, pa.scalar([""], names.type)), 0), None)
    san = delivered(frame, "san_names")
    pairs = pa.array(pc.list_parent_indices(san))
    equal = pc.equal(pc.list_flatten(san), single.take(pairs)).fill_null(False)
    rows = pairs.filter(equal).to_numpy()
    found = pa.array(np.bincount(rows, minlength=len(frame)) > 0)
    answer = pc.and_(pc.equal(count, 1), found)
    return series(frame, pc.if_else(pc.and_(pc.greater(count, 0), san.is_valid()), answer, None))
