"""Loads the kit of real servers and the golden files for every test."""

from __future__ import annotations

pytest_plugins = ["tests.servers.plugin", "tests.golden"]
