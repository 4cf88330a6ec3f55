"""Talks to the HTTP API of OpenBao or HashiCorp Vault, reading only. Plain `requests`: a dozen paths need no client library."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from keymuster.errors import BadAnswer, Refused, SourceError, Unreachable

RETRY = Retry(
    total=3,
    connect=1,
    backoff_factor=0.3,
    status_forcelist=(429, 502, 504),
    allowed_methods=("GET",),
    raise_on_status=False,
    respect_retry_after_header=False,  # the far side shall not put us to sleep for an hour; the task's own retry comes later
)


class Missing(BadAnswer):
    """The path is not there: an older version, another product, or a mount of another kind."""


class Access(BaseModel):
    """Where the server is and who asks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(description="Address of the server, e.g. https://vault.example.com:8200.")
    token: SecretStr | None = Field(default=None, description="Token that may list and read the mounts.")
    role_id: str = Field(default="", description="AppRole: role id; used when there is no token.")
    secret_id: SecretStr | None = Field(default=None, description="AppRole: secret id.")
    approle_mount: str = Field(default="approle", description="Where AppRole is mounted, below auth/.")
    namespace: str = Field(default="", description="Namespace of Vault Enterprise or OpenBao; empty for the root.")
    ca_bundle: Path | None = Field(
        default=None, description="PEM file of CAs that may sign the server's certificate; default: the system's."
    )
    timeout_seconds: int = Field(default=30, ge=1, description="Wait at most this long for an answer.")
    workers: int = Field(default=8, ge=1, le=64, description="Certificates asked for at the same time.")

    @model_validator(mode="before")
    @classmethod
    def _login_and_password(cls, values: Any) -> Any:
        """A connection with a log-in (the role id) and a password holds the secret id, not a token, in its password."""
        if isinstance(values, dict) and values.get("role_id") and values.get("token") and not values.get("secret_id"):
            return {**values, "secret_id": values["token"], "token": None}
        return values


