"""How Redmine is spoken to: who we are is proved once, every answer is judged, nothing is sent twice."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any

import requests
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from keymuster.errors import TrackerError, TrackerRefused, TrackerUnreachable

_LARGEST, _PIECE = 32 * 1024 * 1024, 64 * 1024
_NOT_SENT = (NewConnectionError, ConnectTimeoutError, NameResolutionError)


class Client:
    """One Redmine and one key."""

    def __init__(self, url: str, api_key: str, ca_file: str, timeout: float) -> None:
        self.url = url
        self._timeout = timeout
        self._session = requests.Session()
        # One connection a request: on a kept one that the server is just closing, nobody knows whether a request arrived.
        self._session.headers.update({"X-Redmine-API-Key": api_key, "Accept": "application/json", "Connection": "close"})
        if ca_file:
            self._session.verify = ca_file

    def prove(self, project: str) -> None:
        """Whether key and project are right. Redmine answers a wrong key like a visitor, but not here."""
        self._ask("GET", "/users/current.json")
        if self.get(f"/projects/{project}.json", missing=True) is None:
            raise TrackerRefused(f"{self.url} has no project {project!r} that this key may see")

    def get(self, path: str, query: Mapping[str, str] | None = None, *, missing: bool = False) -> Any:
        """The answer's JSON; with `missing`, None for 404."""
        response = self._ask("GET", path, query=query, missing=missing)
        return None if response.status_code == 404 else self._json(response, path)

    def send(self, method: str, path: str, body: Mapping[str, Any]) -> Any:
        """Send once; the answer's JSON, None where it has none."""
        response = self._ask(method, path, body=body)
        return self._json(response, path) if response.content.strip() else None

    @cached_property
    def statuses(self) -> Mapping[str, Mapping[str, Any]]:
        """Id and is_closed by name, in Redmine's order."""
        return {
            s["name"]: {"id": s["id"], "is_closed": bool(s.get("is_closed"))} for s in self.get("/issue_statuses.json")["issue_statuses"]
        }

    @cached_property
    def priorities(self) -> Mapping[str, int]:
        """Id by name."""
        return {p["name"]: p["id"] for p in self.get("/enumerations/issue_priorities.json")["issue_priorities"]}

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        missing: bool = False,
    ) -> requests.Response:
        where = f"{method} {self.url}{path}"
        try:
            # No redirects: the key would go along to wherever they lead.
            response = self._session.request(
                method, self.url + path, params=query, json=body, timeout=self._timeout, allow_redirects=False, stream=True
            )
            with response:
                pieces = itertools.islice(response.iter_content(_PIECE), _LARGEST // _PIECE)
                response._content = b"".join(pieces)  # noqa: SLF001 (requests has no bounded read)
        except requests.exceptions.SSLError as error:
            raise TrackerRefused(f"{where}: the certificate is not trusted ({_words(error)}); name its CA in `ca_file`") from error
        except (requests.RequestException, OSError) as error:
            raise _unreachable(f"{where}: {_words(error)}", sent=not _never_left(error)) from error
        if missing and response.status_code == 404:
            return response
        if not response.ok or response.is_redirect:
            raise _judged(where, response)
        return response

    def _json(self, response: requests.Response, path: str) -> Any:
        try:
            return json.loads(response.content)
        except ValueError as error:
            raise _unreachable(f"{self.url}{path} did not answer with JSON; is this address a Redmine?", sent=True) from error


@lru_cache(maxsize=8)
def client(url: str, api_key: str, project: str, ca_file: str, timeout: float) -> Client:
    """A client whose key and project are proved; the proof is kept for the life of the process, a failure is not."""
    fresh = Client(url, api_key, ca_file, timeout)
    fresh.prove(project)
    return fresh


def _judged(where: str, response: requests.Response) -> TrackerError:
    code = response.status_code
    if code in {401, 403}:
        right = "the API key is not accepted" if code == 401 else "this key has not the right to do that"
        return TrackerRefused(f"{where}: {code}, {right}; see the user's roles and 'Enable REST web service' in Redmine's settings")
    if code == 429:
        return _unreachable(f"{where}: 429, asked too often", sent=False)
    if code >= 500:
        return _unreachable(f"{where}: {code} {response.reason}", sent=True)
    if response.is_redirect or 300 <= code < 400:
        return TrackerRefused(f"{where}: it redirects to {response.headers.get('Location', '?')[:200]}; give that address as `url`")
    return TrackerRefused(f"{where}: {code} {_errors(response)}")


def _errors(response: requests.Response) -> str:
    try:
        return "; ".join(str(e) for e in json.loads(response.content)["errors"])[:500]
    except (ValueError, KeyError, TypeError):
        return response.reason


def _unreachable(message: str, *, sent: bool) -> TrackerUnreachable:
    error = TrackerUnreachable(message)
    error.sent = sent
    return error


def _never_left(error: BaseException) -> bool:
    """Whether the connection was never made, so that nothing can have arrived."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    inner = error.args[0] if error.args else None
    return isinstance(getattr(inner, "reason", inner), _NOT_SENT)


def _words(error: BaseException) -> str:
    """The innermost reason, without the address and headers that requests wraps around it."""
    inner = error.args[0] if error.args else error
    reason = getattr(inner, "reason", inner)
    return str(reason).rpartition(": ")[2][:200] or type(error).__name__
