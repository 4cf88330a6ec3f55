"""Text from outside, made harmless to look at: subjects, paths and messages come from whoever made the certificate.

Escaping for a format (HTML, CSV, rich markup) is the renderer's work and comes after this.
"""

from __future__ import annotations

import re
from fractions import Fraction

_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Controls (with them ANSI escapes), bidirectional overrides, invisible and lone surrogate characters."""


def visible(text: str) -> str:
    """Show what hides: an escape becomes `⟨U+001B⟩`, so that no terminal or browser obeys it. Line breaks become spaces."""
    return _HIDDEN.sub(_show, text)


def _show(match: re.Match[str]) -> str:
    character = match.group()
    return " " if character in "\t\n\r" else f"⟨U+{ord(character):04X}⟩"


def clip(text: str, length: int = 160) -> str:
    """At most `length` characters of `visible` text, cut in the middle, because both ends of a subject or path tell most."""
    text = visible(text)
    if len(text) <= length:
        return text
    tail = length // 3
    return f"{text[: length - tail - 1]}…{text[-tail:]}"


def share(part: int, whole: int) -> str:
    """Percentage that never rounds up to 100 % nor down to 0 %; `no verdicts` where nothing was judged."""
    if whole == 0:
        return "no verdicts"
    tenths = Fraction(part * 1000, whole)
    shown = int(tenths) if 0 < part < whole else round(tenths)
    if part and shown == 0:
        return "< 0.1 %"
    return f"{shown // 10} %" if shown % 10 == 0 else f"{shown / 10:.1f} %"


def plural(number: int, word: str, many: str | None = None) -> str:
    """`1 finding`, `1,204 findings`."""
    return f"{number:,} {word if number == 1 else many or word + 's'}"
