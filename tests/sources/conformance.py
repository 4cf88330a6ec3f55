"""The contract of a source, as code: what a case offers, and how a stream of records is examined.

A source named `x` joins with one file, `tests/sources/cases/x.py`:

    SERVERS = ("cfssl",)                      # optional: names for pytest.mark.server

    @contextmanager                           # a plain generator is fine too
    def case(folder: Path, request: pytest.FixtureRequest) -> Iterator[Case]:
        yield Case(settings=Settings(...), expects={"certificates": 2}, private=(key,), hostile=der, short=Settings(...))

`request.getfixturevalue("cfssl")` gives a session fixture of tests/servers.
`test_conformance.py` then runs every check on every source of the registry; a source without a case fails.
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from pydantic import BaseModel, SecretStr

from keymuster.model import Coverage, Problem, Record
from keymuster.schema import tables

HOSTILE = "<script>alert(1)</script>=cmd|' /C calc'!A0\u202e\u00fc"
"""A text for the subject, comment or name that a case plants: markup, a formula, a direction override, a letter beyond ASCII."""

OUTSIDE_DER: Mapping[str, frozenset[str]] = {
    "ssh_keys": frozenset(
        {"options", "is_encrypted", "certificate_type", "validity_seconds", "certificate_principals", "key_algorithm", "key_bits"}
    ),
    "keys": frozenset({"key_algorithm", "key_bits", "key_curve"}),
    "authorities": frozenset({"subject", "key_algorithm", "key_bits"}),
}
"""Columns of origin `parsed` that a source may deliver: no SubjectPublicKeyInfo carries them, or they are known of keys without one."""

PYTHON: Mapping[str, tuple[type, ...]] = {
    "bool": (bool,),
    "Int64": (int,),
    "Float64": (float, int),
    "string": (str,),
    "timestamp[us, UTC]": (dt.datetime,),
    "list<string>": (list, tuple),
}

MARKERS = (b"PRIVATE KEY-----", b"openssh-key-v1", b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")
"""What no record and no problem may hold: armour of private keys, and the magic of key stores."""


@dataclass(frozen=True)
class Case:
    """A working example of one source."""

    settings: BaseModel
    expects: Mapping[str, int]
    """Table -> least number of rows that `settings` gives; every table in DELIVERS must be named, with 0 where the example has none."""
    private: Sequence[Any] = ()
    """Private keys (objects of cryptography, or raw bytes) that the source meets and must drop."""
    hostile: bytes | str | None = None
    """A DER that must arrive byte for byte, or a text that must arrive in a locator or attribute. Plant HOSTILE in it."""
    short: BaseModel | None = None
    """Settings under which the listing falls short (a page missing, a file denied, a cap); its coverage must not be complete."""
    repeatable: bool = True
    """Whether collecting twice gives the same records."""
    complete: bool = True
    """Whether the example itself is read completely."""


@dataclass(frozen=True)
class Played:
    """What one collection of a case gave."""

    name: str
    case: Case
    module: Any
    items: Sequence[Record | Problem | Coverage]
    again: Sequence[Record | Problem | Coverage] = field(default=())

    @property
    def records(self) -> list[Record]:
        """The records alone."""
        return [i for i in self.items if isinstance(i, Record)]

    @property
    def problems(self) -> list[Problem]:
        """The problems alone."""
        return [i for i in self.items if isinstance(i, Problem)]

    @property
    def coverage(self) -> Coverage:
        """The last item."""
        last = self.items[-1]
        assert isinstance(last, Coverage), f"{self.name} ends with {last!r}, not with a Coverage"
        return last


def case_file(name: str) -> Path:
    """Where the case of a source is kept."""
    return Path(__file__).parent / "cases" / f"{name}.py"


def servers_of(name: str) -> tuple[str, ...]:
    """Servers that the case of a source needs; none for a case that is not there (the tests then fail by name)."""
    return tuple(getattr(import_module(f"tests.sources.cases.{name}"), "SERVERS", ())) if case_file(name).exists() else ()


def open_case(name: str, folder: Path, request: Any) -> AbstractContextManager[Case]:
    """The case of a source, set up below `folder`."""
    assert case_file(name).exists(), f"source {name!r} has no case: add tests/sources/cases/{name}.py (see tests/sources/conformance.py)"
    made = import_module(f"tests.sources.cases.{name}").case(folder, request)
    return made if isinstance(made, AbstractContextManager) else contextmanager(lambda: made)()


def deliverable(table: str) -> frozenset[str]:
    """Columns that a source may declare for a table."""
    spec = tables()[table]
    return (frozenset(spec.names("source")) | OUTSIDE_DER.get(table, frozenset())) - {"station", "locator"}


def wrong_type(table: str, column: str, value: Any) -> str | None:
    """Why a value does not fit its column, or None."""
    dtype = tables()[table].columns[column].dtype
    if not isinstance(value, PYTHON[dtype]) or (dtype == "Int64" and isinstance(value, bool)):
        return f"{table}.{column} is {dtype}, got {value!r}"
    if isinstance(value, dt.datetime) and value.utcoffset() != dt.timedelta(0):
        return f"{table}.{column} is not in UTC: {value!r}"
    if isinstance(value, (list, tuple)) and not all(isinstance(v, str) for v in value):
        return f"{table}.{column} holds something other than text: {value!r}"
    return None


def texts(item: Record | Problem) -> Iterator[str]:
    """Every text of a record or problem."""
    if isinstance(item, Problem):
        yield from (item.code, item.locator or "", item.detail)
        return
    yield from (item.table, item.locator)
    for value in item.attributes.values():
        yield from (str(v) for v in (value if isinstance(value, (list, tuple)) else (value,)))


def spellings(secret: bytes) -> Iterator[bytes]:
    """A secret as it could leak: raw, hex in either case, decimal, and Base64 at each alignment."""
    yield from (secret, secret.hex().encode(), secret.hex().upper().encode(), str(int.from_bytes(secret, "big")).encode())
    for shift in range(3):
        yield base64.b64encode(b"\0" * shift + secret)[4:-4]


def secrets_of(key: Any) -> Iterator[bytes]:
    """The numbers of a private key that make it private."""
    if isinstance(key, bytes):
        yield key
    elif isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        yield from (n.to_bytes((n.bit_length() + 7) // 8, "big") for n in (numbers.d, numbers.p, numbers.q, numbers.iqmp))
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        yield key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8, "big")
    elif isinstance(key, dsa.DSAPrivateKey):
        number = key.private_numbers().x
        yield number.to_bytes((number.bit_length() + 7) // 8, "big")
    else:
        raw = serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
        yield key.private_bytes(*raw)


def settings_secrets(settings: BaseModel) -> Iterator[bytes]:
    """Values of every SecretStr in the settings, lists and mappings included."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        for one in value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(one, SecretStr) and one.get_secret_value():
                yield one.get_secret_value().encode()


def leaks(items: Iterable[Record | Problem | Coverage], case: Case) -> list[str]:
    """Records and problems that hold private material or a password; empty if none does."""
    hunted = [s for key in case.private for secret in secrets_of(key) for s in spellings(secret)]
    passwords = list(settings_secrets(case.settings))
    found = []
    for item in items:
        if isinstance(item, Coverage):
            continue
        text = "\n".join(texts(item)).encode("utf-8", "surrogatepass")
        haystack = text + b"\n" + (item.der or b"" if isinstance(item, Record) else b"")
        if any(m in haystack for m in (*MARKERS, *hunted)) or any(p in text for p in passwords):
            found.append(f"{type(item).__name__} at {item.locator}")
    return found
