"""A tracker module with its settings, its optional functions filled in. `none` is the tracker that files nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from keymuster import registry
from keymuster.errors import ConfigurationError
from keymuster.protocols import Ticket, TicketState


class Tracker:
    """One ticket system as remediation sees it. Without a module (backfills, `none`) it knows of no ticket and can file none."""

    def __init__(self, name: str, settings: BaseModel | Mapping[str, Any] | None, *, offline: bool = False) -> None:
        self.name = name
        self._module: Any = None if name == "none" else registry.load("trackers", name)
        self._settings = _settings(self._module, name, settings)
        target = getattr(self._module, "target", None)
        self.target = f"{name} {target(self._settings)}" if target else name
        self._offline = offline or self._module is None

    @property
    def files(self) -> bool:
        """Whether it can file anything."""
        return not self._offline

    def check(self) -> None:
        """TrackerError if it cannot be used, before anything is planned or reserved."""
        if self.files and hasattr(self._module, "check"):
            self._module.check(self._settings)

    def states(self, refs: Sequence[str]) -> Mapping[str, TicketState]:
        """Where tickets stand."""
        if not self.files or not refs:
            return {}
        if hasattr(self._module, "states"):
            found: Mapping[str, TicketState] = self._module.states(self._settings, refs)
            return found
        return {ref: TicketState("open" if self.is_open(ref) else "done") for ref in refs}

    def find(self, key: str) -> str | None:
        """See TrackerModule."""
        found: str | None = self._module.find(self._settings, key) if self.files else None
        return found

    def is_open(self, ref: str) -> bool:
        """See TrackerModule."""
        return bool(self._module.is_open(self._settings, ref))

    def create(self, ticket: Ticket) -> str:
        """See TrackerModule."""
        return str(self._module.create(self._settings, ticket))

    def comment(self, ref: str, body: str) -> None:
        """See TrackerModule."""
        self._module.comment(self._settings, ref, body)

    def reopen(self, ref: str, reason: str) -> None:
        """See TrackerModule."""
        self._module.reopen(self._settings, ref, reason)

    def close(self, ref: str, reason: str) -> None:
        """See TrackerModule."""
        self._module.close(self._settings, ref, reason)


def _settings(module: Any, name: str, settings: BaseModel | Mapping[str, Any] | None) -> Any:
    if module is None or isinstance(settings, module.Settings):
        return settings
    try:
        return module.Settings.model_validate(settings or {})
    except ValidationError as error:  # its text would show the values, secrets among them
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        known = ", ".join(module.Settings.model_fields)
        raise ConfigurationError(f"tracker {name}: setting {where!r}: {first['msg']}; there are {known}") from None
