"""The page that each DAG shows in the UI, in one shape."""

from __future__ import annotations

from typing import Any

DEFAULT_OWNER = "pki"


def described(*, purpose: str, fails_when: str, rerun: str, owner: str | None = None) -> str:
    """Markdown with the four things that somebody who is woken at night must know."""
    return f"**Purpose.** {purpose}\n\n**Fails when.** {fails_when}\n\n**Safe to re-run.** {rerun}\n\n**Owner.** {owner or DEFAULT_OWNER}\n"


def tags(*own: str) -> dict[str, Any]:
    """Tags as DAG wants them; every DAG of ours has `keymuster`."""
    return {"tags": ["keymuster", *own]}
