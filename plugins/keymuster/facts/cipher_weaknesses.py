"""Weak suites that an endpoint accepts."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pandas as pd

from keymuster.facts._arrays import delivered, holds, labels, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "cipher_weaknesses"
TABLE = "endpoints"
NEEDS = ("cipher_suites",)
DOC = "By the parts of the IANA names: NULL, ANON, EXPORT, RC4, DES, 3DES, STATIC_RSA, STATIC_DH, CBC; null where a name is not IANA's."

WEAK = {
    "NULL": re.compile(r"_NULL(_|$)|^TLS_SHA(256|384)_SHA(256|384)$"),
    "ANON": re.compile(r"_anon_|^(TLS|SSL)_NULL_"),
    "EXPORT": re.compile(r"EXPORT"),
    "RC4": re.compile(r"_RC4_"),
    "DES": re.compile(r"_DES(40)?_(?!192_EDE3)"),
    "3DES": re.compile(r"_3DES_|_DES_192_EDE3_"),
    "STATIC_RSA": re.compile(r"^(TLS|SSL)_RSA_|^SSL_CK_"),
    "STATIC_DH": re.compile(r"^(TLS|SSL)_(DH|ECDH)_(?!anon)"),
    "CBC": re.compile(r"_CBC_"),
}
"""RFC 9150 names its suites without encryption by their hash only; suites of SSL 2 (SSL_CK_…) all move the key by RSA."""


def _shows(test: re.Pattern[str], name: str) -> bool:
    return bool(test.search(name))


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    del context
    suites = delivered(frame, "cipher_suites")
    strange = holds(suites, lambda name: not name.startswith(("TLS_", "SSL_")))
    masks = {label: holds(suites, partial(_shows, test)) for label, test in WEAK.items()}
    return series(frame, labels(masks, strange | suites.is_null().to_numpy(zero_copy_only=False)))
