from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, SecretStr

from keymuster.errors import ConnectionMissing
from keymuster.orchestration import connections


class Vault(BaseModel):
    model_config = ConfigDict(extra="forbid")
    url: str
    token: SecretStr
    namespace: str | None = None


class Directory(BaseModel):
    model_config = ConfigDict(extra="forbid")
    uri: str
    bind_dn: str
    password: SecretStr


class Database(BaseModel):
    model_config = ConfigDict(extra="forbid")
    database: SecretStr


class Cloud(BaseModel):
    model_config = ConfigDict(extra="forbid")
    access_key_id: str | None = None
    secret_access_key: SecretStr | None = None
    endpoint_url: str | None = None
    region: str = "us-east-1"


@pytest.mark.parametrize(
    ("kind", "given", "fields"),
    [
        (Vault, {"conn_type": "http", "host": "https://bao.lab", "password": "hvs.x1"}, {"url": "https://bao.lab", "token": "hvs.x1"}),
        (Vault, {"conn_type": "https", "host": "bao.lab", "port": 8200, "password": "hvs.x1", "extra": {"namespace": "n", "other": 1}},
         {"url": "https://bao.lab:8200", "token": "hvs.x1", "namespace": "n"}),
        (Directory, {"conn_type": "ldap", "host": "dir.lab", "schema": "ldaps", "login": "cn=a", "password": "secret"},
         {"uri": "ldaps://dir.lab", "bind_dn": "cn=a", "password": "secret"}),
        (Database, {"conn_type": "postgres", "host": "db", "port": 5432, "login": "u", "password": "p@ss/w", "schema": "cfssl"},
         {"database": "postgresql+psycopg2://u:p%40ss%2Fw@db:5432/cfssl"}),
        (Cloud, {"conn_type": "aws", "login": "AKIA1", "password": "secret", "extra": {"region": "eu-west-1", "endpoint_url": "http://m"}},
         {"access_key_id": "AKIA1", "secret_access_key": "secret", "region": "eu-west-1", "endpoint_url": "http://m"}),
    ],
)  # fmt: skip
def test_a_connection_fills_the_fields_of_settings(
    kind: type[BaseModel], given: dict[str, Any], fields: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_LAB", json.dumps(given))
    found = connections.fields("lab", kind)
    assert found == fields
    assert kind.model_validate(found)


def test_options_of_an_object_store(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"endpoint_url": "http://o:8333", "region_name": "us-east-1"}
    monkeypatch.setenv("AIRFLOW_CONN_LAB", json.dumps({"conn_type": "aws", "login": "k", "password": "secret", "extra": extra}))
    assert connections.storage_options("lab") == {"key": "k", "secret": "secret", "client_kwargs": extra}


def test_address_of_a_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_LAB", "postgres://u:secret@db:5432/keymuster?sslmode=require")
    assert connections.database_address("lab") == "postgresql+psycopg2://u:secret@db:5432/keymuster?sslmode=require"
    monkeypatch.setenv("AIRFLOW_CONN_LAB", "http://web")
    with pytest.raises(ConnectionMissing, match="'lab' has the type 'http'; it must be postgres or sqlite"):
        connections.database_address("lab")


@pytest.mark.usefixtures("airflow_db")
def test_a_missing_connection_says_how_to_make_it() -> None:
    with pytest.raises(ConnectionMissing) as caught:
        connections.fields("bao_prod", Vault)
    for word in ("'bao_prod'", "Admin > Connections", "AIRFLOW_CONN_BAO_PROD"):
        assert word in str(caught.value)
