"""The snapshot store on a local folder; `test_store_s3.py` runs the same promises on a real S3 server."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from keymuster.errors import ConfigurationError, Corrupt, KeymusterError, NoEvidence, StoreUnavailable
from keymuster.model import Coverage, Problem
from keymuster.normalise import parse_certificate
from keymuster.store import Store
from tests.snapshots import AS_OF, LEAVES, STATION, normalised, write

DAY = timedelta(days=1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def listing(store: Store) -> dict[str, bytes]:
    return {name: store.files.get(name) or b"" for name in store.files.find("")}


def test_a_snapshot_reads_back_as_it_was_written(store: Store) -> None:
    made = normalised()
    ref = write(store)
    found = store.read_snapshot(ref)
    assert {name: table.to_pylist() for name, table in found.tables.items()} == {n: t.to_pylist() for n, t in made.tables.items()}
    assert (found.problems, found.delivers, found.source, found.ref) == (made.problems, made.delivers, "files", ref)
    assert (ref.station, ref.as_of, ref.rows, ref.problems, ref.coverage) == (STATION, AS_OF, 5, 1, Coverage(4, 4))
    assert store.read_snapshot(ref.uri).ref == ref, "the address alone is enough"
    assert store.ders([r["asset_id"] for r in found.tables["certificates"].to_pylist()]) == dict(made.ders)


def test_same_inputs_same_bytes_same_digest(store: Store, tmp_path: Path) -> None:
    ref, before = write(store), listing(store)
    assert write(store) == ref
    assert listing(store) == before, "writing it again changes nothing"
    other = Store(tmp_path / "other")
    assert write(other) == ref
    assert listing(other) == before, "another place, the same bytes"


def test_digest_is_of_the_content_whatever_the_order_and_the_chunks(store: Store, tmp_path: Path) -> None:
    n = normalised()
    shuffled = {name: pa.concat_tables([t.slice(i, 1) for i in reversed(range(t.num_rows))]) for name, t in reversed(n.tables.items())}
    reordered = dict(reversed(n.ders.items()))
    delivers = {name: sorted(columns, reverse=True) for name, columns in reversed(n.delivers.items())}
    other = Store(tmp_path / "other")
    ref = other.write_snapshot(STATION, "files", AS_OF, shuffled, n.problems[::-1], n.coverage, delivers, reordered)
    assert ref == write(store)
    assert {k: v for k, v in listing(store).items() if not k.startswith("parsed/")} == listing(other)


CHANGES: dict[str, Any] = {
    "a row": lambda n: replace(n, tables={**n.tables, "certificates": n.tables["certificates"].slice(1)}),
    "coverage": lambda n: replace(n, coverage=Coverage(4, 3, 1)),
    "a problem": lambda n: replace(n, problems=(*n.problems, Problem("x", None, "y"))),
    "what is delivered": lambda n: replace(n, delivers={**n.delivers, "keys": frozenset({"kind"})}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_part_of_the_content_is_in_the_digest(store: Store, change: Any) -> None:
    n = change(normalised())
    ref = store.write_snapshot(STATION, "files", AS_OF, n.tables, n.problems, n.coverage, n.delivers, n.ders)
    assert ref.sha256 != write(store).sha256
    assert len(store.snapshots(STATION)) == 2


def test_an_unchanged_inventory_parses_nothing_again(store: Store) -> None:
    assert normalised(cache=store).parsed == 4
    again = normalised(cache=store)
    assert again.parsed == 0
    fresh = Store(store.files.address(""))
    assert normalised(cache=fresh).parsed == 0, "another process finds it too"
    assert {n: t.to_pylist() for n, t in again.tables.items()} == {n: t.to_pylist() for n, t in normalised().tables.items()}
    assert normalised((*LEAVES[:3], LEAVES[3][:-1] + b"\0"), cache=store).parsed == 1


def test_what_is_kept_once_is_kept_once(store: Store) -> None:
    write(store)
    packs = [n for n in listing(store) if n.startswith(("ders/", "parsed/"))]
    write(store, as_of=AS_OF + DAY)
    assert [n for n in listing(store) if n.startswith(("ders/", "parsed/"))] == packs
    assert store.ders(["0" * 64]) == {}
    assert store.parsed(["0" * 64]).num_rows == 0
    fingerprint = hashlib.sha256(LEAVES[0]).hexdigest()
    row = store.parsed([fingerprint]).drop_columns(["authority_asset_id"]).to_pylist()
    assert row == [parse_certificate(LEAVES[0])]


def test_the_gate_speaks_and_the_last_good_one_serves(store: Store) -> None:
    first, second, third = (write(store, LEAVES[: i + 1], AS_OF + i * DAY) for i in range(3))
    assert [store.state(r) for r in (first, second)] == ["pending", "pending"]
    assert store.last_good(STATION, AS_OF + 9 * DAY) is None
    assert store.validation_of(first) is None
    store.settle(first, accepted=True, validation={"success": True, "at": AS_OF})
    store.settle(second, accepted=False, validation={"success": False})
    assert [store.state(r) for r in (first, second, third)] == ["accepted", "quarantined", "pending"]
    assert store.validation_of(second) == {"success": False}
    assert store.last_good(STATION, AS_OF + 9 * DAY) == first
    store.settle(third, accepted=True, validation={})
    assert store.last_good(STATION, AS_OF + 9 * DAY) == third
    assert store.last_good(STATION, AS_OF + DAY) == first, "a past day is judged by what was there"
    assert store.last_good(STATION, AS_OF - DAY) is None
    assert store.last_good("elsewhere", AS_OF) is None
    assert store.snapshots() == [first, second, third]


def test_at_one_instant_the_better_covered_snapshot_serves(store: Store) -> None:
    n = normalised()
    whole = write(store)
    part = store.write_snapshot(STATION, "files", AS_OF, n.tables, (), Coverage(None, 9, truncated=True), n.delivers, n.ders)
    for ref in (whole, part):
        store.settle(ref, accepted=True, validation={})
    assert store.last_good(STATION, AS_OF) == whole


def test_a_pull_that_failed_as_a_whole_is_remembered(store: Store) -> None:
    assert store.last_refusal(STATION, AS_OF) is None
    store.refuse(STATION, "files", AS_OF, "unreachable", "connection refused")
    store.refuse(STATION, "files", AS_OF + DAY, "refused", "no such user \udc80")
    found = store.last_refusal(STATION, AS_OF + 9 * DAY)
    assert found is not None
    assert (found.code, found.as_of) == ("refused", AS_OF + DAY)
    earlier = store.last_refusal(STATION, AS_OF)
    assert earlier is not None
    assert (earlier.code, earlier.detail, earlier.source) == ("unreachable", "connection refused", "files")
    assert store.last_refusal(STATION, AS_OF - DAY) is None


def test_stations_whose_names_begin_alike_stay_apart(store: Store) -> None:
    write(store, station="web")
    write(store, station="web-2")
    assert [r.station for r in store.snapshots("web")] == ["web"]


# damage


def damaged(store: Store, ending: str, data: bytes | None = None) -> Path:
    """Damage the one file whose name ends so: flip an octet in its middle, or replace it."""
    (name,) = [n for n in store.files.find("") if n.endswith(ending)]
    path = Path(store.files.address(name))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(bytes(raw) if data is None else data)
    return path


@pytest.mark.parametrize("ending", ["certificates.parquet", "problems.parquet", "manifest.json"])
@pytest.mark.parametrize("data", [None, b"", b"PAR1", b"{}"], ids=["an octet flipped", "empty", "a stub", "another file"])
def test_a_damaged_snapshot_is_named(store: Store, ending: str, data: bytes | None) -> None:
    ref = write(store)
    path = damaged(store, ending, data)
    with pytest.raises(Corrupt) as caught:
        Store(store.files.address("")).read_snapshot(ref)
    assert str(path) in str(caught.value)
    assert "restore" in str(caught.value)


def test_a_missing_table_is_named(store: Store) -> None:
    ref = write(store)
    path = Path(store.address(ref.uri)) / "certificates.parquet"
    path.unlink()
    with pytest.raises(Corrupt, match=str(path)):
        store.read_snapshot(ref)


@pytest.mark.parametrize("data", [b"", b"PAR1 but no more", None])
def test_a_damaged_pack_is_named(store: Store, data: bytes | None) -> None:
    write(store)
    fingerprints = [hashlib.sha256(der).hexdigest() for der in LEAVES]
    (name,) = store.files.find("ders")
    path = Path(store.files.address(name))
    path.write_bytes(path.read_bytes()[:-20] if data is None else data)
    with pytest.raises(Corrupt, match=str(path)):
        Store(store.files.address("")).ders(fingerprints)


def test_a_snapshot_that_is_not_there_and_one_that_was_swapped(store: Store) -> None:
    first, second = write(store), write(store, LEAVES[:1])
    with pytest.raises(NoEvidence):
        store.read_snapshot("snapshots/web-farm/none")
    with pytest.raises(Corrupt):
        store.read_snapshot(replace(second, uri=first.uri))


@pytest.mark.parametrize("name", ["", "../x", "a/b", "-rf", ".", "a\nb", "x" * 300])
def test_names_that_would_leave_the_store(store: Store, name: str) -> None:
    with pytest.raises(ConfigurationError):
        write(store, station=name)
    with pytest.raises(ConfigurationError):
        store.last_refusal(name, AS_OF)
    with pytest.raises(ConfigurationError):
        store.audits(name)


def test_an_audit_cannot_leave_the_store(store: Store) -> None:
    with pytest.raises(ConfigurationError):
        store.put_audit("estate/../../x", {"manifest.json": b"{}"})


def test_an_address_that_no_store_can_have() -> None:
    with pytest.raises(ConfigurationError, match="s3://bucket"):
        Store("gopher9://x/y")


def test_naive_as_of_is_a_mistake(store: Store) -> None:
    with pytest.raises(ValueError, match="time zone"):
        store.refuse(STATION, "files", datetime(2026, 1, 1), "x", "y")


# no space, no rights

LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from keymuster.store import Store
from keymuster.errors import StoreUnavailable
from tests.snapshots import write, LEAVES
store = Store(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    write(store, LEAVES)
except StoreUnavailable as error:
    print(error)
    sys.exit(7 if error.retryable else 1)
"""


