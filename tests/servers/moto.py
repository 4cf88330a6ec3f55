"""moto: an emulation of AWS inside the test process; emptied before each test.

Where it differs from AWS (no `<root_account>` row in the credential report, no paging of several listings) tests use recorded answers.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """Endpoint URL, for fixtures of wider scope; tests use `moto`."""
    from moto.server import ThreadedMotoServer  # dear to import, so only for those who need it

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def moto(moto_server: str) -> str:
    """Endpoint URL of an empty account. Any key pair is accepted."""
    requests.post(f"{moto_server}/moto-api/reset", timeout=30).raise_for_status()
    return moto_server
