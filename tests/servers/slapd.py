"""OpenLDAP: a server a test, up in a tenth of a second; StartTLS and LDAPS with a CA of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ldap3
import pytest

from tests.servers.pki import server_tls
from tests.servers.processes import answers_tcp, find, free_port, running

BASE = "dc=lab,dc=test"


@dataclass(frozen=True)
class Slapd:
    """Where it is and the account that may write; `base_dn` and `ou=people`, `ou=groups` below it are there."""

    url: str
    bind_dn: str
    password: str
    base_dn: str
    ldaps_url: str
    ca: Path
    """PEM of the CA that signed the server's certificate."""
    reader_dn: str = f"cn=reader,{BASE}"
    """An account to which limits apply; the other one is exempt from them."""
    reader_password: str = "reader-secret"

    def connected(self) -> ldap3.Connection:
        """A connection that may write, to be used in a `with` statement (one that is bound before it would stay open after it)."""
        return ldap3.Connection(ldap3.Server(self.url, get_info=ldap3.NONE), self.bind_dn, self.password)

    def add(self, entries: Sequence[tuple[str, list[str], dict[str, Any]]]) -> None:
        """Add (DN, object classes, attributes) online: overlays see them, as they would not with slapadd."""
        with self.connected() as connection:
            for name, classes, attributes in entries:
                if not connection.add(name, classes, attributes):
                    raise AssertionError(f"{name}: {connection.result}")


CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
TLSCACertificateFile {tls.ca}
TLSCertificateFile {tls.certificate}
TLSCertificateKeyFile {tls.key}
{globals}
database mdb
maxsize 67108864
suffix "{base}"
rootdn "cn=admin,{base}"
rootpw admin-secret
directory {folder}/data
access to attrs=userPassword by anonymous auth by * none
access to * by users read by * none
{options}
"""


@contextmanager
def start_slapd(folder: Path, *options: str, config: str = "") -> Iterator[Slapd]:
    """A directory with extra lines for its database (`limits * size.soft=10`) and, in `config`, for the whole server."""
    (folder / "data").mkdir(parents=True)
    plain, secure, tls = free_port(), free_port(), server_tls(folder)
    server = Slapd(f"ldap://127.0.0.1:{plain}", f"cn=admin,{BASE}", "admin-secret", BASE, f"ldaps://127.0.0.1:{secure}", tls.ca)
    text = CONFIGURATION.format(folder=folder, tls=tls, base=BASE, globals=config, options="\n".join(options))
    (folder / "slapd.conf").write_text(text)
    argv = [find("slapd") or "slapd", "-f", str(folder / "slapd.conf"), "-h", f"{server.url} {server.ldaps_url}", "-d", "0"]
    with running(argv, lambda: answers_tcp(plain) and answers_tcp(secure), folder):
        server.add([(BASE, ["dcObject", "organization"], {"o": "Lab"})])
        server.add([(f"ou={name},{BASE}", ["organizationalUnit"], {}) for name in ("people", "groups")])
        reader = {"userPassword": server.reader_password}
        server.add([(server.reader_dn, ["organizationalRole", "simpleSecurityObject"], reader)])
        yield server


@pytest.fixture
def slapd(tmp_path: Path) -> Iterator[Slapd]:
    """A directory with nothing but its base and two organisational units."""
    with start_slapd(tmp_path / "slapd") as server:
        yield server
