"""Hosts that present an SSH key."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa

from keymuster.facts._arrays import each, series
from keymuster.facts._names import host
from keymuster.facts._ssh import distinct
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "host_count"
TABLE = "ssh_keys"
NEEDS = ("spki_sha256", "kind", "station", "locator")
DOC = "Distinct hosts with a host key of the same public key: the host of the locator where it is host:port, else the station."


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    del context
    hosts = each(frame.arrow("locator"), lambda place: "" if place.startswith("/") else host(place), pa.string())
    return series(frame, distinct(frame, "host", hosts))
