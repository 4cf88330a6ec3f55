"""A proxy between a source and a real server that changes some answers: cuts a listing, denies one item, ends early."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

Change = Callable[[str, str, int, bytes], tuple[int, bytes]]
"""(method, path with query or form, status, body) of the real answer -> status and body to give instead."""
DROPPED = {"host", "content-length", "connection", "accept-encoding"}


@contextmanager
def changed(target: str, change: Change) -> Iterator[str]:
    """Address of the proxy in front of `target`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {k: v for k, v in self.headers.items() if k.lower() not in DROPPED}
            real = requests.request(self.command, target + self.path, data=body, headers=headers, timeout=30, allow_redirects=False)
            form = "form" in (self.headers.get("Content-Type") or "")
            asked = f"{self.path}?{body.decode('utf-8', 'replace')}" if form else self.path
            status, content = change(self.command, asked, real.status_code, real.content)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Type", real.headers.get("Content-Type", "application/octet-stream"))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_LIST = answer  # noqa: N815 (names that http.server looks for)

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
