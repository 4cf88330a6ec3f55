"""The command line: `keymuster judge` for files, and what there is to configure. Audits run in Airflow (`make audit`, `make up`)."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from keymuster import __version__, content, registry
from keymuster.errors import KeymusterError
from keymuster.judging import FileVerdict, Judge, as_json
from keymuster.model import Outcome, Severity
from keymuster.policy import read_policy
from keymuster.rules_file import load_rules
from keymuster.text import clip, plural, visible

COLOURS = {Severity.CRITICAL: "bold red", Severity.HIGH: "red", Severity.MEDIUM: "yellow", Severity.LOW: "blue", Severity.INFO: "dim"}
app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def about(*, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Calls every certificate and key to muster. Audits run in Airflow: see `make audit` and `make up`."""
    if version:
        print(f"keymuster {__version__}")  # noqa: T201 (what was asked for)


@app.command(
    epilog="Examples:  keymuster judge server.pem  |  keymuster judge /etc/ssl --json > verdicts.jsonl  |  "
    "keymuster judge *.crt --as-of 2027-03-15 --fail-on high.   "
    "Exit codes: 0 nothing at or above --fail-on; 1 something is; 2 the command or its content is wrong; 3 a file could not be read."
)
def judge(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders: PEM, DER, PKCS#7, PKCS#12, JKS.", metavar="PATH…")],
    *,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object a file, a line each, as they are judged.")] = False,
    fail_on: Annotated[str, typer.Option(help="Exit 1 if a failure is at least this severe: info, low, medium, high, critical.")] = "",
    as_of: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Judge as on this day (UTC); today if left out.")] = None,
    policy: Annotated[list[Path] | None, typer.Option(help="Policy file; may be given more than once, later ones win.")] = None,
    rules: Annotated[list[Path] | None, typer.Option(help="Folder of rules instead of the shipped ones.")] = None,
    role: Annotated[str, typer.Option(help="How certificates are met: served, client, installed, trust_anchor …")] = "served",
) -> None:
    """Judge certificate and key files like a linter: a table for people, --json for programs. Private keys are read, never shown."""
    with _clear_errors():
        threshold = Severity.of(fail_on) if fail_on else None
        loaded = load_rules(*(rules or [content.checks() / "rules"]))
        merged = read_policy(content.checks() / "policies" / "default.yaml", *(policy or []))
        instant = datetime.combine(as_of, time(), UTC) if as_of else datetime.now(UTC)  # noqa: TID251 (the command's first line)
        judging = Judge(loaded, merged, instant, role)
        show = _show_json if json_ else _show_table
        worst, unread = show(judging, judging.files([_there(p) for p in paths]))
    if threshold is not None and worst is not None and worst >= threshold:
        raise typer.Exit(1)
    if unread:
        raise typer.Exit(3)


def _there(path: Path) -> Path:
    if not path.exists():
        raise typer.BadParameter(f"{path} is not there")
    return path.absolute()


class _clear_errors:  # noqa: N801 (reads as a statement)
    """Errors of ours end the command with one line and exit code 2; ValueError comes from reading options."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, KeymusterError | ValueError):
            Console(stderr=True).print(Text(f"keymuster: {error}", "red"), soft_wrap=True)  # a path stays in one piece
            raise typer.Exit(2) from None


def _worst(verdict: FileVerdict) -> Severity | None:
    failures = verdict.failures()
    return failures[0][0] if failures else None


def _show_json(_: Judge, verdicts: Iterable[FileVerdict]) -> tuple[Severity | None, int]:
    worst, unread = None, 0
    for verdict in verdicts:
        sys.stdout.write(json.dumps(as_json(verdict), ensure_ascii=True) + "\n")
        worst = _worse(worst, _worst(verdict))
        unread += bool(verdict.problems)
    return worst, unread


def _worse(one: Severity | None, other: Severity | None) -> Severity | None:
    return max((s for s in (one, other) if s is not None), default=None)


def _show_table(judging: Judge, verdicts: Iterable[FileVerdict]) -> tuple[Severity | None, int]:
    console, worst, unread, counts = Console(), None, 0, Counter[str]()
    titles = {r.id: r.title for r in judging.rules}
    for verdict in _with_progress(verdicts):
        unread += bool(verdict.problems)
        worst = _worse(worst, _worst(verdict))
        counts.update(outcome for asset in verdict.assets for outcome in asset.outcomes.values())
        counts["files"] += 1
        counts["assets"] += len(verdict.assets)
        _print_file(console, verdict, titles)
    judged = f"{plural(counts['files'], 'file')}, {plural(counts['assets'], 'asset')}"
    tally = ", ".join(f"{counts[o]:,} {o.replace('_', ' ')}" for o in Outcome if counts[o])
    console.print(Text(f"{judged}: {tally or 'nothing judged'}.", "bold"))
    if counts[Outcome.UNKNOWN]:
        console.print(
            Text("unknown: a rule needs a value that a file alone does not tell (owner, issuer, policy); it is not a pass.", "dim")
        )
    return worst, unread


def _with_progress(verdicts: Iterable[FileVerdict]) -> Iterator[FileVerdict]:
    """Shown on the error stream while a terminal waits; silent in a pipe."""
    screen = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("judged {task.completed:,} files"), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task("judge", total=None)
        for verdict in verdicts:
            yield verdict
            progress.advance(task)


def _print_file(console: Console, verdict: FileVerdict, titles: dict[str, str]) -> None:
    failures = verdict.failures()
    if not failures and not verdict.problems:
        console.print(Text.assemble(("ok    ", "green"), visible(verdict.path)))
        return
    console.print(Text.assemble(("fails " if failures else "odd   ", "bold red" if failures else "yellow"), visible(verdict.path)))
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    for severity, rule, asset in failures:
        name = visible(asset.label) if len(verdict.assets) > 1 else ""
        table.add_row(Text(severity.label, COLOURS[severity]), rule, Text(titles[rule]), Text(clip(name, 40), "dim"))
    for problem in verdict.problems:
        table.add_row(Text("problem", "yellow"), problem.code, Text(visible(problem.detail)), "")
    console.print(table)


@app.command()
def sources() -> None:
    """List the sources that a station may name, and what each one delivers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("source", "what it reads", "delivers"):
        table.add_column(head)
    for name in registry.listing("sources"):
        module: Any = registry.load("sources", name)
        table.add_row(name, (module.__doc__ or "").strip().split("\n")[0], ", ".join(sorted(module.DELIVERS)))
    Console().print(table)


def main() -> None:
    """Entry point."""
    app()
