"""Reports: one audit, what changed since the one before, and everything that was not evaluated, computed once for all formats.

    context = build(store, ledger, uri)
    paths = write(context, folder)

`build` reads; `write` renders; neither asks for the time.
"""

from __future__ import annotations

from keymuster.report_context import ReportContext, ReportTemplate
from keymuster.reporting.building import build
from keymuster.reporting.writing import templates, write

__all__ = ["ReportContext", "ReportTemplate", "build", "templates", "write"]