def child(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(p for p in sys.path if p)
    return subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False, env={"PYTHONPATH": path})


def test_a_full_disk_is_named_and_harms_nothing(store: Store) -> None:
    ref = write(store, LEAVES[:1])
    before = listing(store)
    done = child(LIMITED, store.files.address(""), "1000")
    assert done.returncode == 7, done.stderr
    assert store.files.address("") in done.stdout
    assert "free some space" in done.stdout
    assert listing(store) == before, "no half file is left"
    assert store.read_snapshot(ref).ref == ref
    assert len(store.snapshots()) == 1


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnavailable, match=str(tmp_path / "file")):
        write(Store(tmp_path / "file"))
    with pytest.raises(StoreUnavailable, match=r"/proc/keymuster.*KEYMUSTER_STORE"):
        write(Store("/proc/keymuster"))


FORBIDDEN = """
import os, sys
from keymuster.errors import StoreUnavailable
from keymuster.store import Store
from tests.snapshots import write
write(Store(sys.argv[2]))  # once, so that all is imported before root's own folders are out of reach
if os.getuid() == 0:
    os.setuid(65534)
try:
    write(Store(sys.argv[1]))
except StoreUnavailable as error:
    print(error)
    sys.exit(7)
"""


def test_missing_rights_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    folder.chmod(0o555)
    for parent in list(folder.parents)[:3]:
        parent.chmod(parent.stat().st_mode | 0o055)
    done = child(FORBIDDEN, str(folder), str(tmp_path / "warm"))
    assert done.returncode == 7, done.stderr
    assert "Permission denied" in done.stdout
    assert "give the user" in done.stdout


