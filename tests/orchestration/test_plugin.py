"""Airflow's plugin walk meets keymuster_plugin.py and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from keymuster.settings import PROJECT

CODE = """
import sys
from airflow import plugins_manager
plugins, errors = plugins_manager._get_plugins()
import html, json, secrets, csv
print("names", sorted(p.name for p in plugins if p.name == "keymuster"), errors)
print("standard", all(m.__file__.startswith(sys.base_prefix) for m in (html, json, secrets, csv)))
print("light", not {"keymuster.web.app", "pandas", "pyarrow", "great_expectations"} & sys.modules.keys())
"""


def load(folder: Path, home: Path) -> str:
    environ = {
        **os.environ,  # noqa: TID251 (a child's environment)
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(folder),
        "PYTHONPATH": str(PROJECT / "plugins"),
        "AIRFLOW_HOME": str(home),
    }
    done = subprocess.run([sys.executable, "-c", CODE], env=environ, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_standard_modules_stay_standard(tmp_path: Path) -> None:
    said = load(PROJECT / "plugins", tmp_path)
    assert "names ['keymuster'] {}" in said
    assert "standard True" in said
    assert "light True" in said


def test_without_the_ignore_file_they_would_not(tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    shutil.copytree(PROJECT / "plugins", folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".airflowignore").unlink()
    assert "standard True" not in load(folder, tmp_path)


@pytest.mark.parametrize("name", ["fastapi_apps", "external_views"])
def test_the_page_has_a_way_in(name: str) -> None:
    import keymuster_plugin

    (entry,) = getattr(keymuster_plugin.KeymusterPlugin, name)
    assert keymuster_plugin.PREFIX in (entry.get("url_prefix") or entry.get("href"))
