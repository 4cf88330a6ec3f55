"""The ledger on SQLite and on PostgreSQL: each test runs on both."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from keymuster import ledger_database
from keymuster.errors import ConfigurationError, LedgerError
from keymuster.ledger import Ledger
from keymuster.ledger_schema import metadata
from keymuster.model import Coverage, Delta
from tests.audit_results import DAY, asset_of, build, failing, station

RULE = "key.file.private"
A, B, C = (failing(RULE, asset=name) for name in "abc")
NOTHING = Delta((), (), (), ())


def day(number: int):
    return DAY + timedelta(days=number)


def resolved(*rows) -> Delta:
    return Delta((), (), tuple(r["key"] for r in rows), ())


def unconfirmed(*rows) -> Delta:
    return Delta((), (), (), tuple(r["key"] for r in rows))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server("postgres"))])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger.db" if request.param == "sqlite" else request.getfixturevalue("postgres")


@pytest.fixture
def ledger(address: str) -> Iterator[Ledger]:
    ledger = Ledger(address).migrate()
    yield ledger
    ledger.close()


def states(ledger: Ledger) -> dict[str, str]:
    return {f.finding_key: f.state for f in ledger.findings("sample")}


def test_migrations_make_exactly_the_tables_of_the_schema(ledger: Ledger) -> None:
    ledger.migrate()
    with ledger._database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_head_is_the_newest_revision() -> None:
    folder = Path(ledger_database.__file__).with_name("migrations")
    assert ScriptDirectory(str(folder)).get_heads() == [ledger_database.HEAD]


def _migrate_and_record(address: str, results: multiprocessing.Queue) -> None:
    ledger = Ledger(address).migrate()
    results.put(ledger.record(build([A]), None))
    ledger.close()


def test_many_processes_migrate_and_record_at_once(address: str) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    workers = [context.Process(target=_migrate_and_record, args=(address, results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert sorted(results.get() for _ in workers) == [False, False, True]


def test_a_finding_is_seen_resolved_and_comes_back(ledger: Ledger) -> None:
    assert ledger.record(build([A, B]), None)
    assert ledger.record(build([A], as_of=day(1)), resolved(B))
    assert states(ledger) == {A["key"]: "open", B["key"]: "resolved"}
    assert ledger.record(build([A, B], as_of=day(2)), NOTHING)
    back = {f.finding_key: f for f in ledger.findings("sample", "open")}[B["key"]]
    assert (back.first_seen, back.open_since, back.last_seen, back.resolved_at, back.reopened) == (DAY, day(2), day(2), None, 1)
    assert ledger.first_seen([A["key"], B["key"], "no such key"]) == {A["key"]: DAY, B["key"]: DAY}
    assert ledger.open_since([B["key"]]) == {B["key"]: day(2)}


def test_severity_owner_and_stations_follow_the_audit(ledger: Ledger) -> None:
    ledger.record(build([A]), None)
    ledger.record(build([{**A, "severity": "critical", "owner": None, "stations": ["b", "a"], "outcome": "waived"}], as_of=day(1)), NOTHING)
    (found,) = ledger.findings("sample")
    assert (found.severity, found.owner, found.stations, found.state, found.reopened) == ("critical", None, ("a", "b"), "waived", 0)


def test_the_same_audit_twice_moves_nothing(ledger: Ledger) -> None:
    ledger.record(build([A]), None)
    before = ledger.findings("sample")
    assert not ledger.record(build([A]), None)
    assert ledger.findings("sample") == before
    assert len(ledger.history("sample")) == 1


@pytest.mark.parametrize("kind", ["backfill", "what_if"])
def test_only_live_audits_are_taken_in(ledger: Ledger, kind: str) -> None:
    assert not ledger.record(build([A], kind=kind), None)
    assert ledger.findings("sample") == ()
    assert ledger.last_audit("sample") is None


def test_an_older_audit_counts_but_moves_nothing(ledger: Ledger) -> None:
    ledger.record(build([A], as_of=day(5)), None)
    assert ledger.record(build([A, B], as_of=day(2)), resolved(A))
    assert states(ledger) == {A["key"]: "open"}
    assert [(a.as_of, a.counts["high"]) for a in ledger.history("sample")] == [(day(2), 2), (day(5), 1)]
    last = ledger.last_audit("sample")
    assert last is not None
    assert last.as_of == day(5)


def test_history_counts_by_severity_and_leaves_waived_ones_out(ledger: Ledger) -> None:
    ledger.record(build([A, {**B, "severity": "critical"}, {**C, "outcome": "waived"}]), None)
    (audit,) = ledger.history("sample")
    assert audit.counts == {"critical": 1, "high": 1, "medium": 0, "low": 0, "info": 0}
    assert audit.waived == 1


def test_estates_do_not_touch_each_other(ledger: Ledger) -> None:
    ledger.record(build([A]), None)
    ledger.record(build([A], estate="other", as_of=day(1)), None)
    ledger.record(build([], estate="other", as_of=day(2)), resolved(A))
    assert states(ledger) == {A["key"]: "open"}
    assert [f.state for f in ledger.findings("other")] == ["resolved"]


def test_unconfirmed_is_not_resolved_until_its_station_is_complete_again(ledger: Ledger) -> None:
    short = station(coverage=Coverage(expected=100, fetched=50))
    ledger.record(build([A]), None)
    ledger.record(build([], as_of=day(1), stations=[short]), unconfirmed(A))
    assert states(ledger) == {A["key"]: "unconfirmed"}
    ledger.record(build([], as_of=day(2), stations=[short]), NOTHING)
    assert states(ledger) == {A["key"]: "unconfirmed"}
    ledger.record(build([], as_of=day(3)), NOTHING)
    (found,) = ledger.findings("sample")
    assert (found.state, found.resolved_at) == ("resolved", day(3))


@pytest.mark.parametrize(
    "after",
    [
        build([], as_of=day(1), stations=[]),
        build([], as_of=day(1), stations=[station(state="stale", reason="quarantined")]),
        build([], as_of=day(1), assets=[asset_of(A)], not_evaluated={RULE: "the fact is unknown"}),
        build([], as_of=day(1), assets=[asset_of(A)], rules=["tls.version.modern_only"]),
        build(
            [],
            as_of=day(1),
            assets=[{**asset_of(A), "unknown_rules": [RULE]}],
            unknowns=[{"rule_id": RULE, "station": "shop-tls", "reason": "?", "assets": 1}],
        ),
    ],
    ids=["no station", "stale", "rule not evaluated", "rule gone", "perhaps unknown"],
)
def test_absence_that_proves_nothing(ledger: Ledger, after) -> None:
    ledger.record(build([A]), None)
    ledger.record(after, None)
    assert states(ledger) == {A["key"]: "unconfirmed"}


@pytest.mark.parametrize(
    "after",
    [build([], as_of=day(1), assets=[asset_of(A)]), build([], as_of=day(1), not_evaluated={RULE: "no station has rows of keys"})],
    ids=["it passes now", "it is gone, and nothing is left to judge"],
)
def test_absence_that_proves_that_it_is_mended(ledger: Ledger, after) -> None:
    ledger.record(build([A]), None)
    ledger.record(after, None)
    assert states(ledger) == {A["key"]: "resolved"}


def test_hostile_text_is_kept_as_it_is_but_for_nul(ledger: Ledger) -> None:
    text = "\\N\t'; DROP TABLE findings; --\n\\. ⟨\u202e\r\\"
    ledger.record(build([{**A, "owner": text}, {**B, "owner": "a\0b"}]), None)
    assert [f.owner for f in ledger.findings("sample")] == [text, "a\ufffdb"]


def test_no_database_there(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"Ledger\.migrate\(\)") as caught:
        Ledger(f"sqlite:///{tmp_path}/ledger.db").record(build([A]), None)
    assert caught.value.retryable
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match="folder cannot be made") as caught:
        Ledger(f"sqlite:///{tmp_path}/file/ledger.db").migrate()
    assert not caught.value.retryable
    (tmp_path / "ledger.db").write_text("this is not a database, but somebody's notes " * 50)
    with pytest.raises(LedgerError, match="not a database"):
        Ledger(f"sqlite:///{tmp_path}/ledger.db").migrate()


def test_no_server_there_and_the_password_is_not_shown() -> None:
    with pytest.raises(LedgerError) as caught:
        Ledger("postgresql+psycopg2://auditor:hunter2@127.0.0.1:9/ledger?password=hunter3").migrate()
    assert caught.value.retryable
    assert "auditor:***@127.0.0.1:9/ledger" in str(caught.value)
    assert "see that the server runs" in str(caught.value)
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize("address", ["", "not an address", "mysql://root:hunter2@host/db", "nosuch+driver://x"])
def test_an_address_that_is_not_understood(address: str) -> None:
    with pytest.raises(ConfigurationError, match=r"sqlite:///") as caught:
        Ledger(address)
    assert "hunter2" not in str(caught.value)


def test_a_database_of_a_newer_keymuster_is_left_alone(ledger: Ledger) -> None:
    with ledger._database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(LedgerError, match="install the newer") as caught:
        ledger.migrate()
    assert not caught.value.retryable


def test_a_lock_that_another_holds(address: str) -> None:
    one, two = Ledger(address).migrate(), Ledger(address)
    with (
        one.exclusive("files /x", 1),
        pytest.raises(LedgerError, match="another process has held its lock") as caught,
        two.exclusive("files /x", 0.2),
    ):
        pass
    assert caught.value.retryable
    with two.exclusive("files /x", 1):
        pass
    one.close()
    two.close()
