"""OpenSSH server: a real host key to look at. Nobody can log in."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.processes import answers_tcp, environment, find, free_port, running


@dataclass(frozen=True)
class Sshd:
    """Where it listens, and its public host keys (OpenSSH text)."""

    host: str
    port: int
    host_keys: tuple[str, ...]


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    """A server with an Ed25519 and an RSA host key."""
    folder, port = tmp_path / "sshd", free_port()
    folder.mkdir()
    lines = [f"Port {port}", "ListenAddress 127.0.0.1", f"PidFile {folder}/sshd.pid", "UsePAM no", "AllowUsers nobody-at-all"]
    for kind in ("ed25519", "rsa"):
        path = folder / f"host_{kind}"
        argv = [find("ssh-keygen") or "ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", str(path)]
        subprocess.run(argv, check=True, env=environment(folder))
        lines.append(f"HostKey {path}")
    (folder / "sshd_config").write_text("\n".join(lines) + "\n")
    Path("/run/sshd").mkdir(exist_ok=True)  # privilege separation wants it; the package's unit makes it at boot
    binary = find("sshd") or "/usr/sbin/sshd"
    with running([binary, "-f", str(folder / "sshd_config"), "-D", "-e"], lambda: answers_tcp(port), folder):
        yield Sshd("127.0.0.1", port, tuple(p.read_text().strip() for p in sorted(folder.glob("host_*.pub"))))