class Vault:
    """One server and one token. Redirects are not followed: `requests` would hand the token to whoever is named."""

    def __init__(self, access: Access) -> None:
        self.url = access.url.rstrip("/")
        self._timeout = access.timeout_seconds
        self._secrets = [s.get_secret_value() for s in (access.token, access.secret_id) if s and s.get_secret_value()]
        self._session = requests.Session()
        self._verify = str(access.ca_bundle) if access.ca_bundle else True
        self._session.mount("http", HTTPAdapter(max_retries=RETRY, pool_maxsize=access.workers))
        self._session.headers["X-Vault-Request"] = "true"
        if access.namespace:
            self._session.headers["X-Vault-Namespace"] = access.namespace

    def sign_in(self, access: Access) -> bool:
        """Use the token, or get one by AppRole; whether the token was made for us and should be given back."""
        made = access.token is None
        if access.token is not None:
            token = access.token.get_secret_value()
        elif access.secret_id is not None:
            body = {"role_id": access.role_id, "secret_id": access.secret_id.get_secret_value()}
            answer = self.json("POST", f"auth/{access.approle_mount}/login", body)
            token = str((answer.get("auth") or {}).get("client_token") or "")
            self._secrets.append(token)
        else:
            raise Refused("vault: neither `token` nor `role_id` with `secret_id` is set; name a connection that holds them")
        if not token:
            raise BadAnswer("vault: AppRole gave no token")
        self._session.headers["X-Vault-Token"] = token
        return made

    def close(self, *, give_back: bool) -> None:
        """Hang up; a token made for this run is revoked, and if that fails it ends by itself."""
        with suppress(SourceError):
            if give_back:
                self._call("POST", "auth/token/revoke-self")
        self._session.close()

    def keys(self, path: str) -> list[str]:
        """What a LIST gives, sorted; the API answers 404 without a message for an empty one. Missing if there is no such path."""
        answer = self._call("GET", path, params={"list": "true"})
        if answer.status_code == 404 and self._said(answer):
            raise Missing(f"vault: {path}: {self._said(answer)}")
        data = {} if answer.status_code == 404 else self._data(answer, path)
        keys = data.get("keys", [])
        if not isinstance(keys, list) or not all(isinstance(k, str) for k in keys):
            raise BadAnswer(f"vault: {path}: `keys` is no list of names")
        return sorted(keys)

    def read(self, path: str) -> dict[str, Any]:
        """`data` of a GET. Missing for 404."""
        answer = self._call("GET", path)
        if answer.status_code == 404:
            raise Missing(f"vault: {path}: {self._said(answer) or 'not found'}")
        return self._data(answer, path)

    def raw(self, path: str) -> bytes:
        """Body of a GET that is not JSON. Missing for 404 and for an empty body."""
        answer = self._call("GET", path)
        if answer.status_code == 404 or not answer.content:
            raise Missing(f"vault: {path}: {self._said(answer) or 'empty'}")
        return bytes(answer.content)

    def json(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """The whole answer as JSON."""
        return self._object(self._call(method, path, json=body), path)

    def _data(self, answer: requests.Response, path: str) -> dict[str, Any]:
        data = self._object(answer, path).get("data")
        if not isinstance(data, dict):
            raise BadAnswer(f"vault: {path}: no `data` in the answer; is {self.url} a Vault or OpenBao?")
        return data

    def _object(self, answer: requests.Response, path: str) -> dict[str, Any]:
        try:
            value = answer.json()
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise BadAnswer(f"vault: {path}: the answer is no JSON object; is {self.url} a Vault or OpenBao?")
        return value

    def _call(self, method: str, path: str, **more: Any) -> requests.Response:
        try:
            # `verify` is given here and not on the session: there REQUESTS_CA_BUNDLE would win over our setting
            fixed: dict[str, Any] = {"timeout": self._timeout, "allow_redirects": False, "verify": self._verify}
            answer = self._session.request(method, f"{self.url}/v1/{path}", **fixed, **more)
        except requests.exceptions.SSLError as error:
            raise Refused(f"vault: {self.url}: the server's certificate is not trusted: {self._clean(error)}; set `ca_bundle`") from None
        except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema):
            raise BadAnswer(f"vault: {self._clean(self.url)!r} is no http or https address") from None
        except (requests.exceptions.RequestException, OSError) as error:
            raise Unreachable(f"vault: {self.url} does not answer: {self._clean(error)}") from None
        return self._checked(answer, path)

    def _checked(self, answer: requests.Response, path: str) -> requests.Response:
        """The answer if its status is 2xx or 404; what other statuses mean is in the API's own documentation."""
        status, said = answer.status_code, self._said(answer)
        if answer.ok or status == 404:
            if answer.is_redirect:
                raise BadAnswer(f"vault: {path}: redirected; name the active node in `url`, for the token is not sent elsewhere")
            return answer
        if status in {401, 403} or (status == 400 and "/login" in path):
            raise Refused(f"vault: {path}: {status} {said}")
        if status == 405:
            raise Missing(f"vault: {path}: {status} {said}")
        if status == 429 or status >= 500:
            raise Unreachable(f"vault: {path}: {status} {said}")
        raise BadAnswer(f"vault: {path}: {status} {said}")

    def _said(self, answer: requests.Response) -> str:
        """The errors of an answer in one line."""
        try:
            errors = answer.json().get("errors") or answer.json().get("warnings") or []
        except (ValueError, AttributeError):
            return ""
        return self._clean("; ".join(str(e) for e in errors)) if isinstance(errors, list) else ""

    def _clean(self, text: object) -> str:
        line = re.sub(r"\s+", " ", str(text)).strip()
        for secret in self._secrets:
            line = line.replace(secret, "***")
        return line[:200]


@contextmanager
def connected(access: Access) -> Iterator[Vault]:
    """A signed-in server for the length of a block."""
    vault = Vault(access)
    give_back = False
    try:
        give_back = vault.sign_in(access)
        yield vault
    finally:
        vault.close(give_back=give_back)
