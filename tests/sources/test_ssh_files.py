"""The source `ssh_files` against keys and certificates made by ssh-keygen."""

from __future__ import annotations

import hashlib
import struct
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import ValidationError
from tests.certificates import authority, spki
from tests.sources.cases.ssh_files import host, keygen

from keymuster.model import Coverage, Problem, Record
from keymuster.sources import _openssh, ssh_files


def run(folder: Path, **settings: Any) -> tuple[list[Record], list[Problem], Coverage]:
    known: dict[str, Any] = {"accounts": False, "sshd_config": None, "system": (folder / "etc",), "homes": (folder / "homes",)}
    (folder / "homes").mkdir(exist_ok=True)
    items = list(ssh_files.collect(ssh_files.Settings(**{**known, **settings})))
    return [i for i in items if isinstance(i, Record)], [i for i in items if isinstance(i, Problem)], items[-1]


def ssh_home(folder: Path, account: str = "alice") -> Path:
    path = folder / "homes" / account / ".ssh"
    path.mkdir(parents=True)
    return path


def spki_of_public_file(path: Path) -> bytes:
    pem = subprocess.run(["ssh-keygen", "-e", "-m", "PKCS8", "-f", str(path)], check=True, capture_output=True).stdout
    return subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=pem, check=True, capture_output=True).stdout


@pytest.mark.parametrize("kind", [["rsa", "1024"], ["rsa", "2048"], ["ecdsa", "256"], ["ecdsa", "384"], ["ecdsa", "521"], ["ed25519"]])
@pytest.mark.parametrize("passphrase", ["", "a passphrase"])
def test_private_keys_are_known_by_their_public_half(tmp_path: Path, kind: list[str], passphrase: str) -> None:
    home = ssh_home(tmp_path)
    keygen(home / "id", "-t", kind[0], *(["-b", kind[1]] if kind[1:] else []), passphrase=passphrase)
    (record,), problems, coverage = run(tmp_path)
    assert problems == []
    assert coverage.complete
    if kind[0] != "ed25519":
        assert record.der == spki_of_public_file(home / "id.pub")
    fingerprint = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(home / "id.pub")], check=True, capture_output=True, text=True
    ).stdout.split()[1]
    assert _openssh.public_key(_openssh.decode((home / "id.pub").read_text().split()[1])).fingerprint == fingerprint
    expected = {"kind": "private", "account": "alice", "file_mode": "0600", "file_owner": tmp_path.owner(), "options": []}
    expected |= {"is_encrypted": bool(passphrase)}
    assert record.attributes == expected


@pytest.mark.parametrize("passphrase", ["", "a passphrase"])
@pytest.mark.parametrize("form", ["PEM", "PKCS8"])
def test_private_keys_in_other_forms(tmp_path: Path, form: str, passphrase: str) -> None:
    home = ssh_home(tmp_path)
    keygen(home / "id", "-t", "rsa", "-b", "1024", "-m", form, passphrase=passphrase)
    (record,), problems, _ = run(tmp_path)
    assert problems == []
    assert record.attributes["is_encrypted"] is bool(passphrase)
    assert record.der == (None if passphrase else spki_of_public_file(home / "id.pub"))


def test_dsa_is_recorded_although_libraries_dropped_it(tmp_path: Path) -> None:
    home = ssh_home(tmp_path)
    key = dsa.generate_private_key(1024)  # noqa: S505 (what is tested)
    numbers = key.public_key().public_numbers()
    values = [numbers.parameter_numbers.p, numbers.parameter_numbers.q, numbers.parameter_numbers.g, numbers.y]
    line = public_line("ssh-dss", *(mpint(v) for v in values))
    (home / "authorized_keys").write_text(line)
    (home / "id_dsa").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    records, problems, _ = run(tmp_path)
    assert problems == []
    assert {r.der for r in records} == {spki(key.public_key())}
    assert {r.attributes["kind"]: r.attributes["key_algorithm"] for r in records} == {"authorized": "ssh-dss", "private": "ssh-dss"}


