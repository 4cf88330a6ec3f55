"""Facts about grants, principals, credentials, SSH keys and issuances."""

from __future__ import annotations

from typing import Any

import pytest

from keymuster.facts._grants import survey
from keymuster.facts.sibling_count import survey as siblings
from keymuster.policy import Policy
from keymuster.protocols import Unknowable
from tests.certificates import Builder, authority
from tests.fact_runs import context_of, run, sighting

USER = "arn:aws:iam::1:user/u"


def grant(*actions: str, who: str | None = "p", resource: str = "*", element: str = USER, **columns: Any) -> dict[str, Any]:
    row = {"station": "aws", "principal_asset_id": who, "resource_kind": "key", "actions": list(actions)}
    return {**row, "locator": f"{element} {resource} arn:aws:iam::1:policy/x#1.key", **columns}


def member(group: str, who: str) -> dict[str, Any]:
    row = {"station": "ldap", "principal_asset_id": who, "resource_kind": "group", "actions": [f"member_of:{group}"]}
    return {**row, "locator": f"{group} > {who}"}


@pytest.mark.parametrize(
    ("actions", "capabilities"),
    [
        (["kms:Decrypt"], ["use"]),
        (["KMS:decrypt", "kms:DescribeKey"], ["use", "read"]),
        (["kms:*"], ["use", "delegate", "administer", "read"]),
        (["kms:Create*"], ["delegate", "administer"]),
        (["acm-pca:IssueCertificate"], ["issue"]),
        (["secretsmanager:GetSecretValue", "acm:ExportCertificate"], ["export"]),
        (["*"], ["use", "export", "issue", "delegate", "administer", "read"]),
        (["kms:TagResource"], []),
        (["member_of:cn=admins"], []),
        (["full_control"], ["delegate", "administer"]),
        ([], []),
        (None, None),
    ],
)
def test_capabilities(actions: list[str] | None, capabilities: list[str] | None) -> None:
    assert run("capabilities", "grants", [{"actions": actions}]) == [capabilities]


@pytest.mark.parametrize(
    ("who", "element", "reach"),
    [
        ("p", USER, "account"),
        ("p", "*", "account"),
        (None, "*", "public"),
        (None, "Everyone", "public"),
        (None, "arn:aws:iam::2:root", "external"),
        (None, "222222222222", "external"),
    ],
)
def test_principal_reach(who: str | None, element: str, reach: str) -> None:
    assert run("principal_reach", "grants", [grant("kms:Decrypt", who=who, element=element)]) == [reach]


def test_principal_reach_is_unknown_where_nothing_names_it() -> None:
    rows = [{"principal_asset_id": None, "locator": "x"}, {"locator": f"{USER} * x"}, {"principal_asset_id": None, "locator": None}]
    assert run("principal_reach", "grants", rows) == [None] * 3


@pytest.mark.parametrize(
    ("resource", "whole"),
    [
        ("*", True),
        ("*:*", True),
        ("arn:aws:kms:*:*:key/*", True),
        ("arn:aws:kms:eu-west-1:1:*", True),
        ("arn:aws:secretsmanager:*:1:secret:*", True),
        ("arn:aws:acm-pca:eu-west-1:1:certificate-authority/*", True),
        ("arn:aws:kms:eu-west-1:1:key/1234", False),
        ("arn:aws:secretsmanager:*:1:secret:prod/*", False),
        ("arn:aws:kms:eu-west-1:1:key/12*", False),
    ],
)
def test_resource_wildcard(resource: str, whole: bool) -> None:
    assert run("is_resource_wildcard", "grants", [grant("kms:Decrypt", resource=resource), {"locator": "x"}]) == [whole, None]


PEOPLE = [{"asset_id": a, "station": "aws", "kind": "human"} for a in ("admin", "user", "issuer", "reader", "nobody")]
PEOPLE += [{"asset_id": "root", "station": "other", "kind": "root"}, {"asset_id": "stranger", "station": "other", "kind": "human"}]
GRANTS = [
    grant("*", who="admin"),
    grant("kms:Decrypt", who="user", resource="arn:aws:kms:eu-west-1:1:key/1"),
    grant("acm-pca:IssueCertificate", who="issuer"),
    grant("kms:DescribeKey", who="reader"),
]


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        ("has_full_admin", [True, False, False, False, False, True, None]),
        ("is_privileged", [True, True, False, False, False, True, None]),
        ("can_issue_certificates", [True, False, True, False, False, True, None]),
    ],
)
def test_principals(fact: str, expected: list[bool | None]) -> None:
    assert run(fact, "principals", PEOPLE, {"grants": GRANTS}) == expected
    estate = context_of({"grants": GRANTS})
    assert run(fact, "principals", PEOPLE, survey={fact: survey(estate.frames, estate)}) == expected


def test_every_action_on_one_resource_is_no_full_admin() -> None:
    narrow = [grant("*", who="admin", resource="arn:aws:kms:eu-west-1:1:key/1")]
    assert run("has_full_admin", "principals", PEOPLE[:1], {"grants": narrow}) == [False]


def test_members_of_privileged_groups() -> None:
    people = [{"asset_id": a, "station": "ldap", "kind": "human"} for a in ("boss", "worker", "alone")]
    grants = [member("CN=Domain Admins,DC=example", "boss"), member("cn=staff,dc=example", "worker")]
    policy = Policy(privileged_groups=("cn=domain admins,*",))
    assert run("is_privileged", "principals", people, {"grants": grants}, policy=policy) == [True, False, False]
    assert run("is_privileged", "principals", people, {"grants": grants}) == [None] * 3, "policy names no groups"
    assert run("has_full_admin", "principals", people, {"grants": grants}, policy=policy) == [None] * 3, "groups tell nothing of it"


