"""What an AWS account tells about itself through IAM: asked for with boto3, or read from a folder of exported answers.

Both give the same parts, each a callable that may raise a SourceError; a part that an export leaves out is None.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
)
from botocore.parsers import ResponseParserError

from keymuster.errors import BadAnswer, Refused, Unreachable

Rows = Callable[[], list[dict[str, Any]]]
DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "MissingAuthenticationToken",
    "OptInRequired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
    "UnauthorizedOperation",
}
LATER = {"Throttling", "ThrottlingException", "RequestLimitExceeded", "ServiceUnavailable", "ServiceFailure", "InternalFailure"}
REPORT_PENDING = {"ReportInProgress", "ReportNotPresent", "ReportExpired", "CredentialReportNotReadyException"}


@dataclass(frozen=True)
class Account:
    """The parts of one account."""

    report: Callable[[], str]
    server_certificates: Rows | None
    """As GetServerCertificate answers: ServerCertificateMetadata, CertificateBody, CertificateChain."""
    access_keys: Rows | None
    """UserName, AccessKeyId, Status, CreateDate, LastUsedDate."""
    details: Callable[[], Mapping[str, Any]] | None
    """As GetAccountAuthorizationDetails answers, all pages together."""
    signing_certificates: Rows | None = None
    ssh_keys: Rows | None = None
    """As GetSSHPublicKey answers: UserName, SSHPublicKeyId, SSHPublicKeyBody, UploadDate."""
    mfa_devices: Rows | None = None
    summary: Callable[[], Mapping[str, int]] | None = None
    """Counts of GetAccountSummary."""


def exported(folder: Path) -> Account:
    """The account from files. Unreachable if the credential report is not there; each other file may be left out."""
    if not (folder / "credential-report.csv").is_file():
        raise Unreachable(f"aws_iam: there is no credential-report.csv in {folder}")

    def rows(name: str, key: str) -> Rows | None:
        return (lambda: _rows(folder / name, key)) if (folder / name).exists() else None

    details = folder / "account-authorization-details.json"
    return Account(
        report=lambda: (folder / "credential-report.csv").read_text("utf-8-sig", "replace"),
        server_certificates=rows("server-certificates.json", "ServerCertificates"),
        access_keys=rows("access-keys.json", "AccessKeys"),
        details=(lambda: _object(details)) if details.exists() else None,
        signing_certificates=rows("signing-certificates.json", "Certificates"),
    )


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"aws_iam: {path}: no JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadAnswer(f"aws_iam: {path}: no JSON object")
    if value.get("IsTruncated") or value.get("NextToken"):
        raise BadAnswer(f"aws_iam: {path}: the export was cut (IsTruncated or NextToken); export it without --max-items")
    return value


def _rows(path: Path, key: str) -> list[dict[str, Any]]:
    rows = _object(path).get(key)
    if not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
        raise BadAnswer(f"aws_iam: {path}: {key!r} is no list of objects")
    return rows


@dataclass(frozen=True)
class Live:
    """Calls to IAM. Throttled calls are repeated by boto3's standard mode."""

    client: Any
    poll_seconds: float
    polls: int

    def account(self) -> Account:
        """The parts, each asked for when it is called."""
        return Account(
            report=self._report,
            server_certificates=self._server_certificates,
            access_keys=self._access_keys,
            details=self._details,
            signing_certificates=lambda: self._of_users("list_signing_certificates", "Certificates"),
            ssh_keys=self._ssh_keys,
            mfa_devices=lambda: [
                *self._of_users("list_mfa_devices", "MFADevices"),
                *self._all("list_virtual_mfa_devices", "VirtualMFADevices", AssignmentStatus="Assigned"),
            ],
            summary=lambda: self._call("get_account_summary")["SummaryMap"],
        )

    def _call(self, name: str, **arguments: Any) -> dict[str, Any]:
        with translated(name):
            return dict(getattr(self.client, name)(**arguments))

    def _all(self, name: str, key: str, **arguments: Any) -> list[dict[str, Any]]:
        """Every page. The marker is followed by hand: boto3's paginator takes a page without marker for the last one."""
        rows: list[dict[str, Any]] = []
        marker: str | None = None
        while True:
            page = self._call(name, **arguments, **({"Marker": marker} if marker else {}))
            rows += page.get(key, [])
            if not page.get("IsTruncated"):
                return rows
            following = page.get("Marker")
            if not following or following == marker:
                raise BadAnswer(f"aws_iam: {name}: the listing says that it is cut and does not say how to go on")
            marker = following

    def _users(self) -> list[str]:
        return [str(u["UserName"]) for u in self._all("list_users", "Users")]

    def _of_users(self, name: str, key: str) -> list[dict[str, Any]]:
        return [row for user in self._users() for row in self._all(name, key, UserName=user)]

    def _report(self) -> str:
        """The report is made in the background: ask until it is there."""
        for _ in range(self.polls):
            if self._call("generate_credential_report").get("State") == "COMPLETE":
                try:
                    return bytes(self._call("get_credential_report")["Content"]).decode("utf-8", "replace")
                except Pending:
                    pass
            time.sleep(self.poll_seconds)
        raise Unreachable(f"aws_iam: the credential report was not ready after {self.polls} questions")

    def _server_certificates(self) -> list[dict[str, Any]]:
        names = [str(c["ServerCertificateName"]) for c in self._all("list_server_certificates", "ServerCertificateMetadataList")]
        return [self._call("get_server_certificate", ServerCertificateName=n)["ServerCertificate"] for n in names]

    def _access_keys(self) -> list[dict[str, Any]]:
        rows = self._of_users("list_access_keys", "AccessKeyMetadata")
        for row in rows:
            used = self._call("get_access_key_last_used", AccessKeyId=row["AccessKeyId"])
            row["LastUsedDate"] = used.get("AccessKeyLastUsed", {}).get("LastUsedDate")
        return rows

    def _ssh_keys(self) -> list[dict[str, Any]]:
        listed = self._of_users("list_ssh_public_keys", "SSHPublicKeys")
        arguments = [{"UserName": k["UserName"], "SSHPublicKeyId": k["SSHPublicKeyId"], "Encoding": "SSH"} for k in listed]
        return [self._call("get_ssh_public_key", **a)["SSHPublicKey"] for a in arguments]

    def _details(self) -> dict[str, Any]:
        lists = ("UserDetailList", "GroupDetailList", "RoleDetailList", "Policies")
        whole: dict[str, list[Any]] = {key: [] for key in lists}
        marker: dict[str, str] = {}
        while True:
            page = self._call("get_account_authorization_details", **marker)
            for key in lists:
                whole[key] += page.get(key, [])
            if not page.get("IsTruncated"):
                return whole
            if not page.get("Marker") or page["Marker"] == marker.get("Marker"):
                raise BadAnswer("aws_iam: get_account_authorization_details: cut, and it does not say how to go on")
            marker = {"Marker": page["Marker"]}


