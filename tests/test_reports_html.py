"""Pages: nothing from outside acts in them, nothing is fetched, nothing that was not evaluated stays unsaid."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest

from keymuster import content
from keymuster.errors import ContentError
from keymuster.model import Coverage
from keymuster.renderers import html
from keymuster.report_context import ReportContext, ReportTemplate
from keymuster.reporting import build, templates
from keymuster.results import AuditResult
from tests import audit_results as audits
from tests.audit_results import DAY, Shelf, failing, sample, station

NAMES = [t.name for t in templates()]
HOSTILE = {
    "script": "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&",
    "attribute": '" onmouseover="alert(1)" x=\'',
    "jinja": "{{ 7 * 7 }}{% raw %}{# #}",
    "bidi": "paypal\u202egnp.moc\u2066x\u2069",
    "escape": "\x1b[31mred\x1b]8;;http://evil\x07\x9b2J",
    "surrogate": "lone \ud800 surrogate".encode("utf-8", "replace").decode(),
    "close": "--></style></title></svg>]]>",
    "long": "A" * 20_000,
}


def context(*results: AuditResult, shown: int = 50) -> ReportContext:
    return build(Shelf(*results), None, results[-1].uri, shown=shown)


def template(name: str) -> ReportTemplate:
    return next(t for t in templates() if t.name == name)


def page(report: ReportContext, name: str) -> str:
    return html.render(report, template(name)).decode("utf-8")


class Elements(HTMLParser):
    """All start tags with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def hostile_audit(text: str) -> AuditResult:
    finding = failing(
        "certificate.san.present", "evil", label=text, owner=text, environment=text, locators=[f"shop-tls:{text}"],
        observed=f"subject={text}", expected=text, snapshot_uri=text,
    )  # fmt: skip
    waived = failing("key.file.private", "w", label=text, outcome="waived", waiver=text)
    unknown = [{"rule_id": "key.file.private", "station": text, "reason": text, "assets": 1}]
    stations = [
        station(
            text, owner=text, state="stale", reason=text, problems={text: 1}, validation={"success": False, "failed": [text], "uri": text}
        ),
        station("short", coverage=Coverage(9, 8)),
    ]
    rules = {
        "certificate.san.present": {
            "remediation": text,
            "citation": {"document": text, "url": "javascript:alert(1)"},
            "why": text,
            "unverified": True,
        }
    }
    return audits.with_manifest(
        audits.build([finding, waived], unknowns=unknown, stations=stations, not_evaluated={"tls.chain.complete": text}, rules_text=rules,
                     facts_unknown={text: text}, assets=[audits.asset("evil", owner=text, label=text, not_after=DAY)]),
        versions={"keymuster": text}, reference={text: text},
    )  # fmt: skip


@cache
def calm(name: str) -> tuple[str, ...]:
    """The elements of a page about harmless things."""
    return tuple(tag for tag, _ in Elements(page(context(hostile_audit("calm")), name)).tags)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_stays_text(name: str, kind: str) -> None:
    text = HOSTILE[kind]
    got = page(context(hostile_audit(text)), name)
    tags = Elements(got).tags
    assert tuple(tag for tag, _ in tags) == calm(name), "an element came from outside"
    assert not any(key.startswith("on") or key == "style" for _, attributes in tags for key in attributes)
    assert not any((attributes.get("href") or "").startswith("javascript") for _, attributes in tags)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", got)
    assert len(got) < 250_000


@pytest.mark.parametrize("name", NAMES)
def test_what_hides_is_shown(name: str) -> None:
    got = page(context(hostile_audit(HOSTILE["bidi"])), name)
    assert "paypal⟨U+202E⟩gnp.moc" in got


