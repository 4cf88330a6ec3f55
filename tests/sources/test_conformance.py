"""Every source of the registry keeps the contract of a source (see conformance.py)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from pydantic import SecretStr
from tests.sources import conformance as kit

from keymuster import registry
from keymuster.model import Coverage, Problem, Record
from keymuster.normalise import normalise
from keymuster.schema import tables

NAMES = registry.listing("sources")


def with_servers(name: str) -> Any:
    return pytest.param(name, marks=[pytest.mark.server(server) for server in kit.servers_of(name)])


@pytest.fixture(scope="module", params=[with_servers(name) for name in NAMES])
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[kit.Played]:
    module = registry.load("sources", request.param)
    with kit.open_case(request.param, tmp_path_factory.mktemp(request.param), request) as case:
        yield kit.Played(request.param, case, module, list(module.collect(case.settings)), list(module.collect(case.settings)))


@pytest.fixture(params=NAMES)
def module(request: pytest.FixtureRequest) -> Any:
    return registry.load("sources", request.param)


def mentions_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(mentions_secret(a) for a in get_args(annotation))


def test_settings_are_frozen_closed_and_documented(module: Any) -> None:
    config, fields = module.Settings.model_config, module.Settings.model_fields
    assert config.get("frozen") is True
    assert config.get("extra") == "forbid", "a typo in the estate file must not pass silently"
    assert [name for name, f in fields.items() if not f.description] == []


def test_secrets_are_secret_strings(module: Any) -> None:
    secret = re.compile(r"(^|_)(passwords?|passphrases?|tokens?|secrets?|secret_\w+|api_key)$")
    bare = [n for n, f in module.Settings.model_fields.items() if secret.search(n) and not mentions_secret(f.annotation)]
    assert bare == []


def test_delivers_only_columns_that_a_source_can_know(module: Any) -> None:
    assert module.DELIVERS, "a source that delivers nothing is none"
    for table, columns in module.DELIVERS.items():
        assert isinstance(columns, frozenset)
        assert table in tables()
        assert columns - kit.deliverable(table) == frozenset(), f"{table}: not of origin source"


def test_module_says_what_it_is_for(module: Any) -> None:
    assert module.__doc__
    assert module.collect.__doc__


def test_exactly_one_coverage_and_it_is_last(played: kit.Played) -> None:
    assert [i for i, item in enumerate(played.items) if isinstance(item, Coverage)] == [len(played.items) - 1]


def test_the_example_gives_the_expected_tables(played: kit.Played) -> None:
    rows = Counter(r.table for r in played.records)
    assert set(played.case.expects) == set(played.module.DELIVERS), "the case names every table of DELIVERS"
    assert {t: n for t, n in played.case.expects.items() if rows[t] < n} == {}, f"rows: {rows}, problems: {played.problems[:5]}"


def test_rows_only_of_delivered_tables_and_columns(played: kit.Played) -> None:
    stray = {
        (r.table, c) for r in played.records for c in r.attributes if c != "asset_id" and c not in played.module.DELIVERS.get(r.table, ())
    }
    assert stray == set()
    assert {r.table for r in played.records} <= set(played.module.DELIVERS)


def test_values_have_the_type_of_their_column(played: kit.Played) -> None:
    wrong = [kit.wrong_type(r.table, c, v) for r in played.records for c, v in r.attributes.items() if v is not None]
    assert [w for w in wrong if w] == []


def test_every_text_can_be_written_as_utf8(played: kit.Played) -> None:
    for item in (*played.records, *played.problems):
        for text in kit.texts(item):
            text.encode("utf-8")  # a file name in another encoding would break the snapshot otherwise


def test_table_and_locator_are_unique(played: kit.Played) -> None:
    counts = Counter((r.table, r.locator) for r in played.records)
    assert {k: n for k, n in counts.items() if n > 1} == {}
    assert all(r.locator for r in played.records)


def test_problems_are_coded_and_short(played: kit.Played) -> None:
    for problem in played.problems:
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)+", problem.code)
        assert 0 < len(problem.detail) <= 500
        assert "Traceback" not in problem.detail


def test_coverage_adds_up(played: kit.Played) -> None:
    coverage = played.coverage
    assert coverage.fetched > 0
    assert coverage.refused >= 0
    if coverage.complete:
        assert [p for p in played.problems if p.locator is None] == [], "a listing that fell short is not complete"
    assert coverage.complete is played.case.complete, f"{coverage}, {played.problems[:5]}"


def test_no_private_key_and_no_password_leaves(played: kit.Played) -> None:
    assert kit.leaks(played.items, played.case) == []


def test_hostile_text_arrives_unharmed(played: kit.Played) -> None:
    hostile = played.case.hostile
    if isinstance(hostile, bytes):
        assert hostile in {r.der for r in played.records}
    elif hostile is not None:
        assert any(hostile in text for r in played.records for text in kit.texts(r))


def test_a_listing_that_falls_short_is_noticed(played: kit.Played) -> None:
    assert played.case.short is not None, "a case needs settings under which something is missing"
    items = list(played.module.collect(played.case.short))
    last = items[-1]
    assert isinstance(last, Coverage)
    assert not last.complete
    assert any(isinstance(i, Problem) for i in items), "what is missing is said"


def test_collecting_again_gives_the_same(played: kit.Played) -> None:
    def plain(items: Any) -> list[tuple[str, str, bytes, str]]:
        return sorted((r.table, r.locator, r.der or b"", repr(sorted(r.attributes.items()))) for r in items if isinstance(r, Record))

    if played.case.repeatable:
        assert plain(played.items) == plain(played.again)


def test_the_normaliser_takes_everything(played: kit.Played) -> None:
    as_of = datetime(2026, 11, 23, tzinfo=UTC)
    made = normalise(played.items, station="it", source=played.name, as_of=as_of, delivers=played.module.DELIVERS)
    ours = {p.code for p in made.problems} - {p.code for p in played.problems}
    assert ours & {"attribute_unknown", "attribute_invalid", "locator_duplicate", "table_unknown", "coverage_missing"} == set()
    assert {t: made.tables[t].num_rows for t in played.case.expects if made.tables[t].num_rows < played.case.expects[t]} == {}
    for name, table in made.tables.items():
        assert table["asset_id"].null_count == 0, f"a row of {name} has no identity"


def test_every_case_belongs_to_a_source() -> None:
    assert sorted({p.stem for p in (kit.case_file("x").parent).glob("*.py")} - set(NAMES)) == []
