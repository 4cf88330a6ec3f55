"""Reads the estate files: which stations there are, what they pull and when.

Read by every DAG file at parse time, so it imports no source and reads no policy; both are loaded when they are used.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

from croniter import croniter  # type: ignore[import-untyped]  # comes with Airflow, without types
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from keymuster import content, registry
from keymuster.errors import ContentError, EstateError
from keymuster.policy import Policy, read_policy
from keymuster.settings import PROJECT, settings

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}\Z")
"""Names of estates and stations become DAG ids, asset names and folders."""


@dataclass(frozen=True)
class Station:
    """One configured source."""

    name: str
    source: str
    schedule: str | None
    """Cron expression in UTC; None: pulled only when somebody asks."""
    connection: str | None
    """Airflow connection with the secrets of the source."""
    settings: Mapping[str, Any]
    """As written in the file; see `settings_of`."""
    owner: str | None
    estate: str
    path: Path
    """The estate file."""

    def settings_of(self, secrets: Mapping[str, Any]) -> BaseModel:
        """The source's own settings with `secrets` added; paths are relative to the estate file. EstateError names file and field."""
        kind = registry.load("sources", self.source).Settings
        merged = {**self.settings, **secrets}
        located = {name: _located(value, kind, name, self.path.parent) for name, value in merged.items()}
        try:
            return kind.model_validate(located)  # type: ignore[no-any-return]  # the registry yields untyped modules
        except ValidationError as error:
            fields = ", ".join(kind.model_fields)
            raise EstateError(
                f"{self.path}: station {self.name!r}: settings.{_first(error)}; source {self.source!r} has the settings {fields}"
            ) from None


@dataclass(frozen=True)
class Estate:
    """One organisation, or one part of it, that is judged as a whole."""

    name: str
    path: Path
    policies: tuple[Path, ...]
    waivers: tuple[Path, ...]
    stations: tuple[Station, ...]

    @property
    def policy(self) -> Policy:
        """The shipped default policy with this estate's files over it. ContentError names file and field."""
        return read_policy((settings().checks or content.checks()) / "policies" / "default.yaml", *self.policies)


def _name(text: str) -> str:
    if not NAME.match(text):
        raise ValueError(f"{text!r} is no name; use a-z, 0-9, '-' and '_', a letter first, at most 63")
    return text


def _cron(text: str) -> str:
    if not croniter.is_valid(text):
        raise ValueError(f"{text!r} is no cron expression; write five fields such as '0 3 * * *', or null")
    return text


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Station(_Strict):
    name: Annotated[str, AfterValidator(_name)]
    source: str
    schedule: Annotated[str, AfterValidator(_cron)] | None = None
    connection: str | None = None
    owner: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)


class _Estate(_Strict):
    estate: Annotated[str, AfterValidator(_name)]
    policies: tuple[str, ...] = ()
    waivers: tuple[str, ...] = ()
    stations: tuple[_Station, ...] = Field(min_length=1)


def load_estates(paths: Iterable[Path] | None = None) -> tuple[Estate, ...]:
    """Read estate files: the given ones, else those of `KEYMUSTER_ESTATES`, else `dags/estate.yaml`. EstateError says where and what."""
    estates = tuple(_read(path) for path in (_configured() if paths is None else paths))
    _unique("estate", ((e.name, e.path) for e in estates))
    _unique("station", ((s.name, s.path) for e in estates for s in e.stations))
    return estates


def estate_named(name: str, estates: Iterable[Estate] | None = None) -> Estate:
    """One estate; EstateError lists what there is."""
    known = {e.name: e for e in (load_estates() if estates is None else estates)}
    if name not in known:
        raise EstateError(f"no estate named {name!r}; there are {', '.join(known)}")
    return known[name]


def station_named(name: str, estates: Iterable[Estate] | None = None) -> Station:
    """One station of any estate; EstateError lists what there is."""
    known = {s.name: s for e in (load_estates() if estates is None else estates) for s in e.stations}
    if name not in known:
        raise EstateError(f"no station named {name!r}; there are {', '.join(known)}")
    return known[name]


def _configured() -> tuple[Path, ...]:
    named = [Path(text) for text in settings().estates.split(os.pathsep) if text]
    return tuple(named) or (PROJECT / "dags" / "estate.yaml",)


def _read(path: Path) -> Estate:
    try:
        document = content.read_yaml(path)
    except ContentError as error:
        raise EstateError(str(error)) from None
    if not isinstance(document, dict):
        raise EstateError(f"{path}: an estate file is a mapping with the keys estate and stations, not a {type(document).__name__}")
    try:
        raw = _Estate.model_validate(document)
    except ValidationError as error:
        whose = _whose(document, error)
        raise EstateError(f"{path}: {whose}{_first(error, within=whose)}") from None
    stations = tuple(_station(item, raw.estate, path.absolute()) for item in raw.stations)
    files = {key: tuple((path.absolute().parent / text).resolve() for text in getattr(raw, key)) for key in ("policies", "waivers")}
    for missing in (file for group in files.values() for file in group if not file.exists()):
        raise EstateError(f"{path}: there is no file {missing}")
    return Estate(raw.estate, path.absolute(), files["policies"], files["waivers"], stations)


def _station(item: _Station, estate: str, path: Path) -> Station:
    if item.source not in registry.listing("sources"):
        known = ", ".join(registry.listing("sources"))
        raise EstateError(f"{path}: station {item.name!r}: no source named {item.source!r}; there are {known}")
    return Station(item.name, item.source, item.schedule, item.connection, item.settings, item.owner, estate, path)


def _unique(what: str, named: Iterable[tuple[str, Path]]) -> None:
    seen: dict[str, Path] = {}
    for name, path in named:
        if name in seen:
            raise EstateError(f"{path}: the {what} {name!r} is there twice; the other one is in {seen[name]}")
        seen[name] = path


def _whose(document: Mapping[str, Any], error: ValidationError) -> str:
    """'station 'x': ' where the first error lies in a station that has a name."""
    where = error.errors()[0]["loc"]
    if len(where) < 2 or where[0] != "stations" or not isinstance(where[1], int):
        return ""
    item = document["stations"][where[1]]
    return f"station {item['name']!r}: " if isinstance(item, dict) and "name" in item else ""


def _first(error: ValidationError, *, within: str = "") -> str:
    """The first error as 'field: what is wrong', below a station if `within` one; never the value, which may be a secret."""
    first = error.errors(include_input=False)[0]
    where = ".".join(str(part) for part in (first["loc"][2:] if within else first["loc"]))
    return f"{where or 'the document'}: {first['msg'].removeprefix('Value error, ')}"


def _located(value: Any, kind: type[BaseModel], name: str, folder: Path) -> Any:
    """Values of fields that hold paths, made absolute: `~` is the user's home, the rest is relative to the estate file."""
    if name not in kind.model_fields or not _holds_paths(kind.model_fields[name].annotation):
        return value
    if isinstance(value, list | tuple):
        return [_located(item, kind, name, folder) for item in value]
    return str(folder / Path(value).expanduser()) if isinstance(value, str) else value


def _holds_paths(annotation: Any) -> bool:
    return annotation is Path or any(_holds_paths(part) for part in get_args(annotation))
