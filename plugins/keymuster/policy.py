"""What an organisation must say about itself before its inventory can be judged (`checks/policies/*.yaml`).

What policy leaves open (None) makes the facts that need it unknown, with that reason. Later files override earlier ones, key by key.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from keymuster.content import read_yaml
from keymuster.errors import ContentError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Match(_Strict):
    """Selects rows; all patterns that are given must fit. Shell wildcards, case-insensitive; of a list column, one element suffices."""

    table: str | None = None
    station: str | None = None
    locator: str | None = None
    subject: str | None = None
    name: str | None = Field(default=None, description="A SAN entry or server name.")
    account: str | None = None

    def fits(self, row: Mapping[str, Any]) -> bool:
        """Whether one row (plain values by column name, plus `table` and `name` as a list) is selected."""
        for key, pattern in self.model_dump(exclude_none=True).items():
            value = row.get(key)
            texts = value if isinstance(value, list | tuple) else [value]
            if not any(t is not None and fnmatch.fnmatchcase(str(t).lower(), pattern.lower()) for t in texts):
                return False
        return True


class Ownership(_Strict):
    """Who answers for the rows that match; the first rule that names a value gives it."""

    match: Match
    owner: str | None = None
    service: str | None = None
    environment: Literal["production", "staging", "test", "development"] | None = None
    exposure: Literal["internet", "internal", "loopback"] | None = None
    scopes: tuple[str, ...] | None = None


class CompromisedKey(_Strict):
    """One entry of the organisation's register of compromised keys."""

    spki_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    since: datetime
    source: str


class Policy(_Strict):
    """The merged policy of one estate."""

    domains: tuple[str, ...] | None = Field(default=None, description="Domains of ours.")
    networks: tuple[str, ...] | None = Field(default=None, description="Internal networks, CIDR.")
    ownership: tuple[Ownership, ...] = ()
    approved_issuers: tuple[str, ...] | None = Field(
        default=None, description="spki_sha256 of issuing keys, or `file:<path>` of PEM certificates."
    )
    private_roots: tuple[str, ...] | None = Field(default=None, description="Our own roots: spki_sha256 or `file:<path>`.")
    register_station: str | None = Field(default=None, description="Station that is the register of record.")
    register_fields: tuple[str, ...] = ()
    compromised_keys: tuple[CompromisedKey, ...] = ()
    privileged_groups: tuple[str, ...] | None = None
    break_glass: tuple[str, ...] | None = Field(default=None, description="asset_id patterns of emergency identities.")
    enrolment_agents: tuple[str, ...] | None = Field(
        default=None, description="Patterns of requesters that may enrol for others, such as registration authorities."
    )
    admin_ports: tuple[int, ...] | None = None
    wildcard_closed_zones: tuple[str, ...] | None = None
    cryptoperiods_days: Mapping[str, int] = {}
    ct_grace_hours: int = 24
    fix_days: Mapping[str, int] = {"critical": 7, "high": 30, "medium": 90, "low": 180, "info": 365}


def read_policy(*paths: Path) -> Policy:
    """Merge policy files, later over earlier; `file:` paths become absolute. ContentError names the file and the field."""
    merged: dict[str, Any] = {}
    for path in paths:
        document = read_yaml(path) or {}
        if not isinstance(document, dict):
            raise ContentError(f"{path}: a policy is a mapping of fields, not a {type(document).__name__}")
        try:
            Policy.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ContentError(f"{path}: {where}: {first['msg']}; there are {', '.join(Policy.model_fields)}") from None
        for name in ("approved_issuers", "private_roots"):
            if document.get(name):
                document[name] = [_absolute(text, path.parent) for text in document[name]]
        merged |= document
    return Policy.model_validate(merged)


def _absolute(text: str, base: Path) -> str:
    return f"file:{(base / text.removeprefix('file:')).resolve()}" if text.startswith("file:") else text
