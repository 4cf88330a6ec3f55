"""PostgreSQL: one server a session, a fresh empty database a test."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg2
import pytest

from tests.servers.needs import postgres_binary
from tests.servers.processes import as_user, environment, folder_of, free_port, running

ASKED_FOR_PASSWORD = "keymuster_with_password"
"""The one role, if a test makes it, that must give its password."""


@dataclass(frozen=True)
class PostgresServer:
    """A running server; log-in by trust from the loopback, but for one role."""

    port: int
    user: str = "postgres"
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def url(self, database: str) -> str:
        """SQLAlchemy address of a database."""
        return f"postgresql+psycopg2://{self.user}@127.0.0.1:{self.port}/{database}"

    def create(self) -> str:
        """Make a fresh empty database and return its SQLAlchemy address."""
        name = f"keymuster_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove it, whoever is still connected."""
        self._execute(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    def answers(self) -> bool:
        """Whether a connection can be made."""
        try:
            psycopg2.connect(self._dsn(), connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True

    def _dsn(self) -> str:
        return f"host=127.0.0.1 port={self.port} user={self.user} dbname=postgres"

    def _execute(self, statement: str) -> None:
        connection = psycopg2.connect(self._dsn())
        connection.autocommit = True
        try:
            connection.cursor().execute(statement)
        finally:
            connection.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The server, for fixtures of wider scope; tests use `postgres`."""
    initdb, binary = postgres_binary("initdb"), postgres_binary("postgres")
    assert initdb
    assert binary
    server = PostgresServer(free_port())
    with folder_of("postgres") as folder:
        data = folder / "data"
        create = [initdb, "-D", str(data), "-A", "trust", "-U", server.user, "-E", "UTF8", "--locale=C.UTF-8", "-N"]
        subprocess.run(as_user("postgres", create), check=True, capture_output=True, env=environment(folder), cwd=folder)
        rules = data / "pg_hba.conf"
        rules.write_text(f"host all {ASKED_FOR_PASSWORD} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        quick = ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=64MB", "max_connections=200"]
        argv = [binary, "-D", str(data), "-p", str(server.port), "-h", "127.0.0.1", "-k", str(folder)]
        argv += [word for option in quick for word in ("-c", option)]
        with running(argv, server.answers, folder, user="postgres"):
            yield server


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Iterator[str]:
    """SQLAlchemy address of a fresh empty database."""
    url = postgres_server.create()
    yield url
    postgres_server.drop(url)
