"""Loads the kit of real servers and the golden files for every test."""

from __future__ import annotations

pytest_plugins = ["tests.servers.plugin", "tests.golden"]


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Names of tests are the same in every process: fresh keys and signatures make no names."""
    return argname if isinstance(val, bytes) and len(val) > 16 else None
