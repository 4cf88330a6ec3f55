"""nginx: a real TLS service to look at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.pki import ServerTls, server_tls
from tests.servers.processes import answers_tcp, find, free_port, running

CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    server_name localhost;
    ssl_certificate {tls.certificate};
    ssl_certificate_key {tls.key};
    ssl_protocols {protocols};
    location / {{ return 200 "ok"; }}
  }}
}}
"""


@dataclass(frozen=True)
class Nginx:
    """Where it listens and the files it serves with."""

    host: str
    port: int
    tls: ServerTls


@contextmanager
def start_nginx(folder: Path, tls: ServerTls | None = None, protocols: str = "TLSv1.2 TLSv1.3") -> Iterator[Nginx]:
    """A server for a certificate of yours, or for one of its own for localhost."""
    folder.mkdir(parents=True, exist_ok=True)
    files, port = tls or server_tls(folder), free_port()
    (folder / "nginx.conf").write_text(CONFIGURATION.format(folder=folder, port=port, tls=files, protocols=protocols))
    argv = [find("nginx") or "nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
    with running(argv, lambda: answers_tcp(port), folder):
        yield Nginx("127.0.0.1", port, files)


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    """A TLS server with a certificate for localhost."""
    with start_nginx(tmp_path / "nginx") as server:
        yield server
