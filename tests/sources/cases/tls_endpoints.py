"""A TLS service with a chain, a service without TLS, and a port where nobody listens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.certificates import Builder, authority
from tests.servers.processes import free_port
from tests.sources.conformance import HOSTILE, Case
from tests.sources.tls_servers import listener, python_server, write_chain

from keymuster.sources.tls_endpoints import Settings


def case(folder: Path, request: Any) -> Iterator[Case]:
    root = authority("Endpoint Root")
    issuing = authority("Endpoint Issuing", by=root)
    leaf = Builder(HOSTILE[:60]).dns("localhost").issue(issuing)
    with python_server(*write_chain(folder, leaf, issuing)) as tls, listener(lambda c: c.sendall(b"SSH-2.0-x\r\n")) as plain:
        good = (f"127.0.0.1:{tls}", f"localhost:{tls}", f"127.0.0.1:{plain}")
        yield Case(
            settings=Settings(targets=good),
            expects={"endpoints": 3, "certificates": 4},
            private=(leaf.key, issuing.key, root.key),
            hostile=leaf.der,
            short=Settings(targets=(*good, f"127.0.0.1:{free_port()}")),
        )
