"""Where the steps work: store, ledger, content and ticket system, as the settings name them. Knows no Airflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from keymuster import content, registry
from keymuster.errors import ConfigurationError
from keymuster.model import Delta
from keymuster.orchestration.estate import Estate, Station, estate_named, load_estates, station_named
from keymuster.settings import Settings, settings

if TYPE_CHECKING:
    from keymuster.frameworks import Framework
    from keymuster.ledger import Ledger
    from keymuster.results import AuditResult
    from keymuster.rules import Rule
    from keymuster.store import Store
    from keymuster.waivers import Waiver


@dataclass(frozen=True)
class Content:
    """What an estate is judged by."""

    rules: tuple[Rule, ...]
    frameworks: tuple[Framework, ...]
    waivers: tuple[Waiver, ...]

    @property
    def parts(self) -> tuple[tuple[Rule, ...], tuple[Framework, ...], tuple[Waiver, ...]]:
        """In the order in which an audit takes them."""
        return self.rules, self.frameworks, self.waivers


@dataclass(frozen=True)
class Secrets:
    """How secrets are looked up; each function takes the name of a connection."""

    fields: Callable[[str, type[BaseModel]], Mapping[str, Any]] = lambda _name, _kind: {}
    database: Callable[[str], str] = lambda name: name
    storage: Callable[[str], Mapping[str, Any]] = lambda _name: {}


@dataclass(frozen=True)
class Workplace:
    """What a step needs besides its own arguments. Heavy parts are opened when they are first used."""

    knobs: Settings = field(default_factory=settings)
    secrets: Secrets = field(default_factory=Secrets)

    @cached_property
    def store(self) -> Store:
        """The snapshot store."""
        from keymuster.store import Store  # noqa: PLC0415 (pyarrow)

        name = self.knobs.store_connection
        return Store(self.knobs.store_address, storage_options=dict(self.secrets.storage(name)) if name else {})

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger, its schema brought up to date."""
        from keymuster.ledger import Ledger  # noqa: PLC0415 (SQLAlchemy, alembic)

        name = self.knobs.ledger_connection
        ledger = Ledger(self.secrets.database(name) if name else self.knobs.ledger_address)
        ledger.migrate()
        return ledger

    @cached_property
    def estates(self) -> tuple[Estate, ...]:
        """Every estate there is."""
        return load_estates()

    @property
    def checks(self) -> Path:
        """Folder of rules, frameworks, policies and contracts."""
        return self.knobs.checks or content.checks()

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """All rules. ContentError."""
        from keymuster.rules import load_rules  # noqa: PLC0415 (pyarrow)

        return tuple(load_rules(self.checks / "rules"))

    def content(self, estate: Estate) -> Content:
        """Rules, frameworks and the waivers of an estate: the shipped ones and its own. ContentError."""
        from keymuster.frameworks import load_frameworks  # noqa: PLC0415 (pyarrow)
        from keymuster.waivers import load_waivers  # noqa: PLC0415

        ids = [rule.id for rule in self.rules]
        waivers = [path for path in (self.checks / "waivers", *estate.waivers) if path.exists()]
        return Content(self.rules, load_frameworks(self.checks / "frameworks", rules=ids), load_waivers(*waivers, rules=ids))

    def estate(self, name: str) -> Estate:
        """One estate; EstateError lists what there is."""
        return estate_named(name, self.estates)

    def station(self, name: str) -> Station:
        """One station; EstateError lists what there is."""
        return station_named(name, self.estates)

    def source_settings(self, station: Station) -> BaseModel:
        """The settings of a station's source, secrets included. NotRegistered, ConnectionMissing, EstateError."""
        kind = registry.load("sources", station.source).Settings
        return station.settings_of(self.secrets.fields(station.connection, kind) if station.connection else {})

    def tracker_settings(self) -> BaseModel | None:
        """The settings of the ticket system: from its connection; the folder of `files` lies below the home. None for `none`."""
        if self.knobs.tracker == "none":
            return None
        kind: type[BaseModel] = registry.load("trackers", self.knobs.tracker).Settings
        name = self.knobs.tracker_connection
        given = dict(self.secrets.fields(name, kind)) if name else {}
        if "folder" in kind.model_fields:
            given.setdefault("folder", self.knobs.home / "tickets")
        try:
            return kind.model_validate(given)
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise ConfigurationError(
                f"tracker {self.knobs.tracker!r}: {where}: {first['msg']}; the Airflow connection {name!r} (KEYMUSTER_TRACKER_CONNECTION) "
                f"must give {', '.join(kind.model_fields)}"
            ) from None

    def delta(self, result: AuditResult) -> Delta:
        """What changed since the live audit before this one; everything is opened in the first."""
        from keymuster.delta import compare  # noqa: PLC0415 (pyarrow)

        earlier = [a.uri for a in self.ledger.history(result.manifest.estate) if a.as_of < result.manifest.as_of]
        return compare(self.store.get_audit(earlier[-1]) if earlier else None, result)
