"""AWS IAM of the sample estate, as `aws iam …` prints it: credential report, server certificates, access keys."""

from __future__ import annotations

import csv
import json
from datetime import datetime, timedelta
from pathlib import Path

from ca import PEM, Issued, Issuer

ACCOUNT = "111122223333"
COLUMNS = [
    "user",
    "arn",
    "user_creation_time",
    "password_enabled",
    "password_last_used",
    "password_last_changed",
    "password_next_rotation",
    "mfa_active",
    "access_key_1_active",
    "access_key_1_last_rotated",
    "access_key_1_last_used_date",
    "access_key_1_last_used_region",
    "access_key_1_last_used_service",
    "access_key_2_active",
    "access_key_2_last_rotated",
    "access_key_2_last_used_date",
    "access_key_2_last_used_region",
    "access_key_2_last_used_service",
    "cert_1_active",
    "cert_1_last_rotated",
    "cert_2_active",
    "cert_2_last_rotated",
]

USERS = (
    # name, age of the user, last sign-in (days ago; None: no password), second factor, keys as (age, last used or None, active)
    ("<root_account>", 2900, 190, False, ((1200, 240, True),)),
    ("anna.admin", 1500, 1, True, ()),
    ("ben.billing", 900, 4, False, ()),
    ("carla.cloud", 700, 2, True, ((45, 1, True),)),
    ("dmitri.gone", 1100, 160, True, ((600, 200, True),)),
    ("deploy", 800, None, False, ((420, 0.2, True), (30, 0.1, True))),
    ("mail-relay", 620, None, False, ((80, 0.1, True),)),
    ("backup", 1300, None, False, ((1290, None, True),)),
    ("reports", 400, None, False, ((380, 100, False),)),
)


ADMINISTRATOR = {
    "PolicyName": "AdministratorAccess",
    "PolicyId": "ANPAEXAMPLE0000000001",
    "Arn": "arn:aws:iam::aws:policy/AdministratorAccess",
    "DefaultVersionId": "v1",
    "PolicyVersionList": [
        {
            "VersionId": "v1",
            "IsDefaultVersion": True,
            "Document": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]},
        }
    ],
}
KEY = f"arn:aws:kms:eu-central-1:{ACCOUNT}:key"
STATEMENTS = {
    "deploy": {"Effect": "Allow", "Action": ["kms:Decrypt", "kms:Sign", "secretsmanager:GetSecretValue"], "Resource": "*"},
    "mail-relay": {"Effect": "Allow", "Action": "kms:Sign", "Resource": f"{KEY}/0f6c5f0e-0000-4000-8000-000000000001"},
    "backup": {"Effect": "Allow", "Action": "kms:Encrypt", "Resource": f"{KEY}/*", "Condition": {"Bool": {"aws:SecureTransport": "true"}}},
}


def write_cloud(folder: Path, issued: list[Issued], issuer: Issuer, as_of: datetime) -> None:
    """The three files of the account."""
    folder.mkdir(parents=True, exist_ok=True)
    keys: list[dict[str, object]] = []
    with (folder / "credential-report.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="N/A", lineterminator="\n")
        writer.writeheader()
        for number, user in enumerate(USERS):
            row, owned = _user(number, user, as_of)
            writer.writerow(row)
            keys += owned
    (folder / "access-keys.json").write_text(json.dumps({"AccessKeys": keys}, indent=2) + "\n")
    details = {"UserDetailList": [_details(n, user[0]) for n, user in enumerate(USERS) if user[0] != "<root_account>"]}
    details |= {"GroupDetailList": [], "RoleDetailList": [], "Policies": [ADMINISTRATOR], "IsTruncated": False}
    (folder / "account-authorization-details.json").write_text(json.dumps(details, indent=2) + "\n")
    listing = [_server_certificate(number, one, issuer) for number, one in enumerate(issued)]
    (folder / "server-certificates.json").write_text(json.dumps({"ServerCertificates": listing}, indent=2) + "\n")


def _details(number: int, name: str) -> dict[str, object]:
    """What one user may do: one administrator, one pipeline that may decrypt with every key, one narrow grant."""
    managed = [{"PolicyName": "AdministratorAccess", "PolicyArn": ADMINISTRATOR["Arn"]}] if name in ("anna.admin", "dmitri.gone") else []
    inline = (
        [{"PolicyName": f"{name}-keys", "PolicyDocument": {"Version": "2012-10-17", "Statement": [STATEMENTS[name]]}}]
        if name in STATEMENTS
        else []
    )
    arn = f"arn:aws:iam::{ACCOUNT}:user/{name}"
    base = {"Path": "/", "UserName": name, "UserId": f"AIDAEXAMPLE{number:010d}", "Arn": arn, "GroupList": []}
    return {**base, "AttachedManagedPolicies": managed, "UserPolicyList": inline}


User = tuple[str, int, float | None, bool, tuple[tuple[float, float | None, bool], ...]]


def _user(number: int, user: User, as_of: datetime) -> tuple[dict[str, str], list[dict[str, object]]]:
    name, age, sign_in, mfa, keys = user

    def ago(days: float | None) -> str:
        return "N/A" if days is None else (as_of - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S+00:00")

    root = name == "<root_account>"
    arn = f"arn:aws:iam::{ACCOUNT}:" + ("root" if root else f"user/{name}")
    row = {"user": name, "arn": arn, "user_creation_time": ago(age), "mfa_active": str(mfa).lower()}
    row |= {"password_enabled": "not_supported" if root else str(sign_in is not None).lower(), "password_last_used": ago(sign_in)}
    row |= {"password_last_changed": "not_supported" if root else ago(sign_in and min(age, 300))}
    row |= {"password_next_rotation": "not_supported" if root else "N/A"}
    owned: list[dict[str, object]] = []
    for slot in (1, 2):
        made, used, active = keys[slot - 1] if slot <= len(keys) else (None, None, False)
        row |= {f"access_key_{slot}_active": str(active).lower(), f"access_key_{slot}_last_rotated": ago(made)}
        row |= {f"access_key_{slot}_last_used_date": ago(used), f"cert_{slot}_active": "false"}
        if used is not None:
            row |= {f"access_key_{slot}_last_used_region": "eu-central-1", f"access_key_{slot}_last_used_service": "s3"}
        if made is not None and not root:  # AWS lists the root's keys nowhere but in the report
            key = {"UserName": name, "AccessKeyId": f"AKIAEXAMPLE{number:04d}{slot:05d}", "Status": "Active" if active else "Inactive"}
            owned.append({**key, "CreateDate": ago(made), "LastUsedDate": None if used is None else ago(used)})
    return row, owned


def _server_certificate(number: int, one: Issued, issuer: Issuer) -> dict[str, object]:
    name, certificate = one.plan.name.replace(".", "-"), one.certificate
    metadata = {"Path": "/", "ServerCertificateName": name, "ServerCertificateId": f"ASCAEXAMPLE{number:010d}"}
    metadata |= {"Arn": f"arn:aws:iam::{ACCOUNT}:server-certificate/{name}"}
    metadata |= {"UploadDate": certificate.not_valid_before_utc.isoformat(), "Expiration": certificate.not_valid_after_utc.isoformat()}
    body, chain = certificate.public_bytes(PEM).decode(), issuer.certificate.public_bytes(PEM).decode()
    return {"ServerCertificateMetadata": metadata, "CertificateBody": body, "CertificateChain": chain}
