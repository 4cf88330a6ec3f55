"""What policy leaves open stays open: from the file to the shard, where facts tell silence from an empty list."""

from __future__ import annotations

from pathlib import Path

import pytest

from keymuster.audit_plan import Content, versions
from keymuster.content import checks
from keymuster.policy import Match, Ownership, Policy, read_policy

LISTS = ("ownership", "compromised_keys", "approved_issuers", "private_roots", "break_glass", "enrolment_agents")


OWNED = Ownership(match=Match(name="*"), owner="o")


@pytest.mark.parametrize("policy", [Policy(), Policy(ownership=(), compromised_keys=()), Policy(ownership=(OWNED,))])
def test_a_policy_comes_out_of_the_plan_as_it_went_in(policy: Policy) -> None:
    content = Content.of((), (), (), policy)
    again = Content.from_json(content.as_json())
    assert again.policy == policy
    assert again.policy.model_fields_set == policy.model_fields_set
    assert again.policy_sha256() == content.policy_sha256()


def test_silence_and_an_empty_list_are_two_policies() -> None:
    silent, empty = (Content.of((), (), (), p) for p in (Policy(), Policy(ownership=())))
    assert silent.policy_sha256() != empty.policy_sha256()


def test_the_default_policy_says_nothing_for_anybody() -> None:
    default = read_policy(checks() / "policies" / "default.yaml")
    assert not {*LISTS, "domains", "networks", "register_station"} & default.model_fields_set
    assert default.ct_grace_hours == 24
    assert set(default.fix_days) == {"critical", "high", "medium", "low", "info"}


def test_an_estate_overrides_the_default(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("ownership: []\nct_grace_hours: 48\n")
    policy = read_policy(checks() / "policies" / "default.yaml", tmp_path / "policy.yaml")
    assert policy.ct_grace_hours == 48
    assert "ownership" in policy.model_fields_set
    assert policy.fix_days["critical"] == 7


def test_packages_that_hold_reference_data_are_part_of_the_evidence() -> None:
    assert {"badkeys", "certifi", "publicsuffixlist"} <= versions().keys()
