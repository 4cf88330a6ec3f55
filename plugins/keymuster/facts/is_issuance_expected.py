"""Whether a certificate that a CT log shows is one of ours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import series, table
from keymuster.frame import Frame, empty
from keymuster.protocols import FactContext, Unknowable

COLUMN = "is_issuance_expected"
TABLE = "certificates"
NEEDS = ("asset_id", "spki_sha256", "role", "issued_at", "observed_at", "keys.spki_sha256", "keys.kind", "issuances.certificate_asset_id")
DOC = (
    "The same certificate or key is met outside CT logs, in an issuance record or among our private keys; null within policy's "
    "ct_grace_hours after the signing and for sightings outside CT logs. Unknowable while the estate has no issuance record."
)


def survey(frames: Mapping[str, Frame], context: FactContext) -> pa.Table:
    """How many records of issuance the estate has: one row, column `records`."""
    del context
    issued = pc.equal(frames.get(TABLE, empty(TABLE)).arrow("role"), "issued")
    records = len(frames.get("issuances", ())) + int(pc.sum(issued).as_py() or 0)
    return pa.table({"records": pa.array([records], pa.int64())})


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    found = context.survey.get(COLUMN)
    if not (found if found is not None else survey(context.frames, context))["records"][0].as_py():
        raise Unknowable("no station delivers issuance records, so nothing says what was expected")
    role, own_key, own_id = frame.arrow("role"), frame.arrow("spki_sha256"), frame.arrow("asset_id")
    elsewhere = pc.not_equal(role, "ct").fill_null(False)
    keys = table(context, "keys")
    held = keys.arrow("spki_sha256").filter(pc.equal(keys.arrow("kind"), "private").fill_null(False))
    expected_keys = pa.concat_arrays([own_key.filter(elsewhere), held]).unique().drop_null()
    expected_ids = table(context, "issuances").arrow("certificate_asset_id").unique().drop_null()
    expected = pc.or_(pc.is_in(own_key, value_set=expected_keys), pc.is_in(own_id, value_set=expected_ids))
    limit = pa.scalar(context.as_of - timedelta(hours=context.policy.ct_grace_hours), pa.timestamp("us", tz="UTC"))
    is_old = pc.less_equal(pc.coalesce(frame.arrow("issued_at"), frame.arrow("observed_at")), limit)
    answer = pc.if_else(expected, True, pc.if_else(is_old, False, None))
    return series(frame, pc.if_else(pc.equal(role, "ct"), answer, None))
