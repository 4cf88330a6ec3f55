"""Secrets: an Airflow Connection becomes the fields of somebody's `Settings`. The only reader of Connections.

A field is filled from the connection's `extra` by its own name; else from the usual parts by the names below.
What comes out is handed on, never returned from a task: a returned value lands in the metadata database in clear.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr
from sqlalchemy.engine import make_url

from keymuster.errors import ConnectionMissing

_LOGIN = ("login", "username", "user", "bind_dn", "access_key_id", "access_key", "role_id")
_ADDRESS = ("url", "uri", "address", "endpoint", "endpoint_url", "server", "host")
_DATABASE = ("database", "database_url")


def connection(name: str) -> Any:
    """The Airflow Connection; ConnectionMissing says how to make it."""
    from airflow.sdk import Connection  # noqa: PLC0415 (DAG files import this module at parse time)
    from airflow.sdk.exceptions import AirflowNotFoundException  # noqa: PLC0415

    try:
        return Connection.get(name)
    except AirflowNotFoundException:
        raise ConnectionMissing(
            f"no Airflow connection {name!r}; add it in the UI under Admin > Connections, "
            f"or set AIRFLOW_CONN_{name.upper()} to its URI or JSON for every Airflow process"
        ) from None


def fields(name: str, kind: type[BaseModel]) -> dict[str, Any]:
    """Values for the fields of `kind` that the connection can give. Plain text; `kind` wraps its secrets itself."""
    given = connection(name)
    known = kind.model_fields
    values = {key: value for key, value in given.extra_dejson.items() if key in known}
    secrets = [key for key, info in known.items() if is_secret(info.annotation) and key not in values and key not in _DATABASE]
    if given.password and secrets:
        several = get_origin(known[secrets[0]].annotation) is tuple
        values[secrets[0]] = [given.password] if several else given.password
    for names, value in ((_LOGIN, given.login), (_ADDRESS, _address(given)), (_DATABASE, _database(given)), (("port",), given.port)):
        name_of_field = next((key for key in names if key in known), None)
        if value and name_of_field is not None:
            values.setdefault(name_of_field, given.host if name_of_field == "host" else value)
    return values


def database_address(name: str) -> str:
    """SQLAlchemy address of a connection to a database."""
    given = connection(name)
    address = _database(given)
    if address is None:
        raise ConnectionMissing(f"the Airflow connection {name!r} has the type {given.conn_type!r}; it must be postgres or sqlite")
    return address


def storage_options(name: str) -> dict[str, Any]:
    """Options of an fsspec file system: for `aws` the keys and the endpoint, for others what `extra` says."""
    given = connection(name)
    extra = dict(given.extra_dejson)
    if given.conn_type not in {"aws", "s3"}:
        return extra
    client = {key: extra.pop(key) for key in ("endpoint_url", "region_name") if key in extra}
    return {"key": given.login, "secret": given.password, "client_kwargs": client, **extra}


def is_secret(annotation: Any) -> bool:
    """Whether a field's type is or contains `SecretStr`."""
    return annotation is SecretStr or any(is_secret(part) for part in get_args(annotation))


def _address(given: Any) -> str | None:
    if not given.host or "://" in given.host:
        return given.host or None
    port = f":{given.port}" if given.port else ""
    scheme = given.conn_type if given.conn_type in {"http", "https", "ldap", "ldaps"} else "https"
    return f"{given.schema or scheme}://{given.host}{port}"


_DRIVERS: Mapping[str, str] = {"postgres": "postgresql+psycopg2", "postgresql": "postgresql+psycopg2", "sqlite": "sqlite", "mysql": "mysql"}


def _database(given: Any) -> str | None:
    """`postgres://…` of Airflow, as SQLAlchemy spells it; None for a connection that is no database."""
    if given.conn_type not in _DRIVERS:
        return None
    if given.conn_type == "sqlite":
        return f"sqlite:///{given.host or given.schema}"
    url = make_url("x://").set(
        drivername=_DRIVERS[given.conn_type],
        username=given.login,
        password=given.password,
        host=given.host,
        port=given.port,
        database=given.schema,
        query={key: value for key, value in given.extra_dejson.items() if isinstance(value, str) and key in {"sslmode", "sslrootcert"}},
    )
    return url.render_as_string(hide_password=False)
