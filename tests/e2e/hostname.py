"""Tells workers on one machine apart: Airflow asks this function for a task's host name."""

from __future__ import annotations

import os


def worker() -> str:
    """Name that the test gave the process."""
    return os.getenv("KEYMUSTER_TEST_HOST", "server")
