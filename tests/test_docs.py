"""The documentation says what the content says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml

from keymuster import registry
from keymuster.settings import Settings

ROOT = Path(__file__).parents[1]


def test_pages_that_follow_from_the_content_are_current() -> None:
    result = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"],
        cwd=ROOT,
        env={"PYTHONPATH": "plugins"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_page_of_the_menu_is_there_and_every_page_is_in_the_menu() -> None:
    menu = {next(iter(entry.values())) for entry in yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]}
    assert menu == {path.name for path in (ROOT / "docs").glob("*.md")}


def test_the_operations_page_names_settings_that_exist() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    named = {name.lower() for name in re.findall(r"`KEYMUSTER_([A-Z_]+)`", text)}
    assert named - set(Settings.model_fields) <= {"url"}
    assert len(named) > 8


def test_the_changelog_names_every_source() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert [name for name in registry.listing("sources") if f"`{name}`" not in text] == []


def test_what_must_not_be_committed_is_not() -> None:
    result = subprocess.run([ROOT / ".ci" / "fences"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
