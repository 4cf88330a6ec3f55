"""Keys met in production and elsewhere."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import known, series, table
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "is_shared_across_environments"
TABLE = "keys"
NEEDS = ("spki_sha256", "environment", "certificates.spki_sha256", "certificates.environment")
DOC = "The key is met in production and in another environment, over keys and certificates; null where no environment is known."


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    frames = (frame, table(context, "certificates"))
    keys = pa.concat_arrays([f.arrow("spki_sha256") for f in frames])
    places = pa.concat_arrays([f.arrow("environment") for f in frames])
    inside = keys.filter(pc.equal(places, "production").fill_null(False))
    outside = keys.filter(pc.not_equal(places, "production").fill_null(False))
    own = frame.arrow("spki_sha256")
    both = pc.and_(pc.is_in(own, value_set=inside.unique()), pc.is_in(own, value_set=outside.unique()))
    return series(frame, known(both, frame.unknown("environment") | own.is_null().to_numpy(zero_copy_only=False)))
