"""Hostile text in tickets: judged by a real Markdown parser, with HTML allowed as the worst reader would."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from keymuster.errors import ContentError
from keymuster.ledger import Ledger
from keymuster.markdown import address, code, prose, render, text
from keymuster.text import clip
from tests.remediation_cases import Desk, finding

HOSTILE = [
    '<script>alert("x")</script>',
    "![x](http://evil.example/x.png)",
    "[click](javascript:alert(1))",
    "`` ` ``` ````",
    "`",
    " ` ",
    "a\n\n# heading\n\n- list\n\nkeymuster:" + "0" * 32,
    "a\r\n---\r\nstatus: closed\r\n---",
    "@admin #12 !34 {{include(Wiki)}} [[Wiki]] commit:abc",
    "https://evil.example www.evil.example mailto:a@evil.example",
    "\x1b[31mred\x07\u202egpj.exe\u200b\ufeff",
    "&lt;b&gt; &#64;admin \\<b\\>",
    "|a|b|\n|---|---|",
    "=HYPERLINK(1)",
    "   ",
    "<!-- -->",
    "]]><![CDATA[",
]
signs = st.text(alphabet=st.sampled_from(list("`<>*_[]()!#@&\\ \n~|{}-+=1.:/ab\u202e\r")), max_size=40)
parser = MarkdownIt("commonmark", {"html": True})


def inline(markdown: str):
    """Tokens of what must be one paragraph."""
    blocks = parser.parse(markdown)
    assert [b.type for b in blocks] == ["paragraph_open", "inline", "paragraph_close"], [b.type for b in blocks]
    return blocks[1].children


@pytest.mark.parametrize("value", HOSTILE)
def test_a_code_span_holds_everything(value: str) -> None:
    tokens = inline(f"x {code(value)} y")
    assert [t.type for t in tokens] == ["text", "code_inline", "text"]


@given(signs)
def test_a_code_span_holds_everything_and_shows_it(value: str) -> None:
    before, span, after = inline(f"x {code(value, 200)} y")
    assert (before.content, after.content) == ("x ", " y")
    assert span.content == (clip(value, 200) or " ")


@given(signs)
def test_escaped_text_is_shown_as_it_is_and_means_nothing(value: str) -> None:
    tokens = inline(f"x {text(value)} y")
    assert {t.type for t in tokens} <= {"text", "text_special"}
    assert "".join(t.content for t in tokens).replace("\u2060", "") == f"x {clip(value, 300)} y"


@pytest.mark.parametrize("value", HOSTILE)
def test_escaped_text_has_no_links_for_bare_addresses(value: str) -> None:
    assert "://" not in text(value)
    assert "www." not in text(value)
    assert "@admin" not in text(value)


@pytest.mark.parametrize("value", [h for h in HOSTILE if "`" not in h])
def test_prose_of_ours_cannot_become_html(value: str) -> None:
    tokens = [child for block in parser.parse(str(prose(value))) for child in block.children or ()]
    assert not any(t.type == "html_inline" for t in tokens)
    assert not any(b.type == "html_block" for b in parser.parse(str(prose(value))))


def test_prose_keeps_its_code_spans() -> None:
    assert prose("Run `chmod 0600 <file>` & see <b>") == "Run `chmod 0600 <file>` &amp; see &lt;b>"


def test_only_web_addresses_are_addresses() -> None:
    assert address("https://www.rfc-editor.org/rfc/rfc5280") == "https://www.rfc-editor.org/rfc/rfc5280"
    assert address("javascript:alert(1)") == "`javascript:alert(1)`"
    assert address("https://x.example/<script>").startswith("`")


def test_a_template_escapes_what_no_filter_made_safe(tmp_path: Path) -> None:
    (tmp_path / "x.md.j2").write_text("{{ value }} {{ number }} {{ value ~ value }}\n")
    assert "<" not in render(tmp_path, "x.md.j2", {"value": "<b>", "number": 7})
    assert " 7 " in render(tmp_path, "x.md.j2", {"value": "<b>", "number": 7})


def test_a_template_that_is_wrong_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.md.j2").write_text("\n{{ nothing }}\n")
    with pytest.raises(ContentError, match=r"x\.md\.j2: 'nothing' is undefined"):
        render(tmp_path, "x.md.j2", {})
    (tmp_path / "y.md.j2").write_text("\n{% if %}\n")
    with pytest.raises(ContentError, match=r"y\.md\.j2, line 2"):
        render(tmp_path, "y.md.j2", {})
    with pytest.raises(ContentError, match=r"z\.md\.j2"):
        render(tmp_path, "z.md.j2", {})


@pytest.mark.parametrize("value", HOSTILE)
def test_a_whole_ticket_of_hostile_text(tmp_path: Path, value: str) -> None:
    """Every text that a stranger may choose, at once: the ticket has our structure and nothing else."""
    fields = dict.fromkeys(("label", "owner", "environment", "observed", "expected", "snapshot_uri", "waiver"), value)
    plain = dict.fromkeys(fields, "plain")
    shapes = []
    for number, values in enumerate((fields, plain)):
        ledger = Ledger(f"sqlite:///{tmp_path}/{number}.db").migrate()
        desk = Desk(ledger, "files", {"folder": tmp_path / str(number)})
        desk.audit(finding("x", **values, locators=[values["label"]] * 3, places=3))
        (action,) = desk.plan().actions
        ledger.close()
        assert action.ticket
        assert len(action.ticket.title) <= 255
        assert "\n" not in action.ticket.title
        assert not set(action.ticket.title) & set("<>`")
        assert action.ticket.body.endswith(f"\nkeymuster:{action.key}\n")
        assert action.ticket.body.count("\nkeymuster:") == 1
        tokens = parser.parse(action.ticket.body)
        shapes.append([(t.type, [c.type for c in t.children or ()]) for t in tokens])
    assert shapes[0] == shapes[1]


def test_endless_text_is_cut_and_the_marker_stays(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path}/l.db").migrate()
    desk = Desk(ledger, "files", {"folder": tmp_path})
    long = "`" * 100_000
    desk.audit(finding("x", label=long, owner=long, observed=long, expected=long, locators=[long] * 100, places=100))
    (action,) = desk.plan().actions
    ledger.close()
    assert action.ticket
    assert len(action.ticket.body) < 31_000
    assert action.ticket.body.endswith(f"\nkeymuster:{action.key}\n")
