"""RSA keys that share a prime with another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
import pyarrow as pa
from badkeys.rsakeys import sharedprimes

from keymuster.facts._batch_gcd import sharing
from keymuster.facts._public_keys import by_digest, digests, merged, moduli
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "has_shared_factor"
TABLE = "keys"
NEEDS = ("spki_sha256", "key_algorithm", "certificates.spki_sha256", "certificates.asset_id")
DOC = (
    "Batch GCD over all distinct RSA moduli of the estate, certificates included, and the known shared primes of badkeys;"
    " null for keys that are not RSA."
)


def survey(frames: Mapping[str, Frame], context: FactContext) -> pa.Table:
    """Every RSA key of the estate with its verdict: spki_sha256, has_shared_factor."""
    tables = [frames[name] for name in ("keys", "certificates", "ssh_keys") if name in frames]
    found = moduli(merged([digests(frame, "RSA") for frame in tables]), replace(context, frames=frames))
    shared = sharing(set(found.values()))
    answers = [n in shared or bool(sharedprimes(n)) for n in found.values()]
    return pa.table({"spki_sha256": pa.array(list(found), pa.string()), COLUMN: pa.array(answers, pa.bool_())})


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    found = context.survey.get(COLUMN)
    answers = found if found is not None else survey(context.frames, context)
    return by_digest(frame, dict(zip(answers["spki_sha256"].to_pylist(), answers[COLUMN].to_pylist(), strict=True)))
