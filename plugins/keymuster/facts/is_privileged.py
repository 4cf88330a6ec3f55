"""Principals that administer, or that can use or export keys."""

from __future__ import annotations

from typing import Any

import pandas as pd

from keymuster.facts._grants import GROUPS, PERMISSIONS, granted, survey  # noqa: F401 (the audit calls survey)
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "is_privileged"
TABLE = "principals"
NEEDS = (
    "asset_id",
    "station",
    "kind",
    "grants.principal_asset_id",
    "grants.station",
    "grants.locator",
    "grants.actions",
    "grants.resource_kind",
)
DOC = (
    "Some grant has the capability administer, delegate, use or export, or every action; or it is in a group that policy calls "
    "privileged, or the root of the account. False where its station tells of permissions, or of groups and policy names some."
)
CAPABILITIES = ("full_admin", "administer", "delegate", "use", "export", "privileged_group")


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    return granted(frame, context, COLUMN, CAPABILITIES, (PERMISSIONS, GROUPS))
