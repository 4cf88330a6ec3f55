"""AWS IAM: users with their second factor, access keys, server and signing certificates, SSH keys, and grants on keys and secrets.

Asks the account with boto3, or, with `folder`, reads what the `aws iam` command printed into these files of one folder:

    credential-report.csv               `get-credential-report`, Content decoded (compulsory)
    server-certificates.json            {"ServerCertificates": [...]}: the ServerCertificate objects of `get-server-certificate`
                                        (ServerCertificateMetadata with Arn, CertificateBody, CertificateChain)
    access-keys.json                    {"AccessKeys": [...]}: AccessKeyMetadata of `list-access-keys` (UserName, AccessKeyId, Status,
                                        CreateDate) with LastUsedDate of `get-access-key-last-used`, null or absent where there is none
    signing-certificates.json           {"Certificates": [...]} of `list-signing-certificates` (UserName, CertificateId, CertificateBody)
    account-authorization-details.json  `get-account-authorization-details`, all pages

A file that is not there is a part that was not asked for: its tables have no rows from here. Dates are ISO 8601.

What this API is known for, and what is done about it:
* the report is made in the background: it is asked for until it is complete;
* only the report shows the root (`<root_account>`) and its keys. A report without that row is short;
* listings come in pages; a page that says it is cut without saying how to go on makes the listing incomplete, and so does a listing
  that is shorter than GetAccountSummary counts, and an export that says IsTruncated;
* the report knows a key that the listing leaves out (or the other way round, for the report can be four hours old): both are kept, the
  station is not complete;
* IAM has no list of what a user may do: see `_aws_policies`.

Last use is when the provider saw it (days may pass until it shows). asset_id holds the immutable id (AIDA…, AROA…, AKIA…) where it is
known, else the ARN's last part: an export without the details knows users by name only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from keymuster.errors import BadAnswer, Refused
from keymuster.model import Coverage, Problem, Record
from keymuster.sources import _pem
from keymuster.sources._aws_account import Account, connect, exported
from keymuster.sources._aws_policies import Details
from keymuster.sources._aws_report import User, instant, read

DELIVERS: Mapping[str, frozenset[str]] = {
    "principals": frozenset({"kind", "provider", "is_enabled", "is_interactive", "mfa_type", "access_key_count"}),
    "credentials": frozenset(
        {"kind", "principal_asset_id", "is_active", "is_user_managed", "created_at", "expires_at", "last_used_at"},
    ),
    "certificates": frozenset({"role"}),
    "ssh_keys": frozenset({"kind", "account", "options", "created_at", "expires_at", "file_mode", "certificate_type"}),
    "grants": frozenset({"principal_asset_id", "resource_kind", "actions", "has_condition"}),
}
T = TypeVar("T")
SPKI = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


class Settings(BaseModel):
    """Which account, by which credentials; or which folder of exported answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path | None = Field(default=None, description="Folder of exported answers; AWS is not called then.")
    access_key_id: str = Field(default="", description="Access key; empty: boto3 looks in the environment and asks the machine's role.")
    secret_access_key: SecretStr | None = Field(default=None, description="Secret of the access key.")
    session_token: SecretStr | None = Field(default=None, description="Token of temporary credentials.")
    region_name: str = Field(default="us-east-1", description="Region that signs the calls; IAM itself is global.")
    endpoint_url: str = Field(default="", description="Another endpoint, e.g. of a VPC or of another partition.")
    ca_bundle: Path | None = Field(default=None, description="PEM file of CAs that may sign the endpoint's certificate.")
    timeout_seconds: int = Field(default=30, ge=1, description="Wait at most this long for an answer.")
    attempts: int = Field(default=4, ge=1, description="Try a throttled or failed call this often, with growing pauses.")
    poll_seconds: float = Field(default=2, ge=0, description="Pause between two questions for the credential report.")
    polls: int = Field(default=60, ge=1, description="Ask this often for the credential report.")


@dataclass
class Tally:
    """What was read and what fell short, over all parts of the account."""

    fetched: int = 0
    missing: int = 0
    """Counted by the account and not listed."""
    refused: int = 0
    truncated: bool = False
    problems: list[Problem] = field(default_factory=list)

    def part(self, name: str, ask: Callable[[], T] | None) -> T | None:
        """The answer for one part of the account; None, and incomplete, if it is refused. An outage ends the run."""
        try:
            return ask() if ask else None
        except (Refused, BadAnswer) as error:
            self.short(f"{name}_unreadable", str(error))
            return None

    def short(self, code: str, detail: str) -> None:
        """A listing fell short."""
        self.truncated = True
        self.problems.append(Problem(code, None, detail[:500]))

    def lost(self, code: str, locator: str, detail: str) -> None:
        """One item could not be read."""
        self.refused += 1
        self.problems.append(Problem(code, locator, detail[:500]))


