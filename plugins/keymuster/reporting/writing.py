"""Renders reports into files."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from keymuster import content, registry
from keymuster.errors import ContentError
from keymuster.report_context import ReportContext, ReportTemplate

log = logging.getLogger(__name__)
NAMES = ("executive", "technical")
FORMATS = ("html", "csv", "json")


class _Head(BaseModel):
    """`report.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    title: str
    description: str
    audience: str


def templates(root: Path | None = None) -> tuple[ReportTemplate, ...]:
    """All reports there are: folders with a `report.yaml`; those that start with `_` are parts."""
    root = root or content.reports()
    folders = sorted(p.parent for p in root.glob("*/report.yaml") if not p.parent.name.startswith("_"))
    return tuple(_template(folder) for folder in folders)


def _template(folder: Path) -> ReportTemplate:
    path = folder / "report.yaml"
    try:
        head = _Head.model_validate(content.read_yaml(path))
    except ValidationError as error:
        first = error.errors()[0]
        raise ContentError(f"{path}: {'.'.join(map(str, first['loc'])) or 'document'}: {first['msg']}") from None
    return ReportTemplate(folder.name, head.title, head.description, head.audience, folder)


def write(
    context: ReportContext, folder: str | Path, names: Sequence[str] = NAMES, formats: Sequence[str] = FORMATS, *, root: Path | None = None
) -> list[Path]:
    """Write `<name>.html` per report, and once each `findings.csv` and `findings.json`; returns the paths.

    A renderer with a STEM shows the whole audit whatever the report, and is written once under that name. Each file appears whole or not
    at all. Raises ContentError for a report that does not exist, NotRegistered for a format that does not.
    """
    known = {t.name: t for t in templates(root)}
    chosen = [known.get(name) or _no_report(name, known) for name in names]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for name in formats:
        renderer = registry.load("renderers", name)
        stem = getattr(renderer, "STEM", None)
        for template in chosen[:1] if stem else chosen:
            path = folder / f"{stem or template.name}{renderer.SUFFIX}"
            _replace(path, renderer.render(context, template))
            paths.append(path)
    log.info("wrote %d report files of %s as of %s to %s", len(paths), context.estate, context.as_of.isoformat(), folder)
    return paths


def _no_report(name: str, known: dict[str, ReportTemplate]) -> ReportTemplate:
    raise ContentError(f"no report named {name!r}; there are {', '.join(sorted(known))}")


def _replace(path: Path, data: bytes) -> None:
    """Write beside and rename, so that a reader never meets half a report."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
