"""Golden files: what a report looked like when somebody last agreed. `make golden` (or pytest --golden) rewrites them; review the diff."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "data" / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", default=bool(os.getenv("KEYMUSTER_GOLDEN")), help="rewrite golden files")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with the golden file of that name."""

    def check(name: str, text: str) -> None:
        path = FOLDER / name
        if request.config.getoption("golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8", newline="")
        assert path.is_file(), f"{path.name}: no such golden file; make golden writes it"
        assert text == path.read_bytes().decode("utf-8"), f"{name} changed; if that is meant: make golden, and review the diff"

    return check
