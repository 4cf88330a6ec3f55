"""Talks LDAP: connects only over verified TLS, reads page by page, and looks at the result code of each page.

ldap3 returns True for a search that ran into a limit; the code says what happened. Referrals are not followed: the password would go
to whoever a directory names.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ldap3
from ldap3.core.exceptions import (
    LDAPConfigurationError,
    LDAPDefinitionError,
    LDAPException,
    LDAPInvalidFilterError,
    LDAPInvalidPortError,
    LDAPInvalidServerError,
)
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from keymuster.errors import BadAnswer, Refused, SourceError, Unreachable

PAGED = "1.2.840.113556.1.4.319"
ACTIVE_DIRECTORY = "1.2.840.113556.1.4.800"
DENIED = {
    "invalidCredentials",
    "insufficientAccessRights",
    "inappropriateAuthentication",
    "confidentialityRequired",
    "strongerAuthRequired",
}
LATER = {"busy", "unavailable", "timeLimitExceeded"}


class Access(BaseModel):
    """Where the directory is and who asks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(description="ldaps://host[:port], or ldap://host[:port], which is upgraded with StartTLS.")
    bind_dn: str = Field(default="", description="Account that reads; a DN, or name@domain for Active Directory.")
    password: SecretStr | None = Field(
        default=None, description="Its password. Anonymous reading is refused: it shows less and does not say so."
    )
    ca_bundle: Path | None = Field(
        default=None, description="PEM file of CAs that may sign the server's certificate; default: the system's."
    )
    plaintext: bool = Field(default=False, description="Send the password over ldap:// without TLS. For a test on the loopback only.")
    page_size: int = Field(default=500, ge=1, le=10_000, description="Entries a page; no more than the server allows (AD: 1000).")
    timeout_seconds: int = Field(default=30, ge=1, description="Wait at most this long for an answer.")


@dataclass(frozen=True)
class Entry:
    """One entry: its DN, and attribute values by lower-case name without options (`;binary`)."""

    dn: str
    values: Mapping[str, Sequence[bytes]]

    def texts(self, name: str) -> list[str]:
        """Values as text; what is no UTF-8 is shown by replacement characters."""
        return [v.decode("utf-8", "replace") for v in self.values.get(name.lower(), ())]

    def text(self, name: str) -> str | None:
        """First value as text."""
        return next(iter(self.texts(name)), None)

    def number(self, name: str) -> int | None:
        """First value as a whole number; None if there is none or it is no number."""
        text = self.text(name)
        return int(text) if text and text.lstrip("-").isdecimal() and len(text) < 20 else None


class Cut(BadAnswer):
    """A listing ended early; what came before was yielded."""


class Directory:
    """A signed-in connection."""

    def __init__(self, connection: Any, page_size: int) -> None:
        self._connection = connection
        self._page_size = page_size
        info = connection.server.info
        self.root: Mapping[str, Sequence[str]] = {
            name.lower(): [v.decode("utf-8", "replace") for v in values] for name, values in (info.raw if info else {}).items()
        }
        self.referrals: list[str] = []

    @property
    def is_active_directory(self) -> bool:
        """Whether the root entry says so."""
        return ACTIVE_DIRECTORY in self.root.get("supportedcapabilities", ())

    def search(self, base: str, condition: str, attributes: Sequence[str]) -> Iterator[Entry]:
        """Every entry below a base. Cut if the server stops early; BadAnswer if there is no such base."""
        cookie: bytes | None = None
        while True:
            response, result = self._page(base, condition, attributes, cookie)
            for item in response:
                if item.get("type") == "searchResEntry":
                    yield _entry(item)
                elif item.get("type") == "searchResRef":
                    self.referrals += [str(u) for u in item.get("uri", ())]
            if result["description"] != "success":
                raise _failure(base, result)
            control = (result.get("controls") or {}).get(PAGED)
            cookie = control["value"]["cookie"] if control else None
            if not cookie:
                return

    def _page(self, base: str, condition: str, attributes: Sequence[str], cookie: bytes | None) -> tuple[list[Any], dict[str, Any]]:
        paging = {"paged_size": self._page_size, "paged_criticality": True, "paged_cookie": cookie}
        with translated(f"search below {base}"):
            self._connection.search(base, condition, ldap3.SUBTREE, attributes=list(attributes), **paging)
        return self._connection.response or [], self._connection.result


