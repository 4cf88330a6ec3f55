"""A system folder and homes with SSH keys made by ssh-keygen."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from tests.sources.conformance import HOSTILE, Case

from keymuster.sources.ssh_files import Settings


def keygen(path: Path, *arguments: str, passphrase: str = "") -> str:
    """Make a key pair; returns the public line."""
    subprocess.run(["ssh-keygen", "-q", "-N", passphrase, "-C", HOSTILE, "-f", str(path), *arguments], check=True, capture_output=True)
    return path.with_name(path.name + ".pub").read_text()


def host(folder: Path) -> tuple[Path, Path]:
    """A system folder and a folder of homes."""
    system, home = folder / "etc-ssh", folder / "homes" / "alice" / ".ssh"
    system.mkdir()
    home.mkdir(parents=True)
    keygen(system / "ssh_host_ed25519_key", "-t", "ed25519")
    keygen(system / "ssh_host_rsa_key", "-t", "rsa", "-b", "2048")
    (system / "sshd_config").write_text("PermitRootLogin no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n")
    public = keygen(home / "id_ecdsa", "-t", "ecdsa", "-b", "256")
    locked = keygen(home / "id_locked", "-t", "ed25519", passphrase="long and secret")
    keygen(folder / "ca", "-t", "ed25519")
    subprocess.run(
        [
            "ssh-keygen",
            "-q",
            "-s",
            str(folder / "ca"),
            "-I",
            "id",
            "-n",
            "alice",
            "-V",
            "20260101000000Z:20260102000000Z",
            str(home / "id_ecdsa.pub"),
        ],
        check=True,
        capture_output=True,
    )
    (home / "authorized_keys").write_text(f'from="10.0.0.0/8",command="echo {HOSTILE}" {public}\n# comment\n\n{locked}')
    return system, folder / "homes"


def case(folder: Path, request: Any) -> Iterator[Case]:
    system, homes = host(folder)
    common = {"accounts": False, "sshd_config": system / "sshd_config", "machine_id": folder / "machine-id"}
    (folder / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    short = folder / "short" / "bob" / ".ssh"
    short.mkdir(parents=True)
    (short / "authorized_keys").write_text("ssh-ed25519 AAAAcut bob\n")
    private = [system / "ssh_host_ed25519_key", system / "ssh_host_rsa_key", homes / "alice" / ".ssh" / "id_ecdsa"]
    yield Case(
        settings=Settings(system=(system,), homes=(homes,), **common),
        expects={"ssh_keys": 7, "servers": 1},
        private=[load_ssh_private_key(p.read_bytes(), None) for p in private],
        short=Settings(system=(system,), homes=(folder / "short",), **common),
    )
