"""A TCP proxy in front of a server that loses requests or answers: what networks do, on purpose."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_END = b"\r\n\r\n"


@dataclass
class Proxy:
    """Each writing request (POST, PUT) takes the next fault: `pass`, `lose_request`, `lose_answer` or `hang`; without one, `pass`."""

    upstream: tuple[str, int]
    faults: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    """First lines of the writing requests that came."""
    url: str = ""
    _over: threading.Event = field(default_factory=threading.Event)

    def serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            request = _request(client)
            line = request.partition(b"\r\n")[0].decode()
            writes = line.startswith(("POST", "PUT"))
            if writes:
                self.writes.append(line)
            fault = self.faults.pop(0) if writes and self.faults else "pass"
            if fault == "lose_request":
                return
            with socket.create_connection(self.upstream) as server:
                server.sendall(request)
                answer = b"".join(iter(lambda: server.recv(65536), b""))
            if fault == "hang":
                self._over.wait(10)
            if fault == "pass":
                client.sendall(answer)


def _request(client: socket.socket) -> bytes:
    data = b""
    while _END not in data:
        piece = client.recv(65536)
        if not piece:
            return data
        data += piece
    head, _, body = data.partition(_END)
    length = next((int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        body += client.recv(65536)
    return head + _END + body


@contextmanager
def proxy_to(url: str, faults: Sequence[str] = ()) -> Iterator[Proxy]:
    """Runs while the block does."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy((parts.hostname, parts.port), list(faults), url=f"http://127.0.0.1:{listener.getsockname()[1]}")

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=proxy.serve, args=(listener.accept()[0],), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy._over.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
