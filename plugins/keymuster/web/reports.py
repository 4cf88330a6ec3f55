"""Which reports lie in the report folder, and how a file among them is found without leaving it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}\Z")
MEDIA_TYPES = {".html": "text/html; charset=utf-8", ".csv": "text/csv; charset=utf-8", ".json": "application/json"}


@dataclass(frozen=True, slots=True)
class ReportFolder:
    """The reports of one audit."""

    estate: str
    name: str
    files: tuple[str, ...]

    @property
    def as_of(self) -> str:
        """The instant it is about, UTC: names begin with it, e.g. `20261105T040000000000Z-<key>`."""
        return f"{self.name[:4]}-{self.name[4:6]}-{self.name[6:8]} {self.name[9:11]}:{self.name[11:13]}"


def listing(root: Path, newest: int = 50) -> dict[str, list[ReportFolder]]:
    """Report folders by estate, newest first, at most `newest` each."""
    estates = sorted(p for p in root.iterdir() if p.is_dir() and _PART.match(p.name)) if root.is_dir() else []
    return {estate.name: [_folder(p) for p in sorted(_folders(estate), reverse=True)[:newest]] for estate in estates}


def located(root: Path, estate: str, folder: str, file: str) -> Path | None:
    """The file, if it is one of a report and lies inside the folder; links that lead out are refused."""
    parts = (estate, folder, file)
    if not all(_PART.match(part) for part in parts) or Path(file).suffix not in MEDIA_TYPES:
        return None
    path = root.joinpath(*parts)
    inside = path.is_file() and path.resolve().is_relative_to(root.resolve())
    return path if inside else None


def _folders(estate: Path) -> list[Path]:
    return [p for p in estate.iterdir() if p.is_dir() and _PART.match(p.name)]


def _folder(path: Path) -> ReportFolder:
    files = tuple(sorted(p.name for p in path.iterdir() if p.is_file() and p.suffix in MEDIA_TYPES and _PART.match(p.name)))
    return ReportFolder(path.parent.name, path.name, files)
