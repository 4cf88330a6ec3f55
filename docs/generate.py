"""Writes the pages that follow from the content: docs/rules.md, docs/frameworks.md and docs/sources.md.

python docs/generate.py           # write them
python docs/generate.py --check   # exit 1 if one of them is not what it should be (CI)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from keymuster import content, registry
from keymuster.frameworks import load_frameworks
from keymuster.rules_file import load_rules

HERE = Path(__file__).parent
NOTE = "<!-- written by docs/generate.py; change the content, not this page -->\n"


def cell(text: object) -> str:
    """One cell of a Markdown table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def table(head: str, rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """A Markdown table; `head` names the columns, separated by `|`."""
    yield f"| {head.replace('|', ' | ')} |"
    yield "|" + " --- |" * (head.count("|") + 1)
    yield from (f"| {' | '.join(map(cell, row))} |" for row in rows)


def rules_page() -> Iterator[str]:
    """Every rule by family: what it demands, of what, why, and how to mend a failure."""
    rules = load_rules(content.checks() / "rules")
    yield f"# Rules\n\n{len(rules)} rules. *unverified* marks a figure that no primary text was read for; the reason stands beside it.\n"
    for family, members in groupby(sorted(rules, key=lambda r: r.id), key=lambda r: r.id.split(".")[0]):
        yield f"\n## {family}\n"
        for rule in members:
            mark = f" — *unverified: {cell(rule.why)}*" if rule.unverified else ""
            yield f"\n### `{rule.id}`\n\n{cell(rule.title)} ({rule.code}, {rule.severity.label}){mark}\n\n{cell(rule.rationale)}\n"
            scope = " and ".join(f"`{c.in_words()}`" for c in rule.scope) or "every row"
            expect = " and ".join(f"`{_demand(c)}`" for c in rule.expect)
            yield f"* of `{rule.table}` where {scope}"
            yield f"* expects {expect}" + (f", by the date in `{rule.dated_by}`" if rule.dated_by else "")
            yield f"* source: [{cell(rule.citation.document)}, {cell(rule.citation.section)}]({rule.citation.url})"
            yield f"* mend: {cell(rule.remediation)}"


def _demand(clause: object) -> str:
    steps = getattr(clause, "steps", ())
    if not steps:
        return clause.in_words()  # type: ignore[attr-defined,no-any-return]  # a Clause
    return " / ".join(f"{clause.in_words(value)} from {since:%Y-%m-%d}" for since, value in steps)  # type: ignore[attr-defined]  # a Clause


def frameworks_page() -> Iterator[str]:
    """Every requirement: the rules that are evidence for it, or why it stays with people."""
    ids = [r.id for r in load_rules(content.checks() / "rules")]
    yield "# Frameworks\n\nA rule gives evidence about a requirement, not a proof of conformity.\n"
    for framework in load_frameworks(content.checks() / "frameworks", rules=ids):
        yield f"\n## {cell(framework.name)} {cell(framework.version)}\n\n{cell(framework.scope)}\n"
        rows = (
            (q.id, q.title + (" *(unverified)*" if q.unverified else ""), ", ".join(f"`{r}`" for r in q.rules) or "—", q.manual or "")
            for q in framework.requirements
        )
        yield from table("requirement|title|rules|stays with people because", rows)


def sources_page() -> Iterator[str]:
    """Every source: what it is for, its settings, what it can know."""
    yield "# Sources\n\nA station in the estate file names a source and its settings."
    yield "What a source does not deliver is unknown to the rules, never a pass.\n"
    for name in registry.listing("sources"):
        module = registry.load("sources", name)
        yield f"\n## `{name}`\n\n{(module.__doc__ or '').strip()}\n"
        fields = module.Settings.model_fields.items()
        yield from table("setting|default|meaning", ((f"`{n}`", _default(f), f.description) for n, f in fields))
        yield "\n" + "\n".join(f"* delivers `{t}`: {', '.join(sorted(columns))}" for t, columns in sorted(module.DELIVERS.items()))


def _default(field: object) -> str:
    if field.is_required():  # type: ignore[attr-defined]  # a pydantic FieldInfo
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})  # type: ignore[attr-defined]
    return "—" if value in (None, "", (), [], {}) else f"`{value}`"


PAGES = {"rules.md": rules_page, "frameworks.md": frameworks_page, "sources.md": sources_page}


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    options = parser.parse_args()
    stale = []
    for name, page in PAGES.items():
        text = NOTE + "\n".join(page()) + "\n"
        path = HERE / name
        if options.check and (not path.is_file() or path.read_text() != text):
            stale.append(name)
        elif not options.check:
            path.write_text(text)
    if stale:
        print(f"not as the content says: {', '.join(stale)}; run: python docs/generate.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
