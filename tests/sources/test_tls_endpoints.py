"""The source `tls_endpoints` against nginx, OpenSSL's s_server and Python's ssl."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.certificates import Issued, authority, leaf, rsa_key
from tests.servers.nginx import Nginx
from tests.servers.processes import free_port
from tests.sources.tls_servers import Preamble, listener, python_server, s_server, write_chain

from keymuster.errors import Unreachable
from keymuster.model import Coverage, Problem, Record
from keymuster.sources import _tls_hello, _tls_targets, tls_endpoints

ROOT = authority("Test Root")
ISSUING = authority("Test Issuing", by=ROOT)
LEAF = leaf("www.example.com", by=ISSUING)


def run(*targets: str, **settings: Any) -> tuple[dict[str, Record], dict[str, Record], list[Problem], Coverage]:
    items = list(tls_endpoints.collect(tls_endpoints.Settings(targets=targets, **settings)))
    records = [i for i in items if isinstance(i, Record)]
    endpoints = {r.locator: r for r in records if r.table == "endpoints"}
    certificates = {r.locator: r for r in records if r.table == "certificates"}
    return endpoints, certificates, [i for i in items if isinstance(i, Problem)], items[-1]


@pytest.fixture
def chain(tmp_path: Path) -> tuple[Path, Path]:
    return write_chain(tmp_path, LEAF, ISSUING)


@pytest.fixture(scope="module")
def rsa_leaf() -> Issued:
    return leaf("rsa.example.com", by=ISSUING, private_key=rsa_key())


def test_chain_as_presented_versions_and_suites_of_nginx(nginx: Nginx) -> None:
    place = f"127.0.0.1:{nginx.port}"
    endpoints, certificates, problems, coverage = run(place)
    got = endpoints[place].attributes
    assert got["tls_versions"] == ["TLSv1.2", "TLSv1.3"]
    assert {"TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"} <= set(got["cipher_suites"])
    assert got["has_secure_renegotiation"] is True
    assert got["has_extended_master_secret"] is True
    assert got["has_compression"] is False
    assert certificates[place].attributes == {"role": "served"}
    assert (problems, coverage) == ([], Coverage(1, 1))


@pytest.mark.server("nmap")
def test_suites_are_those_that_nmap_finds(nginx: Nginx) -> None:
    place = f"127.0.0.1:{nginx.port}"
    done = subprocess.run(
        ["nmap", "-Pn", "-p", str(nginx.port), "--script", "ssl-enum-ciphers", "127.0.0.1"], check=True, capture_output=True, text=True
    )
    listed = {word.replace("TLS_AKE_WITH_", "TLS_") for word in done.stdout.split() if word.startswith("TLS_")}
    assert set(run(place)[0][place].attributes["cipher_suites"]) == listed


def test_the_rest_of_the_chain_is_numbered(chain: tuple[Path, Path]) -> None:
    with python_server(*chain) as port:
        place = f"127.0.0.1:{port}"
        endpoints, certificates, _, _ = run(place)
    assert {k: (r.der, r.attributes["role"]) for k, r in certificates.items()} == {
        place: (LEAF.der, "served"),
        f"{place}#1": (ISSUING.der, "chain"),
    }
    assert endpoints[place].attributes["certificate_asset_id"] == LEAF.fingerprint
    assert endpoints[place].attributes["server_name"] is None


@pytest.mark.parametrize(
    ("arguments", "versions"),
    [
        (["-tls1_3"], ["TLSv1.3"]),
        (["-tls1_2"], ["TLSv1.2"]),
        (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], ["TLSv1.1"]),
        (["-tls1", "-cipher", "ALL:@SECLEVEL=0"], ["TLSv1.0"]),
        (["-min_protocol", "TLSv1", "-cipher", "ALL:@SECLEVEL=0"], ["TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"]),
    ],
)
def test_versions_are_asked_for_one_by_one(tmp_path: Path, chain: tuple[Path, Path], arguments: list[str], versions: list[str]) -> None:
    with s_server(tmp_path, *chain, arguments) as port:
        place = f"127.0.0.1:{port}"
        endpoints, certificates, problems, _ = run(place, concurrency=1)
    assert endpoints[place].attributes["tls_versions"] == versions
    assert [r.der for r in certificates.values()] == [LEAF.der, ISSUING.der]
    assert problems == []


def test_suites_that_our_own_openssl_would_not_speak_are_found(tmp_path: Path, rsa_leaf: Issued) -> None:
    files = write_chain(tmp_path, rsa_leaf, ISSUING)
    with s_server(tmp_path, *files, ["-tls1_2", "-cipher", "eNULL:aNULL:DHE-RSA-AES128-SHA:@SECLEVEL=0"]) as port:
        place = f"127.0.0.1:{port}"
        endpoints, certificates, problems, _ = run(place)
    found = set(endpoints[place].attributes["cipher_suites"])
    assert {"TLS_RSA_WITH_NULL_SHA256", "TLS_ECDH_anon_WITH_AES_128_CBC_SHA", "TLS_DHE_RSA_WITH_AES_128_CBC_SHA"} <= found
    assert certificates[place].der == rsa_leaf.der
    assert problems == []


def test_only_null_suites_still_give_the_certificate(tmp_path: Path, rsa_leaf: Issued) -> None:
    with s_server(tmp_path, *write_chain(tmp_path, rsa_leaf), ["-tls1_2", "-cipher", "NULL-SHA256:@SECLEVEL=0"]) as port:
        place = f"127.0.0.1:{port}"
        endpoints, certificates, _, _ = run(place)
    assert endpoints[place].attributes["cipher_suites"] == ["TLS_RSA_WITH_NULL_SHA256"]
    assert certificates[place].der == rsa_leaf.der


@pytest.mark.parametrize("bits", [1024, 2048])
def test_finite_field_groups_are_measured(tmp_path: Path, rsa_leaf: Issued, bits: int) -> None:
    fixed = {1024: DH_1024, 2048: subprocess.run(["openssl", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048"],
                                                 check=True, capture_output=True, text=True).stdout}  # fmt: skip
    (tmp_path / "dh.pem").write_text(fixed[bits])
    arguments = ["-tls1_2", "-cipher", "DHE-RSA-AES128-SHA:@SECLEVEL=0", "-dhparam", str(tmp_path / "dh.pem")]
    with s_server(tmp_path, *write_chain(tmp_path, rsa_leaf), arguments) as port:
        place = f"127.0.0.1:{port}"
        assert run(place)[0][place].attributes["dh_bits"] == bits


# RFC 2409 6.2 (Second Oakley Group), as PKCS#3
DH_1024 = """-----BEGIN DH PARAMETERS-----
MIGHAoGBAP//////////yQ/aoiFowjTExmKLgNwc0SkCTgiKZ8x0Agu+pjsTmyJR
Sgh5jjQE3e+VGbPNOkMbMCsKbfJfFDdP4TVtbVHCReSFtXZiXn7G9ExC6aY37WsL
/1y29Aa37e44a/taiZ+lrp8kEXxLH+ZJKGZR7OZTgf//////////AgEC
-----END DH PARAMETERS-----
"""


@pytest.mark.parametrize(("group", "bits"), [("ffdhe3072", 3072), ("x25519", None)])
def test_finite_field_groups_of_tls_1_3(tmp_path: Path, chain: tuple[Path, Path], group: str, bits: int | None) -> None:
    with s_server(tmp_path, *chain, ["-tls1_3", "-groups", group]) as port:
        place = f"127.0.0.1:{port}"
        assert run(place)[0][place].attributes["dh_bits"] == bits


@pytest.mark.parametrize(
    ("banner", "protocol"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "ssh"),
        (b"RFB 003.008\n", "vnc"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "http"),
        (b"hello\r\n", "tcp"),
        (b"", "tcp"),
    ],
)
def test_a_service_without_tls_is_a_row_without_versions(banner: bytes, protocol: str) -> None:
    def talk(connection: socket.socket) -> None:
        if banner.startswith(b"HTTP"):
            connection.recv(1024)
        connection.sendall(banner)

    with listener(talk) as port:
        place = f"127.0.0.1:{port}"
        endpoints, certificates, problems, coverage = run(place)
    assert endpoints[place].attributes["tls_versions"] == []
    assert endpoints[place].attributes["protocol"] == protocol
    assert "certificate_asset_id" not in endpoints[place].attributes
    assert (certificates, problems, coverage) == ({}, [], Coverage(1, 1))


def test_silence_is_refusal_and_not_absence(chain: tuple[Path, Path]) -> None:
    closed = free_port()
    with python_server(*chain) as port, listener(lambda c: c.recv(1 << 20) and c.recv(1)) as mute:
        endpoints, _, problems, coverage = run(
            f"127.0.0.1:{port}", f"127.0.0.1:{closed}", f"127.0.0.1:{mute}", "no-such-host.invalid", timeout_seconds=1
        )
    assert list(endpoints) == [f"127.0.0.1:{port}"]
    assert {(p.code, p.locator) for p in problems} == {
        ("endpoint_silent", f"127.0.0.1:{closed}"),
        ("endpoint_silent", f"127.0.0.1:{mute}"),
        ("endpoint_silent", "no-such-host.invalid:443"),
    }
    assert coverage == Coverage(4, 1, 3)


def test_nobody_answers_is_an_error() -> None:
    with pytest.raises(Unreachable, match="none of 1 targets"):
        run(f"127.0.0.1:{free_port()}")


def test_in_a_range_a_closed_port_is_an_answer(chain: tuple[Path, Path]) -> None:
    with python_server(*chain) as port:
        endpoints, _, problems, coverage = run("127.0.0.0/30", ports=(port, free_port()))
    assert list(endpoints) == [f"127.0.0.1:{port}"]
    assert (problems, coverage) == ([], Coverage(1, 1))


def test_silence_in_a_range_is_summed_up(chain: tuple[Path, Path]) -> None:
    with python_server(*chain) as port, listener(lambda c: c.recv(1 << 20) and c.recv(1)) as mute:
        settings: dict[str, Any] = {"ports": (port, mute), "timeout_seconds": 1}
        _, _, problems, coverage = run("127.0.0.1/32", **settings)
        assert [(p.code, p.locator) for p in problems] == [("range_silent", "127.0.0.1/32")]
        assert coverage == Coverage(2, 1, 1)
        assert run("127.0.0.1/32", is_silence_refusal=False, **settings)[2:] == ([], Coverage(1, 1))


def test_a_cut_listing_says_so(chain: tuple[Path, Path]) -> None:
    with python_server(*chain) as port:
        _, _, problems, coverage = run(f"127.0.0.1:{port}", "127.0.0.1:1", max_targets=1)
    assert [(p.code, p.locator) for p in problems] == [("listing_cut", None)]
    assert coverage.truncated


def test_each_name_is_asked_for_and_has_its_own_place(chain: tuple[Path, Path]) -> None:
    with python_server(*chain) as port:
        endpoints, _, _, _ = run(f"localhost:{port}", f"127.0.0.1:{port}", server_names={"127.0.0.1": ("a.example.com",)})
    assert {k: r.attributes["server_name"] for k, r in endpoints.items()} == {
        f"localhost:{port}": "localhost",
        f"127.0.0.1:{port}": None,
        f"127.0.0.1:{port}/a.example.com": "a.example.com",
    }


def test_what_listens_on_this_machine_is_found(chain: tuple[Path, Path]) -> None:
    with python_server(*chain) as port:
        found = _tls_targets.listening(Path("/proc"))
        assert ("127.0.0.1", port) in found
        others = tuple({p for _, p in found} - {port})
        endpoints, _, _, coverage = run(discover="loopback", exclude_ports=others)
    assert list(endpoints) == [f"127.0.0.1:{port}"]
    assert coverage == Coverage(1, 1)


def test_socket_tables_of_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    head = "  sl  local_address rem_address   st\n"
    four = [
        "0100007F:01BB 00000000:0000 0A",
        "00000000:0016 00000000:0000 0A",
        "0100007F:0050 0100007F:9999 01",
        "0200000A:1F90 00000000:0000 0A",
    ]
    six = [
        "00000000000000000000000000000000:0016 x 0A",
        "00000000000000000000000001000000:0277 x 0A",
        "0000000000000000FFFF00000100007F:0019 x 0A",
    ]
    (tmp_path / "net" / "tcp").write_text(head + "".join(f"   {i}: {row}\n" for i, row in enumerate(four)))
    (tmp_path / "net" / "tcp6").write_text(head + "".join(f"   {i}: {row}\n" for i, row in enumerate(six)))
    assert _tls_targets.listening(tmp_path) == [("10.0.0.2", 8080), ("127.0.0.1", 22), ("127.0.0.1", 25), ("127.0.0.1", 443), ("::1", 631)]


def lines(*steps: tuple[bytes, bytes]) -> Preamble:
    """A line protocol: send this, then wait for a line that begins so."""

    def talk(connection: socket.socket) -> None:
        for answer, expected in steps:
            connection.sendall(answer)
            if expected:
                assert connection.recv(1024).startswith(expected)

    return talk


UPGRADES: dict[str, Preamble] = {
    "smtp": lines((b"220-mx\r\n220 mx\r\n", b"EHLO"), (b"250-mx\r\n250-SIZE\r\n250 STARTTLS\r\n", b"STARTTLS"), (b"220 go\r\n", b"")),
    "imap": lines((b"* OK ready\r\n", b"k1 STARTTLS"), (b"k1 OK begin\r\n", b"")),
    "pop3": lines((b"+OK ready\r\n", b"STLS"), (b"+OK begin\r\n", b"")),
    "ftp": lines((b"220 ready\r\n", b"AUTH TLS"), (b"234 begin\r\n", b"")),
    "postgres": lines((b"", bytes.fromhex("0000000804d2162f")), (b"S", b"")),
    "ldap": lines((b"", bytes.fromhex("301d")), (bytes.fromhex("300c02010178070a010004000400"), b"")),
}


@pytest.mark.parametrize("protocol", UPGRADES)
def test_tls_that_begins_inside_another_protocol(chain: tuple[Path, Path], protocol: str) -> None:
    with python_server(*chain, UPGRADES[protocol]) as port:
        place = f"127.0.0.1:{port}"
        endpoints, certificates, problems, _ = run(place, starttls={port: protocol})
    assert problems == []
    assert endpoints[place].attributes["protocol"] == protocol
    assert "TLSv1.3" in endpoints[place].attributes["tls_versions"]
    assert certificates[place].der == LEAF.der


def test_a_server_that_declines_the_upgrade_is_a_row_without_versions() -> None:
    with listener(lines((b"", b"\0"), (b"N", b""))) as port:
        endpoints, _, problems, _ = run(f"127.0.0.1:{port}", starttls={port: "postgres"})
    (record,) = endpoints.values()
    assert (record.attributes["tls_versions"], record.attributes["protocol"], problems) == ([], "postgres", [])


def test_a_server_that_stops_answering_midway_is_not_taken_for_strict(chain: tuple[Path, Path]) -> None:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*chain)
    served: list[int] = []

    def handle(connection: socket.socket) -> None:
        served.append(1)
        if len(served) > 1:
            connection.recv(1 << 20)
            connection.recv(1)
            return
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(1)

    with listener(handle) as port:
        place = f"127.0.0.1:{port}"
        endpoints, certificates, problems, coverage = run(place, timeout_seconds=1)
    assert "tls_versions" not in endpoints[place].attributes
    assert certificates[place].der == LEAF.der
    assert [p.code for p in problems] == ["endpoint_unfinished"]
    assert coverage == Coverage(1, 0, 1)


@pytest.mark.parametrize("text", ["https://x", "a b", "host:0", "host:70000", "10.0.0.0/33", "[::1", ""])
def test_malformed_targets_are_refused_by_name(text: str) -> None:
    with pytest.raises(ValidationError, match="targets"):
        tls_endpoints.Settings(targets=(text,))


def test_unknown_upgrades_are_refused() -> None:
    with pytest.raises(ValidationError, match="there are smtp"):
        tls_endpoints.Settings(starttls={1: "gopher"})


@given(st.lists(st.binary(max_size=80), max_size=6))
def test_an_answer_made_of_anything_ends_in_a_value_error_or_nothing(pieces: list[bytes]) -> None:
    answer = _tls_hello.Answer()
    try:
        for piece in pieces:
            answer.feed(piece)
    except ValueError:
        return
    assert answer.received == sum(map(len, pieces))


@given(st.integers(0, 255), st.binary(max_size=120))
def test_handshake_messages_made_of_anything_are_read_or_refused(kind: int, body: bytes) -> None:
    message = bytes([kind]) + len(body).to_bytes(3, "big") + body
    answer = _tls_hello.Answer()
    answer.suite = 0x0033
    try:
        answer.feed(b"\x16\x03\x03" + len(message).to_bytes(2, "big") + message)
    except ValueError:
        return
    assert kind in answer.seen


def test_an_endless_answer_is_cut() -> None:
    answer, record = _tls_hello.Answer(), b"\x17\x03\x03\x40\x00" + bytes(0x4000)
    for _ in range(15):
        answer.feed(record)
    with pytest.raises(ValueError, match="does not end"):
        answer.feed(record)


def test_ssl_2_is_recognised() -> None:
    body = b"\x04\x00\x01\x00\x02\x00\x05\x00\x03\x00\x10" + bytes(5 + 3 + 16)
    answer = _tls_hello.Answer()
    answer.feed((0x8000 | len(body)).to_bytes(2, "big") + body)
    assert answer.version == 2
    assert _tls_hello.client_hello("SSLv2", (), None)[2:5] == b"\x01\x00\x02"


def test_names_of_suites_are_those_that_openssl_knows() -> None:
    listing = subprocess.run(
        ["openssl", "ciphers", "-stdname", "-V", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"], check=True, capture_output=True, text=True
    ).stdout
    theirs = {
        int(code.replace("0x", "").replace(",", ""), 16): name for code, _, name, *_ in (line.split() for line in listing.splitlines())
    }
    ours = _tls_hello.suites()
    assert {code: (ours.get(code), name) for code, name in theirs.items() if ours.get(code) != name} == {}
