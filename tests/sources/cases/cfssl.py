"""A real CFSSL with SQLite; the short one has a row whose certificate is gone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from tests.certificates import Builder, authority
from tests.servers.cfssl import start_cfssl
from tests.sources.conformance import HOSTILE, Case

from keymuster.sources.cfssl import Settings

SERVERS = ("cfssl",)
INSERT = "INSERT INTO certificates VALUES (?, '', '', 'good', 0, '2027-01-01 00:00:00+00:00', '0001-01-01 00:00:00+00:00', ?)"


def case(folder: Path, request: pytest.FixtureRequest) -> Iterator[Case]:
    hostile = Builder(HOSTILE).issue(authority())
    with start_cfssl(folder / "cfssl") as server:
        server.issue("one.lab.test")
        server.revoke(x509.load_pem_x509_certificate(server.issue("two.lab.test").encode()).serial_number)
    _insert(folder / "cfssl" / "certs.db", str(x509.load_der_x509_certificate(hostile.der).serial_number), hostile.pem)
    short = folder / "short.db"
    short.write_bytes((folder / "cfssl" / "certs.db").read_bytes())
    _insert(short, "4711", "gone")
    settings = Settings(database=server.database, ca_certificates=(server.ca,))
    expects = {"certificates": 3, "issuances": 3, "authorities": 1}
    yield Case(settings, expects, hostile=hostile.der, short=Settings(database=f"sqlite:///{short}"))


def _insert(path: Path, serial: str, pem: str | bytes) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(INSERT, (serial, pem))
