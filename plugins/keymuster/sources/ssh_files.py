"""SSH keys of this machine: host keys, accounts' private keys, authorized_keys, certificates and CA keys, and what sshd accepts."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator

from keymuster.model import Coverage, Problem, Record
from keymuster.sources import _der, _material, _openssh, _ssh_lines, _sshd_config
from keymuster.sources._walk import File, Tally, Walk, custody, shown

HOST_KEY = re.compile(r"ssh_host_\w+_key$|ssh_host_key$")
SSH_PLACE = re.compile(r"/(\.ssh|etc/ssh)/")
PEM_KEY = re.compile(rb"-----BEGIN ([A-Z0-9 ]{0,20}PRIVATE KEY)-----")
NOLOGIN = ("nologin", "false", "sync", "halt", "shutdown")


class Settings(BaseModel):
    """Where SSH keeps its files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    paths: tuple[Path, ...] = Field(
        default=(), description="Folders with copies of hosts' files (images, exports). If any is named, this machine itself is left out."
    )
    system: tuple[Path, ...] = Field(
        default=(Path("/etc/ssh"),), description="Files, folders and patterns of host keys and CA keys; they need not exist."
    )
    accounts: bool = Field(default=True, description="Look into `.ssh` of every account of this machine's password database.")
    homes: tuple[Path, ...] = Field(
        default=(), description="Further folders whose subfolders are homes, named like their accounts; for mounted images."
    )
    sshd_config: Path | None = Field(default=Path("/etc/ssh/sshd_config"), description="Configuration of sshd; none if there is no sshd.")
    machine_id: Path = Field(default=Path("/etc/machine-id"), description="File with the identity of the host.")
    time_zone: str = Field(default="UTC", description="Zone of `expiry-time` options without Z: that of the host, e.g. Europe/Berlin.")
    max_bytes: int = Field(default=1 << 20, ge=1, description="Longest file that is read.")
    max_files: int = Field(default=100_000, ge=1, description="Most files that are opened.")

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"no time zone named {value!r}") from None
        return value


DELIVERS: Mapping[str, frozenset[str]] = {
    "ssh_keys": frozenset(
        {"kind", "account", "options", "is_encrypted", "certificate_type", "validity_seconds", "certificate_principals"}
        | {"file_mode", "file_owner", "created_at", "expires_at", "key_algorithm"}
    ),
    "servers": frozenset({"role", "ssh_protocols", "permit_root_login", "allows_password_authentication"}),
}
"""`created_at` for certificates only: files tell no creation and their times lie. `expires_at` also for entries with `expiry-time`."""


@dataclass
class Muster:
    """One collection: what was met so far, so that no locator comes twice."""

    zone: ZoneInfo
    tally: Tally = field(default_factory=Tally)
    places: dict[str, int] = field(default_factory=dict)

    def record(self, place: str, spki: bytes | None, kind: str, **attributes: Any) -> Record:
        """A row of ssh_keys; a place that was used before is numbered."""
        self.places[place] = count = self.places.get(place, 0) + 1
        if spki is not None and _der.DSA in spki[:32]:
            attributes["key_algorithm"] = "ssh-dss"  # the vocabulary's word for DSA where SSH uses it
        return Record("ssh_keys", place if count == 1 else f"{place}:{count}", spki, {"kind": kind, **attributes})

    def unread(self, code: str, place: str, why: str) -> Problem:
        """Something that is there and could not be read."""
        self.tally.refused += 1
        return Problem(code, place, why[:300])


@dataclass(frozen=True)
class Look:
    """What is known of the files of one walk before they are opened."""

    account: str | None = None
    authorized: frozenset[str] = frozenset()
    """Files that sshd reads as authorized_keys, whatever they are called."""
    authorities: frozenset[str] = frozenset()
    host_keys: frozenset[str] = frozenset()
    is_copy: bool = False
    """A whole file tree, in which keys for TLS lie as well; only what is plainly of SSH counts."""


def collect(settings: Settings) -> Iterator[Record | Problem | Coverage]:
    """The daemon and its files first, then account by account."""
    muster = Muster(ZoneInfo(settings.time_zone))
    if settings.paths:
        walk = Walk([str(p) for p in settings.paths], (), (), settings.max_bytes, 32, settings.max_files, tally=muster.tally)
        yield from _walked(walk, Look(is_copy=True), muster)
    else:
        yield from _this_machine(settings, muster)
    yield muster.tally.coverage()


