"""RSA keys that share a prime with another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
import pyarrow as pa

from keymuster.facts._compared import sharing_names
from keymuster.facts._known_primes import known
from keymuster.facts._memory import BADKEYS, answered, of_modulus
from keymuster.facts._public_keys import by_digest, digests, merged, moduli, modulus_names
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "has_shared_factor"
TABLE = "keys"
NEEDS = ("spki_sha256", "key_algorithm", "certificates.spki_sha256", "certificates.asset_id")
DOC = (
    "Batch GCD over all distinct RSA moduli of the estate, certificates included, and the known shared primes of badkeys;"
    " null for keys that are not RSA."
)
KNOWN = of_modulus("known-primes", f"1-{BADKEYS}")


def survey(frames: Mapping[str, Frame], context: FactContext) -> pa.Table:
    """Every RSA key of the estate with its verdict: spki_sha256, has_shared_factor."""
    tables = [frames[name] for name in ("keys", "certificates", "ssh_keys") if name in frames]
    whole = replace(context, frames=frames)
    names = modulus_names(merged([digests(frame, "RSA") for frame in tables]), whole)
    shared = sharing_names(set(names.values()), lambda wanted: moduli(names, wanted, whole), context.memory)

    def listed(wanted: set[str]) -> dict[str, bool]:
        read = moduli(names, wanted, whole)
        found = known(read.values())
        return {name: n in found for name, n in read.items()}

    verdicts = answered(context, KNOWN, set(names.values()) - shared, listed) | dict.fromkeys(shared, True)
    rows = {digest: verdicts[name] for digest, name in names.items() if name in verdicts}
    return pa.table({"spki_sha256": pa.array(list(rows), pa.string()), COLUMN: pa.array(rows.values(), pa.bool_())})


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    found = context.survey.get(COLUMN)
    answers = found if found is not None else survey(context.frames, context)
    return by_digest(frame, dict(zip(answers["spki_sha256"].to_pylist(), answers[COLUMN].to_pylist(), strict=True)))
