"""Small real TLS servers on loopback: Python's ssl in a thread, and OpenSSL's s_server."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.certificates import Issued
from tests.servers.processes import free_port, running

Preamble = Callable[[socket.socket], None]


def write_chain(folder: Path, leaf: Issued, *rest: Issued) -> tuple[Path, Path]:
    """Certificate chain and key as files."""
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_text(leaf.pem + "".join(c.pem for c in rest))
    key.write_text(leaf.private_pem)
    (folder / "rest.pem").write_text("".join(c.pem for c in rest))
    return chain, key


@contextmanager
def listener(handle: Preamble) -> Iterator[int]:
    """A port of 127.0.0.1 whose connections are handled one by one in threads."""
    server = socket.create_server(("127.0.0.1", 0))
    opened: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.settimeout(10)
            handle(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                opened.append(connection)
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield int(server.getsockname()[1])
    finally:
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        for connection in opened:
            connection.close()
        thread.join(5)


@contextmanager
def python_server(chain: Path, key: Path, preamble: Preamble | None = None) -> Iterator[int]:
    """Python's ssl, after whatever the preamble says in clear."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)

    def handle(connection: socket.socket) -> None:
        if preamble is not None:
            preamble(connection)
        with suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(1)

    with listener(handle) as port:
        yield port


@contextmanager
def s_server(folder: Path, chain: Path, key: Path, arguments: Sequence[str]) -> Iterator[int]:
    """OpenSSL's test server, for versions and suites that others no longer serve."""
    port = free_port()
    argv = [
        "openssl",
        "s_server",
        "-accept",
        f"127.0.0.1:{port}",
        "-cert",
        str(chain),
        "-cert_chain",
        str(chain),
        "-key",
        str(key),
        "-quiet",
    ]
    if chain.with_name("rest.pem").stat().st_size:
        argv += ["-cert_chain", str(chain.with_name("rest.pem"))]
    with running([*argv, *arguments], lambda: _answers(port), folder):
        yield port


def _answers(port: int) -> bool:
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}"], input=b"", capture_output=True, check=False)
    return b"CONNECTED" in done.stdout
