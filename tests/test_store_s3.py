"""The snapshot store on a real S3 server keeps the promises that it keeps on a folder."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest

from keymuster.errors import Corrupt, NoEvidence, StoreUnavailable
from keymuster.store import Store
from tests.servers.processes import free_port
from tests.snapshots import AS_OF, LEAVES, STATION, normalised, write

pytestmark = pytest.mark.server("seaweedfs")


@pytest.fixture
def options(seaweedfs: Any) -> dict[str, Any]:
    return {
        "key": seaweedfs.access_key,
        "secret": seaweedfs.secret_key,
        "client_kwargs": {"endpoint_url": seaweedfs.endpoint, "region_name": "us-east-1"},
    }


@pytest.fixture
def store(seaweedfs: Any, options: dict[str, Any]) -> Store:
    return Store(f"s3://{seaweedfs.bucket}/deep/store", options)


def test_snapshots_verdicts_and_memory(store: Store, seaweedfs: Any, options: dict[str, Any]) -> None:
    assert store.snapshots() == []
    first = write(store, LEAVES[:2])
    second = write(store, as_of=AS_OF + timedelta(days=1))
    before = store.files.find("")
    assert write(store, LEAVES[:2]) == first
    assert store.files.find("") == before, "idempotent"
    other = Store(f"s3://{seaweedfs.bucket}/deep/store", options)
    assert other.snapshots(STATION) == [first, second]
    assert (
        other.read_snapshot(second).tables["certificates"].to_pylist()
        == normalised(as_of=AS_OF + timedelta(days=1)).tables["certificates"].to_pylist()
    )
    assert normalised(cache=other).parsed == 0
    assert sorted(other.ders(hashlib.sha256(d).hexdigest() for d in LEAVES).values()) == sorted(LEAVES)
    store.settle(first, accepted=True, validation={"success": True})
    store.settle(second, accepted=False, validation={"success": False})
    assert (other.state(first), other.state(second)) == ("accepted", "quarantined")
    assert other.last_good(STATION, AS_OF + timedelta(days=5)) == first
    assert other.address(first.uri) == f"s3://{seaweedfs.bucket}/deep/store/{first.uri}"


def test_same_digest_as_on_a_folder(store: Store, tmp_path: Any) -> None:
    assert write(store) == write(Store(tmp_path))


def test_refusals_audits_and_work(store: Store) -> None:
    store.refuse(STATION, "files", AS_OF, "unreachable", "no route")
    found = store.last_refusal(STATION, AS_OF)
    assert found is not None
    assert found.detail == "no route"
    uri = store.put_audit("sample/2026-key", {"manifest.json": b"{}", "findings.parquet": b"x"})
    assert store.put_audit("sample/2026-key", {"manifest.json": b"changed"}) == uri
    assert store.files.get(f"{uri}/manifest.json") == b"{}"
    assert store.audits("sample") == [uri]
    store.put_work("a/b", b"1")
    assert store.get_work("a/b") == b"1"
    store.drop_work("a")
    store.drop_work("a")
    with pytest.raises(NoEvidence):
        store.get_work("a/b")


def test_a_snapshot_without_its_manifest_is_not_there(store: Store, seaweedfs: Any) -> None:
    ref = write(store)
    seaweedfs.client().delete_object(Bucket=seaweedfs.bucket, Key=f"deep/store/{ref.uri}/manifest.json")
    assert store.snapshots() == [], "the manifest is the commit point: without it a killed writer left nothing"
    assert write(store) == ref


def test_a_damaged_object_is_named(store: Store, seaweedfs: Any) -> None:
    ref = write(store)
    seaweedfs.client().put_object(Bucket=seaweedfs.bucket, Key=f"deep/store/{ref.uri}/certificates.parquet", Body=b"PAR1")
    with pytest.raises(Corrupt, match=f"s3://{seaweedfs.bucket}/deep/store/{ref.uri}/certificates.parquet"):
        store.read_snapshot(ref)


def test_wrong_credentials_no_bucket_and_no_server_are_named(seaweedfs: Any, options: dict[str, Any]) -> None:
    with pytest.raises(StoreUnavailable, match=f"s3://{seaweedfs.bucket}"):
        write(Store(f"s3://{seaweedfs.bucket}/x", {**options, "secret": "wrong"}))
    dead = {
        **options,
        "client_kwargs": {"endpoint_url": f"http://127.0.0.1:{free_port()}", "region_name": "us-east-1"},
        "config_kwargs": {"retries": {"max_attempts": 0}},
    }
    with pytest.raises(StoreUnavailable, match="KEYMUSTER_STORE") as caught:
        write(Store(f"s3://{seaweedfs.bucket}/x", dead))
    assert caught.value.retryable
