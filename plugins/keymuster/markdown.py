"""Text from outside, made harmless in Markdown, and the templates that place it.

Everything a template prints is escaped unless a filter here made it safe: forgetting one shows odd signs, never lets something through.
`code` is the usual one: inside a code span there is no HTML, no link, no mention, no macro.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError

from keymuster.errors import ContentError
from keymuster.text import clip

_SPECIAL = re.compile(r"[&<>*_`\[\]\\#!|~@{}\"'$^=]|://|(?i:www\.)|^[-+]|^\d+[.)]")
_JOINER = "&#8288;"
"""Takes no room; ticket systems look for @somebody and #12 in the finished page, where an entity has become the sign."""
_ADDRESS = re.compile(r"https?://[A-Za-z0-9./_~%?=&+,;:-]{1,300}")


class Safe(str):
    """Text that may stand in Markdown as it is."""

    __slots__ = ()


def text(value: Any, length: int = 300) -> Safe:
    """Escape every sign that Markdown, HTML or a ticket system gives a meaning; entities mean the sign itself everywhere."""
    if isinstance(value, Safe):
        return value
    return Safe(str(value) if isinstance(value, int) else _SPECIAL.sub(_entities, clip(str(value), length)))


def _entities(match: re.Match[str]) -> str:
    signs = "".join(f"&#{ord(c)};" for c in match[0])
    return signs + _JOINER if match[0] in {"@", "#", "!"} else signs


def code(value: Any, length: int = 160) -> Safe:
    """A code span on one line; its fence is longer than any run of backticks inside."""
    plain = clip(str(value), length) or " "
    fence = "`" * (max((len(run) for run in re.findall("`+", plain)), default=0) + 1)
    pad = " " if plain.startswith("`") or plain.endswith("`") or (plain.startswith(" ") and plain.endswith(" ") and plain.strip()) else ""
    return Safe(f"{fence}{pad}{plain}{pad}{fence}")


def prose(value: Any, length: int = 4000) -> Safe:
    """A text of ours: its code spans and signs may stay, but nothing in it becomes HTML or calls somebody."""
    pieces = re.split(r"(`[^`]+`)", clip(str(value or ""), length))
    escaped = (
        p if p.startswith("`") and len(p) > 2 else p.replace("&", "&amp;").replace("<", "&lt;").replace("@", "&#64;") for p in pieces
    )
    return Safe("".join(escaped))


def address(value: Any) -> Safe:
    """A web address that may be clicked; anything else becomes a code span."""
    plain = str(value)
    return Safe(plain) if _ADDRESS.fullmatch(plain) else code(plain)


def day(value: datetime) -> Safe:
    """2026-11-23."""
    return Safe(f"{value:%Y-%m-%d}")


def instant(value: datetime) -> Safe:
    """2026-11-23 06:00 UTC."""
    return Safe(f"{value:%Y-%m-%d %H:%M} UTC")


@cache
def _environment(folder: Path) -> Environment:
    # autoescape knows HTML only; `finalize` escapes for Markdown whatever no filter made safe.
    environment = Environment(  # noqa: S701 (see above)
        loader=FileSystemLoader(folder), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=text
    )
    environment.filters |= {"code": code, "prose": prose, "address": address, "day": day, "instant": instant}
    return environment


def render(folder: Path, name: str, values: dict[str, Any]) -> str:
    """Fill in a template; ContentError names it and the line."""
    try:
        page = _environment(folder).get_template(name).render(values)
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        raise ContentError(f"{folder / name}{f', line {line}' if line else ''}: {error}") from error
    return re.sub(r"\n{3,}", "\n\n", page).strip() + "\n"