# audits and work


def test_an_audit_is_written_once(store: Store) -> None:
    folder = "sample/2026-11-23T00:00:00+00:00-abc"
    uri = store.put_audit(folder, {"manifest.json": b'{"key": 1}', "validations/certificates.json": b"{}"})
    assert store.put_audit(folder, {"manifest.json": b'{"key": 2}'}) == uri
    assert store.files.get(f"{uri}/manifest.json") == b'{"key": 1}'
    later = store.put_audit("sample/2026-11-24T00:00:00+00:00-abc", {"manifest.json": b"{}"})
    assert store.audits("sample") == [uri, later]
    assert store.audits("other") == []


def test_an_audit_that_is_damaged_or_not_there(store: Store) -> None:
    with pytest.raises(NoEvidence):
        store.get_audit("audits/sample/none")
    uri = store.put_audit("sample/x", {"manifest.json": b"{}"})
    with pytest.raises(Corrupt, match=r"manifest\.json"):
        store.get_audit(uri)
    (Path(store.address(uri)) / "manifest.json").write_text("[]")
    with pytest.raises(Corrupt, match="digest"):
        store.get_audit(uri)


def test_work_is_kept_and_forgotten(store: Store) -> None:
    store.put_work("plan/1.json", b"x")
    assert store.get_work("plan/1.json") == b"x"
    store.drop_work("plan")
    store.drop_work("plan")
    with pytest.raises(NoEvidence, match="first step"):
        store.get_work("plan/1.json")


def test_every_error_is_one_of_ours_and_manifests_are_json(store: Store) -> None:
    ref = write(store)
    manifest = json.loads((Path(store.address(ref.uri)) / "manifest.json").read_text())
    assert manifest["sha256"] == ref.sha256
    assert issubclass(Corrupt, KeymusterError)
