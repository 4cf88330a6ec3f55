"""The conformance kit finds what it is there to find."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import BaseModel, SecretStr
from tests.sources import conformance as kit

from keymuster.model import Problem, Record


class Plain(BaseModel):
    password: SecretStr = SecretStr("correct horse")


KEYS = {
    "rsa": rsa.generate_private_key(65537, 1024),  # noqa: S505 (small is quick; it never guards anything)
    "ec": ec.generate_private_key(ec.SECP256R1()),
    "ed": ed25519.Ed25519PrivateKey.generate(),
}


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("encoding", [Encoding.DER, Encoding.PEM])
def test_a_leaked_key_is_found(name: str, encoding: Encoding) -> None:
    key = KEYS[name]
    body = key.private_bytes(encoding, PrivateFormat.PKCS8, NoEncryption())
    case = kit.Case(Plain(), {}, private=(key,))
    assert kit.leaks([Record("keys", "/k", der=body)], case) == ["Record at /k"]
    text = body.hex() if encoding is Encoding.DER else "".join(body.decode().splitlines()[1:-1])
    assert kit.leaks([Problem("key_unreadable", "/k", text)], case) == ["Problem at /k"]


def test_a_leaked_password_is_found_and_a_public_key_is_not() -> None:
    case = kit.Case(Plain(), {}, private=tuple(KEYS.values()))
    assert kit.leaks([Record("keys", "/k", attributes={"state": "correct horse"})], case) == ["Record at /k"]
    spki = KEYS["rsa"].public_key().public_numbers().n.to_bytes(128, "big")
    assert kit.leaks([Record("keys", "/k", der=spki)], case) == []


@pytest.mark.parametrize(
    ("column", "value"),
    [("kind", 1), ("rotation_period_days", True), ("created_at", dt.datetime(2026, 1, 1)), ("state", b"x"), ("is_exportable", 1)],
)
def test_wrong_types_are_found(column: str, value: object) -> None:
    assert kit.wrong_type("keys", column, value)
