"""Waivers (`checks/waivers/*.yaml`, estates' own files): a failure that somebody has accepted, for a reason and for a time.

    - rule: certificate.renewal.on_time
      asset: {subject: 'CN=old.example.com*', station: dmz}      # all patterns must fit; shell wildcards, case-insensitive
      reason: service is switched off in March
      approver: ciso@example.com
      granted: 2026-11-01        # optional: audits of earlier days do not know it
      expires: 2027-03-31        # last day; compulsory
      ticket: SEC-1234           # optional

A finding is waived only if every failing sighting of its asset is covered. It stays in the results, as `waived`.
"""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from keymuster.content import checks, read_yaml
from keymuster.errors import ContentError
from keymuster.frame import Mask


class Selector(BaseModel):
    """Which assets, or which places of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    asset_id: str | None = None
    station: str | None = None
    locator: str | None = None
    subject: str | None = None
    san_names: str | None = Field(default=None, description="One name that fits is enough.")
    server_name: str | None = None
    account: str | None = None
    owner: str | None = None
    environment: str | None = None

    def patterns(self) -> dict[str, str]:
        """Column -> pattern, of those that are given."""
        return {k: v for k, v in self.model_dump().items() if v is not None}


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: str
    asset: Selector
    reason: str = Field(min_length=5)
    approver: str = Field(min_length=2)
    expires: date
    granted: date | None = None
    ticket: str | None = None


@dataclass(frozen=True, slots=True)
class Waiver:
    """One accepted failure."""

    rule: str
    asset: Selector
    reason: str
    approver: str
    expires: date
    """Last day on which it holds, UTC."""
    granted: date | None
    """First day on which it holds; None for always."""
    ticket: str | None

    def in_force(self, as_of: datetime) -> bool:
        """Whether it holds at that instant."""
        day = as_of.astimezone(UTC).date()
        return (self.granted is None or self.granted <= day) and day < self.expires + timedelta(days=1)

    @property
    def words(self) -> str:
        """For reports: why, by whom, until when."""
        ticket = f", {self.ticket}" if self.ticket else ""
        return f"{self.reason} (approved by {self.approver} until {self.expires}{ticket})"


def load_waivers(*paths: Path, rules: Iterable[str]) -> tuple[Waiver, ...]:
    """Waivers of all files and folders (default: the shipped folder). ContentError names file, entry and field."""
    known, found = sorted(rules), []
    for root in paths or (checks() / "waivers",):
        if not root.exists() and paths:
            raise ContentError(f"{root}: there are no waivers, the path does not exist")
        for path in [root] if root.is_file() else sorted(root.rglob("*.yaml")):
            found += _read(path, known)
    return tuple(found)


def _read(path: Path, known: list[str]) -> list[Waiver]:
    document = read_yaml(path) or []
    if not isinstance(document, list):
        raise ContentError(f"{path}: waivers are a list of entries, not a {type(document).__name__}")
    return [_waiver(f"{path}: waiver {i}", entry, known) for i, entry in enumerate(document, 1)]


def _waiver(where: str, entry: Any, known: list[str]) -> Waiver:
    try:
        parsed = _File.model_validate(entry)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "entry"
        raise ContentError(f"{where}: {field}: {first['msg']}; there are {', '.join(_File.model_fields)}") from None
    if parsed.rule not in known:
        close = difflib.get_close_matches(parsed.rule, known, 1)
        raise ContentError(f"{where}: no rule named {parsed.rule!r}" + (f"; did you mean {close[0]!r}?" if close else ""))
    if not parsed.asset.patterns():
        raise ContentError(f"{where}: asset: names no asset; there are {', '.join(Selector.model_fields)}")
    if parsed.granted and parsed.granted > parsed.expires:
        raise ContentError(f"{where}: expires: {parsed.expires} lies before granted {parsed.granted}")
    return Waiver(**{name: getattr(parsed, name) for name in _File.model_fields})


def covered(waiver: Waiver, column: Callable[[str], pa.Array | None], rows: int) -> Mask:
    """Which rows the waiver's selector fits. `column` gives the rows' values by column name, None for a column that the table lacks."""
    mask = np.ones(rows, dtype=bool)
    for name, pattern in waiver.asset.patterns().items():
        values = column(name)
        mask &= np.zeros(rows, dtype=bool) if values is None else _fits(values, pattern)
    return mask


def _fits(values: pa.Array, pattern: str) -> Mask:
    """Shell wildcards over the distinct values; of a list, one element suffices."""
    if not pa.types.is_list(values.type):
        return _matching(values, pattern)
    found = np.zeros(len(values), dtype=bool)
    parents = pc.list_parent_indices(values).to_numpy(zero_copy_only=False)
    found[parents[_matching(pc.list_flatten(values), pattern)]] = True
    return found


def _matching(values: pa.Array, pattern: str) -> Mask:
    wanted = pattern.lower()
    fitting = [v for v in pc.unique(values).to_pylist() if v is not None and fnmatch.fnmatchcase(v.lower(), wanted)]
    mask: Mask = pc.is_in(values, value_set=pa.array(fitting, values.type)).to_numpy(zero_copy_only=False)
    return mask
