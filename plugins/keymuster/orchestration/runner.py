"""The driver behind `make audit`, `make up` and `make down`.

usage: python -m keymuster.orchestration.runner audit [ESTATE.yaml …] [--fail-on SEVERITY] | up [ESTATE.yaml …] [--port N] | down
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from keymuster.errors import ConfigurationError, KeymusterError
from keymuster.model import Severity
from keymuster.orchestration import airflow_home, services
from keymuster.settings import settings

FOUND, BROKEN = 1, 2
"""Exit codes: findings at or above the chosen severity; the run itself went wrong."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    given = _parser().parse_args(arguments)
    console = Console(stderr=given.command == "audit" and not sys.stdout.isatty(), highlight=False, soft_wrap=True)
    try:
        return int(given.run(given, console))
    except KeymusterError as error:
        console.print(f"[bold red]error:[/] {type(error).__name__}: ", end="")
        console.print(str(error), markup=False)
        return BROKEN
    except KeyboardInterrupt:
        console.print("stopped.")
        return 130


def up(given: argparse.Namespace, console: Console) -> int:
    """Start Airflow with its UI; returns when it is ready."""
    home = settings().home.absolute()
    if services.running(folder := _run_folder(home)):
        console.print(f"Airflow is running already: {(folder / 'address').read_text()}")
        return 0
    port = services.free_port(given.port or 8080)
    if given.port and port != given.port:
        raise ConfigurationError(f"port {given.port} on 127.0.0.1 is taken; choose another with PORT=, or none")
    database = home / "airflow" / "airflow.db"
    environ = {**os.environ, **airflow_home.environment(home, tuple(given.estates), database)}  # noqa: TID251 (Airflow's configuration)
    with console.status("starting Airflow") as status:
        status.update("making Airflow's database (once)")
        airflow_home.prepare_database(database, environ)
        environ |= airflow_home.served(home, port)
        url = f"http://127.0.0.1:{port}"
        services.start(folder, environ, url, lambda part: status.update(f"starting {part}"))
        airflow_home.write_private(folder / "address", url)
    console.print(f"Airflow is ready: {url}   user: {airflow_home.ADMIN}   password: {airflow_home.password(home)}")
    console.print("Stop it with: make down")
    return 0


def down(_: argparse.Namespace, console: Console) -> int:
    """Stop it, leaving no process."""
    found = services.stop(_run_folder(settings().home.absolute()))
    console.print(f"stopped {found} processes" if found else "nothing is running")
    return 0


def audit(given: argparse.Namespace, console: Console) -> int:
    """Collect, audit, report and remediate through Airflow, embedded; then say what was found."""
    from keymuster.orchestration import embedded  # noqa: PLC0415 (up and down do without it)

    home = settings().home.absolute()
    database = home / "airflow" / "embedded.db"
    configuration = airflow_home.environment(home, tuple(given.estates), database)
    os.environ.update(configuration)  # noqa: TID251 (must be there before Airflow is imported)
    settings.cache_clear()
    airflow_home.prepare_database(database, os.environ)  # noqa: TID251
    return embedded.run(console, home, Severity.of(given.fail_on) if given.fail_on else None)


def _run_folder(home: Path) -> Path:
    return home / "airflow" / "run"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="keymuster.orchestration.runner", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("audit", help="run the DAGs on estate files, embedded")
    one.add_argument("estates", nargs="*", type=Path)
    one.add_argument("--fail-on", choices=[s.label for s in Severity], help="exit 1 if there is a finding at or above this severity")
    one.set_defaults(run=audit)
    two = commands.add_parser("up", help="start Airflow with its UI")
    two.add_argument("estates", nargs="*", type=Path)
    two.add_argument("--port", type=int)
    two.set_defaults(run=up)
    commands.add_parser("down", help="stop it").set_defaults(run=down)
    return parser


if __name__ == "__main__":
    sys.exit(main())
