"""Airflow on one machine: its configuration and its metadata database below `<home>/airflow`."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from keymuster.errors import ConfigurationError
from keymuster.settings import PROJECT

ADMIN = "admin"


def environment(home: Path, estates: tuple[Path, ...], database: Path) -> dict[str, str]:
    """Environment of every Airflow process of ours. `home` is absolute; `database` is a SQLite file."""
    airflow = home / "airflow"
    return {
        "AIRFLOW_HOME": str(airflow),
        "PYTHONPATH": os.pathsep.join([str(PROJECT / "plugins"), *filter(None, [os.environ.get("PYTHONPATH")])]),  # noqa: TID251 (added to)
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{database}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(airflow / "logs"),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "KEYMUSTER_HOME": str(home),
        **({"KEYMUSTER_ESTATES": os.pathsep.join(str(path.absolute()) for path in estates)} if estates else {}),
    }


def served(home: Path, port: int) -> dict[str, str]:
    """What the served Airflow (`up`) needs on top: addresses, keys, log-in."""
    keys = _keys(home)
    passwords = home / "airflow" / "passwords.json"
    if not passwords.exists():
        write_private(passwords, json.dumps({ADMIN: secrets.token_urlsafe(15)}))
    address = f"http://127.0.0.1:{port}"
    return {
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__API__SECRET_KEY": keys["secret"],
        "AIRFLOW__API_AUTH__JWT_SECRET": keys["jwt"],
        "AIRFLOW__CORE__FERNET_KEY": keys["fernet"],
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        # Airflow serves logs on fixed ports; two of ours on one machine must not meet there.
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(port + 1),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(port + 2),
        # Chains of short tasks take half the time; costs 0.1 of a core.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "15",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "15",
    }


def password(home: Path) -> str:
    """Password of `admin`, made once by `served`."""
    return str(json.loads((home / "airflow" / "passwords.json").read_text())[ADMIN])


def prepare_database(database: Path, environ: Mapping[str, str]) -> None:
    """Make or migrate the metadata database; nothing to do when this Airflow has done it already.

    The migrated empty database is kept as a template beside it: migrating takes ten seconds, copying none.
    """
    stamp = database.with_suffix(".version")
    wanted = version("apache-airflow")
    if database.exists() and stamp.exists() and stamp.read_text() == wanted:
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    template = database.with_name(f"template-{wanted}.db")
    if template.exists() and not database.exists():
        shutil.copyfile(template, database)
    else:
        fresh = not database.exists()
        _migrate(environ)
        if fresh and not template.exists():
            with sqlite3.connect(database) as link:
                link.execute("VACUUM INTO ?", (str(template),))  # a copied file would miss the write-ahead log
    stamp.write_text(wanted)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read; the mode is set before there is anything to read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def _keys(home: Path) -> dict[str, str]:
    path = home / "airflow" / "keys.json"
    if not path.exists():
        from cryptography.fernet import Fernet  # noqa: PLC0415 (only when the keys are made)

        made = {"secret": secrets.token_hex(32), "jwt": secrets.token_hex(64), "fernet": Fernet.generate_key().decode()}
        write_private(path, json.dumps(made))
    return dict(json.loads(path.read_text()))


def _migrate(environ: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    done = subprocess.run(command, env=dict(environ), capture_output=True, text=True, check=False)  # noqa: S603 (our own command)
    if done.returncode:
        raise ConfigurationError(f"Airflow could not make its database; it said:\n{(done.stdout + done.stderr)[-2000:]}")
