"""What every tracker has to do, whatever it talks to. A new one adds a line to CASES in test_trackers.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from keymuster import registry
from keymuster.protocols import Ticket
from tests.audit_results import DAY


@dataclass
class Case:
    """A tracker that can be written to, and how to look at it from outside."""

    name: str
    settings: Any
    text: Callable[[str], str]
    """Everything that a reader of the ticket sees: title, body and comments."""
    set_status: Callable[[str, str], None]
    """What a person does: `open`, `done` or `rejected`."""
    delete: Callable[[str], None]
    module: Any = field(init=False)

    def __post_init__(self) -> None:
        self.module = registry.load("trackers", self.name)


def new_key() -> str:
    """Trackers outlive a test: look for your own keys only."""
    return uuid4().hex


def ticket(key: str, **values: Any) -> Ticket:
    body = f"**Something** is `wrong` with ``a`b``.\n\n- Place: `x:<script>alert(1)</script>`\n\nkeymuster:{key}\n"
    return Ticket(**{
        "key": key, "title": f"KEY-014: CN=www fails {key[:6]}", "body": body, "severity": "high", "owner": "web-team",
        "due": DAY, "labels": ("keymuster", "KEY-014"), **values,
    })  # fmt: skip
