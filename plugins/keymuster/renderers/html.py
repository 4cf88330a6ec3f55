"""Reports as one self-contained HTML page: no script, no fetch, style inline and named by its hash in the content security policy.

Templates are Jinja2 in a sandbox, everything escaped, undefined names are errors, hidden characters are shown (`keymuster.text.visible`).
"""

from __future__ import annotations

import base64
import hashlib
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from keymuster import charts
from keymuster.errors import ContentError
from keymuster.report_context import SEVERITIES, ReportContext, ReportTemplate
from keymuster.text import clip, plural, share, visible

SUFFIX = ".html"
MEDIA_TYPE = "text/html; charset=utf-8"
POLICY = "default-src 'none'; style-src '{hash}'; img-src data:; base-uri 'none'; form-action 'none'"
MISSING = "–"
"""Stands for a value that is null."""


def render(context: ReportContext, template: ReportTemplate) -> bytes:
    """One report as a page. ContentError names the template and the line that is wrong."""
    root = template.folder.parent
    style = (root / "_partials" / "style.css").read_text("utf-8")
    policy = POLICY.format(hash="sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode())
    try:
        page = environment(root).get_template(f"{template.name}/report.html.j2")
        text = page.render(audit=context, manifest=context.result.manifest, report=template, style=Markup(style), policy=policy)  # noqa: S704 (our own file)
    except TemplateError as error:
        where = ":".join(str(part) for part in (getattr(error, "name", None), getattr(error, "lineno", None)) if part)
        raise ContentError(f"report {template.name}: {where + ': ' if where else ''}{error}") from error
    return text.encode("utf-8", "backslashreplace")


@cache
def environment(root: Path) -> ImmutableSandboxedEnvironment:
    """The Jinja2 environment of a folder of reports, kept: compiling the templates costs more than rendering them."""
    env = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(root), autoescape=True, undefined=StrictUndefined, finalize=_shown, trim_blocks=True, lstrip_blocks=True
    )
    env.filters.update(clip=clip, share=share, plural=plural, n=_number, day=_day, moment=_moment, short=_short)
    env.globals.update(charts=_CHARTS, severities=SEVERITIES)
    return env


_CHARTS = {"trend": charts.trend, "expiry": charts.expiry, "bar": charts.bar}


def _shown(value: Any) -> Any:
    if value is None:
        return MISSING
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _number(value: float) -> str:
    return f"{value:,}"


def _day(value: date | datetime | None) -> str:
    return f"{value:%d %b %Y}" if value else MISSING


def _moment(value: datetime) -> str:
    return f"{value:%d %b %Y, %H:%M} UTC"


def _short(digest: str) -> str:
    return digest[:12]
