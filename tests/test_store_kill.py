"""A kill -9 at any moment leaves the old state or the new one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def outcome(mode: str, folder: Path) -> dict[str, Any]:
    path = os.pathsep.join(p for p in sys.path if p)
    script = Path(__file__).with_name("kill_writer.py")
    done = subprocess.run(
        [sys.executable, str(script), mode, str(folder)], capture_output=True, text=True, check=False, env={"PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_killed_before_every_fsync_and_every_rename(tmp_path: Path) -> None:
    found = outcome("steps", tmp_path)
    assert found["steps"] >= 30, "every file has a write, a rename and the sync of its folder"
    states = [(s["snapshots"], s["accepted"], s["audits"]) for s in found["seen"]]
    assert states == sorted(states), "each later death leaves at least what an earlier one left"
    assert set(states) == {(1, 0, 0), (2, 0, 0), (2, 1, 0), (2, 1, 1)}, "old, new, settled, audited; nothing in between"
    assert found["through"] == {"snapshots": 2, "accepted": 1, "audits": 1}


def test_killed_at_random_moments(tmp_path: Path) -> None:
    found = outcome("random", tmp_path)
    counts = [s["snapshots"] for s in found["seen"]]
    assert len(counts) == 12
    assert counts == sorted(counts), "nothing that was there is lost"
    assert found["through"]["snapshots"] == counts[-1] + 1
    assert counts[-1] >= 12
