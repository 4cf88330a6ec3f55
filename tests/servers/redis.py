"""Redis: one server a session, emptied before each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as client

from tests.servers.processes import find, free_port, running


def _answers(url: str) -> bool:
    try:
        with client.Redis.from_url(url, socket_timeout=1) as connection:
            return bool(connection.ping())
    except client.exceptions.ConnectionError:
        return False


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """redis:// address, for fixtures of wider scope; tests use `redis`."""
    folder: Path = tmp_path_factory.mktemp("redis")
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    argv = [find("redis-server") or "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with running([*argv, "--dir", str(folder)], lambda: _answers(url), folder):
        yield url


@pytest.fixture
def redis(redis_server: str) -> str:
    """redis:// address of an empty server."""
    with client.Redis.from_url(redis_server) as connection:
        connection.flushall()
    return redis_server
