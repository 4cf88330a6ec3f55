"""The audit in one screen of a terminal: by severity, by framework, the worst five, what was not evaluated and why. Fits 80 columns."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from keymuster.report_context import FrameworkScore, Gap, ReportContext, SeverityCount
from keymuster.text import clip, plural, share

COLOURS = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "blue", "info": "dim"}
_LEVELS = {"failing": "bold red", "clean": "bold green", "incomplete": "bold yellow", "no_evidence": "bold yellow"}
_GAPS = 6


def summary(context: ReportContext) -> RenderableType:
    """Everything that a person at a terminal must know; print it with a rich Console. Text from outside is shown, never obeyed."""
    verdict = context.verdict
    head = Text.assemble((f"{clip(context.estate, 30)}  ", "bold"), (verdict.headline, _LEVELS[verdict.level]))
    parts: list[RenderableType] = [head, Text(verdict.sentence), _change(context), Text()]
    parts.append(_severities(context.severities, compared=context.change.before_as_of is not None))
    if context.frameworks:
        parts.append(_frameworks(context.frameworks))
    parts += [_worst(context), Text(), *_gaps(context)]
    return Group(*parts)


def _change(context: ReportContext) -> Text:
    change = context.change
    if change.before_as_of is None:
        return Text("First audit of this estate: nothing to compare with.", "dim")
    since = f"{change.before_as_of:%Y-%m-%d %H:%M}"
    if change.nothing:
        return Text(f"Nothing changed since {since}: {plural(change.standing, 'finding')} stand.")
    moved = f"Since {since}: {change.opened:,} new, {change.resolved:,} resolved, {change.unconfirmed:,} gone but unconfirmed, "
    return Text(f"{moved}{change.standing:,} standing.")


def _table(title: str, *columns: tuple[str, bool]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, width=80)
    for name, right in columns:
        table.add_column(name, justify="right" if right else "left", no_wrap=right)
    return table


def _severities(rows: Iterable[SeverityCount], *, compared: bool) -> Table:
    names = [("Severity", False), ("Findings", True), ("Assets", True), ("Owners", True), ("New", True), ("Resolved", True)]
    table = _table("By severity", *names)
    for row in rows:
        moved = (f"{row.opened:,}", f"{row.resolved:,}") if compared else ("–", "–")
        cells = (f"{row.findings:,}", f"{row.assets:,}", f"{row.owners:,}", *moved)
        table.add_row(Text(row.severity, COLOURS[row.severity] if row.findings else "dim"), *map(Text, cells))
    return table


def _frameworks(rows: Iterable[FrameworkScore]) -> Table:
    names = ("Met", "Failed", "Unknown", "No evid.", "Manual", "Verdicts pass")
    table = _table("By framework (requirements)", ("Framework", False), *((name, True) for name in names))
    for row in rows:
        statuses = row.statuses
        numbers = [f"{statuses['met']} of {row.assessable}", *(str(statuses[s]) for s in ("failed", "unknown", "no_evidence", "manual"))]
        table.add_row(Text(clip(row.framework, 18)), *map(Text, numbers), Text(share(row.passed, row.denominator)))
    return table


def _worst(context: ReportContext) -> RenderableType:
    if not context.worst:
        return Text(f"No finding among {plural(context.totals.verdicts, 'verdict')}.")
    title = f"Worst {min(5, len(context.worst))} of {plural(context.totals.failed, 'finding')}"
    table = _table(title, ("Severity", False), ("What is not so", False), ("Owner", False))
    for row in context.worst[:5]:
        what = Text.assemble(clip(row.title, 90), "\n", (clip(row.label or row.asset_id, 90), "dim"))
        table.add_row(Text(row.severity, COLOURS.get(row.severity, "")), what, Text(clip(row.owner or "no owner", 16)))
    return table


def _gaps(context: ReportContext) -> Iterable[RenderableType]:
    gaps, totals = context.gaps, context.totals
    yield Text("What was not evaluated, and why", "bold")
    if gaps.nothing:
        yield Text("  Nothing was left out: every rule evaluated, every station complete, no verdict unknown.")
        return
    lines = [f"station {s.station} is {s.state}: {s.reason}" for s in gaps.stations]
    lines += [f"station {s.station} did not see everything: {_coverage(s.snapshot and s.snapshot.coverage)}" for s in gaps.short]
    lines += _rules(gaps.rules)
    shown = [*lines[:_GAPS], *([f"and {len(lines) - _GAPS:,} more, all of them in the report"] if len(lines) > _GAPS else [])]
    for line in shown:
        yield _bullet(line)
    if gaps.unknown_total:
        reasons = "; ".join(f"{u.verdicts:,} {u.reason}" for u in gaps.unknowns[:3])
        unknown = f"{gaps.unknown_total:,} of {plural(totals.verdicts, 'verdict')} unknown{f' ({reasons})' if reasons else ''}"
        yield _bullet(unknown)


def _rules(gaps: Iterable[Gap]) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for gap in gaps:
        reasons.setdefault(gap.reason, []).append(gap.what)
    named = (
        (f"rule {rules[0]}" if len(rules) == 1 else f"{len(rules):,} rules ({rules[0]}, …)", reason) for reason, rules in reasons.items()
    )
    return [f"{rules}: {reason}" for rules, reason in named]


def _bullet(text: str) -> Table:
    line = Table.grid(padding=(0, 1))
    line.add_column(width=3, justify="right")
    line.add_column(overflow="fold")
    line.add_row("•", Text(clip(text, 300)))
    return line


def _coverage(coverage: object) -> str:
    expected, fetched, refused = (getattr(coverage, name, 0) for name in ("expected", "fetched", "refused"))
    whole = f" of {expected:,}" if expected is not None else ""
    return f"{fetched:,}{whole} read, {refused:,} refused or silent"