class Pending(Unreachable):
    """The credential report is not ready."""


@contextmanager
def translated(what: str) -> Iterator[None]:
    """boto3's errors as ours; AWS puts no secret into its messages, but they can be long."""
    try:
        yield
    except ClientError as error:
        raise _refusal(what, error) from None
    except (NoCredentialsError, PartialCredentialsError):
        raise Refused("aws_iam: no credentials; name a connection that holds them, or give the machine a role") from None
    except (NoRegionError, InvalidRegionError, ParamValidationError, ResponseParserError, ValueError) as error:
        raise BadAnswer(f"aws_iam: {what}: {_line(error)}") from None
    except (HTTPClientError, BotoCoreError) as error:
        raise Unreachable(f"aws_iam: {what}: {_line(error)}") from None


def _refusal(what: str, error: ClientError) -> Exception:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    said = f"aws_iam: {what}: {code}: {_line(error.response.get('Error', {}).get('Message', ''))}"
    if code in REPORT_PENDING:
        return Pending(said)
    if code in LATER or status >= 500 or status == 429:
        return Unreachable(said)
    return Refused(said) if code in DENIED or status in {401, 403} else BadAnswer(said)


def _line(text: object) -> str:
    return " ".join(str(text).split())[:200]


def connect(settings: Any) -> Live:
    """A client by the settings; without keys boto3 looks where it always does (environment, role of the machine)."""
    config = Config(
        connect_timeout=settings.timeout_seconds,
        read_timeout=settings.timeout_seconds,
        retries={"mode": "standard", "max_attempts": settings.attempts},
    )
    secret, token = settings.secret_access_key, settings.session_token
    with translated("client"):
        client = boto3.client(
            "iam",
            region_name=settings.region_name,
            endpoint_url=settings.endpoint_url or None,
            aws_access_key_id=settings.access_key_id or None,
            aws_secret_access_key=secret.get_secret_value() if secret else None,
            aws_session_token=token.get_secret_value() if token else None,
            verify=str(settings.ca_bundle) if settings.ca_bundle else None,
            config=config,
        )
    return Live(client, settings.poll_seconds, settings.polls)
