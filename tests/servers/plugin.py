"""pytest plugin: `@pytest.mark.server("redis")` and the fixtures of the real servers.

A test whose server cannot be had here is skipped with the reason; with CI=true or KEYMUSTER_REQUIRE_SERVERS=1 it fails, so that a
missing install step cannot hide. The very last lines of a run say what was not run and why.
A test that asks for a server's fixture has the marker anyway; the marker alone is for programs without fixture (nmap, chromium).
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.servers.needs import NEEDS

pytest_plugins = [
    f"tests.servers.{name}" for name in ("postgres", "redis", "redmine", "openbao", "slapd", "moto", "seaweedfs", "cfssl", "nginx", "sshd")
]

NOT_RUN: pytest.StashKey[Counter[str]] = pytest.StashKey()
PREFIX = "needs "


def _required() -> bool:
    return os.getenv("CI", "").lower() == "true" or os.getenv("KEYMUSTER_REQUIRE_SERVERS", "") == "1"


def _servers(item: pytest.Item) -> list[str]:
    named = [str(name) for marker in item.iter_markers("server") for name in marker.args]
    fixtures = [f.removesuffix("_server") for f in getattr(item, "fixturenames", ())]
    return list(dict.fromkeys([*named, *(f for f in fixtures if f in NEEDS)]))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the marker of what it uses, and keep tests of one dear server on one worker; before xdist reads the groups."""
    for item in items:
        for name in _servers(item):
            if name not in NEEDS:
                raise pytest.UsageError(f"{item.nodeid}: no server named {name!r}; there are {', '.join(NEEDS)}")
            if name not in [n for m in item.iter_markers("server") for n in m.args]:
                item.add_marker(pytest.mark.server(name))
            if (group := NEEDS[name].group) and not item.get_closest_marker("e2e"):
                item.add_marker(pytest.mark.xdist_group(group))
        if item.get_closest_marker("e2e"):  # one Airflow at a time: two would fight for the processors
            item.add_marker(pytest.mark.xdist_group("e2e"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail before any fixture is set up."""
    for name in _servers(item):
        if why := NEEDS[name].missing():
            reason = f"{PREFIX}{name} ({NEEDS[name].install}): {why}"
            if _required():
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Count what was skipped for want of a server; on the controller when tests run on several workers."""
    reasons = (r.longrepr[2] for r in terminalreporter.getreports("skipped") if isinstance(r.longrepr, tuple))
    config.stash[NOT_RUN] = Counter(r.removeprefix("Skipped: ") for r in reasons)


def not_run_lines(counts: Counter[str]) -> list[str]:
    """One line a reason: `not run: 7 tests that need redmine (apt-get install …): no thin`, other skips below."""
    lines = []
    for reason, count in sorted(counts.items()):
        tests = "1 test that needs" if count == 1 else f"{count} tests that need"
        lines.append(f"not run: {tests} {reason.removeprefix(PREFIX)}" if reason.startswith(PREFIX) else f"not run: {count} × {reason}")
    return lines


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """The very last lines: after pytest's own count."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    for line in not_run_lines(config.stash.get(NOT_RUN, Counter())):
        if reporter is not None:
            reporter.write_line(line, yellow=True)
