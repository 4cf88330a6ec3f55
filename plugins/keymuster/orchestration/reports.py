"""Which audits still lack their reports, and writing them."""

from __future__ import annotations

import json
import logging
import shutil
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from jinja2 import Environment, PackageLoader, StrictUndefined

from keymuster.orchestration.workplace import Workplace
from keymuster.reporting import build, write

log = logging.getLogger(__name__)


def folder_of(place: Workplace, estate: str, uri: str) -> Path:
    """Where the reports of an audit lie: the folder has the name of the audit's own."""
    return place.knobs.report_folder / estate / PurePosixPath(uri.rstrip("/")).name


def write_missing(place: Workplace, *, again: bool = False) -> list[Path]:
    """Write the reports of audits that have none; with `again` of all. A folder appears whole or not at all."""
    written = []
    for estate in (known.name for known in place.estates):
        for uri in place.store.audits(estate):
            folder = folder_of(place, estate, uri)
            if again or not folder.is_dir():
                write_one(place, uri, folder)
                written.append(folder)
    return written


def write_one(place: Workplace, uri: str, folder: Path) -> None:
    """Write all reports of one audit in all formats."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    write(build(place.store, place.ledger, uri), part)
    if folder.is_dir():
        shutil.rmtree(folder)
    part.rename(folder)
    log.info("reports of %s: %s", uri, folder)


def write_no_evidence(place: Workplace, estate: str, as_of: datetime, reason: str) -> Path:
    """A page instead of a report for a day without any snapshot: it must be seen that nobody looked, and never taken for a pass."""
    folder = _no_evidence_folder(place, estate, as_of)
    folder.mkdir(parents=True, exist_ok=True)
    pages = Environment(loader=PackageLoader("keymuster.web"), autoescape=True, undefined=StrictUndefined)
    (folder / "no-evidence.html").write_text(pages.get_template("no_evidence.html").render(estate=estate, as_of=as_of, reason=reason))
    document = {"estate": estate, "as_of": as_of.isoformat(), "verdict": "no_evidence", "reason": reason}
    (folder / "no-evidence.json").write_text(json.dumps(document, indent=1))
    return folder


def drop_no_evidence(place: Workplace, estate: str, as_of: datetime) -> None:
    """The page is void once there is evidence for that instant."""
    shutil.rmtree(_no_evidence_folder(place, estate, as_of), ignore_errors=True)


def _no_evidence_folder(place: Workplace, estate: str, as_of: datetime) -> Path:
    return place.knobs.report_folder / estate / f"{as_of.astimezone(UTC):%Y%m%dT%H%M%S%fZ}-no-evidence"
