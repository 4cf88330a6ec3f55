"""The CFSSL source against real CFSSL databases, in SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

import pytest
from cryptography import x509
from sqlalchemy import create_engine, make_url, text
from tests.certificates import Builder, authority
from tests.servers.cfssl import TABLES, start_cfssl

from keymuster.errors import BadAnswer, Refused, Unreachable
from keymuster.model import Coverage, Problem, Record
from keymuster.normalise import normalise
from keymuster.sources.cfssl import DELIVERS, Settings, collect


def of(items, table):
    return [i for i in items if isinstance(i, Record) and i.table == table]


def problems(items):
    return [(i.code, i.locator) for i in items if isinstance(i, Problem)]


def play(database):
    return list(collect(Settings(database=database)))


@pytest.fixture(params=["sqlite", "postgres"])
def ca(request, tmp_path):
    database = request.getfixturevalue("postgres") if request.param == "postgres" else None
    with start_cfssl(tmp_path / "ca", database) as server:
        yield server


@pytest.mark.server("cfssl")
def test_issued_and_revoked_certificates(ca):
    kept, stolen, old = (x509.load_pem_x509_certificate(ca.issue(f"{n}.lab.test").encode()) for n in ("kept", "stolen", "old"))
    ca.revoke(stolen.serial_number)
    ca.revoke(old.serial_number, "superseded")
    items = play(ca.database)
    rows = {r.locator: r for r in of(items, "certificates")}
    assert set(rows) == {f"{c.serial_number:x}" for c in (kept, stolen, old)}
    good = rows[f"{kept.serial_number:x}"]
    assert good.attributes == {"role": "issued", "revocation_status": "good", "revoked_at": None}, "0001-01-01 is no revocation date"
    assert x509.load_der_x509_certificate(good.der) == kept
    taken = rows[f"{stolen.serial_number:x}"].attributes
    assert taken["revocation_status"] == "revoked_key_compromise"
    assert taken["revoked_at"].tzinfo is UTC
    assert abs((taken["revoked_at"] - kept.not_valid_before_utc).total_seconds()) < 3600, "read in the right time zone"
    assert rows[f"{old.serial_number:x}"].attributes["revocation_status"] == "revoked"
    assert items[-1] == Coverage(expected=3, fetched=3)
    assert {r.attributes["issued_at"] for r in of(items, "issuances")} >= {kept.not_valid_before_utc}


@pytest.mark.server("cfssl")
def test_issuances_join_to_the_authority_that_signed(cfssl):
    cfssl.issue("a.lab.test")
    items = list(collect(Settings(database=cfssl.database, ca_certificates=(cfssl.ca,))))
    made = normalise(items, station="s", source="cfssl", as_of=datetime(2026, 11, 23, tzinfo=UTC), delivers=DELIVERS)
    assert made.tables["issuances"]["authority_asset_id"].to_pylist() == made.tables["authorities"]["asset_id"].to_pylist()
    assert made.tables["issuances"]["certificate_asset_id"].to_pylist() == made.tables["certificates"]["asset_id"].to_pylist()


def test_a_missing_ca_file_is_a_problem(tmp_path):
    address = database(tmp_path)
    items = list(collect(Settings(database=address, ca_certificates=(tmp_path / "none.pem",))))
    assert problems(items) == [("authority_unreadable", str(tmp_path / "none.pem"))]


@pytest.mark.server("cfssl")
def test_an_empty_database_is_complete_and_empty(cfssl):
    assert play(cfssl.database) == [Coverage(expected=0, fetched=0)]


def database(tmp_path, *rows, columns=""):
    path = tmp_path / "certs.db"
    with sqlite3.connect(path) as connection:
        for statement in TABLES.format(blob="blob", time="timestamp").split(";"):
            connection.execute(statement)
        if columns:
            connection.execute(f"ALTER TABLE certificates ADD COLUMN {columns}")
        for row in rows:
            connection.execute(f"INSERT INTO certificates VALUES ({','.join('?' * len(row))})", row)  # noqa: S608
    return f"sqlite:///{path}"


def row(serial, pem, *, aki="", label="", status="good", reason=0, revoked="0001-01-01 00:00:00+00:00"):
    return (serial, aki, label, status, reason, "2027-01-01 00:00:00+00:00", revoked, pem)


LEAF = Builder("a.lab.test").issue(authority())
SERIAL = x509.load_der_x509_certificate(LEAF.der).serial_number


def test_bytes_and_text_columns_read_the_same(tmp_path):
    (tmp_path / "text").mkdir()
    as_text = database(tmp_path / "text", row(str(SERIAL), LEAF.pem))
    as_bytes = database(tmp_path, row(str(SERIAL).encode(), LEAF.pem.encode(), aki=b"", status=b"good"))
    assert play(as_text) == play(as_bytes)


def test_rows_of_two_authorities_do_not_collide(tmp_path):
    items = play(database(tmp_path, row("5", LEAF.pem, aki="aa"), row("5", LEAF.pem, aki="bb")))
    assert [r.locator for r in of(items, "certificates")] == ["aa/5", "bb/5"]
    assert len({r.attributes["asset_id"] for r in of(items, "issuances")}) == 2


def test_the_issue_date_of_newer_versions_is_used(tmp_path):
    items = play(database(tmp_path, (*row(str(SERIAL), LEAF.pem), "2026-05-01 10:00:00+02:00"), columns="issued_at timestamp"))
    assert of(items, "issuances")[0].attributes["issued_at"] == datetime(2026, 5, 1, 8, tzinfo=UTC)


def test_a_row_without_certificate_is_counted_as_refused(tmp_path):
    items = play(database(tmp_path, row("7", "gone"), row(str(SERIAL), LEAF.pem)))
    assert problems(items) == [("certificate_unreadable", "7")]
    assert items[-1] == Coverage(expected=2, fetched=1, refused=1)
    assert not items[-1].complete


def test_a_certificate_under_a_strange_serial_is_a_problem(tmp_path):
    items = play(database(tmp_path, row("7", LEAF.pem)))
    assert problems(items) == [("serial_mismatch", "7")]
    assert len(of(items, "certificates")) == 1


def test_a_strange_status_is_unknown_not_good(tmp_path):
    items = play(database(tmp_path, row(str(SERIAL), LEAF.pem, status="limbo")))
    assert of(items, "certificates")[0].attributes["revocation_status"] is None
    assert problems(items) == [("revocation_status_unknown", f"{SERIAL:x}")]


def test_a_key_in_the_row_does_not_leave(tmp_path):
    items = play(database(tmp_path, row(str(SERIAL), LEAF.private_pem + LEAF.pem)))
    assert of(items, "certificates")[0].der == LEAF.der
    assert "PRIVATE" not in repr(items)


@pytest.mark.server("postgres")
def test_rows_hidden_by_row_security_are_noticed(postgres):
    engine = create_engine(postgres)
    with engine.begin() as connection:
        for statement in TABLES.format(blob="bytea", time="timestamptz").split(";"):
            connection.execute(text(statement))
        for serial, label in ((str(SERIAL), "mine"), ("7", "theirs")):
            values = {"serial": serial.encode(), "label": label.encode(), "pem": LEAF.pem.encode()}
            insert = "INSERT INTO certificates VALUES (:serial, '', :label, 'good', 0, now(), null, :pem)"
            connection.execute(text(insert), values)
        for statement in (
            "DROP ROLE IF EXISTS keymuster_reader",
            "CREATE ROLE keymuster_reader LOGIN",
            "GRANT SELECT ON certificates TO keymuster_reader",
            "ALTER TABLE certificates ENABLE ROW LEVEL SECURITY",
            "CREATE POLICY mine ON certificates USING (ca_label = 'mine'::bytea)",
        ):
            connection.execute(text(statement))
    items = play(make_url(postgres).set(username="keymuster_reader").render_as_string(hide_password=False))
    with engine.begin() as connection:
        connection.execute(text("DROP OWNED BY keymuster_reader"))
        connection.execute(text("DROP ROLE keymuster_reader"))
    engine.dispose()
    assert len(of(items, "certificates")) == 1
    assert ("rows_hidden", None) in problems(items)
    assert items[-1].truncated


@pytest.mark.server("postgres")
def test_an_account_without_rights_is_refused(postgres):
    engine = create_engine(postgres)
    with engine.begin() as connection:
        for statement in TABLES.format(blob="bytea", time="timestamptz").split(";"):
            connection.execute(text(statement))
        connection.execute(text("DROP ROLE IF EXISTS keymuster_nobody"))
        connection.execute(text("CREATE ROLE keymuster_nobody LOGIN"))
    with pytest.raises(Refused, match="permission denied"):
        play(make_url(postgres).set(username="keymuster_nobody").render_as_string(hide_password=False))
    with engine.begin() as connection:
        connection.execute(text("DROP ROLE keymuster_nobody"))
    engine.dispose()


@pytest.mark.server("postgres")
def test_a_wrong_password_is_refused(postgres):
    engine = create_engine(postgres)
    with engine.begin() as connection:
        connection.execute(text("DROP ROLE IF EXISTS keymuster_with_password"))
        connection.execute(text("CREATE ROLE keymuster_with_password LOGIN PASSWORD 'right'"))
    with pytest.raises(Refused, match="password authentication failed") as caught:
        play(make_url(postgres).set(username="keymuster_with_password", password="hunter2").render_as_string(hide_password=False))
    assert "hunter2" not in str(caught.value)
    with engine.begin() as connection:
        connection.execute(text("DROP ROLE keymuster_with_password"))
    engine.dispose()


def test_a_missing_file_is_unreachable_and_not_made(tmp_path):
    with pytest.raises(Unreachable, match="no database file"):
        play(f"sqlite:///{tmp_path}/none.db")
    assert not (tmp_path / "none.db").exists()


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "x.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(BadAnswer, match="not a database"):
        play(f"sqlite:///{tmp_path}/x.db")


def test_a_database_without_the_table(tmp_path):
    sqlite3.connect(tmp_path / "x.db").execute("CREATE TABLE t (i int)").close()
    with pytest.raises(BadAnswer, match="has no serial_number"):
        play(f"sqlite:///{tmp_path}/x.db")


@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("postgresql+psycopg2://reader:hunter2@127.0.0.1:1/cfssl", Unreachable),
        ("mysql://reader:hunter2@127.0.0.1/cfssl", BadAnswer),
        ("reader:hunter2", BadAnswer),
        ("nosuch+dialect://reader:hunter2@h/x", BadAnswer),
    ],
)
def test_no_message_holds_the_password(address, error):
    with pytest.raises(error) as caught:
        play(address)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(Settings(database=address))
