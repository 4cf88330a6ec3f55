"""The credential report of AWS IAM (a CSV with a row a user) as principals, and the access keys that it knows of."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

ROOT = "<root_account>"
NEEDED = ("user", "arn", "password_enabled", "mfa_active", "access_key_1_active", "access_key_2_active")
NOTHING = {"", "N/A", "n/a", "no_information", "not_supported", "No Information"}


@dataclass(frozen=True)
class User:
    """One row of the report."""

    row: Mapping[str, str]

    @property
    def name(self) -> str:
        """User name; `<root_account>` for the root."""
        return self.row["user"]

    @property
    def arn(self) -> str:
        """ARN of the user, or of the account's root."""
        return self.row["arn"]

    @property
    def is_root(self) -> bool:
        """Whether it is the account's root."""
        return self.name == ROOT

    @property
    def account(self) -> str:
        """Number of the account."""
        return self.arn.split(":")[4]

    def flag(self, column: str) -> bool:
        """Whether a column says true."""
        return self.row.get(column, "").strip().lower() == "true"

    def slots(self) -> dict[int, dict[str, Any]]:
        """Access keys by slot, 1 or 2, also inactive ones; an empty slot is left out."""
        return {n: self._key(n) for n in (1, 2) if instant(self.row.get(f"access_key_{n}_last_rotated")) or self._active(n)}

    def _active(self, slot: int) -> bool:
        return self.flag(f"access_key_{slot}_active")

    def _key(self, slot: int) -> dict[str, Any]:
        return {
            "is_active": self._active(slot),
            "created_at": instant(self.row.get(f"access_key_{slot}_last_rotated")),
            "last_used_at": instant(self.row.get(f"access_key_{slot}_last_used_date")),
        }

    def attributes(self, mfa_type: str | None) -> dict[str, Any]:
        """Columns of `principals`. A user with a password is taken for a person, one without for a service: IAM knows no kinds.

        The report says only whether there is a second factor: `other`, unless its kind is known from elsewhere.
        """
        interactive = self.is_root or self.flag("password_enabled")
        keys = sum(self._active(n) for n in (1, 2))
        usable = interactive or keys > 0 or self.flag("cert_1_active") or self.flag("cert_2_active")
        return {
            "kind": "root" if self.is_root else "human" if interactive else "service",
            "provider": "aws",
            "is_enabled": usable,
            "is_interactive": interactive,
            "mfa_type": (mfa_type or "other") if self.flag("mfa_active") else None,
            "access_key_count": keys,
        }


def read(text: str) -> list[User]:
    """All rows; ValueError if this is no credential report or a row has no ARN."""
    reader = csv.DictReader(io.StringIO(text))
    gone = [c for c in NEEDED if c not in (reader.fieldnames or ())]
    if gone:
        raise ValueError(f"no credential report: it has no column {', '.join(gone)}")
    users = []
    for row in reader:
        user = User({k: v or "" for k, v in row.items() if k})
        if len(user.arn.split(":")) < 6:
            raise ValueError(f"line {reader.line_num}: {user.arn[:60]!r} is no ARN")
        users.append(user)
    return users


def instant(value: object) -> datetime | None:
    """An aware UTC instant from text or datetime; None for the report's several words for nothing."""
    if isinstance(value, str):
        if value.strip() in NOTHING:
            return None
        value = datetime.fromisoformat(value.strip())
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
