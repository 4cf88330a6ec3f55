"""Where content (rules, frameworks, policies, templates) lies, and how its YAML is read.

In a checkout that is `checks/` and `reports/` beside `plugins/`; in a wheel they are force-included as `keymuster/_content/`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import yaml

from keymuster.errors import ContentError

MAX_BYTES = 4 * 1024 * 1024
"""No content file is larger; a bigger one is a mistake or an attack."""


def root() -> Path:
    """Folder that holds `checks/` and `reports/`."""
    packaged = Path(__file__).with_name("_content")
    return packaged if packaged.is_dir() else Path(__file__).parents[2]


def checks() -> Path:
    """Folder of rules, frameworks, policies, contracts, waivers and reference data."""
    return root() / "checks"


def reports() -> Path:
    """Folder of report templates."""
    return root() / "reports"


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the base class is chosen at run time
    """Safe loader that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise ContentError(f"line {key_node.start_mark.line + 1}: the key {key!r} is there twice")
            seen.add(key)
        return super().construct_mapping(node, deep)  # type: ignore[no-any-return]


def read_yaml(path: Path) -> Any:
    """Read one YAML file safely; ContentError names the file, the line and what is wrong."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ContentError(f"{path}: cannot be read ({error.strerror})") from error
    if len(raw) > MAX_BYTES:
        raise ContentError(f"{path}: larger than {MAX_BYTES:,} bytes")
    try:
        return yaml.load(raw.decode("utf-8"), Loader=_Loader)  # noqa: S506 (derived from the safe loader)
    except ContentError as error:
        raise ContentError(f"{path}: {error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ContentError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from error


def digest(*paths: Path) -> str:
    """sha256 over all files at or below the paths: relative names and bytes, sorted; hex."""
    total = hashlib.sha256()
    for path in paths:
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            name = file.relative_to(path).as_posix() if path.is_dir() else file.name
            total.update(f"{name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()