def mpint(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def public_line(name: str, *fields: bytes) -> str:
    import base64

    blob = b"".join(struct.pack(">I", len(f)) + f for f in (name.encode(), *fields))
    return f"{name} {base64.b64encode(blob).decode()} comment\n"


def test_protocol_1_keys_are_recorded(tmp_path: Path) -> None:
    home = ssh_home(tmp_path)
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505 (what is tested)
    modulus = key.public_key().public_numbers().n
    (home / "authorized_keys").write_text(f'command="x y" 1024 65537 {modulus} old@host\n')
    n = struct.pack(">H", 1024) + modulus.to_bytes(128, "big")
    body = (
        _openssh.MAGIC_1
        + b"\x03"
        + struct.pack(">II", 0, 1024)
        + n
        + struct.pack(">H", 17)
        + (65537).to_bytes(3, "big")
        + b"\0\0\0\0secret"
    )
    (home / "identity").write_bytes(body)
    records, problems, _ = run(tmp_path)
    assert problems == []
    assert {r.der for r in records} == {spki(key.public_key())}
    assert {r.attributes["kind"]: r.attributes["key_algorithm"] for r in records} == {"authorized": "rsa1", "private": "rsa1"}
    assert {r.attributes.get("is_encrypted") for r in records} == {None, True}


def test_hardware_keys_are_recorded_by_their_point(tmp_path: Path) -> None:
    home = ssh_home(tmp_path)
    (home / "authorized_keys").write_text(public_line("sk-ssh-ed25519@openssh.com", b"\x07" * 32, b"ssh:"))
    (record,), problems, _ = run(tmp_path)
    assert problems == []
    assert record.der is not None
    assert record.der.endswith(b"\x07" * 32)


def test_options_of_authorized_keys(tmp_path: Path) -> None:
    home = ssh_home(tmp_path)
    public = keygen(tmp_path / "k", "-t", "ed25519").strip()
    other = keygen(tmp_path / "l", "-t", "ed25519").strip()
    lines = [
        f'restrict,command="echo \\"a, b\\" c",from="10.0.0.0/8,!10.1.0.0/16" {public}',
        f'cert-authority,principals="ops" {other}',
        f'expiry-time="20270102Z" {public}',
        f'expiry-time="202701020304" {public}',
    ]
    (home / "authorized_keys").write_text("\n".join(lines))
    records, problems, _ = run(tmp_path, time_zone="Europe/Berlin")
    assert problems == []
    assert [list(r.attributes["options"]) for r in records] == [
        ["restrict", "command", "from"],
        ["cert-authority", "principals"],
        ["expiry-time"],
        ["expiry-time"],
    ]
    assert [r.attributes["kind"] for r in records] == ["authorized", "ca", "authorized", "authorized"]
    assert [r.attributes.get("expires_at") for r in records[2:]] == [
        datetime(2027, 1, 2, tzinfo=UTC),
        datetime(2027, 1, 2, 2, 4, tzinfo=UTC),
    ]
    assert [r.locator.rpartition("#")[2].count(":") for r in records] == [1, 1, 2, 2], "the second sighting of a key is numbered"


@pytest.mark.parametrize("validity", ["20260101000000Z:20260102000000Z", "always:forever"])
@pytest.mark.parametrize("of_host", [False, True])
def test_certificates(tmp_path: Path, validity: str, of_host: bool) -> None:
    home = ssh_home(tmp_path)
    keygen(tmp_path / "ca", "-t", "ed25519")
    keygen(home / "id", "-t", "ecdsa")
    arguments = ["-h"] if of_host else ["-O", "source-address=10.0.0.0/8", "-O", "force-command=true"]
    sign = ["ssh-keygen", "-q", "-s", str(tmp_path / "ca"), "-I", "id", "-n", "one,two", "-V", validity, *arguments, str(home / "id.pub")]
    subprocess.run(sign, check=True, capture_output=True)
    records, problems, _ = run(tmp_path)
    (record,) = [r for r in records if r.attributes["kind"] == "certificate"]
    assert problems == []
    assert record.der == spki_of_public_file(home / "id.pub")
    assert record.locator.endswith(
        "id-cert.pub#" + _openssh.public_key(_openssh.decode((home / "id.pub").read_text().split()[1])).fingerprint
    )
    got = record.attributes
    assert got["certificate_type"] == ("host" if of_host else "user")
    assert got["certificate_principals"] == ["one", "two"]
    assert got["options"] == ([] if of_host else ["force-command", "source-address"])
    if validity.startswith("2026"):
        assert (got["validity_seconds"], got["expires_at"]) == (86400, datetime(2026, 1, 2, tzinfo=UTC))
        assert got["created_at"] == datetime(2026, 1, 1, tzinfo=UTC)
    else:
        assert "validity_seconds" not in got
        assert "expires_at" not in got


def test_host_keys_are_told_from_accounts_and_known_by_their_public_file_when_out_of_reach(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    keygen(tmp_path / "etc" / "ssh_host_ed25519_key", "-t", "ed25519")
    keygen(tmp_path / "etc" / "ssh_host_rsa_key", "-t", "rsa", "-b", "2048")
    (tmp_path / "etc" / "ssh_host_rsa_key").unlink()
    records, problems, _ = run(tmp_path)
    assert problems == []
    assert [(Path(r.locator.partition("#")[0]).name, r.attributes["kind"], r.attributes["account"]) for r in records] == [
        ("ssh_host_ed25519_key", "host", None),
        ("ssh_host_rsa_key.pub", "host", None),
    ]


def test_authorities_trusted_by_sshd_and_by_known_hosts(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    one, two = keygen(tmp_path / "a", "-t", "ed25519"), keygen(tmp_path / "b", "-t", "ed25519")
    (tmp_path / "elsewhere").write_text(one)
    (tmp_path / "etc" / "sshd_config").write_text(f"TrustedUserCAKeys {tmp_path}/elsewhere\n")
    (tmp_path / "etc" / "ssh_known_hosts").write_text(f"@cert-authority *.example.com {two}example.com {one}")
    records, problems, _ = run(tmp_path, sshd_config=tmp_path / "etc" / "sshd_config", machine_id=tmp_path / "absent")
    assert problems == []
    found = {Path(r.locator.partition("#")[0]).name: r.attributes["kind"] for r in records if r.table == "ssh_keys"}
    assert found == {"ssh_known_hosts": "ca", "elsewhere": "ca"}


def test_authorized_keys_in_another_place(tmp_path: Path) -> None:
    ssh_home(tmp_path)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "alice.keys").write_text(keygen(tmp_path / "a", "-t", "ed25519"))
    (tmp_path / "sshd_config").write_text(f"AuthorizedKeysFile {tmp_path}/keys/%u.keys .ssh/authorized_keys\n")
    records, _, _ = run(tmp_path, sshd_config=tmp_path / "sshd_config", machine_id=tmp_path / "absent")
    assert [(r.attributes["kind"], r.attributes["account"]) for r in records if r.table == "ssh_keys"] == [("authorized", "alice")]


@pytest.mark.parametrize(
    ("text", "root", "passwords"),
    [
        ("", "prohibit-password", True),
        ("PermitRootLogin without-password\npermitrootlogin yes\nPasswordAuthentication=no\n", "prohibit-password", True),
        ("PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n", "yes", False),
        ("PasswordAuthentication no\nChallengeResponseAuthentication no\n", "prohibit-password", False),
        ("AuthenticationMethods publickey,password publickey,keyboard-interactive\n", "prohibit-password", False),
        ("PermitRootLogin no\nMatch User git\n PasswordAuthentication no\n PermitRootLogin yes\n", None, None),
        ("Include {folder}/extra.conf\nPermitRootLogin yes\n", "no", True),
    ],
)
def test_what_sshd_accepts(tmp_path: Path, text: str, root: str | None, passwords: bool | None) -> None:
    (tmp_path / "extra.conf").write_text("PermitRootLogin no\n")
    (tmp_path / "sshd_config").write_text(text.format(folder=tmp_path))
    (tmp_path / "id").write_text("0123\n")
    (record,), _, _ = run(tmp_path, sshd_config=tmp_path / "sshd_config", machine_id=tmp_path / "id")
    assert record.attributes["asset_id"] == "urn:host:0123:ssh_server"
    assert record.attributes.get("permit_root_login") == root
    assert record.attributes.get("allows_password_authentication") == passwords
    assert record.attributes["ssh_protocols"] == ["2"]


def test_the_daemon_agrees_about_defaults(tmp_path: Path) -> None:
    keygen(tmp_path / "host", "-t", "ed25519")
    (tmp_path / "sshd_config").write_text(f"HostKey {tmp_path}/host\nKbdInteractiveAuthentication no\n")
    done = subprocess.run(["/usr/sbin/sshd", "-T", "-f", str(tmp_path / "sshd_config")], check=True, capture_output=True, text=True)
    effective = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    records, _, _ = run(tmp_path, sshd_config=tmp_path / "sshd_config", machine_id=tmp_path / "absent")
    (server,) = [r for r in records if r.table == "servers"]
    (key,) = [r for r in records if r.table == "ssh_keys"]
    assert {"without-password": "prohibit-password"}.get(effective["permitrootlogin"]) == server.attributes["permit_root_login"]
    assert (effective["passwordauthentication"] == "yes") is server.attributes["allows_password_authentication"]
    assert key.attributes["kind"] == "host"


def test_unreadable_lines_and_files_are_counted(tmp_path: Path) -> None:
    home = ssh_home(tmp_path)
    good = keygen(tmp_path / "a", "-t", "ed25519")
    (home / "authorized_keys").write_text(good + 'ssh-ed25519 AAAA\nssh-new-type AAAA x\nfrom="unclosed\n' + good[:30])
    (home / "id_broken").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n" + "QUJD" * 20 + "\n-----END OPENSSH PRIVATE KEY-----\n")
    records, problems, coverage = run(tmp_path)
    assert len(records) == 1
    assert sorted(p.code for p in problems) == ["key_unreadable", *["ssh_line_unreadable"] * 4]
    assert coverage == Coverage(None, 2, refused=5)


def test_missing_configuration_is_a_gap_only_when_it_was_named(tmp_path: Path) -> None:
    _, problems, coverage = run(tmp_path, sshd_config=tmp_path / "absent")
    assert [p.code for p in problems] == ["path_missing"]
    assert not coverage.complete
    assert run(tmp_path)[1:] == ([], Coverage(None, 0))


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="no time zone named"):
        ssh_files.Settings(time_zone="Mars/Olympus")


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_cut_blobs_are_refused_and_never_crash(cut: int, tmp_path: Path) -> None:
    line = keygen(tmp_path / "k", "-t", "ed25519").split()[1]
    blob = _openssh.decode(line)
    if cut < len(blob):
        with pytest.raises(ValueError):
            _openssh.public_key(blob[:cut])
    mangled = bytes(b ^ (hashlib.sha256(bytes([cut, i % 256])).digest()[0] < 8) for i, b in enumerate(blob))
    try:
        _openssh.public_key(mangled)
        _openssh.certificate(mangled)
    except ValueError:
        return
    assert mangled == blob


def test_a_whole_host(tmp_path: Path) -> None:
    system, homes = host(tmp_path)
    records, problems, coverage = run(tmp_path, system=(system,), homes=(homes,))
    assert sorted(r.attributes["kind"] for r in records) == [
        "authorized",
        "authorized",
        "certificate",
        "host",
        "host",
        "private",
        "private",
    ]
    assert (problems, coverage.complete) == ([], True)


def test_copies_of_other_hosts_leave_this_machine_out(tmp_path: Path) -> None:
    for name in ("one", "two"):
        system, home = tmp_path / "hosts" / name / "etc" / "ssh", tmp_path / "hosts" / name / "home" / "deploy" / ".ssh"
        system.mkdir(parents=True)
        home.mkdir(parents=True)
        keygen(system / "ssh_host_ed25519_key", "-t", "ed25519")
        (home / "authorized_keys").write_text(keygen(tmp_path / name, "-t", "ed25519"))
    (tmp_path / "hosts" / "one" / "tls.key").write_text(authority("Some CA").private_pem)
    items = list(ssh_files.collect(ssh_files.Settings(paths=(tmp_path / "hosts",))))
    records = [i for i in items if isinstance(i, Record)]
    assert (
        sorted((r.attributes["kind"], r.attributes["account"]) for r in records if r.attributes["account"])
        == [("authorized", "deploy")] * 2
    )
    assert sorted(r.attributes["kind"] for r in records) == ["authorized", "authorized", "host", "host"]
    assert items[-1].complete