def collect(settings: Settings) -> Iterator[Record | Problem | Coverage]:
    """Yield what the account tells. Raises Unreachable, or Refused or BadAnswer if there is no credential report to be had."""
    account = exported(settings.folder) if settings.folder else connect(settings).account()
    tally = Tally()
    try:
        users = read(account.report())
    except ValueError as error:
        raise BadAnswer(f"aws_iam: {error}") from None
    details = tally.part("details", account.details)
    ids = _ids(users, details or {})
    for record in _records(account, users, details, ids, tally):
        tally.fetched += 1
        yield record
    yield from tally.problems
    yield Coverage(tally.fetched + tally.refused + tally.missing, tally.fetched, tally.refused, tally.truncated)


def _records(
    account: Account, users: list[User], details: Mapping[str, Any] | None, ids: Mapping[str, str], tally: Tally
) -> Iterator[Record]:
    yield from _principals(users, details or {}, ids, _second_factors(account, tally), tally)
    yield from _access_keys(users, tally.part("access_keys", account.access_keys), ids, tally)
    yield from _server_certificates(account, tally)
    yield from _signing_certificates(tally.part("signing_certificates", account.signing_certificates) or (), users, tally)
    yield from _ssh_keys(tally.part("ssh_keys", account.ssh_keys) or (), users, tally)
    if details:
        yield from _grants(Details(details), ids, tally)


def _ids(users: Iterable[User], details: Mapping[str, Any]) -> dict[str, str]:
    """ARN -> asset_id of a principal."""
    ids = {u.arn: f"urn:aws:{u.account}:{'root' if u.is_root else u.arn.split(':', 5)[5]}" for u in users}
    for table, column in (("UserDetailList", "UserId"), ("RoleDetailList", "RoleId")):
        for row in details.get(table, ()):
            arn = str(row.get("Arn"))
            ids[arn] = f"urn:aws:{arn.split(':')[4] if arn.count(':') > 4 else ''}:{row.get(column) or arn}"
    return ids


def _principals(
    users: Iterable[User], details: Mapping[str, Any], ids: Mapping[str, str], factors: Mapping[str, str], tally: Tally
) -> Iterator[Record]:
    if not any(u.is_root for u in users):
        tally.short("root_missing", "the credential report has no <root_account> row: the account's root was not seen")
    for user in users:
        yield Record("principals", user.arn, None, {"asset_id": ids[user.arn], **user.attributes(factors.get(user.name))})
    known = {u.arn for u in users}
    for row in details.get("UserDetailList", ()):
        if row.get("Arn") not in known:
            tally.lost("user_not_in_report", str(row.get("Arn")), "the credential report is older than this user, or was cut")
    for row in details.get("RoleDetailList", ()):
        attributes = {"kind": "service", "provider": "aws", "is_enabled": True, "is_interactive": False, "mfa_type": None}
        yield Record("principals", str(row["Arn"]), None, {"asset_id": ids[str(row["Arn"])], **attributes, "access_key_count": 0})


def _second_factors(account: Account, tally: Tally) -> dict[str, str]:
    """User name -> kind of second factor, where the account tells; the best one of several."""
    best = {"totp": 0, "hardware": 1, "passkey": 2}
    found: dict[str, str] = {}
    for device in tally.part("mfa_devices", account.mfa_devices) or ():
        serial, owner = str(device.get("SerialNumber", "")), device.get("UserName")
        if owner is None and str((device.get("User") or {}).get("Arn", "")).endswith(":root"):
            owner = "<root_account>"
        kind = "passkey" if ":u2f/" in serial else "totp" if ":mfa/" in serial else "hardware"
        if owner and best[kind] >= best.get(found.get(owner, ""), -1):
            found[owner] = kind
    return found


def _access_keys(users: list[User], listed: list[dict[str, Any]] | None, ids: Mapping[str, str], tally: Tally) -> Iterator[Record]:
    """Keys as listed (they have ids) and those that only the report shows: the root's, and what a listing left out."""
    by_user: dict[str, list[dict[str, Any]]] = {}
    for key in listed or ():
        by_user.setdefault(str(key.get("UserName")), []).append(key)
    for user in users:
        mine, slots = by_user.pop(user.name, []), user.slots()
        for key in mine:
            yield from _access_key(user, key, ids, tally)
        if listed is not None and not user.is_root and len(slots) > len(mine):
            tally.short("access_keys_short", f"{user.arn}: the report knows {len(slots)} access keys, the listing {len(mine)}")
        if listed is None or user.is_root or not mine:
            for slot, known in slots.items():
                asset_id = f"{ids[user.arn]}:access-key-{slot}"
                yield _credential(f"{user.arn}/access-key-{slot}", asset_id, ids[user.arn], known)
    for name, keys in by_user.items():
        for key in keys:
            tally.lost("user_not_in_report", str(key.get("AccessKeyId")), f"the report does not know its user {name[:80]}")


