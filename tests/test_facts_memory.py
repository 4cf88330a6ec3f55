"""What is remembered from audit to audit changes no answer, spares the work, and is not believed once it is damaged."""

from __future__ import annotations

import cProfile
import hashlib
import pstats
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import gmpy2
import pyarrow as pa
import pytest
from badkeys.rsakeys import sharedprimes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keymuster import store_memory
from keymuster.audit import audit, conclude, judge_shard, plan
from keymuster.facts import _batch_gcd, _issuers, _known_primes, _public_keys, _signatures
from keymuster.facts._compared import COMPARED, sharing_names
from keymuster.model import Coverage, Record
from keymuster.normalise import normalise
from keymuster.policy import Policy
from keymuster.protocols import Kind
from keymuster.registry import load
from keymuster.rules import load_rules
from keymuster.store import Store
from keymuster.store_memory import MOST_PACKS
from tests.certificates import AS_OF, Builder, authority, ec_key, rsa_spki, spki
from tests.estate_rows import Place
from tests.fact_runs import context_of

DAY = timedelta(days=1)
WORK = ("verify_directly_issued_by", "load_der_public_key", "fermat", "roca", "sharing", "crossing", "touching")
"""Functions that verify, test and compare."""


@cache
def prime(number: int, bits: int = 512) -> int:
    text = hashlib.shake_256(b"memory %d" % number).digest(bits // 8)
    return int(gmpy2.next_prime(int.from_bytes(text, "big") | (3 << (bits - 2))))


def modulus(a: int, b: int) -> int:
    return prime(a) * prime(b)


@pytest.fixture
def forget(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """What a new process has not got."""

    def fresh() -> None:
        monkeypatch.setattr(_signatures, "_verified", {})
        monkeypatch.setattr(_public_keys, "_moduli", {})
        monkeypatch.setattr(_public_keys, "_last", None)
        monkeypatch.setattr(_issuers, "_last", None)

    fresh()
    return fresh


# --- whole audits -------------------------------------------------------------------------------------------------

ROOT = authority("Memory Root")
ISSUING = authority("Memory CA", by=ROOT, path_length=0)
PAIRS = ((0, 1), (2, 3), (4, 5), (0, 6), (7, 8), (2, 9))
"""Primes of six RSA keys: the first and the fourth share one, the second and the last another."""
RULES = [r for r in load_rules() if r.table in ("keys", "certificates")]
POLICY = Policy(private_roots=(ROOT.spki_sha256,), approved_issuers=(ISSUING.spki_sha256,))


@cache
def leaf(number: int) -> bytes:
    """Leaves with RSA keys of PAIRS, then some with EC keys."""
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    made = Builder(f"m{number}.example.com").dns(f"m{number}.example.com")
    if number < len(PAIRS):
        made = made.with_public_key(load_der_public_key(rsa_spki(modulus(*PAIRS[number]))))
    return made.issue(ISSUING).der


def collect(store: Store, numbers: Iterable[int], day: int) -> None:
    ders = [ROOT.der, ISSUING.der, *map(leaf, numbers)]
    stream = [*(Record("certificates", hashlib.sha256(d).hexdigest(), d, {"role": "served"}) for d in ders), Coverage(len(ders), len(ders))]
    made = normalise(stream, station="lan", source="files", as_of=AS_OF + day * DAY, delivers={"certificates": ["role"]}, cache=store)
    ref = store.write_snapshot("lan", "files", AS_OF + day * DAY, made.tables, (), made.coverage, made.delivers, made.ders)
    store.settle(ref, accepted=True, validation={"success": True})


def judged(store: Store, day: int, shards: int = 1) -> dict[str, Any]:
    uri = audit(store, "test", [Place("lan")], RULES, [], (), POLICY, AS_OF + day * DAY, "what_if", shards=shards)
    result = store.get_audit(uri)
    assert not [reason for reason in result.manifest.facts_unknown.values() if "crashed" in reason]
    return {name: getattr(result, name).to_pylist() for name in ("findings", "unknowns", "outcomes", "assets", "controls")}


def cold(folder: Path, numbers: Iterable[int], day: int) -> dict[str, Any]:
    store = Store(folder)
    collect(store, numbers, day)
    return judged(store, day)


def flagged(result: dict[str, Any]) -> set[str]:
    return {f["label"] for f in result["findings"] if f["rule_id"] == "key.weak.no_shared_factor"}


@pytest.mark.parametrize("shards", [1, 8])
def test_cold_warm_after_coming_and_going(tmp_path: Path, forget: Callable[[], None], shards: int) -> None:
    days = [range(8), range(8), (1, 2, 3, 5, 6, 7), (0, 1, 2, 6), (0, 3), range(9), (0, 1, 2, 6)]
    shared = [4, 4, 2, 0, 2, 4, 0]
    for day, numbers in enumerate(days):
        forget()
        store = Store(tmp_path / "warm")
        collect(store, numbers, day)
        forget()
        warm = judged(store, day, shards)
        forget()
        assert warm == cold(tmp_path / f"cold{day}", numbers, day)
        assert len(flagged(warm)) == shared[day]


def called(work: Callable[[], Any]) -> Counter[str]:
    """How often each function of WORK was called, C functions included."""
    profile = cProfile.Profile()
    profile.runcall(work)
    found: Counter[str] = Counter()
    for (_, _, name), (_, calls, *_) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        found.update({known: calls for known in WORK if re.search(rf"\b{known}\b", name)})
    return found


@pytest.mark.parametrize("shards", [1, 8])
def test_a_warm_audit_verifies_and_tests_nothing(tmp_path: Path, forget: Callable[[], None], shards: int) -> None:
    store = Store(tmp_path)
    collect(store, range(8), 0)
    first = called(lambda: judged(store, 0, shards))
    assert first.keys() == set(WORK) - {"crossing"}, "the counter counts"
    assert first["verify_directly_issued_by"] >= 10
    assert store.memory.computed["signatures"] >= 10
    forget()
    again = Store(tmp_path)
    assert called(lambda: judged(again, 1, shards)) == {}
    assert +again.memory.computed == {}
    assert again.memory.recalled["signatures"] >= 10


def test_only_what_is_new_is_worked_out(tmp_path: Path, forget: Callable[[], None]) -> None:
    store = Store(tmp_path)
    collect(store, range(3), 0)
    judged(store, 0)
    forget()
    again = Store(tmp_path)
    collect(again, range(4), 1)
    assert len(flagged(judged(again, 1))) == 2, "the old key that shares a factor with the new one, too"
    # of the new key nothing is on the list of known primes to be asked, for it shares a factor, as the old one now does
    assert +again.memory.computed == {"certificates": 1, "signatures": 1, "moduli": 1, "fermat": 1, "roca": 1, "compared-moduli": 1}


def test_steps_in_processes_of_their_own(tmp_path: Path, forget: Callable[[], None]) -> None:
    collect(Store(tmp_path / "a"), range(8), 0)
    made = plan(Store(tmp_path / "a"), "test", [Place("lan")], RULES, [], (), POLICY, AS_OF, "what_if", shards=4)
    for index in (0, 2, 1, 3):
        forget()
        judge_shard(Store(tmp_path / "a"), made, index)
    result = Store(tmp_path / "a").get_audit(conclude(Store(tmp_path / "a"), made))
    assert result.findings.to_pylist() == cold(tmp_path / "b", range(8), 0)["findings"]
    warm = Store(tmp_path / "a")
    judged(warm, 1, 4)
    assert +warm.memory.computed == {}


def packs(store: Store) -> list[str]:
    return [n for n in store.files.find("facts") if n.endswith(".parquet")]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "a bit": lambda data: bytes([*data[: len(data) // 2], data[len(data) // 2] ^ 1, *data[len(data) // 2 + 1 :]]),
    "cut short": lambda data: data[:-7],
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_packs_are_worked_out_again(
    tmp_path: Path, forget: Callable[[], None], damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path)
    collect(store, range(8), 0)
    first = judged(store, 0)
    kinds = {n.split("/")[1] for n in packs(store)}
    assert kinds == {"certificates", "signatures", "moduli", "fermat", "roca", "known-primes", "compared-moduli"}
    for name in packs(store):
        store.files.put(name, damage(store.files.get(name) or b""))
    forget()
    again = Store(tmp_path)
    assert flagged(judged(again, 1)) == flagged(first)
    assert again.memory.computed.keys() == kinds
    assert caplog.text.count("is damaged: what it held is worked out again") == len(kinds)
    for name in packs(again):
        assert hashlib.sha256(again.files.get(name) or b"").hexdigest() in name, "what was damaged is gone or sound"
    forget()
    third = Store(tmp_path)
    judged(third, 2)
    assert +third.memory.computed == {}


def test_a_true_digest_over_something_else_is_not_believed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    kind = Kind("odd", "1", pa.bool_())
    data = store_memory.encode(pa.table({"key": ["a"], "answer": ["yes"]}))
    store.files.put(f"facts/odd/1/{hashlib.sha256(data).hexdigest()}.parquet", data)
    assert store.memory.recall(kind) == {}
    data = b"no Parquet"
    store.files.put(f"facts/odd/1/{hashlib.sha256(data).hexdigest()}.parquet", data)
    assert store.memory.recall(kind) == {}


# --- single facts ---------------------------------------------------------------------------------------------------

FACTS = ("is_fermat_factorable", "is_roca_vulnerable", "has_small_factor", "has_shared_factor", "is_point_valid")
KEYS = [
    *(rsa_spki(modulus(*pair)) for pair in PAIRS),
    rsa_spki(3 * prime(11, 1024)),
    rsa_spki(modulus(0, 1), exponent=3),
    spki(ec_key("m").public_key()),
]
BENT = KEYS[-1][:-1] + bytes([KEYS[-1][-1] ^ 1])


def row(info: bytes, algorithm: str) -> dict[str, Any]:
    digest = hashlib.sha256(info).hexdigest()
    return {"asset_id": digest, "station": "s", "locator": "l", "kind": "public", "spki_sha256": digest, "key_algorithm": algorithm}


def values(infos: Sequence[bytes], ders: dict[str, bytes], certificates: Sequence[dict[str, Any]], memory: Any) -> dict[str, Any]:
    rows = [row(info, "RSA" if len(info) > 120 else "EC") for info in infos]
    context = replace(context_of({"keys": rows, "certificates": list(certificates)}, ders=ders), memory=memory)
    return {fact: load("facts", fact).compute(context.frames["keys"], context).tolist() for fact in FACTS}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(days=st.lists(st.lists(st.sampled_from([*KEYS, BENT]), unique=True), min_size=1, max_size=5))
def test_keys_that_come_and_go_are_judged_as_without_memory(tmp_path_factory: pytest.TempPathFactory, days: list[list[bytes]]) -> None:
    store = Store(tmp_path_factory.mktemp("memory"))
    for infos in days:
        ders = {hashlib.sha256(info).hexdigest(): info for info in infos}
        assert values(infos, ders, (), store.memory) == values(infos, ders, (), None)
        store.memory.keep()


def test_a_key_whose_only_certificate_has_left_is_unknown_again(tmp_path: Path, forget: Callable[[], None]) -> None:
    der = leaf(0)
    fingerprint, info = hashlib.sha256(der).hexdigest(), rsa_spki(modulus(*PAIRS[0]))
    held = {"asset_id": fingerprint, "spki_sha256": hashlib.sha256(info).hexdigest()}
    memory = Store(tmp_path).memory
    assert values([info], {fingerprint: der}, [held], memory)["is_fermat_factorable"] == [False]
    forget()
    assert values([info], {fingerprint: der}, [held], memory)["is_fermat_factorable"] == [False]
    assert values([info], {fingerprint: der}, [], memory) == values([info], {fingerprint: der}, [], None)
    assert values([info], {fingerprint: der}, [], memory)["is_fermat_factorable"][0] is not False


# --- moduli compared --------------------------------------------------------------------------------------------------

POOL = [modulus(a, b) for a, b in combinations(range(20, 27), 2)]
NAMES = {hashlib.sha256(str(n).encode()).hexdigest(): n for n in POOL}


def naive(moduli: Iterable[int]) -> set[int]:
    return {n for pair in combinations(set(moduli), 2) if gmpy2.gcd(*pair) != 1 for n in pair}


@given(st.lists(st.sampled_from(POOL), unique=True), st.integers(1, 5), st.integers(0, 4), st.data())
def test_sharing_and_crossing_are_what_every_pair_says(moduli: list[int], chunk: int, few: int, data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_batch_gcd, "CHUNK", chunk)
        patch.setattr(_batch_gcd, "FEW", few)
        assert _batch_gcd.sharing(moduli) == naive(moduli)
        at = data.draw(st.integers(0, len(moduli)))
        some, others = moduli[:at], moduli[at:]
        assert _batch_gcd.crossing(some, others) == {n for a in some for b in others if gmpy2.gcd(a, b) != 1 for n in (a, b)}


SETS = st.sets(st.sampled_from(sorted(NAMES)))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(SETS, st.integers(0, 1)), min_size=1, max_size=8))
def test_sets_in_any_order_and_by_two_processes(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[set[str], int]]) -> None:
    """Both look into the store before the other has written: they start from different sets, and from the same one."""
    folder = tmp_path_factory.mktemp("memory")
    processes = Store(folder).memory, Store(folder).memory
    for number, (wanted, which) in enumerate(steps):
        found = sharing_names(wanted, lambda names: {n: NAMES[n] for n in names}, processes[which])
        assert {NAMES[n] for n in found} == naive(NAMES[n] for n in wanted)
        if number % 3 == 2:
            processes[0].keep()
            processes[1].keep()


def test_the_same_set_again_loads_no_modulus(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = sharing_names(set(NAMES), lambda names: {n: NAMES[n] for n in names}, store.memory)
    store.memory.keep()

    def refuse(names: Any) -> Any:
        raise AssertionError(names)

    assert sharing_names(set(NAMES), refuse, Store(tmp_path).memory) == first == set(NAMES)


def test_moduli_that_cannot_be_had_any_more_are_not_compared(tmp_path: Path) -> None:
    some = dict(list(NAMES.items())[:3])
    found = sharing_names(set(NAMES), lambda names: {n: some[n] for n in names if n in some}, Store(tmp_path).memory)
    assert {NAMES[n] for n in found} == naive(some.values())


def test_a_set_whose_members_are_not_those_of_its_name_is_not_built_upon(tmp_path: Path) -> None:
    memory = Store(tmp_path).memory
    some = sorted(NAMES)[:8]
    memory.remember(COMPARED, {"0" * 64: {"parent": None, "added": some, "removed": [], "flagged": []}})
    found = sharing_names(some, lambda names: {n: NAMES[n] for n in names}, memory)
    assert {NAMES[n] for n in found} == naive(NAMES[n] for n in some) != set()


@pytest.mark.parametrize("bits", _known_primes.SIZES)
def test_known_primes_are_those_of_badkeys(bits: int) -> None:
    n = prime(40, bits // 2) * prime(41, bits // 2)
    assert n.bit_length() == bits
    assert not sharedprimes(n)
    assert _known_primes.known([n, n + 2]) == set()
    product = _known_primes._product(bits)
    theirs: Any = load_their_product(bits)
    assert product == theirs > 1


def load_their_product(bits: int) -> Any:
    from badkeys.rsakeys.sharedprimes import _moduli

    return _moduli[bits]


# --- the store's part -------------------------------------------------------------------------------------------------

KIND = Kind("test", "1", pa.int64())


@pytest.fixture(params=["folder", "fsspec"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "folder":
        return tmp_path
    import upath

    return upath.UPath(f"memory:///{tmp_path.name}")


def test_what_is_remembered_lasts_once_it_is_kept(place: Any) -> None:
    memory = Store(place).memory
    memory.remember(KIND, {"a": 1, "b": None})
    assert memory.recall(KIND, ["a", "b", "c"]) == {"a": 1, "b": None}
    assert Store(place).memory.recall(KIND) == {}
    memory.keep()
    assert Store(place).memory.recall(KIND, ["c", "b"]) == {"b": None}
    assert Store(place).memory.recall(replace(KIND, version="2")) == {}


def test_steps_that_write_at_the_same_time_lose_nothing_and_packs_are_merged(place: Any) -> None:
    one, two = Store(place), Store(place)
    for number in range(3 * MOST_PACKS):
        for store, offset in ((one, 0), (two, 1_000)):
            store.memory.remember(KIND, {str(number + offset): number, "both": 7})
        one.memory.keep()
        two.memory.keep()
    found = Store(place)
    expected = {str(n + offset): n for n in range(3 * MOST_PACKS) for offset in (0, 1_000)}
    assert found.memory.recall(KIND) == {**expected, "both": 7}
    assert one.memory.recall(KIND) == two.memory.recall(KIND) == {**expected, "both": 7}
    assert len(packs(found)) <= MOST_PACKS + 2
