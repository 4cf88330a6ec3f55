"""Writes snapshots in forked children that die by SIGKILL, and looks at the store after each death. Run by test_store_kill.py.

    python kill_writer.py steps FOLDER     one death before every fsync and every rename
    python kill_writer.py random FOLDER    deaths at random moments of a loop that keeps writing

Prints one JSON object. Forking keeps the imports out of the count; every death is a real SIGKILL of a real process.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from keymuster.store import Store
from tests.snapshots import AS_OF, LEAVES, STATION, write


def put(store: Store, number: int = 1) -> Any:
    """The new snapshot, and what else a collection writes."""
    ref = write(store, LEAVES[1:], AS_OF + timedelta(days=number))
    store.settle(ref, accepted=True, validation={"number": number})
    store.put_audit(f"estate/{number:04}", {"findings.parquet": b"f" * 100, "manifest.json": b"{}"})
    return ref


def die_before(step: int) -> None:
    """From now on, die just before the step-th fsync or rename; a death after one of them is a death before the next."""
    points = itertools.count(1)

    def deadly(call: Any) -> Any:
        def instead(*arguments: Any, **named: Any) -> Any:
            if next(points) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **named)

        return instead

    os.fsync, os.replace = deadly(os.fsync), deadly(os.replace)


def survey(folder: Path) -> dict[str, Any]:
    """What a reader finds; raises if anything that is visible is damaged."""
    store = Store(folder)
    refs = store.snapshots(STATION)
    for ref in refs:
        rows = store.read_snapshot(ref).tables["certificates"]["asset_id"].to_pylist()
        assert store.ders(rows).keys() == set(rows), "a snapshot without its DER"
        assert store.parsed(rows).num_rows == len(rows), "a snapshot without its parsed columns"
        assert store.validation_of(ref) is None or store.state(ref) == "accepted"
    audits = store.audits("estate")
    assert all(store.files.get(f"{uri}/findings.parquet") == b"f" * 100 for uri in audits)
    return {"snapshots": len(refs), "accepted": sum(store.state(r) == "accepted" for r in refs), "audits": len(audits)}


def steps(folder: Path) -> dict[str, Any]:
    """One child a step, until one comes through."""
    seen = []
    write(Store(folder / "old"), LEAVES[:1])
    for step in itertools.count(1):
        place = Path(shutil.copytree(folder / "old", folder / str(step)))
        child = os.fork()
        if child == 0:
            die_before(step)
            put(Store(place))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            return {"steps": step - 1, "seen": seen, "through": survey(place)}
        assert os.WTERMSIG(status) == signal.SIGKILL
        seen.append(survey(place))
        if step % 4 == 0:  # whoever comes after mends it by doing it again
            put(Store(place))
            assert survey(place) == {"snapshots": 2, "accepted": 1, "audits": 1}
    raise AssertionError


def at_random(folder: Path, deaths: int = 12) -> dict[str, Any]:
    """Children that write one snapshot after the other until they are killed."""
    rng, seen = random.Random(1), []
    for death in range(deaths):
        done, told = os.pipe()
        child = os.fork()
        if child == 0:
            store = Store(folder)
            for number in itertools.count(death * 1000 + 1):
                put(store, number)
                os.write(told, b".")
        os.read(done, 1)  # one write has come through; the next ones are under way
        time.sleep(rng.uniform(0, 0.1))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        seen.append(survey(folder))
    put(Store(folder), 999_999)
    return {"seen": seen, "through": survey(folder)}


if __name__ == "__main__":
    mode, where = sys.argv[1], Path(sys.argv[2])
    sys.stdout.write(json.dumps(steps(where) if mode == "steps" else at_random(where)))
    sys.stdout.flush()
    os._exit(0)  # after so many forks the threads of pyarrow do not always survive an orderly end
