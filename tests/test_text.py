"""Text from outside, and numbers that do not flatter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from keymuster.text import clip, plural, share, visible


@given(some.text())
def test_nothing_hidden_is_left(text: str) -> None:
    got = visible(text)
    assert not [c for c in got if ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or 0x202A <= ord(c) <= 0x202E or 0xD800 <= ord(c) < 0xE000]
    assert visible(got) == got


def test_ordinary_text_is_left_alone() -> None:
    text = "CN=Zoë Müller, O=北京公司, OU=שלום"
    assert visible(text) == text


@given(some.text(), some.integers(4, 50))
def test_clip_keeps_both_ends(text: str, length: int) -> None:
    got = clip(text, length)
    assert len(got) <= length
    if len(visible(text)) > length:
        assert got[0] == visible(text)[0]
        assert "…" in got


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "no verdicts"),
        (0, 5, "0 %"),
        (5, 5, "100 %"),
        (99_999, 100_000, "99.9 %"),
        (1, 100_000, "< 0.1 %"),
        (1, 3, "33.3 %"),
        (1, 2, "50 %"),
    ],
)
def test_shares_never_round_up_to_all(part: int, whole: int, text: str) -> None:
    assert share(part, whole) == text


def test_plural() -> None:
    assert [plural(n, "finding") for n in (0, 1, 1204)] == ["0 findings", "1 finding", "1,204 findings"]
