"""The AWS source: against moto, against moto behind a proxy that pages and cuts, and against exported files."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import boto3
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.certificates import Builder, authority, rsa_key
from tests.servers.processes import free_port
from tests.servers.proxy import changed
from tests.sources.cases.aws_iam import ACCOUNT, DAY, report_row, write_account, write_json, write_report

from keymuster.errors import BadAnswer, Refused, Unreachable
from keymuster.model import Coverage, Problem, Record
from keymuster.normalise import normalise
from keymuster.sources._aws_policies import Details
from keymuster.sources.aws_iam import DELIVERS, Settings, collect

KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1"
KEYS = {"access_key_id": "AKIATEST", "secret_access_key": "hunter2"}


def of(items, table):
    return [i for i in items if isinstance(i, Record) and i.table == table]


def problems(items):
    return [(i.code, i.locator) for i in items if isinstance(i, Problem)]


def attributes(items, table):
    return {r.locator: r.attributes for r in of(items, table)}


@pytest.fixture
def iam(moto):
    return boto3.client("iam", endpoint_url=moto, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")


@pytest.fixture
def settings(moto):
    return Settings(endpoint_url=moto, poll_seconds=0, **KEYS)


def test_users_keys_and_certificates_of_an_account(iam, settings):
    user = iam.create_user(UserName="anna")["User"]
    key = iam.create_access_key(UserName="anna")["AccessKey"]
    leaf, root = Builder("web.lab.test").with_key(rsa_key()).issue(authority()), authority()
    iam.upload_server_certificate(
        ServerCertificateName="web", CertificateBody=leaf.pem, PrivateKey=leaf.private_pem, CertificateChain=root.pem
    )
    iam.upload_signing_certificate(UserName="anna", CertificateBody=Builder("signer").with_key(rsa_key()).issue().pem)
    items = list(collect(settings))
    principal = attributes(items, "principals")[user["Arn"]]
    assert principal["asset_id"].endswith(user["UserId"])
    assert (principal["kind"], principal["access_key_count"], principal["mfa_type"]) == ("service", 1, None)
    (credential,) = of(items, "credentials")
    assert credential.attributes["asset_id"].endswith(key["AccessKeyId"])
    assert credential.attributes["principal_asset_id"] == principal["asset_id"]
    assert credential.attributes["is_active"] is True
    assert credential.attributes["created_at"].tzinfo is UTC
    assert sorted(r.attributes["role"] for r in of(items, "certificates")) == ["chain", "client", "installed"]
    assert leaf.der in {r.der for r in of(items, "certificates")}
    assert "hunter2" not in repr(items)
    assert "PRIVATE KEY" not in repr(items)


def test_a_report_without_root_is_short(iam, settings):
    items = list(collect(settings))
    assert ("root_missing", None) in problems(items)
    assert items[-1].truncated


def test_the_kind_of_a_second_factor(iam, settings):
    iam.create_user(UserName="anna")
    iam.create_login_profile(UserName="anna", Password="Sup3r-secret!")
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName="anna")["VirtualMFADevice"]["SerialNumber"]
    iam.enable_mfa_device(UserName="anna", SerialNumber=device, AuthenticationCode1="123456", AuthenticationCode2="654321")
    (principal,) = [r.attributes for r in of(collect(settings), "principals") if r.locator.endswith("anna")]
    assert (principal["kind"], principal["mfa_type"], principal["is_interactive"]) == ("human", "totp", True)


def test_ssh_keys_of_users(iam, settings):
    public = rsa_key().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    iam.create_user(UserName="anna")
    iam.upload_ssh_public_key(UserName="anna", SSHPublicKeyBody=public)
    items = list(collect(settings))
    made = normalise(items, station="aws", source="aws_iam", as_of=datetime(2026, 11, 23, tzinfo=UTC), delivers=DELIVERS)
    (row,) = made.tables["ssh_keys"].to_pylist()
    assert (row["account"], row["kind"], row["key_algorithm"], row["options"]) == ("anna", "authorized", "RSA", [])


def test_grants_by_user_group_and_role(iam, settings):
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    decrypt = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": ["kms:Decrypt", "s3:GetObject"], "Resource": KEY}}
    trust = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}}
    iam.create_user(UserName="anna")
    iam.create_group(GroupName="admins")
    iam.add_user_to_group(GroupName="admins", UserName="anna")
    iam.put_group_policy(GroupName="admins", PolicyName="all", PolicyDocument=json.dumps(everything))
    iam.create_role(RoleName="open", AssumeRolePolicyDocument=json.dumps(trust))
    iam.put_role_policy(RoleName="open", PolicyName="decrypt", PolicyDocument=json.dumps(decrypt))
    items = list(collect(settings))
    grants = attributes(items, "grants")
    anna = {k: v for k, v in grants.items() if ":user/anna " in k}
    assert {v["resource_kind"] for v in anna.values()} == {"key", "secret", "certificate", "authority"}
    assert {tuple(v["actions"]) for v in anna.values()} == {("*",)}
    assert all(k.split(" ")[1] == "*" for k in anna)
    (public,) = [v for k, v in grants.items() if k.startswith("* ")]
    assert (public["principal_asset_id"], public["resource_kind"], public["actions"]) == (None, "key", ["kms:Decrypt"])
    assert [v["actions"] for k, v in grants.items() if f":role/open {KEY} " in k] == [["kms:Decrypt"]]


def action_of(asked):
    return re.search(r"Action=(\w+)", asked)[1]


def test_pages_are_followed_to_the_end(iam, settings):
    for name in ("anna", "ben"):
        iam.create_user(UserName=name)
        iam.create_access_key(UserName=name)
    whole = {}

    def paged(method, asked, status, body):
        if action_of(asked) != "ListUsers":
            return status, body
        users = re.findall(rb"<member>.*?</member>", body, re.DOTALL)
        whole["users"] = len(users)
        first = "Marker=two" not in asked
        mine = users[:1] if first else users[1:]
        body = re.sub(rb"<Users>.*</Users>", b"<Users>" + b"".join(mine) + b"</Users>", body, flags=re.DOTALL)
        more = b"<IsTruncated>true</IsTruncated><Marker>two</Marker>" if first else b"<IsTruncated>false</IsTruncated>"
        return status, re.sub(rb"<IsTruncated>\w+</IsTruncated>", more, body)

    with changed(settings.endpoint_url, paged) as url:
        items = list(collect(settings.model_copy(update={"endpoint_url": url})))
    assert whole["users"] == 2
    assert len(of(items, "credentials")) == 2


def test_a_page_that_hides_the_next_is_noticed(iam, settings):
    iam.create_user(UserName="anna")

    def cut(method, asked, status, body):
        if action_of(asked) == "ListUsers":
            return status, re.sub(rb"<IsTruncated>\w+</IsTruncated>", b"<IsTruncated>true</IsTruncated>", body)
        return status, body

    with changed(settings.endpoint_url, cut) as url:
        items = list(collect(settings.model_copy(update={"endpoint_url": url})))
    assert ("access_keys_unreadable", None) in problems(items)
    assert items[-1].truncated


def test_a_listing_shorter_than_the_account_counts_is_noticed(iam, settings):
    leaf = Builder("web.lab.test").with_key(rsa_key()).issue()
    iam.upload_server_certificate(ServerCertificateName="web", CertificateBody=leaf.pem, PrivateKey=leaf.private_pem)

    def hide(method, asked, status, body):
        if action_of(asked) == "ListServerCertificates":
            return status, re.sub(rb"<member>.*</member>", b"", body, flags=re.DOTALL)
        return status, body

    with changed(settings.endpoint_url, hide) as url:
        items = list(collect(settings.model_copy(update={"endpoint_url": url})))
    assert ("server_certificates_short", None) in problems(items)
    assert items[-1].expected == items[-1].fetched + 1


ERROR = "<ErrorResponse><Error><Type>Sender</Type><Code>{}</Code><Message>no</Message></Error><RequestId>1</RequestId></ErrorResponse>"


def answering(action, status, code):
    def change(method, asked, real, body):
        return (status, ERROR.format(code).encode()) if action in {action_of(asked), "*"} else (real, body)

    return change


@pytest.mark.parametrize("code", ["AccessDenied", "InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredToken"])
def test_wrong_credentials_are_refused(settings, code):
    with changed(settings.endpoint_url, answering("*", 403, code)) as url, pytest.raises(Refused, match=code) as caught:
        list(collect(settings.model_copy(update={"endpoint_url": url})))
    assert "hunter2" not in str(caught.value)


def test_one_denied_listing_leaves_the_rest(iam, settings):
    iam.create_user(UserName="anna")
    with changed(settings.endpoint_url, answering("ListServerCertificates", 403, "AccessDenied")) as url:
        items = list(collect(settings.model_copy(update={"endpoint_url": url})))
    assert ("server_certificates_unreadable", None) in problems(items)
    assert len(of(items, "principals")) >= 1
    assert items[-1].truncated


def test_a_report_that_never_comes_is_unreachable(settings):
    with (
        changed(settings.endpoint_url, answering("GetCredentialReport", 410, "ReportNotPresent")) as url,
        pytest.raises(Unreachable, match="not ready"),
    ):
        list(collect(settings.model_copy(update={"endpoint_url": url, "polls": 3})))


def test_a_dead_endpoint_is_unreachable():
    with pytest.raises(Unreachable):
        list(collect(Settings(endpoint_url=f"http://127.0.0.1:{free_port()}", timeout_seconds=1, attempts=1, **KEYS)))


def test_an_exported_account(tmp_path):
    write_account(tmp_path)
    items = list(collect(Settings(folder=tmp_path)))
    assert problems(items) == []
    assert items[-1] == Coverage(expected=7, fetched=7)
    root = attributes(items, "principals")[f"arn:aws:iam::{ACCOUNT}:root"]
    assert root == {
        "asset_id": f"urn:aws:{ACCOUNT}:root",
        "kind": "root",
        "provider": "aws",
        "is_enabled": True,
        "is_interactive": True,
        "mfa_type": "other",
        "access_key_count": 0,
    }
    assert [r.attributes["principal_asset_id"] for r in of(items, "credentials")] == [f"urn:aws:{ACCOUNT}:AIDA1"]


def test_keys_of_the_root_are_known_from_the_report_alone(tmp_path):
    write_report(tmp_path, report_row("<root_account>", key2=f"true,{DAY},N/A,N/A,N/A"))
    write_json(tmp_path, "access-keys", {"AccessKeys": []})
    items = list(collect(Settings(folder=tmp_path)))
    assert attributes(items, "principals")[f"arn:aws:iam::{ACCOUNT}:root"]["access_key_count"] == 1
    (key,) = of(items, "credentials")
    assert key.attributes["created_at"] == datetime(2026, 1, 1, tzinfo=UTC)
    assert key.attributes["last_used_at"] is None
    assert items[-1].complete


def test_a_key_that_the_listing_leaves_out_is_noticed(tmp_path):
    write_report(
        tmp_path, report_row("<root_account>"), report_row("anna", key1=f"true,{DAY},N/A,N/A,N/A", key2=f"false,{DAY},N/A,N/A,N/A")
    )
    key = {"UserName": "anna", "AccessKeyId": "AKIA1", "Status": "Active", "CreateDate": DAY}
    write_json(tmp_path, "access-keys", {"AccessKeys": [key]})
    items = list(collect(Settings(folder=tmp_path)))
    assert problems(items) == [("access_keys_short", None)]
    assert items[-1].truncated


def test_an_export_that_was_cut_is_noticed(tmp_path):
    write_account(tmp_path)
    write_json(tmp_path, "server-certificates", {"ServerCertificates": [], "IsTruncated": True})
    items = list(collect(Settings(folder=tmp_path)))
    assert problems(items) == [("server_certificates_unreadable", None)]
    assert items[-1].truncated


def test_files_that_are_nonsense(tmp_path):
    write_account(tmp_path)
    for content in ("{", "[]", '{"AccessKeys": {}}', '{"AccessKeys": [1]}', "[" * 100_000):
        (tmp_path / "access-keys.json").write_text(content)
        assert ("access_keys_unreadable", None) in problems(collect(Settings(folder=tmp_path)))
    (tmp_path / "credential-report.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BadAnswer, match="no column user"):
        list(collect(Settings(folder=tmp_path)))
    with pytest.raises(Unreachable, match=r"no credential-report\.csv"):
        list(collect(Settings(folder=tmp_path / "none")))


def grants(statement, trust=None):
    role = {"Arn": f"arn:aws:iam::{ACCOUNT}:role/r", "RoleId": "AROA1"}
    role |= {"RolePolicyList": [{"PolicyName": "p", "PolicyDocument": {"Statement": [statement]}}]}
    role |= {"AssumeRolePolicyDocument": {"Statement": trust or []}}
    return [(g.locator.split(" ")[0], g.kind, g.actions, g.has_condition) for g in Details({"RoleDetailList": [role]}).grants({})]


ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ({"Effect": "Allow", "Action": "s3:*", "Resource": "*"}, []),
        ({"Effect": "Deny", "Action": "kms:*", "Resource": "*"}, []),
        ({"Effect": "Allow", "Action": "KMS:Decrypt", "Resource": "*"}, [("key", ("KMS:Decrypt",))]),
        ({"Effect": "Allow", "Action": "k*:*", "Resource": "*"}, [("key", ("k*:*",))]),
        (
            {"Effect": "Allow", "Action": "iam:UploadServerCertificate", "Resource": "*"},
            [("certificate", ("iam:UploadServerCertificate",))],
        ),
        ({"Effect": "Allow", "Action": "iam:ListUsers", "Resource": "*"}, []),
        (
            {"Effect": "Allow", "NotAction": ["kms:*", "iam:*"], "Resource": "*"},
            [("secret", ("secretsmanager:*",)), ("certificate", ("acm:*",)), ("authority", ("acm-pca:*",))],
        ),
    ],
)
def test_what_a_statement_touches(statement, expected):
    assert grants(statement) == [(ROLE, kind, actions, False) for kind, actions in expected]


def test_outsiders_who_may_assume_a_role():
    statement = {"Effect": "Allow", "Action": "kms:Sign", "Resource": "*"}
    trust = [
        {
            "Effect": "Allow",
            "Principal": {"AWS": ["arn:aws:iam::999999999999:root", f"arn:aws:iam::{ACCOUNT}:root"]},
            "Condition": {"x": 1},
        },
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}},
        {"Effect": "Allow", "Principal": "*"},
    ]
    found = grants(statement, trust)
    assert [(who, conditional) for who, _, _, conditional in found] == [
        (ROLE, False),
        ("arn:aws:iam::999999999999:root", True),
        ("*", False),
    ]


def test_an_attached_policy_that_is_not_in_the_answer(tmp_path):
    write_account(tmp_path)
    details = json.loads((tmp_path / "account-authorization-details.json").read_text())
    arn = f"arn:aws:iam::{ACCOUNT}:policy/gone"
    details["UserDetailList"][0]["AttachedManagedPolicies"] = [
        {"PolicyArn": arn},
        {"PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess"},
    ]
    write_json(tmp_path, "account-authorization-details", details)
    items = list(collect(Settings(folder=tmp_path)))
    assert problems(items) == [("policies_missing", None)]
    assert len([g for g in of(items, "grants") if g.attributes["actions"] == ["*"]]) == 4
