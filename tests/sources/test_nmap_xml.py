"""The source `nmap_xml` against recorded scans, a scan made here, and files that attack their reader."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import authority, leaf
from tests.servers.nginx import Nginx
from tests.sources.cases.nmap_xml import RECORDINGS, port, scan, ssl_cert

from keymuster.errors import BadAnswer, Unreachable
from keymuster.model import Coverage, Problem, Record
from keymuster.sources import nmap_xml

LEAF = leaf("www.example.com", by=authority("Test Root"))


def run(*paths: Path, **settings: Any) -> tuple[dict[tuple[str, str], Record], list[Problem], Coverage]:
    items = list(nmap_xml.collect(nmap_xml.Settings(paths=paths, **settings)))
    records = {(r.table, r.locator): r for r in items if isinstance(r, Record)}
    return records, [i for i in items if isinstance(i, Problem)], items[-1]


def of(folder: Path, text: str, **settings: Any) -> tuple[dict[tuple[str, str], Record], list[Problem], Coverage]:
    (folder / "scan.xml").write_text(text)
    return run(folder / "scan.xml", **settings)


def test_the_recorded_scan_of_nginx() -> None:
    records, problems, coverage = run(RECORDINGS / "nmap-sslcert.xml")
    got = records["endpoints", "127.0.0.1:52323"].attributes
    assert got["tls_versions"] == ["TLSv1.2", "TLSv1.3"]
    assert len(got["cipher_suites"]) == 30
    assert {"TLS_AES_128_GCM_SHA256", "TLS_RSA_WITH_AES_128_CBC_SHA"} <= set(got["cipher_suites"])
    assert got["observed_at"] == datetime(2026, 11, 23, 19, 8, 6, tzinfo=UTC), "the epoch in the file, not its local text"
    assert records["certificates", "127.0.0.1:52323"].attributes["role"] == "served"
    assert (problems, coverage) == ([], Coverage(1, 1))


def test_recorded_host_keys() -> None:
    records, problems, _ = run(RECORDINGS / "nmap-sshhostkey.xml")
    assert ("ssh_keys", "127.0.0.1:41291#SHA256:kaKgC9KKY9Y/2wH3SLYOSQc7EBHUUOWsfKUdJy/CXes") in records, "as Nmap prints the fingerprint"
    assert {r.attributes["kind"] for (t, _), r in records.items() if t == "ssh_keys"} == {"host"}
    assert records["endpoints", "127.0.0.1:41291"].attributes["protocol"] == "ssh"
    assert problems == []


def test_recorded_services_with_starttls() -> None:
    records, _, coverage = run(RECORDINGS / "nmap-starttls.xml")
    protocols = {r.attributes["protocol"] for (t, _), r in records.items() if t == "endpoints"}
    assert "smtp" in protocols
    assert coverage == Coverage(3, 3)
    assert all("tls_versions" not in r.attributes for r in records.values()), "suites were not scanned, so nothing is known of them"


@pytest.mark.server("nmap")
def test_a_scan_made_here(nginx: Nginx, tmp_path: Path) -> None:
    target = ["-p", str(nginx.port), "--script", "+ssl-cert,+ssl-enum-ciphers", "-oX", str(tmp_path / "it.xml"), "localhost"]
    subprocess.run(["nmap", "-Pn", *target], check=True, capture_output=True)
    records, problems, coverage = run(tmp_path)
    place = f"localhost:{nginx.port}"
    assert records["endpoints", place].attributes["server_name"] == "localhost"
    assert records["endpoints", place].attributes["tls_versions"] == ["TLSv1.2", "TLSv1.3"]
    assert records["certificates", place].der is not None
    assert (problems, coverage) == ([], Coverage(1, 1))


def test_a_port_without_tls_is_told_from_one_that_was_not_asked(tmp_path: Path) -> None:
    records, _, _ = of(tmp_path, scan(port(443), port(12345)))
    assert records["endpoints", "10.0.0.1:443"].attributes["tls_versions"] == []
    assert "tls_versions" not in records["endpoints", "10.0.0.1:12345"].attributes


def test_silent_ports_and_down_hosts_are_refused_and_closed_ports_are_not(tmp_path: Path) -> None:
    text = scan(port(443, ssl_cert(LEAF.pem)), port(80, state="closed"), port(8443, state="filtered"), down=2)
    records, problems, coverage = of(tmp_path, text)
    assert [k for t, k in records if t == "endpoints"] == ["10.0.0.1:443"]
    assert [(p.code, p.locator) for p in problems] == [
        ("endpoint_silent", "10.0.0.1:8443"),
        ("hosts_down", str(tmp_path / "scan.xml")),
    ]
    assert coverage == Coverage(4, 1, 3)
    assert of(tmp_path, text, are_down_hosts_refused=False)[2] == Coverage(2, 1, 1)


@pytest.mark.parametrize("cut", ["<runstats>", "</host>", "</nmaprun>"])
def test_an_aborted_scan_is_truncated(tmp_path: Path, cut: str) -> None:
    whole = scan(port(443, ssl_cert(LEAF.pem)))
    first = whole.replace(
        "</host>", "</host>" + whole[whole.index("<host") : whole.index("</host>")].replace("10.0.0.1", "10.0.0.2") + "</host>"
    )
    records, problems, coverage = of(tmp_path, first[: first.rindex(cut)])
    assert ("endpoints", "10.0.0.1:443") in records
    assert {(p.code, p.locator) for p in problems} == {("scan_cut", None)}
    assert coverage.truncated


def test_a_scan_without_runstats_is_truncated_even_if_it_is_well_formed(tmp_path: Path) -> None:
    text = scan(port(443)).partition("<runstats>")[0] + "</nmaprun>"
    assert of(tmp_path, text)[2].truncated
    text = scan(port(443)).replace('exit="success"', 'exit="error" errormsg="out of memory"')
    _, problems, coverage = of(tmp_path, text)
    assert coverage.truncated
    assert "out of memory" in problems[0].detail


BOMB = '<!DOCTYPE nmaprun [<!ENTITY a "x"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><nmaprun>&b;</nmaprun>'
OUTSIDE = '<!DOCTYPE nmaprun [<!ENTITY a SYSTEM "file:///etc/hostname">]><nmaprun>&a;</nmaprun>'


@pytest.mark.parametrize("text", [BOMB, OUTSIDE, "<html></html>", "not xml", "", "<nmaprun><host></nmaprun>"])
def test_attacks_and_other_files_are_bad_answers(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadAnswer, match=r"scan\.xml"):
        of(tmp_path, text)


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(BadAnswer, match="longer than 10 bytes"):
        of(tmp_path, scan(), max_bytes=10)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="no scan at"):
        run(tmp_path / "absent.xml")
    (tmp_path / "a.xml").write_text(scan(port(443)))
    _, problems, coverage = run(tmp_path / "a.xml", tmp_path / "absent.xml")
    assert [p.code for p in problems] == ["path_missing"]
    assert not coverage.complete


def test_unreadable_certificates_and_keys_are_counted(tmp_path: Path) -> None:
    keys = '<script id="ssh-hostkey"><table><elem key="key">AAAA</elem></table><table><elem key="key">*</elem></table></script>'
    records, problems, coverage = of(tmp_path, scan(port(443, ssl_cert("garbage")), port(22, keys), port("x"), port(25)))  # type: ignore[arg-type]
    assert [p.code for p in problems] == ["certificate_unreadable", "key_unreadable", "key_unreadable"]
    assert "certificate_asset_id" not in records["endpoints", "10.0.0.1:443"].attributes
    assert coverage == Coverage(5, 2, 3)


def test_names_of_versions_and_suites_are_taken_from_a_closed_list(tmp_path: Path) -> None:
    inner = (
        '<script id="ssl-enum-ciphers"><table key="TLSv9"></table><table key="SSLv3"><table key="ciphers">'
        '<table><elem key="name">TLS_RSA_WITH_RC4_128_SHA</elem></table><table><elem key="name">&lt;b&gt;</elem></table>'
        "</table></table></script>"
    )
    got = of(tmp_path, scan(port(443, inner)))[0]["endpoints", "10.0.0.1:443"].attributes
    assert (got["tls_versions"], got["cipher_suites"]) == (["SSLv3"], ["TLS_RSA_WITH_RC4_128_SHA"])


def test_one_name_with_two_addresses_is_two_services(tmp_path: Path) -> None:
    named = scan(port(443)).replace("<ports>", '<hostnames><hostname name="www.example.com" type="user"/></hostnames><ports>')
    (tmp_path / "a.xml").write_text(named)
    (tmp_path / "b.xml").write_text(named.replace("10.0.0.1", "10.0.0.2"))
    assert [k for _, k in run(tmp_path)[0]] == ["www.example.com:443", "www.example.com:443@10.0.0.2"]


def test_the_same_service_twice_is_one_row(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(scan(port(443)))
    (tmp_path / "b.xml").write_text(scan(port(443), port(444)))
    records, problems, coverage = run(tmp_path)
    assert len(records) == 2
    assert [p.code for p in problems] == ["endpoint_repeated"]
    assert coverage.complete