def _access_key(user: User, key: Mapping[str, Any], ids: Mapping[str, str], tally: Tally) -> Iterator[Record]:
    locator = f"{user.arn}/access-key/{key.get('AccessKeyId')}"
    try:
        known: dict[str, Any] = {"created_at": instant(key.get("CreateDate")), "last_used_at": instant(key.get("LastUsedDate"))}
    except ValueError as error:
        tally.lost("access_key_unreadable", locator, str(error))
        return
    known["is_active"] = key.get("Status") == "Active"
    yield _credential(locator, f"urn:aws:{user.account}:{key.get('AccessKeyId')}", ids[user.arn], known)


def _credential(locator: str, asset_id: str, principal: str, known: Mapping[str, Any]) -> Record:
    fixed = {"kind": "access_key", "principal_asset_id": principal, "is_user_managed": True, "expires_at": None}
    return Record("credentials", locator, None, {"asset_id": asset_id, **fixed, **known})


def _server_certificates(account: Account, tally: Tally) -> Iterator[Record]:
    rows = tally.part("server_certificates", account.server_certificates)
    for row in rows or ():
        meta = row.get("ServerCertificateMetadata") or {}
        arn = str(meta.get("Arn") or meta.get("ServerCertificateName") or "server certificate without name")
        try:
            leaf = _pem.certificate(str(row.get("CertificateBody") or ""))
            chain = _pem.certificates(str(row.get("CertificateChain") or ""))
        except ValueError as error:
            tally.lost("certificate_unreadable", arn, str(error))
            continue
        yield Record("certificates", arn, leaf, {"role": "installed"})
        for number, der in enumerate(chain, 1):
            yield Record("certificates", f"{arn}#chain{number}", der, {"role": "chain"})
    counted = (tally.part("summary", account.summary) or {}).get("ServerCertificates")
    if rows is not None and counted is not None and counted > len(rows):
        tally.missing += counted - len(rows)
        tally.short("server_certificates_short", f"the account counts {counted} server certificates, the listing has {len(rows)}")


def _signing_certificates(rows: Iterable[Mapping[str, Any]], users: Iterable[User], tally: Tally) -> Iterator[Record]:
    arns = {u.name: u.arn for u in users}
    for row in rows:
        locator = f"{arns.get(str(row.get('UserName')), row.get('UserName'))}/signing-certificate/{row.get('CertificateId')}"
        try:
            yield Record("certificates", locator, _pem.certificate(str(row.get("CertificateBody") or "")), {"role": "client"})
        except ValueError as error:
            tally.lost("certificate_unreadable", locator, str(error))


def _ssh_keys(rows: Iterable[Mapping[str, Any]], users: Iterable[User], tally: Tally) -> Iterator[Record]:
    arns = {u.name: u.arn for u in users}
    for row in rows:
        locator = f"{arns.get(str(row.get('UserName')), row.get('UserName'))}/ssh-key/{row.get('SSHPublicKeyId')}"
        try:
            der = load_ssh_public_key(str(row.get("SSHPublicKeyBody") or "").encode()).public_bytes(*SPKI)
        except (ValueError, UnsupportedAlgorithm) as error:
            tally.lost("key_unreadable", locator, str(error))
            continue
        attributes: dict[str, Any] = {
            "kind": "authorized",
            "account": row.get("UserName"),
            "options": [],
            "created_at": instant(row.get("UploadDate")),
        }
        yield Record("ssh_keys", locator, der, {**attributes, "expires_at": None, "file_mode": None, "certificate_type": None})


def _grants(details: Details, ids: Mapping[str, str], tally: Tally) -> Iterator[Record]:
    seen: set[str] = set()
    for grant in details.grants(ids):
        if grant.locator in seen:
            continue  # the same policy by two groups
        seen.add(grant.locator)
        principal, resource = grant.locator.split(" ")[:2]
        identity = "\n".join(["aws", grant.principal or principal, resource, grant.kind, *grant.actions])
        attributes = {
            "asset_id": hashlib.sha256(identity.encode()).hexdigest(),
            "principal_asset_id": grant.principal,
            "resource_kind": grant.kind,
            "actions": list(grant.actions),
            "has_condition": grant.has_condition,
        }
        yield Record("grants", grant.locator, None, attributes)
    if details.missing:
        shown = ", ".join(sorted(details.missing)[:5])
        tally.short("policies_missing", f"{len(details.missing)} attached policies are not in the answer: {shown}")
