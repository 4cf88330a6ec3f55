"""Which audits still lack their reports, and writing them."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from keymuster.orchestration.workplace import Workplace
from keymuster.reporting import build, write

log = logging.getLogger(__name__)


def folder_of(place: Workplace, estate: str, uri: str) -> Path:
    """Where the reports of an audit lie: the folder has the name of the audit's own."""
    return place.knobs.report_folder / estate / PurePosixPath(uri.rstrip("/")).name


def write_missing(place: Workplace, *, again: bool = False, estates: Sequence[str] = ()) -> list[Path]:
    """Write the reports of audits that have none; with `again` of all. A folder appears whole or not at all."""
    written = []
    for estate in estates or [known.name for known in place.estates]:
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
