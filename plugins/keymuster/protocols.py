"""What a module must offer to be a source, a fact, a renderer or a tracker. Modules, not classes: no base class, no registration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import pandas as pd
import pyarrow as pa
from pydantic import BaseModel

from keymuster.frame import Frame, Mask
from keymuster.model import Coverage, Problem, Record
from keymuster.policy import Policy


class SourceModule(Protocol):
    """A source pulls one kind of inventory. It holds no state and asks nobody for the time."""

    Settings: type[BaseModel]
    """Frozen pydantic model, every field with a description; secrets are `SecretStr` and are filled from the connection."""
    DELIVERS: Mapping[str, frozenset[str]]
    """Table -> columns of origin `source` that it can know. Parsed columns follow from the DER and are not listed."""

    def collect(self, settings: Any) -> Iterator[Record | Problem | Coverage]:
        """Yield records and problems as they come, and exactly one Coverage, last. Raises SourceError if nothing can be read."""
        ...


class Unknowable(Exception):
    """Raised by a fact whose column is unknown for every row, with the reason, e.g. 'policy names no approved issuers'."""


@dataclass(frozen=True)
class Partial:
    """A fact's answer where some rows stay unknown although a null would mean a known nothing."""

    values: pd.Series[Any]
    unknown: Mask


@dataclass(frozen=True)
class Kind:
    """What is remembered under one name: answers that follow from their key and the version alone, whoever asks, wherever and whenever."""

    name: str
    """Letters, digits, `-`; one folder of the store."""
    version: str
    """Changes with the code, and with the version of every package, that could answer otherwise."""
    type: pa.DataType
    """Arrow type of one answer."""


class Memory(Protocol):
    """Remembers answers from audit to audit. It may forget at any time, and never gives another answer than the one it was given."""

    def recall(self, kind: Kind, keys: Iterable[str] | None = None) -> dict[str, Any]:
        """Remembered answers by key; those of all keys if none are named. A key that is left out was never answered (or was forgotten)."""
        ...

    def remember(self, kind: Kind, answers: Mapping[str, Any]) -> None:
        """Take in answers that had to be worked out."""
        ...


@dataclass(frozen=True)
class FactContext:
    """What a fact may look at beside its own table."""

    as_of: datetime
    policy: Policy
    frames: Mapping[str, Frame]
    """Every table of this shard, facts computed so far included."""
    reference: Path
    """Folder of dated reference data (`checks/reference`)."""
    ders: Callable[[Iterable[str]], Mapping[str, bytes]] = field(default=lambda _: {})
    """DER by certificate fingerprint (asset_id); fingerprints whose DER was not kept are left out."""
    survey: Mapping[str, pa.Table] = field(default_factory=dict)
    """Estate-wide answers that facts worked out before sharding, by column name (see `FactModule.survey`)."""
    memory: Memory | None = None
    """What earlier audits worked out; without it everything is worked out anew, with the same result."""


class FactModule(Protocol):
    """A fact computes one column, vectorised. The module's name is the column's, or `<table>__<column>` where several tables differ."""

    COLUMN: str
    TABLE: str | tuple[str, ...]
    """Table or tables that have this column."""
    NEEDS: tuple[str, ...]
    """Columns it reads, `column` of the same table or `table.column`; facts among them are computed first."""
    DOC: str
    """One sentence: how it is computed, by which norm."""

    def compute(self, frame: Frame, context: FactContext) -> pd.Series[Any] | Partial:
        """Values for every row of the frame, null where not known. Raises Unknowable."""
        ...

    # Optional: `def survey(frames, context) -> pa.Table`, for facts that must see the whole estate (shared factors, serials):
    # called once before the audit is cut into shards; the answer comes back as context.survey[COLUMN].


@dataclass(frozen=True)
class Ticket:
    """What a tracker is asked to file."""

    key: str
    """Finding key; goes into the ticket as the marker `keymuster:<key>`."""
    title: str
    """One line, at most 255 characters."""
    body: str
    """Markdown; every text from outside is escaped already."""
    severity: str
    owner: str | None
    due: datetime | None
    labels: Sequence[str] = ()
    since: datetime | None = None
    """When the clock towards `due` was started."""


@dataclass(frozen=True)
class TicketState:
    """Where a ticket stands, as people left it."""

    status: Literal["open", "done", "rejected", "gone"]
    """rejected: closed for good although nothing was mended. gone: it was deleted."""
    closed_at: datetime | None = None
    """When it was closed; None where that is not known."""


class TrackerModule(Protocol):
    """A ticket system. Functions take the module's own Settings first; nothing is retried blindly."""

    Settings: type[BaseModel]

    def find(self, settings: Any, key: str) -> str | None:
        """Reference of the newest ticket with the marker of this key, open or closed; None if there is none."""
        ...

    def is_open(self, settings: Any, ref: str) -> bool:
        """Whether people still have to work on it."""
        ...

    def create(self, settings: Any, ticket: Ticket) -> str:
        """File it and return its reference. Raises TrackerUnreachable when it is not known whether it was filed."""
        ...

    def comment(self, settings: Any, ref: str, body: str) -> None:
        """Add a comment in Markdown."""
        ...

    def reopen(self, settings: Any, ref: str, reason: str) -> None:
        """Open it again."""
        ...

    def close(self, settings: Any, ref: str, reason: str) -> None:
        """Close it with the reason as a comment."""
        ...

    # Optional:
    # `def check(settings) -> None`: raise TrackerError now if credentials, project or folder are wrong; called before anything is planned.
    # `def target(settings) -> str`: where it files to (address and project, folder), without secrets; tickets in the ledger belong to it.
    # `def states(settings, refs) -> Mapping[str, TicketState]`: many at once, rejected and deleted ones told apart; else is_open is asked.


class RendererModule(Protocol):
    """A format of a report. The module's name is the format's."""

    SUFFIX: str
    """With the dot, e.g. `.html`."""
    MEDIA_TYPE: str

    def render(self, context: Any, template: Any) -> bytes:
        """Render a `ReportContext` by a `ReportTemplate` (both in `report_context`). All text from outside is hostile here."""
        ...

    # Optional: `STEM: str`, for formats that show the whole audit whatever the report: written once, under that name.
