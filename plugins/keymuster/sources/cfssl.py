"""CFSSL: reads its certificate database (SQLite or PostgreSQL), for the API has no call that lists certificates.

What this database is known for, and what is done about it:
* serial numbers are decimal text; a locator has them in hex as everywhere else in keymuster;
* the authority key identifier is stored empty by CFSSL up to 1.2, and `revoked_at` is 0001-01-01 for certificates in good standing;
* columns hold bytes or text, depending on database and version;
* columns came and went (`issued_at`, `not_before`, `metadata` are of 1.5 and later): only those that are there are asked for;
* PostgreSQL's row security would hide rows in silence: it is switched to report, and hidden rows make the listing incomplete;
* a path that is not there would be created by SQLite as an empty database: an empty inventory. It is opened read-only.

`revocation_status` is what the CA's own record says. `issued_at` falls back on notBefore (CFSSL sets it five minutes back).
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from sqlalchemy import Connection, Engine, create_engine, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from keymuster.errors import BadAnswer, Refused, Unreachable
from keymuster.model import Coverage, Problem, Record
from keymuster.sources import _pem
from keymuster.sources._issuers import Issuers

DELIVERS: Mapping[str, frozenset[str]] = {
    "certificates": frozenset({"role", "revocation_status", "revoked_at"}),
    "authorities": frozenset({"kind", "auto_issues"}),
    "issuances": frozenset({"authority_asset_id", "certificate_asset_id", "issued_at"}),
}
NEEDED = ("serial_number", "authority_key_identifier", "status", "reason", "revoked_at", "pem")
OPTIONAL = ("ca_label", "issued_at")
KEY_COMPROMISE = {1, 2}
"""CRLReason of RFC 5280 5.3.1: keyCompromise, cACompromise."""
HIDDEN = "42501"
"""SQLSTATE insufficient_privilege: what PostgreSQL answers where row security would have left rows out."""


class Settings(BaseModel):
    """Which database."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database: SecretStr = Field(
        description="SQLAlchemy address: sqlite:////path/certs.db or postgresql+psycopg2://user:password@host/cfssl (read rights suffice)."
    )
    table: str = Field(default="certificates", pattern=r"[A-Za-z_][A-Za-z0-9_]*", description="Name of the table.")
    ca_certificates: tuple[Path, ...] = Field(
        default=(),
        description="PEM files of the CA certificates: the database does not hold them. Without them issuances have no authority.",
    )
    timeout_seconds: int = Field(default=30, ge=1, description="Wait at most this long for a connection.")


def collect(settings: Settings) -> Iterator[Record | Problem | Coverage]:
    """Yield a certificate and an issuance per row. Unreachable, Refused or BadAnswer if the table cannot be read at all."""
    engine = _engine(settings)
    issuers = Issuers()
    try:
        with _translated(settings), engine.connect() as connection:
            yield from _authorities(settings.ca_certificates, issuers)
            yield from _rows(connection, settings.table, issuers)
    finally:
        engine.dispose()


def _authorities(paths: Sequence[Path], issuers: Issuers) -> Iterator[Record | Problem]:
    """CFSSL signs whatever its policy allows at once, so its authorities issue without approval."""
    for path in paths:
        try:
            ders = _pem.certificates(path.read_text("utf-8", "replace"))
        except (OSError, ValueError) as error:
            yield Problem("authority_unreadable", str(path), " ".join(str(error).split())[:300])
            continue
        for number, der in enumerate(ders, 1):
            issuers.add(der)
            yield Record("authorities", f"{path.name}#{number}", der, {"kind": "issuing", "auto_issues": True})


def _engine(settings: Settings) -> Engine:
    try:
        url = make_url(settings.database.get_secret_value())
        if url.get_backend_name() == "sqlite":
            path = Path(url.database or "")
            if not path.is_file():
                raise Unreachable(f"cfssl: there is no database file {path}")
            address = f"{path.absolute().as_uri()}?mode=ro"
            return create_engine("sqlite://", creator=lambda: sqlite3.connect(address, settings.timeout_seconds, uri=True))
        if url.get_backend_name() == "postgresql":
            options = {"connect_timeout": settings.timeout_seconds, "options": "-c timezone=UTC -c default_transaction_read_only=on"}
            return create_engine(url, connect_args=options)
    except (ArgumentError, NoSuchModuleError):
        raise BadAnswer("cfssl: `database` is no SQLAlchemy address; it begins with sqlite:/// or postgresql+psycopg2://") from None
    raise BadAnswer(f"cfssl: no reader for {url.get_backend_name()}; there are sqlite and postgresql")


@contextmanager
def _translated(settings: Settings) -> Iterator[None]:
    """Errors of the database as ours, without statement, parameters and password."""
    try:
        yield
    except SQLAlchemyError as error:
        raise _explained(error, make_url(settings.database.get_secret_value()).password) from None


