"""OpenBao (the API of HashiCorp Vault): one development server a session. A test mounts its own engines under names of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from tests.servers.needs import bao_binary
from tests.servers.processes import answers_http, answers_tcp, free_port, running

MOUNTS = itertools.count()


@dataclass(frozen=True)
class OpenBao:
    """Where it is, and a token that may do everything."""

    url: str
    token: str

    def call(self, method: str, path: str, body: Any = None, token: str | None = None) -> dict[str, Any]:
        """One API call below /v1/; raises for a bad status. The answer as JSON, {} for an empty one."""
        headers = {"X-Vault-Token": token or self.token}
        answer = requests.request(method, f"{self.url}/v1/{path}", json=body, headers=headers, timeout=60)
        if not answer.ok:
            raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")
        return dict(answer.json()) if answer.content else {}

    def mount(self, kind: str) -> str:
        """Mount a fresh engine and return its path."""
        path = f"{kind}-{next(MOUNTS)}"
        self.call("POST", f"sys/mounts/{path}", {"type": kind, "config": {"max_lease_ttl": "87600h"}})
        return path


def _pair_of_ports() -> int:
    """The cluster listener takes the next port as well."""
    while answers_tcp((port := free_port()) + 1):
        pass
    return port


@pytest.fixture(scope="session")
def openbao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    """A development server: unsealed, in memory."""
    binary = bao_binary()
    assert binary
    folder, port = tmp_path_factory.mktemp("openbao"), _pair_of_ports()
    server = OpenBao(f"http://127.0.0.1:{port}", "keymuster-root")
    argv = [binary, "server", "-dev", f"-dev-root-token-id={server.token}", f"-dev-listen-address=127.0.0.1:{port}", "-dev-no-store-token"]
    with running(argv, lambda: answers_http(f"{server.url}/v1/sys/health", 200), folder):
        yield server
