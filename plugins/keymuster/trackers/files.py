"""Tickets as a folder of Markdown files, for teams without a ticket system. People edit `status:` at the top of a file.

The file is named by the finding's key: `<key>.md`, and `<key>-2.md` for one that follows a closed ticket. `status: open` is work to
do; `closed`, `done`, `fixed` and `resolved` say that it is mended; `rejected`, `wontfix` and `accepted` ask for a waiver; any other word is
open.
Every file is there whole or not at all, whatever dies; a lock in the folder keeps two writers apart.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field

from keymuster.errors import TrackerError, TrackerRefused, TrackerUnreachable
from keymuster.protocols import Ticket, TicketState

_KEY = re.compile(r"[0-9a-z]{1,64}")
_REF = re.compile(r"[\w-]{1,100}\.md")
_STATUS = re.compile(r"(?mi)^status:[ \t]*([^\r\n]*)")
_DONE = {"closed", "done", "fixed", "resolved"}
_REJECTED = {"rejected", "wontfix", "wont fix", "won t fix", "accepted", "declined"}
_LARGEST = 4 * 1024 * 1024


class Settings(BaseModel):
    """Where the tickets lie."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path = Field(description="Folder of the tickets; made when it is not there.")


def target(settings: Settings) -> str:
    """The folder."""
    return str(settings.folder.absolute())


def check(settings: Settings) -> None:
    """Whether the folder can be written."""
    with _writing(settings):
        pass


def find(settings: Settings, key: str) -> str | None:
    """The file of this key with the highest number."""
    numbered = _numbered(settings, key)
    return numbered[max(numbered)] if numbered else None


def is_open(settings: Settings, ref: str) -> bool:
    """Whether its `status:` is one that leaves work to do; False for a file that is gone."""
    return _state(settings, ref).status == "open"


def states(settings: Settings, refs: Sequence[str]) -> Mapping[str, TicketState]:
    """Their `status:`; a closed one was closed when the file was changed last."""
    return {ref: _state(settings, ref) for ref in refs}


def create(settings: Settings, ticket: Ticket) -> str:
    """Write the file under the next free number."""
    front = {
        "key": ticket.key,
        "status": "open",
        "title": ticket.title,
        "severity": ticket.severity,
        "owner": ticket.owner,
        "due": ticket.due.date() if ticket.due else None,
        "labels": list(ticket.labels),
    }
    head = yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=1000)
    with _writing(settings):
        number = max(_numbered(settings, ticket.key), default=0) + 1
        name = f"{ticket.key}.md" if number == 1 else f"{ticket.key}-{number}.md"
        _put(settings.folder / name, f"---\n{head}---\n\n{ticket.body.strip()}\n")
    return name


def comment(settings: Settings, ref: str, body: str) -> None:
    """Append it below a line."""
    with _writing(settings):
        _append(settings, ref, body)


def reopen(settings: Settings, ref: str, reason: str) -> None:
    """Set `status: open` and append the reason."""
    with _writing(settings):
        _append(settings, ref, reason, status="open")


def close(settings: Settings, ref: str, reason: str) -> None:
    """Set `status: closed` and append the reason."""
    with _writing(settings):
        _append(settings, ref, reason, status="closed")


def _numbered(settings: Settings, key: str) -> dict[int, str]:
    if not _KEY.fullmatch(key):
        raise TrackerRefused(f"{key!r} is not a finding key")
    name = re.compile(rf"{key}(?:-(\d{{1,6}}))?\.md")
    with _told(settings.folder):
        names = [path.name for path in settings.folder.iterdir()] if settings.folder.is_dir() else []
    return {int(match[1] or 1): match[0] for match in map(name.fullmatch, names) if match}


def _state(settings: Settings, ref: str) -> TicketState:
    path = _path(settings, ref)
    try:
        with _told(path):
            text, changed = _read(path), path.stat().st_mtime
    except _Gone:
        return TicketState("gone")
    found = _STATUS.search(_front(text))
    word = re.sub(r"[^a-z]+", " ", found[1].partition("#")[0].lower()).strip() if found else ""
    if word in _DONE | _REJECTED:
        return TicketState("done" if word in _DONE else "rejected", datetime.fromtimestamp(changed, UTC))
    return TicketState("open")


def _append(settings: Settings, ref: str, body: str, *, status: str | None = None) -> None:
    path = _path(settings, ref)
    text = _read(path)
    if status:
        front = _front(text)
        line = f"status: {status}"
        fresh = _STATUS.sub(line, front, count=1) if _STATUS.search(front) else f"---\n{line}\n---\n\n"
        text = fresh + text[len(front) :]
    _put(path, f"{text.rstrip()}\n\n---\n\n{body.strip()}\n")


def _front(text: str) -> str:
    """The front matter with its fences; empty where somebody took it away."""
    match = re.match(r"---[ \t]*\r?\n.*?^---[ \t]*(?:\r?\n|\Z)", text, re.DOTALL | re.MULTILINE)
    return match[0] if match else ""


def _path(settings: Settings, ref: str) -> Path:
    if not _REF.fullmatch(ref):
        raise TrackerRefused(f"{ref!r} is not the name of a ticket file")
    return settings.folder / ref


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_LARGEST).decode("utf-8", "surrogateescape")


def _put(path: Path, text: str) -> None:
    """Write beside it, then rename: readers see the old file or the new one."""
    handle, name = tempfile.mkstemp(prefix=".keymuster-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
            file.flush()
            os.fchmod(file.fileno(), 0o664)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _writing(settings: Settings) -> Iterator[None]:
    with _told(settings.folder):
        settings.folder.mkdir(parents=True, exist_ok=True)
        with (settings.folder / ".keymuster.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left in settings.folder.glob(".keymuster-*"):  # by a writer that died: nobody else writes now
                left.unlink(missing_ok=True)
            yield


class _Gone(TrackerRefused):
    """The file is not there."""


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise _Gone(f"{error.filename or path}: there is no such ticket; was the file renamed or deleted?") from error
    except OSError as error:
        raise _failure(path, error) from error


def _failure(path: Path, error: OSError) -> TrackerError:
    message = f"{error.filename or path}: {error.strerror or error}"
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ESTALE}:
        later = TrackerUnreachable(message)
        later.sent = False
        return later
    return TrackerRefused(f"{message}; see that the folder of the tickets may be written")
