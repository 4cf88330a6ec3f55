"""Published test keys."""

from __future__ import annotations

from typing import Any

import pandas as pd

from keymuster.facts._public_keys import by_digest, digests, infos, parsed
from keymuster.facts._weak_list import weak_list
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "is_test_material"
TABLE = "keys"
NEEDS = ("spki_sha256", "locator")
DOC = (
    "The key is on the mounted list of known private keys in a list of test, documentation or standards examples "
    "(badkeys: rfc, documentation, testkeys); null for keys without public part. Unknowable without list."
)

LISTS = frozenset({"rfc", "documentation", "testkeys"})


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    listed = weak_list(context.reference)
    answers = {}
    for digest, info in infos(digests(frame), context).items():
        key = parsed(info)
        if key is not None:
            answers[digest] = (listed.category(key) or "") in LISTS
    return by_digest(frame, answers)