def _this_machine(settings: Settings, muster: Muster) -> Iterator[Record | Problem]:
    config = _sshd_config.Config()
    if settings.sshd_config is not None and (settings.sshd_config.exists() or "sshd_config" in settings.model_fields_set):
        config = _sshd_config.read(settings.sshd_config)
        yield from _daemon(settings, config, muster)
    named = {
        k: frozenset(p for p in config.values.get(k, ()) if p.startswith("/")) for k in ("hostkey", "hostcertificate", "trustedusercakeys")
    }
    places = [*(str(p) for p in settings.system), *sorted(frozenset().union(*named.values()))]
    places += [f"{p}.pub" for p in sorted(named["hostkey"])]
    yield from _walked(_near(places, settings, muster), Look(authorities=named["trustedusercakeys"], host_keys=named["hostkey"]), muster)
    for account, home in sorted(_homes(settings).items()):
        entries = frozenset(_entries(home, account, config))
        yield from _walked(_near([f"{home}/.ssh", *sorted(entries)], settings, muster), Look(account, entries), muster)


def _near(places: Sequence[str], settings: Settings, muster: Muster) -> Walk:
    """A shallow walk over places that need not exist."""
    return Walk((), places, (), settings.max_bytes, 4, settings.max_files, tally=muster.tally)


def _daemon(settings: Settings, config: _sshd_config.Config, muster: Muster) -> Iterator[Record | Problem]:
    yield from config.problems
    muster.tally.refused += len(config.problems)
    if not config.problems:
        muster.tally.fetched += 1
        asset_id = f"urn:host:{_machine(settings.machine_id)}:ssh_server"
        yield Record("servers", shown(str(settings.sshd_config)), None, {"asset_id": asset_id, **_sshd_config.server(config)})


def _machine(path: Path) -> str:
    """Identity of the host: machine-id(5), or its path where a minimal image has none."""
    return path.read_text("ascii", "replace").strip() if path.is_file() else shown(str(path))


def _homes(settings: Settings) -> dict[str, str]:
    found = {}
    if settings.accounts:
        usable = [e for e in pwd.getpwall() if e.pw_dir not in {"", "/", "/nonexistent"} and not e.pw_shell.endswith(NOLOGIN)]
        found.update({e.pw_name: e.pw_dir for e in usable})
    for folder in settings.homes:
        found.update({shown(p.name): str(p) for p in sorted(folder.iterdir()) if p.is_dir() and not p.is_symlink()})
    return found


def _entries(home: str, account: str, config: _sshd_config.Config) -> Iterator[str]:
    """Where sshd looks for the account's entries (AuthorizedKeysFile, sshd_config(5))."""
    for pattern in config.values.get("authorizedkeysfile", [".ssh/authorized_keys", ".ssh/authorized_keys2"]):
        path = pattern.replace("%h", home).replace("%u", account).replace("%%", "%")
        if pattern.lower() != "none":
            yield path if path.startswith("/") else f"{home}/{path}"


def _walked(walk: Walk, look: Look, muster: Muster) -> Iterator[Record | Problem]:
    for item in walk.files():
        if isinstance(item, Problem):
            yield item
        else:
            above = re.search(r"([^/]+)/\.ssh/", item.path)
            yield from _from_file(item, look if look.account or not above else replace(look, account=shown(above[1])), muster)


def _from_file(file: File, look: Look, muster: Muster) -> Iterator[Record | Problem]:
    """By content where that tells, by name where only the name does (authorized_keys, known_hosts, `.pub`)."""
    name, bare = Path(file.path).name, file.path.removesuffix(".pub")
    if file.data.startswith(_openssh.MAGIC_1) or (PEM_KEY.search(file.data[:8192]) and _is_of_ssh(file, look)):
        yield from _private(file, look, muster)
    elif name.endswith("-cert.pub"):
        yield from _lines(file, muster, look.account, "certificate")
    elif file.path in look.authorities:
        yield from _lines(file, muster, None, "ca")
    elif file.path in look.authorized or name.startswith("authorized_keys"):
        yield from _lines(file, muster, look.account, "authorized")
    elif _is_host_key(bare, look) and bare != file.path and not os.access(bare, os.R_OK):
        yield from _lines(file, muster, None, "host")  # the private half is out of reach, or kept in an agent
    elif name in {"known_hosts", "ssh_known_hosts"}:
        yield from _known_authorities(file, muster)


