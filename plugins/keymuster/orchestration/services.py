"""Airflow with its UI, for working on it: starts the four parts, owns their processes, and leaves none behind.

Each process carries a mark in its environment, which its children inherit whatever process group they move to.
So `down` finds all of them, also those whose parent has died.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from keymuster.errors import ConfigurationError

MARK = "KEYMUSTER_RUN"
PARTS = ("api-server", "scheduler", "dag-processor", "triggerer")
START_SECONDS = 180


def start(folder: Path, environ: Mapping[str, str], url: str, say: Callable[[str], None] = lambda _: None) -> None:
    """Start the parts in the order that works and wait for each. ConfigurationError shows the end of the log of what did not start.

    The scheduler comes after the execution API answers: building that takes longer than a task waits for it.
    """
    if running(folder):
        raise ConfigurationError("Airflow is running already; stop it with 'make down'")
    marked = claim(folder, environ)
    try:
        say("api-server")
        spawn(folder, "api-server", ["api-server"], marked)
        wait(folder, "api-server", f"{url}/execution/health", lambda body: "healthy" in body)
        for part in PARTS[1:]:
            say(part)
            spawn(folder, part, [part], marked)
        wait(folder, "scheduler", f"{url}/api/v2/monitor/health", all_healthy)
    except BaseException:
        stop(folder)
        raise


def claim(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Environment with a fresh mark: processes that get it are those that `running` and `stop` find by the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = secrets.token_hex(8)
    (folder / "mark").write_text(mark)
    # setproctitle, which Airflow uses, would write over the environment that `running` looks at, unless it is told not to.
    return {**environ, MARK: mark, "SPT_NOENV": "1"}


def stop(folder: Path, patience_seconds: float = 15) -> int:
    """Stop every process of ours, politely first. Returns how many there were."""
    alive = running(folder)
    found = len(alive)
    for sign, patience in ((signal.SIGTERM, patience_seconds), (signal.SIGKILL, 5.0)):
        deadline = time.monotonic() + patience
        while alive and time.monotonic() < deadline:
            for pid in alive:
                with suppress(ProcessLookupError):
                    os.kill(pid, sign)
            time.sleep(0.5)
            alive = running(folder)
    if alive:
        raise ConfigurationError(f"these processes of Airflow do not end: {', '.join(map(str, alive))}")
    for file in (*folder.glob("*.pid"), folder / "mark"):
        file.unlink(missing_ok=True)
    return found


def running(folder: Path) -> list[int]:
    """Ids of our processes that are alive."""
    try:
        wanted = f"{MARK}={(folder / 'mark').read_text().strip()}".encode()
    except FileNotFoundError:
        return []
    if Path("/proc/self/environ").exists():
        return sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _carries(entry, wanted))
    return [pid for file in folder.glob("*.pid") if _alive(pid := int(file.read_text()))]


def free_port(wanted: int = 8080) -> int:
    """`wanted` on loopback if it is free, else one that is."""
    for port in (wanted, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise ConfigurationError("no port is free on 127.0.0.1")


def _carries(entry: Path, wanted: bytes) -> bool:
    try:
        is_zombie = (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        return not is_zombie and wanted in (entry / "environ").read_bytes().split(b"\0")
    except OSError:  # gone meanwhile, or not ours
        return False


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def spawn(folder: Path, part: str, arguments: list[str], environ: Mapping[str, str]) -> None:
    """Start one Airflow command; its output goes to `<folder>/<part>.log`."""
    command = [sys.executable, "-m", "airflow", *arguments]
    with (folder / f"{part}.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 (our own command)
            command, env=dict(environ), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    (folder / f"{part}.pid").write_text(str(process.pid))


def wait(folder: Path, part: str, address: str, good: Callable[[str], bool]) -> None:
    """Wait until the address gives a good answer. ConfigurationError with the end of the part's log."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(address, timeout=30) as answer:  # noqa: S310 (loopback)
            if good(answer.read().decode()):
                return
        if not running(folder):
            break
        time.sleep(0.3)
    tail = (folder / f"{part}.log").read_text(errors="replace")[-2000:]
    raise ConfigurationError(f"Airflow's {part} did not start; the end of {folder / f'{part}.log'}:\n{tail}")


def all_healthy(body: str) -> bool:
    """Metadata database, scheduler, dag processor and triggerer all say so."""
    return body.count('"healthy"') >= len(PARTS)
