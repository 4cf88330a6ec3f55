"""From a source's stream to the rows of a snapshot."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from keymuster.model import Coverage, Problem, Record
from keymuster.normalise import Normalised, authority_asset_id, normalise, parse_certificate
from keymuster.schema import tables
from keymuster.x509 import SCHEMA
from tests.certificates import Builder, authority, ec_key, spki

AS_OF = datetime(2026, 11, 23, tzinfo=UTC)
ROOT = authority("Root")
LEAF = Builder("www.example.com").dns("www.example.com").issue(ROOT)
KEY = spki(ec_key("key").public_key())
ONE = Coverage(None, 1)


def run(*items: Record | Problem | Coverage, coverage: Coverage | None = ONE, cache: Any = None, **delivers: Iterable[str]) -> Normalised:
    """Normalise a short stream of a station named `station`."""
    stream = [*items, *([coverage] if coverage else [])]
    return normalise(stream, station="station", source="files", as_of=AS_OF, delivers=delivers, cache=cache)


def certificate(locator: str, der: bytes = LEAF.der, **attributes: Any) -> Record:
    return Record("certificates", locator, der, attributes)


def codes(result: Normalised) -> list[str]:
    return [p.code for p in result.problems]


def test_a_certificate_gets_its_columns_its_identity_and_its_place() -> None:
    result = run(certificate("/etc/a.pem", role="installed"))
    (row,) = result.tables["certificates"].to_pylist()
    assert result.tables["certificates"].schema == tables()["certificates"].stored()
    assert {c: row[c] for c in parse_certificate(LEAF.der)} == parse_certificate(LEAF.der)
    assert (row["asset_id"], row["station"], row["locator"], row["role"]) == (LEAF.fingerprint, "station", "/etc/a.pem", "installed")
    assert row["observed_at"] == AS_OF
    assert result.ders == {LEAF.fingerprint: LEAF.der}
    assert not result.problems


def test_observed_at_of_the_source_wins_and_is_utc() -> None:
    seen = datetime(2026, 11, 22, 12, tzinfo=timezone(timedelta(hours=2)))
    (row,) = run(certificate("a", observed_at=seen)).tables["certificates"].to_pylist()
    assert row["observed_at"] == seen


def test_one_der_in_many_places_is_parsed_once() -> None:
    result = run(*(certificate(f"/{i}") for i in range(9)))
    assert result.tables["certificates"].num_rows == 9
    assert result.parsed == 1


def test_delivers_names_parsed_columns_of_tables_seen_or_declared() -> None:
    result = run(certificate("a"), certificates=["role"], keys=["kind"])
    assert {"role", "subject", "asset_id", "station", "locator", "observed_at"} <= result.delivers["certificates"]
    assert "revocation_status" not in result.delivers["certificates"]
    assert {"kind", "key_bits"} <= result.delivers["keys"]
    assert result.tables["keys"].num_rows == 0
    assert result.delivers["stations"] >= {"kind", "collected_count"}


def test_the_stations_row_shows_the_denominator() -> None:
    result = run(certificate("a"), certificate("b", b"junk"), coverage=Coverage(5, 3, 2))
    (row,) = result.tables["stations"].to_pylist()
    assert (row["kind"], row["last_success_at"], row["asset_id"]) == ("files", AS_OF, "station")
    assert (row["expected_count"], row["collected_count"], row["refused_count"], row["is_listing_complete"]) == (5, 2, 3, True)
    cut = run(certificate("a"), coverage=Coverage(None, 1, truncated=True))
    assert cut.tables["stations"]["is_listing_complete"].to_pylist() == [False]
    short = run(certificate("a"), coverage=Coverage(9, 1))
    assert short.tables["stations"]["is_listing_complete"].to_pylist() == [False]


def test_an_unparsable_certificate_is_kept_out_and_counted_and_the_rest_goes_on() -> None:
    result = run(certificate("good"), certificate("bad", LEAF.der[:-1]), certificate("none", None), coverage=Coverage(3, 3))  # type: ignore[arg-type]
    assert result.tables["certificates"]["locator"].to_pylist() == ["good"]
    assert [(p.code, p.locator) for p in result.problems] == [("certificate_unparsable", "bad"), ("certificate_unparsable", "none")]
    assert result.coverage == Coverage(3, 1, 2)
    assert not result.coverage.complete, "what could not be read may be anything"
    assert list(result.ders) == [LEAF.fingerprint]


UNPARSABLE = {
    "keys": "key_unparsable",
    "ssh_keys": "key_unparsable",
    "authorities": "authority_unparsable",
    "revocation_services": "crl_unparsable",
}


@pytest.mark.parametrize(("table", "code"), UNPARSABLE.items())
def test_every_signed_or_keyed_table_survives_noise(table: str, code: str) -> None:
    result = run(Record(table, "x", b"noise"))
    assert codes(result) == [code]
    assert result.tables[table].num_rows == 0


def test_a_place_given_twice_is_a_problem_and_the_first_counts() -> None:
    other = Builder("other").issue(ROOT)
    result = run(certificate("a"), certificate("a", other.der), Record("keys", "a", KEY))
    assert codes(result) == ["locator_duplicate"]
    assert result.tables["certificates"]["asset_id"].to_pylist() == [LEAF.fingerprint]
    assert result.tables["keys"].num_rows == 1, "another table may have the same place"


def test_what_the_vocabulary_does_not_know_is_a_problem_never_a_silence() -> None:
    result = run(Record("certs", "a", LEAF.der), certificate("b", rolle="x", is_live=True), certificate("c", incident_case="many"))
    assert codes(result) == ["attribute_invalid", "attribute_unknown", "attribute_unknown", "table_unknown"]
    assert result.tables["certificates"].num_rows == 2
    assert result.tables["certificates"]["incident_case"].null_count == 2


def test_a_source_that_ends_without_coverage_proves_nothing() -> None:
    result = run(certificate("a"), coverage=None)
    assert codes(result) == ["coverage_missing"]
    assert not result.coverage.complete


def test_problems_of_the_source_arrive() -> None:
    problem = Problem("file_unreadable", "/root/x", "permission denied")
    assert run(problem).problems == (problem,)


def test_private_keys_are_not_stored() -> None:
    private = ec_key("secret")
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    records = [
        Record("keys", "1", der),
        Record("ssh_keys", "2", der),
        certificate("3", der),
        certificate("4", role=pem),
        Record("keys", "5", None, {"provider": pem}),
    ]
    result = run(*records)
    scalar = private.private_numbers().private_value.to_bytes(32, "big")
    everything = repr([t.to_pylist() for t in result.tables.values()]) + repr(result.problems) + repr(result.ders)
    assert "PRIVATE KEY" not in everything
    assert repr(scalar)[2:-1] not in everything
    assert codes(result) == ["certificate_unparsable", "key_unparsable", "key_unparsable", "private_key_withheld", "private_key_withheld"]


def test_identities() -> None:
    url = "http://crl.example/a.crl"
    result = run(
        Record("keys", "k", KEY), Record("keys", "no public part", None, {"kind": "private"}), Record("authorities", "ca", ROOT.der),
        Record("endpoints", "192.0.2.1:443", None, {"protocol": "https", "server_name": "a.example"}),
        Record("domains", "WWW.Example", None),
        Record("revocation_services", url, None, {"kind": "crl"}), Record("principals", "alice", None, {"asset_id": "urn:aws:1:AIDA"}),
        Record("principals", "bob", None), Record("attestations", "review-1", None),
        Record("events", "1", None, {"action": "sign", "actor": "a", "subject": "k"}), Record("ssh_keys", "h", KEY, {"kind": "host"}),
        Record("ssh_keys", "s", KEY, {"kind": "host", "asset_id": "given"}),
    )  # fmt: skip
    ids = {(name, row["locator"]): row["asset_id"] for name, table in result.tables.items() for row in table.to_pylist()}
    assert ids["keys", "k"] == hashlib.sha256(KEY).hexdigest()
    assert ids["keys", "no public part"] == "urn:station:no public part"
    assert ids["authorities", "ca"] == authority_asset_id(ROOT.der)
    assert ids["endpoints", "192.0.2.1:443"] == "https://192.0.2.1:443#a.example"
    assert ids["domains", "WWW.Example"] == "www.example"
    assert ids["revocation_services", url] == hashlib.sha256(url.encode()).hexdigest()
    assert (ids["principals", "alice"], ids["principals", "bob"]) == ("urn:aws:1:AIDA", "urn:station:bob")
    assert ids["attestations", "review-1"] == "review-1"
    assert ids["events", "1"] == hashlib.sha256(b"sign\na\nk").hexdigest()
    assert ids["ssh_keys", "h"].startswith("SHA256:")
    assert ids["ssh_keys", "h"].endswith(":host")
    assert ids["ssh_keys", "s"] == "given"
    assert result.ders.keys() == {hashlib.sha256(KEY).hexdigest(), ROOT.fingerprint}


def test_a_source_cannot_talk_a_certificate_into_another_identity() -> None:
    (row,) = run(certificate("a", asset_id="0" * 64, subject="CN=liar")).tables["certificates"].to_pylist()
    assert row["asset_id"] == LEAF.fingerprint
    assert row["subject"] == "CN=www.example.com"


def test_an_ssh_source_knows_the_ssh_name_of_a_key() -> None:
    (row,) = (
        run(Record("ssh_keys", "h", KEY, {"kind": "host", "key_algorithm": "ssh-dss", "options": ["from"]})).tables["ssh_keys"].to_pylist()
    )
    assert (row["key_algorithm"], row["key_curve"], row["options"]) == ("ssh-dss", "P-256", ["from"])


def test_names_that_are_no_utf_8_stay_apart() -> None:
    result = run(certificate("/tmp/\udc80"), certificate("/tmp/\udc81"), certificate("ok", role="x\udcff"))
    assert result.tables["certificates"]["locator"].to_pylist() == ["/tmp/\\udc80", "/tmp/\\udc81", "ok"]
    assert not result.problems


class Memory:
    """A parse memory that lives in a dict and counts."""

    def __init__(self) -> None:
        self.rows: pa.Table = SCHEMA.empty_table()
        self.asked = 0

    def parsed(self, fingerprints: Iterable[str]) -> pa.Table:
        self.asked += 1
        wanted = set(fingerprints)
        return self.rows.filter(pa.array([k in wanted for k in self.rows["asset_id"].to_pylist()], pa.bool_()))

    def remember(self, rows: pa.Table) -> None:
        self.rows = pa.concat_tables([self.rows, rows])


def test_what_was_parsed_once_is_not_parsed_again_and_reads_the_same() -> None:
    memory = Memory()
    records = [certificate("a", role="served"), Record("authorities", "ca", ROOT.der)]
    first, second = run(*records, cache=memory), run(*records, cache=memory)
    assert (first.parsed, second.parsed, memory.asked) == (2, 0, 2)
    assert all(first.tables[name].equals(second.tables[name]) for name in first.tables)
    third = run(*records, certificate("new", Builder("new").issue(ROOT).der), cache=memory)
    assert third.parsed == 1


COLUMNS = ["role", "kind", "asset_id", "observed_at", "actions", "count", "subject"]
values = st.one_of(st.none(), st.text(max_size=9), st.integers(), st.booleans(), st.lists(st.text(max_size=3), max_size=3),
                   st.binary(max_size=4),
                   st.floats(), st.datetimes(), st.dictionaries(st.text(max_size=2), st.integers(), max_size=2))  # fmt: skip
records = st.builds(
    Record,
    st.one_of(st.sampled_from(sorted(tables())), st.text(max_size=5)),
    st.text(max_size=5),
    st.one_of(st.none(), st.binary(max_size=30), st.sampled_from([LEAF.der, ROOT.der, KEY])),
    st.dictionaries(st.one_of(st.sampled_from(COLUMNS), st.text(max_size=4)), values, max_size=4),
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(st.lists(records, max_size=8))
def test_no_record_whatever_ends_the_run_and_none_is_lost_in_silence(items: list[Record]) -> None:
    result = run(*items, coverage=Coverage(None, len(items)))
    rows = sum(t.num_rows for name, t in result.tables.items()) - 1
    left_out = [p for p in result.problems if p.code.endswith("_unparsable") or p.code in ("locator_duplicate", "table_unknown")]
    assert rows <= len(items)
    assert rows == len(items) or left_out
    for name, table in result.tables.items():
        assert table.schema == tables()[name].stored()
        assert table["asset_id"].null_count == 0
