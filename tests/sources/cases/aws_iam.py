"""Exported answers in a folder (the emulator has no root row); the short one lacks a certificate body."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.certificates import Builder, authority
from tests.sources.conformance import HOSTILE, Case

from keymuster.sources.aws_iam import Settings

ACCOUNT = "111122223333"
HEAD = (
    "user,arn,user_creation_time,password_enabled,password_last_used,password_last_changed,password_next_rotation,mfa_active,"
    "access_key_1_active,access_key_1_last_rotated,access_key_1_last_used_date,access_key_1_last_used_region,access_key_1_last_used_service,"
    "access_key_2_active,access_key_2_last_rotated,access_key_2_last_used_date,access_key_2_last_used_region,access_key_2_last_used_service,"
    "cert_1_active,cert_1_last_rotated,cert_2_active,cert_2_last_rotated"
)
DAY = "2026-01-01T00:00:00+00:00"
NO_KEY = "false,N/A,N/A,N/A,N/A"


def report_row(user: str, *, sign_in: str = "false", mfa: bool = False, key1: str = NO_KEY, key2: str = NO_KEY) -> str:
    arn = f"arn:aws:iam::{ACCOUNT}:root" if user == "<root_account>" else f"arn:aws:iam::{ACCOUNT}:user/{user}"
    return f"{user},{arn},{DAY},{sign_in},N/A,N/A,N/A,{str(mfa).lower()},{key1},{key2},false,N/A,false,N/A"


def write_report(folder: Path, *rows: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "credential-report.csv").write_text("\n".join([HEAD, *rows]) + "\n")


def write_json(folder: Path, name: str, document: object) -> None:
    (folder / f"{name}.json").write_text(json.dumps(document))


def write_account(folder: Path) -> bytes:
    """An account with everything; the DER of its server certificate."""
    root = authority()
    leaf = Builder(HOSTILE).issue(root)
    used = f"true,{DAY},2026-11-01T00:00:00+00:00,eu-west-1,s3"
    rows = (report_row("<root_account>", sign_in="not_supported", mfa=True), report_row("anna", sign_in="true", key1=used))
    write_report(folder, *rows)
    keys = [{"UserName": "anna", "AccessKeyId": "AKIA1", "Status": "Active", "CreateDate": DAY, "LastUsedDate": None}]
    write_json(folder, "access-keys", {"AccessKeys": keys})
    meta = {"Arn": f"arn:aws:iam::{ACCOUNT}:server-certificate/web", "ServerCertificateName": "web"}
    both = {"CertificateBody": leaf.pem, "CertificateChain": root.pem}
    write_json(folder, "server-certificates", {"ServerCertificates": [{"ServerCertificateMetadata": meta, **both}]})
    signing = {"UserName": "anna", "CertificateId": "C1", "CertificateBody": Builder("signer").issue().pem}
    write_json(folder, "signing-certificates", {"Certificates": [signing]})
    policy = {"PolicyName": "p", "PolicyDocument": {"Statement": {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"}}}
    user = {"UserName": "anna", "UserId": "AIDA1", "Arn": f"arn:aws:iam::{ACCOUNT}:user/anna", "UserPolicyList": [policy]}
    write_json(folder, "account-authorization-details", {"UserDetailList": [user], "IsTruncated": False})
    return leaf.der


def case(folder: Path, request: pytest.FixtureRequest) -> Iterator[Case]:
    der = write_account(folder / "whole")
    shutil.copytree(folder / "whole", folder / "short")
    document = json.loads((folder / "short" / "server-certificates.json").read_text())
    document["ServerCertificates"][0]["CertificateBody"] = ""
    write_json(folder / "short", "server-certificates", document)
    expects = {"principals": 2, "credentials": 1, "certificates": 3, "grants": 1, "ssh_keys": 0}
    yield Case(Settings(folder=folder / "whole"), expects, hostile=der, short=Settings(folder=folder / "short"))
