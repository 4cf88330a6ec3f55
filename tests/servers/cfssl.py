"""CFSSL: a CA a test, up in 20 ms, with its certificate database in SQLite or PostgreSQL.

The Debian package ships no migrations, so the two tables are made here as the project's own migrations make them.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import create_engine, make_url, text

from tests.servers.processes import answers_http, environment, find, free_port, running

TABLES = """
CREATE TABLE certificates (serial_number {blob} NOT NULL, authority_key_identifier {blob} NOT NULL, ca_label {blob}, status {blob} NOT NULL,
 reason int, expiry {time}, revoked_at {time}, pem {blob} NOT NULL, PRIMARY KEY(serial_number, authority_key_identifier));
CREATE TABLE ocsp_responses (serial_number {blob} NOT NULL, authority_key_identifier {blob} NOT NULL, body {blob} NOT NULL,
 expiry {time}, PRIMARY KEY(serial_number, authority_key_identifier))
"""
PROFILE = {"expiry": "720h", "usages": ["signing", "key encipherment", "server auth"]}


@dataclass(frozen=True)
class Cfssl:
    """The API (it has no list call), the database that is the inventory, and the CA certificate as PEM file."""

    url: str
    database: str
    """SQLAlchemy address."""
    ca: Path

    def call(self, name: str, body: Any) -> dict[str, Any]:
        """POST to an endpoint and return `result`."""
        answer = requests.post(f"{self.url}/api/v1/cfssl/{name}", json=body, timeout=60).json()
        if not answer["success"]:
            raise AssertionError(f"{name}: {answer['errors']}")
        return dict(answer["result"])

    def issue(self, name: str) -> str:
        """PEM of a new certificate for a host; its key is dropped."""
        request = {"CN": name, "hosts": [name], "key": {"algo": "ecdsa", "size": 256}}
        return str(self.call("newcert", {"request": request})["certificate"])

    def revoke(self, serial: int, reason: str = "keyCompromise") -> None:
        """Revoke by decimal serial; this version stores no authority key identifier."""
        self.call("revoke", {"serial": str(serial), "authority_key_id": "", "reason": reason})


def _database(database: str) -> dict[str, str]:
    """Make the tables and return CFSSL's own way to name the database."""
    url, engine = make_url(database), create_engine(database)
    kinds = {"blob": "blob", "time": "timestamp"} if url.get_backend_name() == "sqlite" else {"blob": "bytea", "time": "timestamptz"}
    with engine.begin() as connection:
        for statement in TABLES.format(**kinds).split(";"):
            connection.execute(text(statement))
    engine.dispose()
    if url.get_backend_name() == "sqlite":
        return {"driver": "sqlite3", "data_source": str(url.database)}
    return {"driver": "postgres", "data_source": f"postgres://{url.username}@{url.host}:{url.port}/{url.database}?sslmode=disable"}


def _authority(folder: Path) -> None:
    request = {"CN": "CFSSL lab CA", "key": {"algo": "ecdsa", "size": 256}, "ca": {"expiry": "87600h"}}
    argv = [find("cfssl") or "cfssl", "gencert", "-initca", "-"]
    made = subprocess.run(argv, input=json.dumps(request).encode(), check=True, capture_output=True, env=environment(folder), cwd=folder)
    pair = json.loads(made.stdout)
    (folder / "ca.pem").write_text(pair["cert"])
    (folder / "ca-key.pem").write_text(pair["key"])


@contextmanager
def start_cfssl(folder: Path, database: str | None = None) -> Iterator[Cfssl]:
    """A CA whose database is at an SQLAlchemy address, by default SQLite in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _authority(folder)
    port, address = free_port(), database or f"sqlite:///{folder / 'certs.db'}"
    (folder / "db.json").write_text(json.dumps(_database(address)))
    (folder / "config.json").write_text(json.dumps({"signing": {"default": PROFILE}}))
    server = Cfssl(f"http://127.0.0.1:{port}", address, folder / "ca.pem")
    argv = [find("cfssl") or "cfssl", "serve", "-address", "127.0.0.1", "-port", str(port), "-ca", "ca.pem", "-ca-key", "ca-key.pem"]
    with running([*argv, "-config", "config.json", "-db-config", "db.json"], lambda: answers_http(server.url), folder):
        yield server


@pytest.fixture
def cfssl(tmp_path: Path) -> Iterator[Cfssl]:
    """A CA with an empty SQLite database."""
    with start_cfssl(tmp_path / "cfssl") as server:
        yield server
