"""Charts as inline SVG: no library, no script, no style attribute (the page's content security policy allows none).

Colours come from the page's style sheet by class. Every chart has a title and says its numbers in words, for those who do not see it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup, escape

from keymuster.report_context import SEVERITIES, Expiry, Period, TrendPoint
from keymuster.text import plural


def trend(points: Sequence[TrendPoint], number: int = 1) -> Markup:
    """Findings by severity over time: one stacked column per audit. `number` keeps ids apart within a page."""
    wide, high, left, bottom = 520.0, 236.0, 34.0, 24.0
    top = _ceiling(max((p.total for p in points), default=0))
    scale = (high - bottom - 16) / top
    base = high - bottom
    pitch = (wide - left) / max(len(points), 8)
    parts = _grid(top, left, wide, base, scale)
    every = -(-len(points) // 6)
    stamp = "%H:%M" if len(points) > 1 and len({p.as_of.date() for p in points}) == 1 else "%d %b"
    for index, point in enumerate(points):
        x, y = left + index * pitch + pitch * 0.14, base
        for severity in reversed(SEVERITIES):
            part = point.counts.get(severity, 0) * scale
            y -= part
            note = f"{point.as_of:%Y-%m-%d}: {point.counts.get(severity, 0):,} {severity}"
            parts.append(_rect((x, y, pitch * 0.72, part), f"s-{severity}", note))
        middle = x + pitch * 0.36
        if (len(points) - 1 - index) % every == 0:
            parts.append(_text(middle, high - 8, f"{point.as_of:{stamp}}", "middle"))
        if index == len(points) - 1:
            parts.append(_text(middle, y - 5, f"{point.total:,}", "middle", "strong"))
    words = "; ".join(f"{p.as_of:%Y-%m-%d}: {_words(p.counts)}" for p in points)
    return _svg(f"trend-{number}", (wide, high), "Findings by severity at each audit", words, parts)


def expiry(calendar: Expiry, number: int = 1) -> Markup:
    """Assets by week of expiry, those in use solid, the rest pale; what has expired stands apart on the left."""
    wide, high, left, bottom = 1060.0, 170.0, 34.0, 24.0
    weeks = calendar.weeks
    top = _ceiling(max([calendar.expired, *(w.assets for w in weeks)], default=0))
    scale, base = (high - bottom - 18) / top, high - bottom
    start = left + 74
    pitch = (wide - start) / len(weeks)
    parts = _grid(top, left, wide, base, scale)
    parts += _pair((left + 14, 34), base, scale, (calendar.expired, calendar.expired_deployed), ("x-expired", "expired"))
    parts += [
        _text(left + 31, high - 8, "expired", "middle"),
        _text(left + 31, base - calendar.expired * scale - 5, f"{calendar.expired:,}", "middle", "strong"),
    ]
    labelled = -99.0
    for index, week in enumerate(weeks):
        x = start + index * pitch
        kind = "x-month" if index < 5 else "x-quarter" if index < 13 else "x-later"
        words = (kind, f"week from {week.start:%d %b %Y}")
        parts += _pair((x + pitch * 0.1, pitch * 0.8), base, scale, (week.assets, week.deployed), words)
        if (index == 0 or week.start.day <= 7) and x - labelled > 40:
            parts.append(_text(x, high - 8, f"{week.start:%b %Y}" if week.start.month == 1 else f"{week.start:%b}", "start"))
            labelled = x
    told = f"Expired: {calendar.expired:,}, {calendar.expired_deployed:,} of them in use. {_periods(calendar.months)}. "
    told += f"Later: {calendar.later:,}."
    return _svg(f"expiry-{number}", (wide, high), "Assets by week of expiry", told, parts)


def bar(segments: Iterable[tuple[str, str, int]], identity: str, title: str) -> Markup:
    """One horizontal bar; segments are (class, word, number) and keep the order. An empty bar shows nothing but its frame."""
    segments = list(segments)
    total = sum(number for _, _, number in segments)
    parts, x = [], 0.0
    for kind, word, number in segments:
        part = 400.0 * number / total if total else 0.0
        parts.append(_rect((x, 0, part, 14), f"b-{kind}", f"{number:,} {word}"))
        x += part
    words = ", ".join(f"{number:,} {word}" for _, word, number in segments) + f"; {total:,} in all"
    return _svg(f"bar-{identity}", (400, 14), title, words, parts, stretch=True)


def _periods(periods: Sequence[Period]) -> str:
    return "; ".join(f"{p.label}: {p.assets:,}" for p in periods)


def _words(counts: Mapping[str, int]) -> str:
    words = [f"{counts[s]:,} {s}" for s in SEVERITIES if counts.get(s)]
    return ", ".join(words) or plural(0, "finding")


def _pair(span: tuple[float, float], base: float, scale: float, numbers: tuple[int, int], words: tuple[str, str]) -> list[Markup]:
    (x, width), (every, used), (kind, word) = span, numbers, words
    note = f"{word}: {every:,}, {used:,} in use"
    pale = _rect((x, base - every * scale, width, (every - used) * scale), f"{kind} pale", note)
    return [pale, _rect((x, base - used * scale, width, used * scale), kind, note)]


def _ceiling(value: int) -> int:
    """The next round number, at least 4: the top of an axis with four steps or two."""
    power: int = 10 ** max(len(str(max(value, 1))) - 1, 0)
    return max(4, min(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value))


def _grid(top: int, left: float, wide: float, base: float, scale: float) -> list[Markup]:
    parts = []
    for tick in (0, top // 2, top):
        y = base - tick * scale
        parts.append(Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(_n(left), _n(wide), _n(y), _n(y)))
        parts.append(_text(left - 6, y + 4, f"{tick:,}", "end"))
    return parts


def _rect(box: tuple[float, float, float, float], kind: str, note: str) -> Markup:
    x, y, width, height = box
    if height <= 0 or width <= 0:
        return Markup()
    shape = Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>')
    return shape.format(kind, _n(x), _n(y), _n(width), _n(height), note)


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(kind, _n(x), _n(y), anchor, text)


def _svg(identity: str, size: tuple[float, float], title: str, words: str, parts: Iterable[Markup], *, stretch: bool = False) -> Markup:
    head = Markup(
        '<svg class="{}" role="img" viewBox="0 0 {} {}"{} aria-labelledby="{}-t {}-d"><title id="{}-t">{}</title><desc id="{}-d">{}</desc>'
    )
    (wide, high), name = size, escape(identity)
    ratio = Markup(' preserveAspectRatio="none"') if stretch else ""
    start = head.format("bar" if stretch else "chart", _n(wide), _n(high), ratio, name, name, name, title, name, words)
    return start + Markup().join(parts) + Markup("</svg>")


def _n(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
