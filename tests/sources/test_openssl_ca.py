"""The source `openssl_ca` against a CA that `openssl ca` runs, and against recorded databases."""

from __future__ import annotations

import hashlib
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.sources.openssl_lab import Lab

from keymuster.errors import BadAnswer, Unreachable
from keymuster.model import Coverage, Problem, Record
from keymuster.sources import _ca_index, openssl_ca
from keymuster.x509 import authority_asset_id

RECORDINGS = Path(__file__).with_name("recordings")


def run(folder: Path) -> tuple[dict[tuple[str, str], Record], list[Problem], Coverage]:
    items = list(openssl_ca.collect(openssl_ca.Settings(folder=folder)))
    records = {(r.table, r.locator): r for r in items if isinstance(r, Record)}
    return records, [i for i in items if isinstance(i, Problem)], items[-1]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A CA with every trap: reasons, far future, escapes, an expired certificate before and after -updatedb."""
    lab = Lab.make(tmp_path_factory.mktemp("lab") / "ca")
    lab.issue("/CN=good.example.com/O=Lab")
    lab.issue("/CN=old.example.com", "-startdate", "20200101000000Z", "-enddate", "20200401000000Z")
    lab.issue("/CN=far.example.com", "-enddate", "20600101000000Z")
    lab.issue("/CN=\u00fcml\u00e4ut.example.com")
    for reason in (["-crl_reason", "superseded"], ["-crl_hold", "holdInstructionReject"], ["-crl_compromise", "20261101000000Z"]):
        lab.revoke(lab.issue(f"/CN={reason[0]}.example.com"), *reason)
    lab.publish()
    return lab


@pytest.fixture
def lab(made: Lab, tmp_path: Path) -> Lab:
    """A copy to change; the configuration keeps pointing to the original, so only files are changed."""
    shutil.copytree(made.folder, tmp_path / "ca")
    return Lab(tmp_path / "ca")


def test_every_row_has_its_certificate_and_its_authority(lab: Lab) -> None:
    records, problems, coverage = run(lab.folder)
    assert problems == []
    assert coverage == Coverage(7, 7)
    ca = x509.load_pem_x509_certificate((lab.folder / "ca.pem").read_bytes()).public_bytes(Encoding.DER)
    for number in range(0x1000, 0x1007):
        der = lab.certificate(f"{number:X}").public_bytes(Encoding.DER)
        assert records["issuances", f"{number:x}"].attributes == {
            "authority_asset_id": authority_asset_id(ca),
            "certificate_asset_id": hashlib.sha256(der).hexdigest(),
        }
        assert records["certificates", f"newcerts/{number:X}.pem"].der == der
    assert records["authorities", "ca.pem"].der == ca
    assert records["authorities", "ca.pem"].attributes == {"kind": "root"}


def test_revocation_by_the_verified_list(lab: Lab) -> None:
    records, _, _ = run(lab.folder)
    crl = x509.load_pem_x509_crl((lab.folder / "crl.pem").read_bytes())
    found = {n: records["certificates", f"newcerts/{n}.pem"].attributes for n in ("1000", "1004", "1005", "1006")}
    assert [a["revocation_status"] for a in found.values()] == ["good", "revoked", "revoked", "revoked_key_compromise"]
    assert {a["revocation_checked_at"] for a in found.values()} == {crl.last_update_utc}
    entry = crl.get_revoked_certificate_by_serial_number(0x1004)
    assert entry is not None
    assert found["1004"]["revoked_at"] == entry.revocation_date_utc
    assert "revoked_at" not in found["1000"]
    assert records["revocation_services", "crl.pem"].der == crl.public_bytes(Encoding.DER)


def test_without_list_the_index_alone_speaks(lab: Lab) -> None:
    (lab.folder / "crl.pem").unlink()
    records, problems, _ = run(lab.folder)
    assert problems == []
    assert "revocation_status" not in records["certificates", "newcerts/1000.pem"].attributes
    assert records["certificates", "newcerts/1004.pem"].attributes["revocation_status"] == "revoked"
    assert records["certificates", "newcerts/1006.pem"].attributes["revocation_status"] == "revoked_key_compromise"


def test_a_list_of_somebody_else_proves_nothing(lab: Lab, tmp_path: Path) -> None:
    other = Lab.make(tmp_path / "other")
    other.publish()
    shutil.copy(other.folder / "crl.pem", lab.folder / "crl.pem")
    records, problems, coverage = run(lab.folder)
    assert [p.code for p in problems] == ["crl_unverified"], "same name, another key"
    assert "revocation_status" not in records["certificates", "newcerts/1000.pem"].attributes
    assert not coverage.complete


def test_a_revocation_that_the_list_does_not_have_is_told(lab: Lab) -> None:
    index = lab.folder / "index.txt"
    first, rest = index.read_text().split("\n", 1)
    index.write_text(first.replace("V\t", "R\t").replace("Z\t\t", "Z\t270101000000Z,keyCompromise\t") + "\n" + rest)
    records, problems, coverage = run(lab.folder)
    assert [p.code for p in problems] == ["revocation_unpublished"]
    got = records["certificates", "newcerts/1000.pem"].attributes
    assert (got["revocation_status"], got["revoked_at"]) == ("revoked_key_compromise", datetime(2027, 1, 1, tzinfo=UTC))
    assert coverage.complete


def test_a_missing_certificate_is_an_issuance_all_the_same(lab: Lab) -> None:
    (lab.folder / "newcerts" / "1002.pem").unlink()
    (lab.folder / "newcerts" / "1003.pem").write_text("nothing")
    records, problems, coverage = run(lab.folder)
    assert records["issuances", "1002"].attributes["certificate_asset_id"] is None
    assert records["issuances", "1003"].attributes["certificate_asset_id"] is None
    assert [p.code for p in problems] == ["certificate_missing", "certificate_unreadable"]
    assert coverage == Coverage(7, 5, 2)


def test_a_certificate_past_the_index_is_found(lab: Lab) -> None:
    index = lab.folder / "index.txt"
    index.write_text("".join(line for line in index.read_text().splitlines(keepends=True) if "\t1000\t" not in line))
    records, problems, coverage = run(lab.folder)
    assert records["certificates", "newcerts/1000.pem"].attributes["role"] == "issued"
    assert ("issuances", "1000") not in records
    assert [p.code for p in problems] == ["certificate_unindexed"]
    assert coverage == Coverage(7, 7)


def test_a_file_under_a_wrong_name_is_told(lab: Lab) -> None:
    shutil.copy(lab.folder / "newcerts" / "1001.pem", lab.folder / "newcerts" / "1000.pem")
    assert [p.code for p in run(lab.folder)[1]] == ["certificate_mismatched"]


def test_updatedb_turns_expired_rows_into_e(tmp_path: Path) -> None:
    lab = Lab.make(tmp_path / "ca")
    lab.issue("/CN=old.example.com", "-startdate", "20200101000000Z", "-enddate", "20200401000000Z")
    before = run(lab.folder)
    assert (lab.folder / "index.txt").read_text().startswith("V\t200401")
    lab.run("ca", "-config", "ca.cnf", "-updatedb")
    assert (lab.folder / "index.txt").read_text().startswith("E\t200401")
    after = run(lab.folder)
    assert after[0].keys() == before[0].keys()
    assert after[1:] == before[1:] == ([], Coverage(1, 1))


def test_easy_rsa_keeps_revoked_certificates_elsewhere(lab: Lab) -> None:
    (lab.folder / "revoked").mkdir()
    (lab.folder / "newcerts").rename(lab.folder / "certs_by_serial")
    (lab.folder / "revoked" / "certs_by_serial").mkdir()
    (lab.folder / "certs_by_serial" / "1004.pem").rename(lab.folder / "revoked" / "certs_by_serial" / "1004.crt")
    (lab.folder / "ca.pem").rename(lab.folder / "ca.crt")
    records, problems, coverage = run(lab.folder)
    assert (problems, coverage) == ([], Coverage(7, 7))
    assert records["certificates", "revoked/certs_by_serial/1004.crt"].attributes["revocation_status"] == "revoked"


def test_the_recorded_database_of_easy_rsa_is_read_with_its_random_serials(tmp_path: Path) -> None:
    shutil.copytree(RECORDINGS / "easyrsa", tmp_path / "pki")
    records, problems, coverage = run(tmp_path / "pki")
    assert {k for t, k in records if t == "issuances"} == {"3e8189d5336a68895cade7c413ebd618", "b006521a25337cdd72235ae3919994be"}
    assert sorted(p.code for p in problems) == ["authority_missing", "certificate_missing", "certificate_missing"]
    assert coverage == Coverage(2, 0, 3)


def test_the_recorded_database_and_list(tmp_path: Path) -> None:
    records, problems, _ = run(RECORDINGS / "openssl-ca")
    assert {p.code for p in problems} == {"certificate_missing"}
    assert ("revocation_services", "ca.crl") in records
    assert sum(table == "issuances" for table, _ in records) == 8


@pytest.mark.parametrize(
    ("line", "serial", "revoked_at", "reason"),
    [
        ("V\t270221181915Z\t\t1000\tunknown\t/CN=a", "1000", None, None),
        ("E\t240401000000Z\t\t0A\tunknown\t/CN=a\twith tab", "a", None, None),
        ("R\t270221181917Z\t261123181919Z\t00\tunknown\t/CN=a", "0", datetime(2026, 11, 23, 18, 19, 19, tzinfo=UTC), None),
        ("R\t20600101000000Z\t20600101000000Z,superseded\tFF\tunknown\t/CN=a", "ff", datetime(2060, 1, 1, tzinfo=UTC), "superseded"),
        ("R\t991231235959Z\t500101000000Z,keyTime,20261101000000Z\t1\tunknown\t", "1", datetime(1950, 1, 1, tzinfo=UTC), "keyTime"),
    ],
)
def test_lines_of_the_index(line: str, serial: str, revoked_at: datetime | None, reason: str | None) -> None:
    entry = _ca_index.entry(line)
    assert (entry.serial, entry.revoked_at, entry.reason) == (serial, revoked_at, reason)
    assert revoked_at is None or revoked_at.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "line",
    [
        "X\t270221181915Z\t\t1000\tunknown\t/CN=a",
        "V\t2702211819Z\t\t1000\tunknown\t/CN=a",
        "V\t271321181915Z\t\t1000\tunknown\t/CN=a",
        "V\t270221181915Z\t\txyz\tunknown\t/CN=a",
        "R\t270221181915Z\t\t1000\tunknown\t/CN=a",
        "V\t270221181915Z\t270221181915Z\t1000\tunknown\t/CN=a",
        "V 270221181915Z 1000 unknown /CN=a",
    ],
)
def test_malformed_lines_are_counted_and_the_rest_is_read(lab: Lab, line: str) -> None:
    index = lab.folder / "index.txt"
    index.write_text(line + "\n\n" + index.read_text())
    records, problems, coverage = run(lab.folder)
    assert [p.locator for p in problems] == ["index.txt:1"]
    assert coverage == Coverage(8, 7, 1)
    assert ("issuances", "1000") in records


def test_no_index_and_another_file_are_errors(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"index\.txt"):
        run(tmp_path)
    (tmp_path / "index.txt").write_bytes(b"\x00\x01garbage\nmore\n")
    with pytest.raises(BadAnswer, match="none of 2 lines"):
        run(tmp_path)


def test_one_serial_twice_gives_two_issuances_and_one_sighting(lab: Lab) -> None:
    index = lab.folder / "index.txt"
    index.write_text(index.read_text() + index.read_text().splitlines()[0] + "\n")
    records, problems, _ = run(lab.folder)
    assert problems == []
    assert ("issuances", "1000:2") in records
    assert sum(k == "newcerts/1000.pem" for _, k in records) == 1