def _is_of_ssh(file: File, look: Look) -> bool:
    """Whether a private key in PEM belongs to SSH: by its place or by its form."""
    return not look.is_copy or bool(SSH_PLACE.search(file.path)) or b"BEGIN OPENSSH PRIVATE KEY" in file.data[:8192]


def _is_host_key(path: str, look: Look) -> bool:
    return path in look.host_keys or bool(HOST_KEY.search(path))


def _private(file: File, look: Look, muster: Muster) -> Iterator[Record | Problem]:
    place = shown(file.path)
    kind = "host" if _is_host_key(file.path, look) else "private"
    common: dict[str, Any] = {**custody(file), "account": None if kind == "host" else look.account, "options": []}
    if file.data.startswith(_openssh.MAGIC_1):
        try:
            found = _openssh.private_container_1(file.data)
        except ValueError as error:
            yield muster.unread("key_unreadable", place, f"private key of protocol 1: {error}")
        else:
            yield muster.record(place, found.public.spki, kind, is_encrypted=found.is_encrypted, key_algorithm="rsa1", **common)
        return
    for finding in _material.from_pem(file.data, ()):
        if isinstance(finding, _material.Unread):
            yield muster.unread(finding.code, place, finding.detail)
        elif finding.is_locked is not None:
            known = {"key_algorithm": finding.attributes["key_algorithm"]} if "key_algorithm" in finding.attributes else {}
            yield muster.record(place, finding.der, kind, is_encrypted=finding.is_locked, **known, **common)


def _lines(file: File, muster: Muster, account: str | None, kind: str) -> Iterator[Record | Problem]:
    place = shown(file.path)
    for number, line in enumerate(file.data.decode("utf-8", "replace").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            yield _row(_ssh_lines.key_line(line), muster, file, account, kind)
        except ValueError as error:
            yield muster.unread("ssh_line_unreadable", f"{place}:{number}", f"line {number}: {error}")


def _known_authorities(file: File, muster: Muster) -> Iterator[Record | Problem]:
    """CA keys that known_hosts trusts; other lines are somebody else's host keys."""
    for number, line in enumerate(file.data.decode("utf-8", "replace").splitlines(), start=1):
        words = line.split(None, 2)
        if len(words) == 3 and words[0] == "@cert-authority":
            try:
                yield _row(_ssh_lines.key_line(words[2]), muster, file, None, "ca")
            except ValueError as error:
                yield muster.unread("ssh_line_unreadable", f"{shown(file.path)}:{number}", f"line {number}: {error}")


def _row(line: _ssh_lines.KeyLine, muster: Muster, file: File, account: str | None, kind: str) -> Record:
    """The place of an entry is named by its fingerprint, since line numbers move."""
    if line.type.endswith(_openssh.CERTIFICATE_SUFFIX):
        return _certificate(_openssh.certificate(line.blob), muster, file, account)
    public = line.public or _openssh.public_key(line.blob)
    options = dict(line.options)
    kind = "ca" if "cert-authority" in options else kind
    attributes: dict[str, Any] = {**custody(file), "options": list(options), "account": account}
    if public.algorithm:
        attributes["key_algorithm"] = public.algorithm
    if end := _ssh_lines.expiry_time(options.get("expiry-time", ""), muster.zone):
        attributes["expires_at"] = end
    return muster.record(f"{shown(file.path)}#{public.fingerprint}", public.spki, kind, **attributes)


def _certificate(made: _openssh.Certificate, muster: Muster, file: File, account: str | None) -> Record:
    attributes: dict[str, Any] = {
        **custody(file),
        "account": account,
        "certificate_type": made.type,
        "options": list(made.critical_options),
        "certificate_principals": list(made.principals),
        "created_at": _instant(made.valid_after) if made.valid_after else None,
    }
    if made.valid_before != _openssh.FOREVER:
        attributes["expires_at"] = _instant(made.valid_before)
        attributes["validity_seconds"] = min(max(0, made.valid_before - made.valid_after), 2**63 - 1)
    return muster.record(f"{shown(file.path)}#{made.public.fingerprint}", made.public.spki, "certificate", **attributes)


def _instant(seconds: int) -> datetime | None:
    """A point in time, or None beyond the year 9999."""
    return datetime.fromtimestamp(seconds, UTC) if seconds < 253_402_300_800 else None