def _explained(error: SQLAlchemyError, password: str | None) -> Exception:
    origin = getattr(error, "orig", None)
    said = " ".join(str(origin or error).split())[:300]
    if password:
        said = said.replace(password, "***")
    if "authentication failed" in said or _state(error) in {HIDDEN, "28P01", "28000"}:
        return Refused(f"cfssl: the database turned us down: {said}")
    if "file is not a database" in said:
        return BadAnswer(f"cfssl: {said}")
    return Unreachable(f"cfssl: the database cannot be read: {said}")


def _state(error: SQLAlchemyError) -> str | None:
    return getattr(getattr(error, "orig", None), "pgcode", None)


def _rows(connection: Connection, table: str, issuers: Issuers) -> Iterator[Record | Problem | Coverage]:
    columns = _columns(connection, table)
    hidden = _hides_rows(connection, table)
    if hidden:
        yield Problem("rows_hidden", None, f"row security of table {table} hides rows from this account; grant BYPASSRLS or a policy")
    expected = int(connection.execute(text(f'SELECT count(*) FROM "{table}"')).scalar_one())  # noqa: S608 (a checked name)
    query = text(f'SELECT {", ".join(columns)} FROM "{table}" ORDER BY serial_number, authority_key_identifier')  # noqa: S608
    fetched = refused = 0
    for row in connection.execution_options(yield_per=1000).execute(query).mappings():
        items = _row({name: _plain(value) for name, value in row.items()}, issuers)
        yield from items
        unreadable = not isinstance(items[0], Record)
        fetched, refused = fetched + (not unreadable), refused + unreadable
    yield Coverage(expected, fetched, refused, truncated=hidden)


def _columns(connection: Connection, table: str) -> list[str]:
    inspector = inspect(connection)
    there = {c["name"] for c in inspector.get_columns(table)} if inspector.has_table(table) else set()
    gone = [c for c in NEEDED if c not in there]
    if gone:
        raise BadAnswer(f"cfssl: table {table!r} has no {', '.join(gone)}; this is no CFSSL database, or its migrations were not run")
    return [*NEEDED, *(c for c in OPTIONAL if c in there)]


def _hides_rows(connection: Connection, table: str) -> bool:
    """Whether PostgreSQL leaves rows out of our sight. With row_security off it says so instead of doing it."""
    if connection.dialect.name != "postgresql":
        return False
    connection.execute(text("SET row_security = off"))
    connection.commit()
    try:
        connection.execute(text(f'SELECT 1 FROM "{table}" LIMIT 1'))  # noqa: S608 (a checked name)
        return False
    except DBAPIError as error:
        connection.rollback()
        if _state(error) != HIDDEN or "row-level security" not in str(error.orig):
            raise
    connection.execute(text("SET row_security = on"))
    connection.commit()
    return True


def _plain(value: Any) -> Any:
    """Bytes as text, whatever the database calls them."""
    if isinstance(value, memoryview | bytes):
        return bytes(value).decode("utf-8", "replace")
    return value


def _row(row: Mapping[str, Any], issuers: Issuers) -> list[Record | Problem]:
    locator = _locator(str(row["serial_number"]), row["authority_key_identifier"])
    try:
        der = _pem.certificate(str(row["pem"]))
    except ValueError as error:
        return [Problem("certificate_unreadable", locator, f"column pem: {error}")]
    return [*_certificate(row, locator, der), *_issuance(row, locator, der, issuers)]


def _certificate(row: Mapping[str, Any], locator: str, der: bytes) -> Iterator[Record | Problem]:
    status, revoked_at = str(row["status"]), _instant(row["revoked_at"])
    said = {"good": "good", "revoked": "revoked_key_compromise" if row["reason"] in KEY_COMPROMISE else "revoked"}.get(status)
    yield Record("certificates", locator, der, {"role": "issued", "revocation_status": said, "revoked_at": revoked_at})
    if said is None:
        yield Problem("revocation_status_unknown", locator, f"status is {status[:40]!r}; known are good and revoked")


def _issuance(row: Mapping[str, Any], locator: str, der: bytes, issuers: Issuers) -> Iterator[Record | Problem]:
    authority, parsed = issuers.of(der)
    attributes = {
        "asset_id": f"urn:cfssl:{row.get('ca_label') or ''}:{locator}",
        "authority_asset_id": authority,
        "certificate_asset_id": hashlib.sha256(der).hexdigest(),
        "issued_at": _instant(row.get("issued_at")) or (parsed.not_valid_before_utc if parsed else None),
    }
    yield Record("issuances", locator, None, attributes)
    if parsed and str(parsed.serial_number) != str(row["serial_number"]).strip():
        # its status may be another certificate's: somebody edited the database
        yield Problem("serial_mismatch", locator, f"the certificate in this row has the serial {parsed.serial_number:x}")


def _locator(serial: str, authority: object) -> str:
    """Serial in hex, after the authority's key identifier where one is stored."""
    try:
        serial = f"{int(serial):x}"
    except ValueError:
        serial = f"serial {serial[:80]}"
    return f"{authority}/{serial}" if authority else serial


def _instant(value: object) -> datetime | None:
    """An aware UTC instant; None for null, for the year 1, which is CFSSL's null, and for what is no instant."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if not isinstance(value, datetime) or value.year == 1:
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
