"""Runs the real DAGs in this process, one after the other: what `make audit` does. Airflow's environment is set before this is imported."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from keymuster.errors import ConfigurationError, KeymusterError
from keymuster.model import Severity
from keymuster.orchestration.estate import Estate, load_estates

log = logging.getLogger(__name__)
STAGES = ("audit", "report", "remediate")


@dataclass
class Failures:
    """What went wrong, by task."""

    told: dict[str, BaseException] = field(default_factory=dict)

    def note(self, context: Any) -> None:
        """Callback of a failed task."""
        ti = context["task_instance"]
        self.told[f"{ti.dag_id}.{ti.task_id}"] = context.get("exception") or RuntimeError("no reason given")

    def show(self, console: Console, record: Path) -> None:
        """One line each, for people."""
        for name, error in self.told.items():
            console.print("[yellow]failed:[/] ", end="")
            console.print(f"{name}: {error if isinstance(error, KeymusterError) else repr(error)}", markup=False)
        if self.told:
            console.print(f"[dim]Airflow's log: {record}[/]")


def run(console: Console, home: Path, fail_on: Severity | None) -> int:
    """Collect every station, audit, report, remediate; then show what was found.

    Returns 0, or 1 if there is a finding at or above `fail_on`, or 2 if a stage failed. A station that fails stops nothing.
    """
    instant = datetime.now(UTC)  # noqa: TID251 (the first line of the run)
    estates = load_estates()
    failures = Failures()
    record = home / "audit.log"
    with aside(record, console) as screen, _progress(screen) as progress:
        bars = _bars(progress, estates)
        dags = _load(failures)
        for estate in estates:
            for station in estate.stations:
                progress.update(bars["collect"], description=f"collect   {station.name}")
                _test(dags, f"collect__{station.name}", instant)
                progress.advance(bars["collect"])
        progress.update(bars["collect"], description="collect")
        for stage in STAGES:
            _test(dags, stage, instant)
            progress.advance(bars[stage])
    failures.show(console, record)
    worst = _show(console, estates)
    tickets = home / "tickets"
    if tickets.is_dir():
        console.print(f"tickets: {tickets.absolute().as_uri()}", markup=False)
    if any(name.partition(".")[0] in STAGES for name in failures.told):
        return 2
    return 1 if fail_on is not None and worst is not None and worst >= fail_on else 0


def _show(console: Console, estates: Sequence[Estate]) -> Severity | None:
    """What the newest audit of each estate found; returns the worst severity among all findings."""
    from keymuster.orchestration import outcome, tasks  # noqa: PLC0415 (after Airflow)

    found = [outcome.show(console, tasks.place(), estate.name) for estate in estates]
    return max((severity for severity in found if severity is not None), default=None)


def _load(failures: Failures) -> dict[str, Any]:
    """All DAGs by id; their tasks are tried once, because nobody waits for minutes at a terminal."""
    from airflow.configuration import conf  # noqa: PLC0415 (heavy)
    from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415

    folder = Path(conf.get("core", "dags_folder"))
    bag = DagBag(dag_folder=str(folder), bundle_name="dags-folder", bundle_path=folder)
    for file, error in bag.import_errors.items():
        raise ConfigurationError(f"{file} cannot be loaded:\n{error.strip().splitlines()[-1]}")
    for dag in bag.dags.values():
        for task in dag.tasks:
            task.retries = 0
            task.on_failure_callback = [failures.note]
    return dict(bag.dags)


def _test(dags: dict[str, Any], name: str, instant: datetime) -> None:
    done = dags[name].test(logical_date=instant)
    log.info("%s: %s", name, done.state)


def _progress(screen: Console) -> Progress:
    columns = (TextColumn("{task.description:<32}"), BarColumn(bar_width=30), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=screen, transient=not screen.is_terminal)


def _bars(progress: Progress, estates: Sequence[Estate]) -> dict[str, Any]:
    totals = {"collect": sum(len(estate.stations) for estate in estates), **dict.fromkeys(STAGES, 1)}
    return {name: progress.add_task(name, total=total) for name, total in totals.items()}


@contextmanager
def aside(record: Path, console: Console) -> Iterator[Console]:
    """Everything that is written to standard output and error goes to a file meanwhile; the yielded console still reaches the terminal."""
    record.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = (os.dup(1), os.dup(2))
    with record.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            with os.fdopen(os.dup(kept[0]), "w") as terminal:
                yield Console(file=terminal, highlight=False, width=console.width, force_terminal=console.is_terminal)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, original in zip((1, 2), kept, strict=True):
                os.dup2(original, descriptor)
                os.close(original)
