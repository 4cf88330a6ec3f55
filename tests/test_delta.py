"""What changed from one audit to the next; nothing is resolved without proof."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keymuster.audit import audit
from keymuster.delta import compare
from keymuster.model import Coverage, finding_key
from keymuster.policy import Policy
from keymuster.results import AuditResult
from keymuster.rules import Rule, load_rules
from keymuster.store import Store
from tests.audit_results import build, failing
from tests.estate_rows import AS_OF, Place, certificate, snapshot

RULE = next(r for r in load_rules() if r.id == "certificate.rsa.minimum_bits")
LATER = AS_OF + timedelta(days=1)


def key(name: str) -> str:
    return finding_key(RULE.id, certificate(name)["asset_id"])


def made(store: Store, day: int, *stations: str, rules: Sequence[Rule] = (RULE,)) -> AuditResult:
    places = [Place(s) for s in stations]
    return store.get_audit(audit(store, "test", places, rules, [], [], Policy(), AS_OF + timedelta(days=day), "live"))


def seen(store: Store, day: int, station: str = "lan", coverage: Coverage | None = None, **bits: int | None) -> None:
    rows = [certificate(name, key_bits=value) for name, value in bits.items()]
    snapshot(store, station, {"certificates": rows}, AS_OF + timedelta(days=day), coverage=coverage)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_the_first_audit_opens_everything(store: Store) -> None:
    seen(store, 0, weak=1024, good=2048)
    delta = compare(None, made(store, 0, "lan"))
    assert (delta.opened, delta.standing, delta.resolved, delta.unconfirmed) == ((key("weak"),), (), (), ())


def test_opened_standing_and_resolved(store: Store) -> None:
    seen(store, 0, a=1024, b=1024, c=1024)
    seen(store, 1, a=1024, b=2048, d=1024)
    delta = compare(made(store, 0, "lan"), made(store, 1, "lan"))
    assert delta.opened == (key("d"),)
    assert delta.standing == (key("a"),)
    assert delta.resolved == tuple(sorted((key("b"), key("c"))))
    assert delta.unconfirmed == ()


def test_gone_from_an_incomplete_snapshot_is_unconfirmed(store: Store) -> None:
    seen(store, 0, a=1024)
    before = made(store, 0, "lan")
    seen(store, 1, coverage=Coverage(5, 3, truncated=True), b=2048)
    assert compare(before, made(store, 1, "lan")).unconfirmed == (key("a"),)
    seen(store, 2, b=2048)
    assert compare(before, made(store, 2, "lan")).resolved == (key("a"),)


def test_gone_while_its_station_is_stale_or_absent_is_unconfirmed(store: Store) -> None:
    seen(store, 0, "lan", a=1024)
    seen(store, 0, "dmz", b=2048)
    before = made(store, 0, "lan", "dmz")
    assert compare(before, made(store, 0, "dmz")).unconfirmed == (key("a"),)
    seen(store, 1, "lan", a=2048)
    store.refuse("lan", "files", LATER + timedelta(hours=1), "unreachable", "time-out")
    assert compare(before, made(store, 2, "lan", "dmz")).unconfirmed == (key("a"),)


def test_every_station_that_saw_the_asset_must_vouch_for_it(store: Store) -> None:
    seen(store, 0, "lan", a=1024)
    seen(store, 0, "dmz", a=2048)
    before = made(store, 0, "lan", "dmz")
    assert before.findings["stations"].to_pylist() == [["lan"]]
    seen(store, 1, "lan", b=2048)
    store.refuse("dmz", "files", LATER, "unreachable", "time-out")
    assert compare(before, made(store, 1, "lan", "dmz")).unconfirmed == (key("a"),)


def test_what_has_become_unknown_is_not_resolved(store: Store) -> None:
    seen(store, 0, a=1024, b=1024)
    seen(store, 1, a=None, b=2048)
    delta = compare(made(store, 0, "lan"), made(store, 1, "lan"))
    assert (delta.unconfirmed, delta.resolved) == ((key("a"),), (key("b"),))


def test_a_rule_that_is_not_evaluated_resolves_nothing(store: Store) -> None:
    seen(store, 0, a=1024)
    other = next(r for r in load_rules() if r.id == "inventory.source.fresh")
    assert compare(made(store, 0, "lan"), made(store, 0, "lan", rules=[other])).unconfirmed == (key("a"),)
    snapshot(store, "lan", {}, LATER)
    assert compare(made(store, 0, "lan"), made(store, 1, "lan")).unconfirmed == (key("a"),)


NAMES = st.sets(st.sampled_from([f"asset{i}" for i in range(6)]))


@settings(max_examples=60, deadline=None)
@given(NAMES, NAMES, NAMES)
def test_the_parts_are_disjoint_and_add_up(first: set[str], second: set[str], third: set[str]) -> None:
    one, two, _ = (build([failing("key.file.private", asset=a) for a in sorted(names)]) for names in (first, second, third))
    delta = compare(one, two)
    before, after = (set(r.findings["key"].to_pylist()) for r in (one, two))
    parts = [set(p) for p in (delta.opened, delta.standing, delta.resolved, delta.unconfirmed)]
    assert sum(map(len, parts)) == len(set().union(*parts))
    assert parts[0] | parts[1] == after
    assert parts[1] | parts[2] | parts[3] == before
    assert all(list(p) == sorted(p) for p in (delta.opened, delta.standing, delta.resolved, delta.unconfirmed))
    same = compare(two, two)
    assert (same.opened, same.resolved, same.unconfirmed) == ((), (), ())
    back = compare(two, one)
    assert set(back.opened) == parts[2] | parts[3]
