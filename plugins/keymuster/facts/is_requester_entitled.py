"""Whether a requester may have the certificate that it got."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from keymuster.facts._arrays import delivered, joined, series, table
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "is_requester_entitled"
TABLE = "issuances"
NEEDS = ("requester", "certificate_asset_id", "certificates.asset_id", "certificates.subject", "certificates.san_names")
DOC = (
    "The certificate names the requester (account, machine or user principal name without domain) as commonName or in its"
    " SAN, or policy lists the requester among enrolment agents; false otherwise, null while policy leaves those open."
)

COMMON_NAME = re.compile(r"(?:^|[,+])CN=((?:[^,+\\]|\\.)*)")


def _entitled(requester: str | None, names: list[str] | None, subject: str | None, agents: Sequence[str] | None) -> bool | None:
    if requester is None:
        return None
    if any(fnmatch.fnmatchcase(requester.lower(), agent.lower()) for agent in agents or ()):
        return True
    if names is None or subject is None:
        return None
    account = requester.lower().rpartition("\\")[2]
    there = {n.lower() for n in (*names, *COMMON_NAME.findall(subject))}
    if account.endswith("$"):  # a machine account is the first label of its host's name
        is_named = account.rstrip("$") in {n.partition(".")[0] for n in there}
    else:
        is_named = bool({account, account.partition("@")[0]} & there)
    return True if is_named else None if agents is None else False


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    certificates = table(context, "certificates")
    leaves = frame.arrow("certificate_asset_id")
    names = joined(leaves, certificates.arrow("asset_id"), delivered(certificates, "san_names"))
    subjects = joined(leaves, certificates.arrow("asset_id"), delivered(certificates, "subject"))
    agents = context.policy.enrolment_agents
    rows = zip(delivered(frame, "requester").to_pylist(), names.to_pylist(), subjects.to_pylist(), strict=True)
    return series(frame, pa.array([_entitled(*row, agents) for row in rows], pa.bool_()))