def _entry(item: Mapping[str, Any]) -> Entry:
    values: dict[str, list[bytes]] = {}
    for name, found in (item.get("raw_attributes") or {}).items():
        kept = name if ";range=" in name.lower() else name.partition(";")[0]
        values.setdefault(kept.lower(), []).extend(bytes(v) for v in found)
    return Entry(str(item["dn"]), values)


def _failure(base: str, result: Mapping[str, Any]) -> SourceError:
    """What a result code means for us (RFC 4511 appendix A)."""
    code, said = str(result.get("description")), " ".join(str(result.get("message") or "").split())[:200]
    what = f"ldap: search below {base}: {code}{f' ({said})' if said else ''}"
    if code in DENIED:
        return Refused(what)
    if code in LATER - {"timeLimitExceeded"}:
        return Unreachable(what)
    if code == "noSuchObject":
        return BadAnswer(f"{what}: there is no such base, or this account may not see it")
    hint = (
        "; choose a smaller page_size or ask for a higher limit"
        if code in {"sizeLimitExceeded", "adminLimitExceeded", "unwillingToPerform"}
        else ""
    )
    return Cut(what + hint)


@contextmanager
def connected(access: Access) -> Iterator[Directory]:
    """A bound connection for the length of a block. Unreachable, Refused or BadAnswer if there is none to be had."""
    password = access.password.get_secret_value() if access.password else ""
    if not access.bind_dn or not password:
        # a DN without password would be an unauthenticated bind (RFC 4513 5.1.2), which succeeds as anonymous
        raise Refused("ldap: `bind_dn` and `password` must be set; anonymous reading shows less and does not say so")
    secure = access.url.lower().startswith("ldaps://")
    if not secure and not access.url.lower().startswith("ldap://"):
        raise BadAnswer("ldap: `url` begins with ldaps:// or ldap://")
    with translated(access.url, password):
        tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=_bundle(access.ca_bundle))
        server = ldap3.Server(access.url, tls=tls, get_info=ldap3.DSA, connect_timeout=access.timeout_seconds)
        connection = ldap3.Connection(
            server,
            access.bind_dn,
            password,
            read_only=True,
            auto_referrals=False,
            check_names=False,
            receive_timeout=access.timeout_seconds,
        )
        connection.open(read_server_info=False)
        try:
            if not secure and not access.plaintext and not connection.start_tls(read_server_info=False):
                raise Refused(f"ldap: {access.url}: the server has no StartTLS: {connection.result.get('description')}")
            if not connection.bind(read_server_info=True):
                raise Refused(f"ldap: {access.url}: sign-in failed: {connection.result.get('description')}")
            yield Directory(connection, access.page_size)
        finally:
            with suppress(LDAPException, OSError):  # a connection that broke cannot be ended in good form
                connection.unbind()
            if connection.socket:
                connection.socket.close()


def _bundle(chosen: Path | None) -> str | None:
    """ldap3 does not look where the system keeps its CAs."""
    return str(chosen) if chosen else ssl.get_default_verify_paths().cafile or ssl.get_default_verify_paths().openssl_cafile


@contextmanager
def translated(what: str, password: str = "") -> Iterator[None]:
    """ldap3's errors as ours."""
    try:
        yield
    except LDAPInvalidFilterError:
        raise BadAnswer(f"ldap: {what}: the filter is malformed") from None
    except (LDAPInvalidServerError, LDAPInvalidPortError, LDAPDefinitionError, LDAPConfigurationError) as error:
        raise BadAnswer(f"ldap: {what}: {_line(error, password)}") from None
    except (LDAPException, OSError) as error:
        said = _line(error, password)
        untrusted = "certificate" in said.lower()
        kind = Refused if untrusted else Unreachable
        raise kind(f"ldap: {what}: {said}{'; set ca_bundle, or name the host as its certificate does' if untrusted else ''}") from None


def _line(error: object, password: str) -> str:
    line = " ".join(str(error).split())
    return (line.replace(password, "***") if password else line)[:250]
