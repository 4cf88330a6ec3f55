"""Certificates and keys in files of this machine: PEM, DER, PKCS#7, PKCS#12, JKS and JCEKS, recognised by content, not by name."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from keymuster.model import Coverage, Problem, Record
from keymuster.sources import _keystores, _material
from keymuster.sources._walk import File, Walk, custody, shown

TRUST_STORES = (
    "*/usr/share/ca-certificates/*",
    "*/usr/local/share/ca-certificates/*",
    "*/etc/ssl/certs/ca-certificates.crt",
    "*/etc/pki/ca-trust/*",
    "*/etc/pki/tls/certs/ca-bundle*",
    "*/etc/ca-certificates/*",
    "*/cacerts",
)
"""Where Debian, Red Hat, Arch and Java keep what they trust, in copies of other hosts too. Not all of /etc/ssl/certs: servers' own
certificates are put there as well, while its links to trusted certificates lead to the folders above."""
OPENINGS = re.compile(rb"-----BEGIN |\A(?:\xfe\xed\xfe\xed|\xce\xce\xce\xce|\x30[\x80-\x84])")


class Settings(BaseModel):
    """Where to look, and what opens what is found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    paths: tuple[Path, ...] = Field(
        default=(), description="Files, folders and patterns (`*`, `**`). A plain path must exist: a missing one makes the listing short."
    )
    optional_paths: tuple[Path, ...] = Field(default=(), description="As `paths`, but they need not exist.")
    exclude: tuple[str, ...] = Field(
        default=("/proc/*", "/sys/*", "/dev/*", "*/.git/*"),
        description="Patterns of paths to leave out; `*` also matches slashes.",
    )
    trust_stores: tuple[str, ...] = Field(
        default=TRUST_STORES, description="Patterns of paths whose certificates are trust anchors; all others are installed ones."
    )
    passwords: tuple[SecretStr, ...] = Field(default=(), description="Passwords to try on PKCS#12 files and encrypted keys.")
    found_in: Literal["host", "repository", "image", "backup"] = Field(default="host", description="What kind of place the paths are.")
    max_bytes: int = Field(default=8 << 20, ge=1, description="Longest file that is read; a longer one that looks like ours is a problem.")
    max_depth: int = Field(default=32, ge=0, description="Folders are entered this deep below a path.")
    max_files: int = Field(default=1_000_000, ge=1, description="Most files that are opened.")

    @model_validator(mode="after")
    def _has_place(self) -> Settings:
        if not self.paths and not self.optional_paths:
            raise ValueError("name at least one of `paths` and `optional_paths`")
        return self


DELIVERS: Mapping[str, frozenset[str]] = {
    "certificates": frozenset({"role"}),
    "keys": frozenset(
        {"kind", "provider", "is_customer_managed", "is_exportable", "found_in", "file_mode"}
        | {"file_owner", "is_encrypted", "created_at", "expires_at", "key_algorithm"}
    ),
}
"""Files and key stores set no end date, so an empty `expires_at` is a known nothing; only key stores tell `created_at`."""


def collect(settings: Settings) -> Iterator[Record | Problem | Coverage]:
    """Everything found, in the order of the paths; Unreachable if no path is there."""
    walk = Walk(
        [str(p) for p in settings.paths],
        [str(p) for p in settings.optional_paths],
        settings.exclude,
        settings.max_bytes,
        settings.max_depth,
        settings.max_files,
        is_interesting=OPENINGS,
    )
    passwords = tuple(p.get_secret_value() for p in settings.passwords)
    trusted = re.compile("|".join(map(fnmatch.translate, settings.trust_stores)) or r"(?!)")
    for item in walk.files():
        if isinstance(item, Problem):
            yield item
            continue
        for number, finding in enumerate(_findings(item.data, passwords), start=1):
            if isinstance(finding, _material.Unread):
                walk.tally.refused += 1
                yield Problem(finding.code, shown(item.path), finding.detail)
            else:
                yield _record(item, number, finding, settings, is_trusted=_matches(trusted, item))
    yield walk.tally.coverage()


def _findings(data: bytes, passwords: tuple[str, ...]) -> Iterator[_material.Finding]:
    """Sniff, then parse: a file of another kind costs one look at its first bytes and, if it is text, one search."""
    if data[:1] == b"\x30":
        yield from _material.from_der(data, passwords)
    elif data[:4] in _keystores.MAGIC:
        yield from _keystores.from_keystore(data)
    elif b"-----BEGIN " in (data if b"\0" not in data[:1024] else data[:1024]):
        yield from _material.from_pem(data, passwords)


def _matches(pattern: re.Pattern[str], file: File) -> bool:
    return any(p is not None and pattern.match(p) for p in (file.path, file.link))


def _record(file: File, number: int, found: _material.Found, settings: Settings, *, is_trusted: bool) -> Record:
    """The first thing in a file is at the file's path, so that a chain added behind a certificate does not move it."""
    place = shown(file.path)
    if found.alias is not None:
        place += "#" + shown(found.alias)
    elif number > 1:
        place += f"#{number}"
    if found.table == "certificates":
        return Record("certificates", place, found.der, {"role": "trust_anchor" if is_trusted else "installed"})
    attributes: dict[str, Any] = {
        "provider": "file" if found.alias is None else "jks",
        "is_customer_managed": True,
        "found_in": settings.found_in,
        "is_encrypted": found.is_locked,
        **custody(file),
        **found.attributes,
    }
    if attributes["kind"] != "public":
        attributes["is_exportable"] = True  # whoever reads the file has it, and a password is no hindrance to its owner
    return Record("keys", place, found.der, attributes)
