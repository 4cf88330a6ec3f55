"""SeaweedFS: a real S3 server (with Object Lock); a fresh bucket a test."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.servers.needs import weed_binary
from tests.servers.processes import answers_http, free_port, running

BUCKETS = itertools.count()


@dataclass(frozen=True)
class S3:
    """An S3 endpoint, a key pair that may do everything, and an empty bucket."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str

    def client(self) -> Any:
        """boto3 client of it."""
        names = {"aws_access_key_id": self.access_key, "aws_secret_access_key": self.secret_key}
        config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2})
        return boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1", config=config, **names)


def _argv(binary: str, folder: str, config: str, s3_port: int) -> list[str]:
    argv = [binary, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer=true", "-s3", f"-s3.config={config}"]
    for part in ("master", "volume", "filer", "s3"):
        argv += [f"-{part}.port={s3_port if part == 's3' else free_port()}", f"-{part}.port.grpc={free_port()}"]
    # without the two zeros it takes the fixed ports 8181 and 9101 as well
    return [*argv, "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.volumeSizeLimitMB=64", "-volume.max=300"]


@pytest.fixture(scope="session")
def seaweedfs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """The endpoint without a bucket, for fixtures of wider scope; tests use `seaweedfs`."""
    binary = weed_binary()
    assert binary
    folder, port = tmp_path_factory.mktemp("seaweedfs"), free_port()
    server = S3(f"http://127.0.0.1:{port}", "keymuster", "keymuster-secret", "")
    credentials = [{"accessKey": server.access_key, "secretKey": server.secret_key}]
    identities = [{"name": "test", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": identities}))
    with running(_argv(binary, str(folder), str(config), port), lambda: answers_http(f"{server.endpoint}/status", 200), folder):
        yield server


@pytest.fixture
def seaweedfs(seaweedfs_server: S3) -> Iterator[S3]:
    """The endpoint with a fresh empty bucket."""
    server = replace(seaweedfs_server, bucket=f"keymuster-{next(BUCKETS)}")
    s3 = server.client()
    s3.create_bucket(Bucket=server.bucket)
    yield server
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=server.bucket):
        for found in page.get("Contents", ()):
            s3.delete_object(Bucket=server.bucket, Key=found["Key"])
    s3.delete_bucket(Bucket=server.bucket)
