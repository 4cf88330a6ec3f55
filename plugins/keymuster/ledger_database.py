"""The ledger's database: how it is opened, locked and migrated, and how its errors are told. SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, ProgrammingError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from keymuster.errors import ConfigurationError, LedgerError

HEAD = "0001"
"""The newest revision in `migrations/versions`."""
BUSY_SECONDS = 60.0
"""How long a writer waits for another writer of the same SQLite file."""
_PAUSE_SECONDS = 0.05


class Database:
    """One database of one process; connections are opened when they are needed."""

    def __init__(self, address: str) -> None:
        try:
            url = make_url(address)
            self.name = url.set(query={}).render_as_string(hide_password=True)
            if url.get_backend_name() not in {"sqlite", "postgresql"}:
                raise ConfigurationError(f"the ledger {self.name} is neither sqlite:/// nor postgresql+psycopg2://")
            self.file = Path(url.database) if url.get_backend_name() == "sqlite" and url.database not in {None, "", ":memory:"} else None
            self._engine = _sqlite(address) if url.get_backend_name() == "sqlite" else create_engine(url, pool_pre_ping=True, pool_size=2)
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise ConfigurationError(
                f"the address of the ledger is not understood ({type(error).__name__}); it looks like sqlite:////folder/ledger.db "
                "or postgresql+psycopg2://user:password@host/database"
            ) from error

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file on this machine."""
        return self._engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for queries; LedgerError."""
        with self._told(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that takes SQLite's write lock at its start, so that it waits instead of failing half-way; LedgerError."""
        with self._told(), self._engine.execution_options(keymuster_write=True).begin() as connection:
            yield connection

    @contextmanager
    def lock(self, name: str, wait_seconds: float) -> Iterator[None]:
        """Hold a named lock that dies with this process; LedgerError (retryable) if another holds it for longer than one may wait."""
        holder = self._file_lock(name, wait_seconds) if self.is_sqlite else self._advisory_lock(name, wait_seconds)
        with holder:
            yield

    def migrate(self) -> None:
        """Bring the tables up to HEAD; nothing happens where they are. Any number of processes may do it at once."""
        if self.file is not None:
            try:
                self.file.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise self._error(f"its folder cannot be made: {error.strerror}", retryable=False) from error
        if self._revision() == HEAD:
            return
        with self.lock("migrate", BUSY_SECONDS * 2):
            if self.is_sqlite:
                self._write_ahead()
            with self.write() as connection:
                _upgrade(connection)

    def dispose(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _write_ahead(self) -> None:
        """Readers then never wait for a writer. SQLite keeps the mode in the file, and changes it outside of transactions only."""
        with self._told(), contextlib.closing(self._engine.raw_connection()) as connection:
            try:
                connection.cursor().execute("PRAGMA journal_mode=WAL")
            except sqlite3.Error as error:
                raise self._error(f"{error}; {self._advice()}") from error

    def _revision(self) -> str | None:
        with self.read() as connection:
            if not self._engine.dialect.has_table(connection, "alembic_version"):
                return None
            row: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        if row is not None and row > HEAD:
            raise self._error(f"it is at revision {row}, newer than this keymuster knows ({HEAD}): install the newer one", retryable=False)
        return row

    @contextmanager
    def _file_lock(self, name: str, wait_seconds: float) -> Iterator[None]:
        if self.file is None:
            yield
            return
        path = self.file.with_name(f"{self.file.name}.{name}.lock")
        try:
            handle = path.open("a")
        except OSError as error:
            raise self._error(f"{path} cannot be written: {error.strerror}", retryable=False) from error
        with handle:
            self._wait(lambda: _flock(handle), name, wait_seconds)
            yield

    @contextmanager
    def _advisory_lock(self, name: str, wait_seconds: float) -> Iterator[None]:
        number = lock_number(name)
        # A connection of its own that is closed for good at the end: an advisory lock belongs to the session.
        with self._told(), self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            taken = text("SELECT pg_try_advisory_lock(:number)")
            self._wait(lambda: bool(connection.execute(taken, {"number": number}).scalar()), name, wait_seconds)
            try:
                yield
            finally:
                connection.invalidate()

    def _wait(self, attempt: Any, name: str, wait_seconds: float) -> None:
        until = time.monotonic() + wait_seconds
        while not attempt():
            if time.monotonic() > until:
                raise self._error(f"another process has held its lock {name!r} for {wait_seconds:.0f} s; try again when it is done")
            time.sleep(_PAUSE_SECONDS)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, PoolTimeout) as error:
            raise self._error(f"{_cause(error)}; {self._advice()}") from error
        except ProgrammingError as error:
            raise self._error(f"{_cause(error)}; its tables are made by Ledger.migrate()", retryable=False) from error
        except SQLAlchemyError as error:
            raise self._error(_cause(error), retryable=isinstance(error, DBAPIError) and error.connection_invalidated) from error

    def _advice(self) -> str:
        if self.is_sqlite:
            return "see that its folder is there and may be written, that the disk is not full, and that Ledger.migrate() was run"
        return "see that the server runs, that user and password are right, and that the disk is not full"

    def _error(self, what: str, *, retryable: bool = True) -> LedgerError:
        error = LedgerError(f"the ledger {self.name} cannot be used: {what}")
        error.retryable = retryable
        return error


def lock_number(name: str) -> int:
    """A signed 64-bit number for PostgreSQL's advisory locks."""
    return int.from_bytes(hashlib.sha256(f"keymuster {name}".encode()).digest()[:8], "big", signed=True)


def _flock(handle: Any) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _cause(error: SQLAlchemyError) -> str:
    """First line of what the driver said; never the statement, which may hold text from outside."""
    words = str(error.orig if isinstance(error, DBAPIError) else error).strip().splitlines()
    return words[0] if words else type(error).__name__


def _sqlite(address: str) -> Engine:
    engine = create_engine(address, connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver would begin late and commit before DDL; we say BEGIN ourselves
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA temp_store=MEMORY")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("keymuster_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
