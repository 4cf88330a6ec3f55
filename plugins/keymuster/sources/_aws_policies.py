"""Permission statements of AWS IAM that touch keys, secrets, certificates or CAs, as rows of `grants`.

Reads the answer of GetAccountAuthorizationDetails. Only Allow statements count (a Deny, boundary or service control policy that takes
some of it away is not looked at: a grant is what a policy gives). `NotAction` is read as the whole service where it leaves it open.
A role that outsiders may assume passes its statements on to them: those rows have no principal of ours.
The vocabulary has no column for principal and resource element, so a locator begins with both:
`<principal> <resource> <policy>#<statement>.<kind>`, where `*` as principal means anyone.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

SERVICES = {"key": ("kms",), "secret": ("secretsmanager",), "certificate": ("acm",), "authority": ("acm-pca",)}
"""Resource kind -> prefix of the actions that touch it."""
IAM_CERTIFICATES = ("iam:*ServerCertificate*", "iam:*SigningCertificate*")
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
EVERYTHING = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


@dataclass(frozen=True)
class Grant:
    """One row of `grants`."""

    locator: str
    principal: str | None
    """asset_id of a principal of this account; None for outsiders."""
    kind: str
    actions: tuple[str, ...]
    has_condition: bool


@dataclass
class Details:
    """The account's users, groups, roles and policies."""

    document: Mapping[str, Any]
    missing: set[str] = field(default_factory=set)
    """Policies that are attached and that the document does not hold; filled while reading."""

    def grants(self, ids: Mapping[str, str]) -> Iterator[Grant]:
        """All grants; `ids` maps the ARN of a principal to its asset_id."""
        groups = {g.get("GroupName"): g for g in self.document.get("GroupDetailList", ())}
        for user in self.document.get("UserDetailList", ()):
            owners = [(user, "User"), *((groups[g], "Group") for g in user.get("GroupList", ()) if g in groups)]
            for owner, kind in owners:
                for policy, document in self._policies(owner, kind):
                    yield from _flatten(policy, document, user["Arn"], ids.get(user["Arn"]))
        for role in self.document.get("RoleDetailList", ()):
            for policy, document in self._policies(role, "Role"):
                yield from _flatten(policy, document, role["Arn"], ids.get(role["Arn"]))
                for outsider, conditional in _outsiders(role):
                    yield from _flatten(f"{policy}@{role['Arn']}", document, outsider, None, conditional=conditional)

    def _policies(self, owner: Mapping[str, Any], kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for inline in owner.get(f"{kind}PolicyList", ()):
            yield f"{owner['Arn']}/{inline.get('PolicyName')}", inline.get("PolicyDocument") or {}
        for attached in owner.get("AttachedManagedPolicies", ()):
            arn = str(attached.get("PolicyArn"))
            document = self._managed().get(arn) or (EVERYTHING if arn == ADMINISTRATOR else None)
            if document is None:
                self.missing.add(arn)
                continue
            via = "" if kind == "User" else f"@{owner['Arn']}"
            yield arn + via, document

    def _managed(self) -> Mapping[str, Mapping[str, Any]]:
        return {
            str(policy.get("Arn")): version.get("Document") or {}
            for policy in self.document.get("Policies", ())
            for version in policy.get("PolicyVersionList", ())
            if version.get("IsDefaultVersion")
        }


def _flatten(
    policy: str, document: Mapping[str, Any], principal: str, asset_id: str | None, *, conditional: bool = False
) -> Iterator[Grant]:
    for number, statement in enumerate(_listed(document.get("Statement")), 1):
        if not isinstance(statement, Mapping) or statement.get("Effect") != "Allow":
            continue
        resources = _listed(statement.get("Resource")) or ["*"]  # NotResource: everything but something
        for kind, actions in _touched(statement).items():
            for resource in dict.fromkeys(str(r) for r in resources):
                locator = f"{principal} {resource} {policy}#{number}.{kind}"
                yield Grant(locator, asset_id, kind, actions, conditional or bool(statement.get("Condition")))


def _touched(statement: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Resource kinds that a statement reaches, with the actions that do."""
    actions = [str(a) for a in _listed(statement.get("Action"))]
    excluded = [str(a).lower() for a in _listed(statement.get("NotAction"))]
    found = {}
    for kind, services in SERVICES.items():
        wanted = [f"{s}:*" for s in services]
        if "NotAction" in statement:
            some = [w for w in wanted if not any(fnmatch.fnmatchcase(w, e) for e in excluded)]
        else:
            some = [a for a in actions if _reaches(a, kind, services)]
        if some:
            found[kind] = tuple(dict.fromkeys(some))
    return found


def _reaches(action: str, kind: str, services: tuple[str, ...]) -> bool:
    service, _, name = action.lower().partition(":")
    if service == "*" or any(fnmatch.fnmatchcase(s, service) for s in services):
        return True
    return kind == "certificate" and service == "iam" and any(_overlap(name, p.lower().partition(":")[2]) for p in IAM_CERTIFICATES)


def _overlap(name: str, pattern: str) -> bool:
    return name == "*" or fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(pattern.strip("*"), name)


def _outsiders(role: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Principals outside the account that may assume the role, and whether a condition narrows it."""
    account = str(role["Arn"]).split(":")[4]
    for statement in _listed((role.get("AssumeRolePolicyDocument") or {}).get("Statement")):
        if not isinstance(statement, Mapping) or statement.get("Effect") != "Allow":
            continue
        principal = statement.get("Principal")
        named = _listed(principal.get("AWS")) if isinstance(principal, Mapping) else _listed(principal)
        for one in dict.fromkeys(str(n) for n in named):
            if one != account and f":{account}:" not in one:
                yield one, bool(statement.get("Condition"))


def _listed(value: Any) -> list[Any]:
    """IAM writes a single value without its list."""
    return [] if value is None else value if isinstance(value, list) else [value]
