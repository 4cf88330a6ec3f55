"""The summary in a terminal of 80 columns."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta

from rich.console import Console

from keymuster.reporting import build
from keymuster.reporting_terminal import summary
from keymuster.results import AuditResult
from tests import audit_results as audits
from tests.audit_results import DAY, Shelf, failing, sample, station


def shown(*results: AuditResult, colour: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=colour, color_system="truecolor" if colour else None)
    console.print(summary(build(Shelf(*results), None, results[-1].uri)))
    return out.getvalue()


def test_fits_eighty_columns() -> None:
    before, after = sample(as_of=DAY - timedelta(days=7), rate=1.4), sample()
    text = shown(before, after)
    assert max(map(len, text.splitlines())) <= 80
    for part in ("By severity", "By framework", "Worst 5 of", "What was not evaluated, and why", "of 3,667 verdicts unknown"):
        assert part in text


def test_hostile_text_is_shown_and_not_obeyed() -> None:
    text = "\x1b[2J\x1b]8;;http://evil\x07[red]x[/red]\u202emoc\r" + "A" * 5000
    result = audits.build(
        [failing("key.file.private", "k", label=text, owner=text)], stations=[station(text, state="stale", reason=text)],
        not_evaluated={"tls.chain.complete": text}, unknowns=[{"rule_id": "key.file.private", "station": "a", "reason": text, "assets": 1}],
    )  # fmt: skip
    plain = shown(result)
    assert "[red]x[/red]" in plain
    assert not {"\x1b", "\x07", "\u202e", "\r"} & set(plain)
    assert len(plain.splitlines()) < 80
    assert "\x1b]8" not in shown(result, colour=True)
    assert "\x1b[2J" not in shown(result, colour=True)


def test_no_evidence_is_told() -> None:
    empty = audits.build(stations=[station(state="absent", reason="unreachable")], not_evaluated=dict.fromkeys(audits.RULES, "no snapshot"))
    text = shown(empty)
    assert "No evidence" in text
    assert "not a pass" in text
    assert "station shop-tls is absent: unreachable" in text
    assert "14 rules (certificate.ct.chrome_compliant, …): no snapshot" in text


def test_golden_summary(golden: Callable[[str, str], None]) -> None:
    before, after = (sample(as_of=DAY - timedelta(days=7 * n), certificates=60, rate=1 + n / 4) for n in (1, 0))
    golden("summary.txt", "\n".join(line.rstrip() for line in shown(before, after).splitlines()) + "\n")
