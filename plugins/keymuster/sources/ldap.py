"""A directory (OpenLDAP, 389, Active Directory): accounts, group memberships, published certificates, AD CS templates and CAs.

What directories are known for, and what is done about it:
* an unpaged search ends at a limit and looks complete: every search is paged, and every page's result code is looked at. Anything but
  success makes the listing incomplete (`listing_cut`); a page size above the server's limit may give nothing at all, with such a code;
* anonymous reading shows less and does not say so: it is refused before anything is sent, and so is a DN without password;
* Active Directory hands out the members of large groups in ranges: such a group is reported as cut;
* a referral is not followed. Those to AD's own partitions are normal, any other one makes the listing incomplete;
* entries that an access rule hides cannot be noticed: no directory tells how many there are. Let the account read everything.

Filters hold nothing but what the estate file says: memberships are joined here, not by searches made of names from outside.

`mfa_type` is not known to a directory. `kind` is service for entries below `service_bases`, for computers, managed service accounts and
for accounts without person class. A membership is a row of `grants` with `resource_kind` group and the one action `member_of:<DN>`,
nested groups included. What Active Directory grants by security descriptors is not read. Against OpenLDAP, templates and AD CS
authorities do not exist.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from keymuster.errors import BadAnswer, Refused
from keymuster.model import Coverage, Problem, Record
from keymuster.sources import _adcs
from keymuster.sources._directory import Access, Cut, Directory, Entry, connected

DELIVERS: Mapping[str, frozenset[str]] = {
    "principals": frozenset({"kind", "provider", "is_enabled", "is_interactive"}),
    "grants": frozenset({"principal_asset_id", "resource_kind", "actions", "has_condition"}),
    "certificates": frozenset({"role"}),
    **_adcs.DELIVERS,
}
PEOPLE = {"person", "inetorgperson", "organizationalperson", "user"}
MACHINES = {"computer", "msds-groupmanagedserviceaccount", "msds-managedserviceaccount", "applicationprocess"}
ATTRIBUTES = (
    "objectClass",
    "entryUUID",
    "objectGUID",
    "userCertificate",
    "userCertificate;binary",
    "userAccountControl",
    "pwdAccountLockedTime",
    "nsAccountLock",
)
DISABLED, LOCKED_FOR_GOOD = 0x2, "000001010000Z"
NORMAL_REFERRALS = ("DC=ForestDnsZones,", "DC=DomainDnsZones,", "CN=Configuration,", "CN=Schema,")


class Settings(Access):
    """Which directory, who asks, and where to look."""

    base_dn: str = Field(description="Where to look for everything, e.g. dc=example,dc=com.")
    user_base: str = Field(default="", description="Where to look for accounts; default: base_dn.")
    group_base: str = Field(default="", description="Where to look for groups; default: base_dn.")
    user_filter: str = Field(
        default="(|(objectClass=person)(objectClass=account)(objectClass=posixAccount)(objectClass=applicationProcess))",
        description="Which entries are accounts (RFC 4515).",
    )
    group_filter: str = Field(
        default="(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=group))", description="Which entries are groups."
    )
    service_bases: tuple[str, ...] = Field(default=(), description="Subtrees whose accounts are services.")


@dataclass
class Tally:
    """What was read and what fell short."""

    fetched: int = 0
    refused: int = 0
    truncated: bool = False
    ids: dict[str, str] = field(default_factory=dict)
    """Folded DN of an account -> asset_id."""

    def short(self, code: str, detail: object) -> Problem:
        """A listing fell short."""
        self.truncated = True
        return Problem(code, None, str(detail)[:500])


def collect(settings: Settings) -> Iterator[Record | Problem | Coverage]:
    """Yield what the directory shows. Raises Unreachable, Refused or BadAnswer if accounts cannot be listed at all."""
    tally = Tally()
    with connected(settings) as directory:
        yield from _accounts(directory, settings, tally)
        for part in (_groups(directory, settings, tally), _authorities(directory, settings, tally), _templates(directory, tally)):
            try:
                yield from part
            except (Refused, BadAnswer) as error:
                yield tally.short("listing_cut" if isinstance(error, Cut) else "part_unreadable", error)
        strange = [r for r in directory.referrals if not any(n.lower() in r.lower() for n in NORMAL_REFERRALS)]
        if strange:
            yield tally.short("referral_not_followed", f"part of the tree is elsewhere: {', '.join(sorted(set(strange))[:5])}")
    yield Coverage(None, tally.fetched, tally.refused, tally.truncated)


def _accounts(directory: Directory, settings: Settings, tally: Tally) -> Iterator[Record | Problem]:
    try:
        for entry in directory.search(settings.user_base or settings.base_dn, settings.user_filter, ATTRIBUTES):
            tally.fetched += 1
            identity = tally.ids[_folded(entry.dn)] = _asset_id(entry, directory, settings.base_dn)
            yield Record("principals", entry.dn, None, {"asset_id": identity, **_account(entry, directory, settings.service_bases)})
            yield from _certificates(entry, "usercertificate", "client", tally)
    except Cut as error:
        if not tally.fetched:
            raise
        yield tally.short("listing_cut", error)


def _asset_id(entry: Entry, directory: Directory, base: str) -> str:
    """The immutable id: entryUUID (RFC 4530), or objectGUID, which comes as 16 little-endian bytes; else the DN."""
    guid = next(iter(entry.values.get("objectguid", ())), None)
    identity = str(uuid.UUID(bytes_le=guid)) if guid and len(guid) == 16 else entry.text("entryUUID") or _folded(entry.dn)
    return f"urn:{_provider(directory)}:{_folded(base)}:{identity}"


def _provider(directory: Directory) -> str:
    return "ad" if directory.is_active_directory else "ldap"


def _account(entry: Entry, directory: Directory, service_bases: tuple[str, ...]) -> dict[str, Any]:
    classes = {c.lower() for c in entry.texts("objectClass")}
    below = any(_folded(entry.dn).endswith("," + _folded(b)) for b in service_bases)
    human = not below and bool(classes & PEOPLE) and not classes & MACHINES
    return {
        "kind": "human" if human else "service",
        "provider": _provider(directory),
        "is_enabled": _enabled(entry, directory),
        "is_interactive": True if human else None,
    }


def _enabled(entry: Entry, directory: Directory) -> bool | None:
    """Unknown where Active Directory does not show us its flags; a lock that ends by itself does not disable an account."""
    flags = entry.number("userAccountControl")
    if directory.is_active_directory or flags is not None:
        return None if flags is None else not flags & DISABLED
    return entry.text("pwdAccountLockedTime") != LOCKED_FOR_GOOD and (entry.text("nsAccountLock") or "").lower() != "true"


def _certificates(entry: Entry, attribute: str, role: str, tally: Tally) -> Iterator[Record | Problem]:
    """Values have no order and no name: the locator ends in the beginning of their digest."""
    for der in dict.fromkeys(entry.values.get(attribute, ())):
        if not der:
            tally.refused += 1
            yield Problem("certificate_unreadable", f"{entry.dn}#{attribute}", "an empty value")
            continue
        yield Record("certificates", f"{entry.dn}#{attribute}/{hashlib.sha256(der).hexdigest()[:16]}", der, {"role": role})


def _groups(directory: Directory, settings: Settings, tally: Tally) -> Iterator[Record | Problem]:
    members: dict[str, set[str]] = {}
    names: dict[str, str] = {}
    try:
        for entry in directory.search(settings.group_base or settings.base_dn, settings.group_filter, ("member", "uniqueMember")):
            tally.fetched += 1
            group = _folded(entry.dn)
            names[group] = entry.dn
            members[group] = {_folded(m) for a in ("member", "uniqueMember") for m in entry.texts(a)}
            if any(";range=" in name for name in entry.values):
                yield tally.short("members_cut", f"{entry.dn}: the server hands out its members in ranges; only the first was read")
    except Cut as error:
        yield tally.short("listing_cut", error)
    for group, name in names.items():
        for member in sorted(_all_members(group, members)):
            if member in tally.ids:
                yield _membership(name, member, tally.ids[member])


def _all_members(group: str, members: Mapping[str, set[str]]) -> set[str]:
    """Members of a group and of the groups in it; groups may hold one another in a circle."""
    found: set[str] = set()
    waiting = [group]
    while waiting:
        fresh = members.get(waiting.pop(), set()) - found
        found |= fresh
        waiting += [m for m in fresh if m in members]
    return found


def _membership(group: str, member: str, asset_id: str) -> Record:
    action = f"member_of:{group}"
    identity = hashlib.sha256(f"ldap\n{asset_id}\n{group}\n{action}".encode("utf-8", "surrogatepass")).hexdigest()
    attributes = {"principal_asset_id": asset_id, "resource_kind": "group", "actions": [action], "has_condition": False}
    return Record("grants", f"{group} > {member}", None, {"asset_id": identity, **attributes})


def _authorities(directory: Directory, settings: Settings, tally: Tally) -> Iterator[Record | Problem]:
    """CA certificates that the directory publishes (RFC 4523)."""
    published = ("cACertificate", "cACertificate;binary")
    for entry in directory.search(settings.base_dn, "(|(objectClass=pkiCA)(objectClass=certificationAuthority))", published):
        tally.fetched += 1
        yield from _certificates(entry, "cacertificate", "repository", tally)


def _templates(directory: Directory, tally: Tally) -> Iterator[Record | Problem]:
    for configuration in directory.root.get("configurationnamingcontext", ()):
        for record in _adcs.records(directory, configuration):
            tally.fetched += 1
            yield record


def _folded(dn: str) -> str:
    """A DN for comparison; enough for DNs of one server, which writes them in one way."""
    return ",".join(part.strip() for part in dn.lower().split(","))
