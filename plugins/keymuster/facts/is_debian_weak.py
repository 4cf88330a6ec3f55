"""Keys of the Debian generator of 2006 to 2008 (CVE-2008-0166)."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import each, series
from keymuster.facts._public_keys import digests, infos, parsed
from keymuster.facts._weak_list import weak_list
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "is_debian_weak"
TABLE = "keys"
NEEDS = ("spki_sha256", "key_algorithm", "certificates.spki_sha256", "certificates.asset_id", "key_bits", "key_curve")
DOC = (
    "The key is on the Debian list of badkeys where one is mounted; null for algorithms and sizes that the list does not "
    "cover. Unknowable without list."
)

COVERED = {"RSA": ("1024", "2048", "3072", "4096"), "EC": ("P-256", "P-384"), "DSA": ("1024",)}
"""Sizes and curves for which the list has the keys of all process ids (README of badkeys/debianopenssl)."""


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    listed = weak_list(context.reference)
    answers = {}
    for digest, info in infos(digests(frame, *COVERED), context).items():
        key = parsed(info)
        if key is not None:
            answers[digest] = (listed.category(key) or "").startswith("debian")
    size = pc.cast(frame.arrow("key_bits"), pa.string())
    kind = pc.binary_join_element_wise(frame.arrow("key_algorithm"), pc.coalesce(frame.arrow("key_curve"), size), " ")
    covered = pc.is_in(kind, value_set=pa.array([f"{a} {s}" for a, sizes in COVERED.items() for s in sizes]))
    found = each(frame.arrow("spki_sha256"), answers.get, pa.bool_())
    return series(frame, pc.if_else(pc.or_(covered, found.fill_null(False)), found, None))
