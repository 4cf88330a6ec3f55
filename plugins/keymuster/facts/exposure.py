"""From where an asset can be reached."""

from __future__ import annotations

import ipaddress
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import each, series
from keymuster.facts._names import Blocks, address, host
from keymuster.facts._ownership import named
from keymuster.facts._reference import document
from keymuster.frame import Frame
from keymuster.protocols import FactContext
from keymuster.schema import tables

COLUMN = "exposure"
TABLE = tuple(tables())
NEEDS = ("station", "locator", "certificates.spki_sha256", "certificates.subject", "certificates.san_names")
DOC = (
    "An ownership rule that names it; else by the address in the locator of endpoints and of certificates served: "
    "loopback, internal (special-purpose blocks, networks of the policy) or internet. Null for host names."
)


def _by_address(frame: Frame, context: FactContext) -> pa.Array:
    blocks = document(context.reference, "special_addresses.yaml")
    if blocks is None or frame.table not in ("endpoints", "certificates"):
        return pa.nulls(len(frame), pa.string())
    special, ours = Blocks(blocks["blocks"]), [ipaddress.ip_network(n, strict=False) for n in context.policy.networks or ()]

    def reach(locator: str) -> str | None:
        value = address(host(locator))
        if value is None:
            return None
        kind = special.kind(value)
        if kind != "global":
            return "loopback" if kind == "loopback" else "internal"
        return "internal" if any(value in network for network in ours) else "internet"

    locators = frame.arrow("locator")
    if frame.table == "certificates":
        locators = pc.if_else(pc.equal(frame.arrow("role"), "served").fill_null(False), locators, None)
    return each(locators, reach, pa.string())


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    told = pa.nulls(len(frame), pa.string())
    if any(rule.exposure for rule in context.policy.ownership):
        told = named(frame, context, "exposure")
    return series(frame, pc.coalesce(told, _by_address(frame, context)))
