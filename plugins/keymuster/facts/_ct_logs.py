"""Lists of Certificate Transparency logs in the format that Chrome (v3) and Apple (v4) publish, where the organisation mounted them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from keymuster.errors import ContentError
from keymuster.facts._reference import checked, index
from keymuster.protocols import Unknowable

CURRENT = frozenset({"qualified", "usable", "readonly"})
ABSENT = "reference data has no CT log lists of Chrome and Apple; checks/reference/README.md says how to mount them"


@dataclass(frozen=True)
class Log:
    """One log as one programme sees it."""

    operator: str
    state: str
    retired_at: datetime | None
    """From then on new SCTs do not count."""
    is_rfc6962: bool
    """False for logs of the static API."""

    def counts(self, signed_at: datetime) -> bool:
        """Whether an SCT of that instant is of a log that is or once was approved."""
        return self.state in CURRENT or (self.state == "retired" and self.retired_at is not None and signed_at < self.retired_at)


Logs = Mapping[bytes, Log]
"""Log id -> log."""


def log_lists(folder: Path) -> tuple[Logs, Logs]:
    """The lists of Chrome and Apple. Unknowable if one of them is not mounted, ContentError if one is not readable."""
    entries = index(folder).get("ct_logs") or {}
    if not {"chrome", "apple"} <= entries.keys():
        raise Unknowable(ABSENT)
    return _read(folder, entries["chrome"]), _read(folder, entries["apple"])


def _read(folder: Path, entry: Mapping[str, Any]) -> Logs:
    path = folder / entry["file"]
    try:
        operators = json.loads(checked(path, entry))["operators"]
        return {
            base64.b64decode(log["log_id"]): _log(operator["name"], log, is_rfc6962=kind == "logs")
            for operator in operators
            for kind in ("logs", "tiled_logs")
            for log in operator.get(kind, ())
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ContentError(f"{path}: is no CT log list of version 3 or 4 ({error!r})") from None


def _log(operator: str, log: Mapping[str, Any], *, is_rfc6962: bool) -> Log:
    states: Mapping[str, Any] = log.get("state") or {}
    state = next(iter(states), "pending")
    at = datetime.fromisoformat(states[state]["timestamp"]) if state == "retired" else None
    return Log(operator, state, at, is_rfc6962)
