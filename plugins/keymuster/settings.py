"""The knobs: `KEYMUSTER_*` in the environment. Secrets are not here (Airflow Connections), nor what is pulled (estate file)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT = Path(__file__).parents[2]
"""The checkout, or site-packages for an installed wheel."""


class Settings(BaseSettings):
    """Values read once per process; every one has a default that works on one machine."""

    model_config = SettingsConfigDict(env_prefix="KEYMUSTER_", frozen=True)

    home: Path = Field(default=Path("var"), description="Folder of everything that a run leaves behind on one machine.")
    store: str = Field(
        default="", description="Snapshot store: a folder or any fsspec address (s3://bucket/prefix). Default: <home>/store."
    )
    store_connection: str = Field(default="", description="Airflow connection with the credentials of the store; empty for a folder.")
    ledger: str = Field(default="", description="SQLAlchemy address of the ledger. Default: SQLite in <home>/ledger.db.")
    ledger_connection: str = Field(default="", description="Airflow connection of the ledger; wins over `ledger`.")
    reports: Path | None = Field(default=None, description="Folder that reports are written to. Default: <home>/reports.")
    estates: str = Field(default="", description="Estate files, joined by the path separator. Default: dags/estate.yaml.")
    checks: Path | None = Field(default=None, description="Folder of rules, frameworks, policies. Default: the one shipped.")
    tracker: str = Field(default="files", description="Ticket system: a module of keymuster.trackers; `none` files nothing.")
    tracker_connection: str = Field(default="", description="Airflow connection of the ticket system.")
    ticket_severity: str = Field(default="high", description="Findings at or above this severity get a ticket.")
    ticket_limit: int = Field(default=200, ge=1, description="Most tickets opened in one run; the rest go into one overflow ticket.")
    reopen_days: int = Field(default=30, ge=0, description="Days within which a closed ticket is reopened instead of a new one made.")
    shard_rows: int = Field(default=250_000, ge=1, description="Rows of one audit shard; a small estate is one shard.")
    max_shards: int = Field(default=32, ge=1, le=512, description="Most shards of one audit; a mapped task costs about a second.")
    log_level: str = Field(default="INFO")

    @property
    def store_address(self) -> str:
        """Address of the snapshot store."""
        return self.store or str(self.home / "store")

    @property
    def ledger_address(self) -> str:
        """SQLAlchemy address of the ledger, unless a connection is named."""
        return self.ledger or f"sqlite:///{self.home.absolute() / 'ledger.db'}"

    @property
    def report_folder(self) -> Path:
        """Where reports are written."""
        return self.reports or self.home / "reports"


@cache
def settings() -> Settings:
    """The settings of this process."""
    return Settings()
