"""Starts a real server, waits until it answers, and takes it down with everything that it started.

Loopback only, a free port, an own session per process (so that killpg reaches its children), a small environment of its own:
nothing of the developer's shell changes what a test sees.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class NotStarted(Exception):
    """A server ended early or did not answer in time; the message holds the end of its log."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers_tcp(port: int) -> bool:
    """Whether somebody accepts connections on 127.0.0.1. Enough for servers that listen only once they are ready."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def answers_http(url: str, *statuses: int) -> bool:
    """Whether a GET gets an answer: one of these statuses, or any."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 (our own loopback addresses)
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    except OSError:
        return False
    return not statuses or status in statuses


def find(binary: str) -> str | None:
    """Path of a program, also where the user's PATH leaves the sbin folders out."""
    return shutil.which(binary) or shutil.which(binary, path=SEARCH_PATH)


def is_root() -> bool:
    """Whether this process may become another user."""
    return os.geteuid() == 0


@contextmanager
def folder_of(user: str | None) -> Iterator[Path]:
    """A folder that a user may write to: pytest's own are closed to everybody else. Removed afterwards."""
    path = Path(tempfile.mkdtemp(prefix="keymuster-"))
    try:
        if user and is_root():
            account = pwd.getpwnam(user)
            os.chown(path, account.pw_uid, account.pw_gid)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def as_user(user: str | None, argv: Sequence[str]) -> list[str]:
    """The command as another user when root runs the tests (several servers refuse root), else unchanged."""
    if user and is_root():
        return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *argv]
    return list(argv)


def environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a server gets to see of the environment."""
    return {"PATH": SEARCH_PATH, "HOME": str(home), "LANG": "C.UTF-8", "TZ": "UTC", **(extra or {})}


@contextmanager
def running(
    argv: Sequence[str],
    ready: Callable[[], bool],
    folder: Path,
    *,
    user: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    seconds: float = 60,
) -> Iterator[subprocess.Popen[bytes]]:
    """The server while the block runs. NotStarted with the end of the log if it ends early or stays silent."""
    log = folder / f"{Path(argv[0]).name}.log"
    with log.open("ab") as sink:
        process = subprocess.Popen(
            as_user(user, argv),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=environment(folder, env),
            cwd=cwd or folder,
            start_new_session=True,
        )
    try:
        _wait(process, ready, log, seconds)
        yield process
    finally:
        stop(process)


def _wait(process: subprocess.Popen[bytes], ready: Callable[[], bool], log: Path, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None:
            raise NotStarted(f"{process.args!r} ended with {process.returncode}: {_tail(log)}")
        if time.monotonic() > end:
            raise NotStarted(f"{process.args!r} did not answer within {seconds:.0f} s: {_tail(log)}")
        time.sleep(0.05)


def _tail(log: Path) -> str:
    return log.read_bytes()[-2000:].decode("utf-8", "replace")


def stop(process: subprocess.Popen[bytes], seconds: float = 5) -> None:
    """Ask the whole process group to end, insist after some seconds."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
        break
    with suppress(ProcessLookupError):  # children that outlived their parent
        os.killpg(process.pid, signal.SIGKILL)