def test_no_grants_no_answer() -> None:
    assert run("is_privileged", "principals", PEOPLE) == [None, None, None, None, None, True, None]


def test_break_glass() -> None:
    rows = [{"asset_id": "urn:aws:1:EMERGENCY-1"}, {"asset_id": "urn:aws:1:other"}, {"asset_id": None}]
    assert run("is_break_glass", "principals", rows, policy=Policy(break_glass=("*:emergency-?", "x"))) == [True, False, None]
    assert run("is_break_glass", "principals", rows, policy=Policy(break_glass=())) == [False, False, None]
    with pytest.raises(Unknowable, match="break_glass"):
        run("is_break_glass", "principals", rows)


def test_siblings() -> None:
    def credential(asset: str, who: str | None, active: bool | None = True, kind: str = "access_key") -> dict[str, Any]:
        return {"asset_id": asset, "kind": kind, "principal_asset_id": who, "is_active": active}

    rows = [credential("1", "p"), credential("2", "p"), credential("2", "p"), credential("3", "p", active=False)]
    rows += [credential("4", "p", kind="token"), credential("5", None), credential("6", "q", active=False)]
    assert run("sibling_count", "credentials", rows) == [2, 2, 2, 2, 1, None, 0]
    estate = context_of({"credentials": rows})
    answers = siblings(estate.frames, estate)
    assert run("sibling_count", "credentials", rows[:1], survey={"sibling_count": answers}) == [2]


def test_ssh_places() -> None:
    rows = [
        {"spki_sha256": "a", "kind": "authorized", "station": "h1", "account": "root", "locator": "/root/.ssh/authorized_keys:1"},
        {"spki_sha256": "a", "kind": "authorized", "station": "h1", "account": "root", "locator": "/root/.ssh/authorized_keys:2"},
        {"spki_sha256": "a", "kind": "authorized", "station": "h2", "account": "root", "locator": "/root/.ssh/authorized_keys:1"},
        {"spki_sha256": "a", "kind": "private", "station": "h3", "account": "me", "locator": "/home/me/.ssh/id"},
        {"spki_sha256": "b", "kind": "host", "station": "h1", "account": None, "locator": "/etc/ssh/ssh_host_key"},
        {"spki_sha256": "b", "kind": "host", "station": "h1", "account": None, "locator": "/etc/ssh/copy"},
        {"spki_sha256": "b", "kind": "host", "station": "scan", "account": None, "locator": "192.0.2.1:22#ed25519"},
        {"spki_sha256": "b", "kind": "host", "station": "scan", "account": None, "locator": "192.0.2.2:22#ed25519"},
        {"spki_sha256": None, "kind": "host", "station": "scan", "account": None, "locator": "192.0.2.2:22#rsa"},
        {"spki_sha256": "c", "station": "scan", "locator": "x"},
    ]
    assert run("account_count", "ssh_keys", rows) == [2, 2, 2, 2, 0, 0, 0, 0, None, None]
    assert run("host_count", "ssh_keys", rows) == [0, 0, 0, 0, 3, 3, 3, 3, None, None]


def test_account_kind_says_only_what_is_sure() -> None:
    rows = [{"account": "root"}, {"account": "Administrator"}, {"account": "deploy"}, {"account": None}, {}]
    assert run("account_kind", "ssh_keys", rows) == ["privileged", "privileged", None, None, None]


@pytest.mark.parametrize(
    ("purposes", "is_ca", "strong"),
    [
        (["serverAuth"], False, False),
        (["serverAuth", "clientAuth"], False, True),
        (["1.3.6.1.4.1.311.20.2.2"], False, True),
        (["codeSigning"], False, True),
        (["anyExtendedKeyUsage"], False, True),
        (None, False, True),
        (["serverAuth"], True, True),
    ],
)
def test_privileged_purpose(purposes: list[str] | None, is_ca: bool, strong: bool) -> None:
    beside = {"certificates": [{"asset_id": "c", "extended_key_usage": purposes, "is_ca": is_ca}]}
    rows = [{"certificate_asset_id": c} for c in ("c", "absent", None)]
    assert run("is_privileged_purpose", "issuances", rows, beside) == [strong, None, None]


@pytest.mark.parametrize(
    ("requester", "entitled"),
    [
        ("www.example.com", True),
        ("EXAMPLE\\alice", True),
        ("alice@example.com", True),
        ("EXAMPLE\\WWW$", True),
        ("www", False),
        ("EXAMPLE\\mallory", False),
        ("EXAMPLE\\RA-7", True),
        ("EXAMPLE\\alice.example", False),
        (None, None),
    ],
)
def test_requester_entitled(requester: str | None, entitled: bool | None) -> None:
    issued = Builder("alice").dns("www.example.com").issue(authority())
    policy = Policy(enrolment_agents=("example\\ra-*",))
    row = {"requester": requester, "certificate_asset_id": issued.fingerprint}
    beside = {"certificates": [sighting(issued)]}
    assert run("is_requester_entitled", "issuances", [row], beside, policy=policy) == [entitled]
    open_ = run("is_requester_entitled", "issuances", [row], beside)[0]
    assert open_ is (True if entitled and "RA-" not in str(requester) else None), "policy names no agents"


def test_requester_without_certificate() -> None:
    rows = [{"requester": "a", "certificate_asset_id": None}, {"certificate_asset_id": "x"}]
    assert run("is_requester_entitled", "issuances", rows, policy=Policy(enrolment_agents=())) == [None, None]