@pytest.mark.parametrize("name", NAMES)
def test_the_page_is_self_contained(name: str) -> None:
    got = page(context(sample(certificates=40)), name)
    tags = Elements(got).tags
    policy = next(a["content"] for tag, a in tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy")
    style = re.search("<style>(.*?)</style>", got, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    assert "url(http" not in style[1]
    assert "@import" not in style[1]
    assert not {"script", "iframe", "object", "embed", "form", "base"} & {tag for tag, _ in tags}
    assert not [a["src"] for _, a in tags if "src" in a]
    links = [a["href"] or "" for tag, a in tags if tag == "link"]
    assert links == ["data:,"]


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_unique_and_tables_have_captions(name: str) -> None:
    got = page(context(sample(as_of=DAY - timedelta(days=7)), sample()), name)
    ids = [a["id"] for _, a in Elements(got).tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert got.count("<table") == got.count("<caption")
    assert got.count("<svg class=") == got.count("<desc") + got.count('aria-hidden="true"><defs>')
    for target in re.findall('href="#([^"]+)"', got):
        assert target in ids


@pytest.mark.parametrize("name", NAMES)
def test_denominators_and_gaps_are_always_there(name: str) -> None:
    for result in (sample(certificates=30), audits.build(), audits.build(passes={"key.file.private": 2})):
        report = context(result)
        got = page(report, name)
        assert f"<b>{report.totals.verdicts:,}</b> verdicts on <b>{report.totals.assets:,}</b> assets" in got
        assert "What was not evaluated, and why" in got
        assert f"of {len(audits.RULES)} rules" in got
        assert "rules evaluated" in got


@pytest.mark.parametrize("name", NAMES)
def test_every_reason_is_named(name: str) -> None:
    got = page(context(sample()), name)
    for text in (
        "none of the stations delivers it",
        "quarantined by the gate",
        "connection timed out",
        "column not delivered by the source",
        "498 of 512 read",
    ):
        assert text in got


@pytest.mark.parametrize("name", NAMES)
def test_no_evidence_reads_no_evidence(name: str) -> None:
    empty = audits.build(stations=[station(state="absent", reason="unreachable")], not_evaluated=dict.fromkeys(audits.RULES, "no snapshot"))
    got = page(context(empty), name)
    assert '<h1><span class="dot"></span>No evidence</h1>' in got
    assert "No evidence is not a pass." in got
    assert "0 of 0 verdicts" in got
    assert "100 %" not in got


@pytest.mark.parametrize("name", NAMES)
def test_no_finding_is_told_with_its_denominators(name: str) -> None:
    got = page(context(audits.build(passes=dict.fromkeys(audits.RULES, 3), assets=[audits.asset("a")])), name)
    assert "No findings, and everything was evaluated" in got
    assert "Of 42 verdicts, 42 pass (100 %)" in got
    assert "Nothing was left out" in got


@pytest.mark.parametrize("kind", ["backfill", "what_if"])
def test_what_moved_no_ticket_says_so(kind: str) -> None:
    assert "It moved n" in page(context(sample(certificates=10, kind=kind)), "executive")


def test_large_rules_are_cut_and_counted() -> None:
    many = audits.build([failing("key.file.private", f"k{n}") for n in range(120)])
    got = page(context(many, shown=5), "technical")
    assert "The first 5 of 120 assets; 115 more in findings.csv" in got
    assert got.count("CN=k") < 60


def test_unverified_rules_say_why() -> None:
    got = page(context(audits.build([failing("certificate.renewal.on_time")])), "technical")
    assert "scaled thresholds are a tool default" in got
    assert '<span class="tag unverified">unverified</span>' in got


def test_a_misspelt_name_in_a_template_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (tmp_path / "_partials").mkdir()
    (tmp_path / "_partials" / "style.css").write_text("")
    folder.mkdir()
    mine = ReportTemplate("mine", "Mine", "", "", folder)
    for text, message in (
        ("{{ audit.totals.pased }}", "'pased'"),
        ("{% if audit.nothing %}", "report.html.j2"),
        ("{{ ''.__class__ }}", "__class__"),
    ):
        (folder / "report.html.j2").write_text(text)
        with pytest.raises(ContentError, match=f"report mine: .*{message}"):
            html.render(context(audits.build()), mine)


def test_templates_ask_for_nothing_unescaped() -> None:
    for path in content.reports().rglob("*.j2"):
        assert not re.search(r"\|\s*safe|autoescape|style=\"|<script", path.read_text("utf-8")), path.name


@pytest.mark.parametrize("name", NAMES)
def test_golden_page(name: str, golden: Callable[[str, str], None]) -> None:
    before, after = (sample(as_of=DAY - timedelta(days=7 * n), certificates=40, rate=1 + n / 4) for n in (1, 0))
    got = page(context(before, after), name)
    got = re.sub("<style>.*?</style>", "<style>…</style>", got, flags=re.DOTALL)
    golden(f"{name}.html", re.sub("sha256-[A-Za-z0-9+/=]+", "sha256-…", got))
