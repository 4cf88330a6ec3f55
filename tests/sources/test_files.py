"""The source `files` against files made by OpenSSL, keytool and cryptography."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.certificates import Builder, authority, leaf, rsa_spki, spki
from tests.sources.cases.files import java_store, keytool

from keymuster.errors import Unreachable
from keymuster.model import Coverage, Problem, Record
from keymuster.sources import _der, files

ROOT = authority("Test Root")
LEAF = leaf("a.example.com", by=ROOT)
RECORDINGS = Path(__file__).with_name("recordings")


def run(folder: Path, **settings: Any) -> tuple[dict[tuple[str, str], Record], list[Problem], Coverage]:
    items = list(files.collect(files.Settings(**{"paths": (str(folder),), **settings})))
    records = {(i.table, i.locator.removeprefix(str(folder) + "/")): i for i in items if isinstance(i, Record)}
    return records, [i for i in items if isinstance(i, Problem)], items[-1]


def openssl(*arguments: str, stdin: bytes | None = None) -> bytes:
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, input=stdin).stdout


def test_first_item_of_a_file_is_at_its_path_and_later_ones_are_numbered(tmp_path: Path) -> None:
    (tmp_path / "fullchain.pem").write_text(f"# comment\n{LEAF.pem}\r\n{ROOT.pem}")
    records, problems, coverage = run(tmp_path)
    assert records["certificates", "fullchain.pem"].der == LEAF.der
    assert records["certificates", "fullchain.pem#2"].der == ROOT.der
    assert (problems, coverage) == ([], Coverage(None, 1))


@pytest.mark.parametrize("algorithm", ["rsa", "ec", "dsa", "ed25519", "ed448"])
@pytest.mark.parametrize("form", ["pkcs8", "traditional", "der"])
def test_private_keys_of_openssl_are_known_by_their_public_key(tmp_path: Path, algorithm: str, form: str) -> None:
    options = {
        "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
        "ec": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        "ed25519": ["-algorithm", "ed25519"],
        "ed448": ["-algorithm", "ed448"],
    }
    key = openssl("genpkey", *options[algorithm]) if algorithm in options else openssl("dsaparam", "-genkey", "-noout", "1024")
    arguments = {"pkcs8": [], "traditional": ["-traditional"] if algorithm in {"rsa", "ec", "dsa"} else [], "der": ["-outform", "DER"]}[
        form
    ]
    (tmp_path / "it.key").write_bytes(openssl("pkey", *arguments, stdin=key))
    (tmp_path / "it.key").chmod(0o640)
    records, problems, _ = run(tmp_path)
    assert problems == []
    record = records["keys", "it.key"]
    assert record.der == openssl("pkey", "-pubout", "-outform", "DER", stdin=key)
    assert record.attributes["file_mode"] == "0640"
    assert record.attributes["file_owner"] == tmp_path.owner()
    assert record.attributes["is_encrypted"] is False
    assert record.attributes["kind"] == "private"


@pytest.mark.parametrize("form", [["-aes256"], ["-traditional", "-aes256"]])
def test_a_locked_key_is_a_row_without_public_key_until_the_password_is_known(tmp_path: Path, form: list[str]) -> None:
    key = openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024")
    (tmp_path / "locked.key").write_bytes(openssl("pkey", *form, "-passout", "pass:sesame", stdin=key))
    records, problems, coverage = run(tmp_path)
    assert (records["keys", "locked.key"].der, problems, coverage.refused) == (None, [], 0)
    assert records["keys", "locked.key"].attributes["is_encrypted"] is True
    if "-traditional" in form:
        assert records["keys", "locked.key"].attributes["key_algorithm"] == "RSA"
    records, _, _ = run(tmp_path, passwords=("wrong", "sesame"))
    assert records["keys", "locked.key"].der == openssl("pkey", "-pubout", "-outform", "DER", stdin=key)
    assert run(tmp_path, passwords=("wrong",))[0]["keys", "locked.key"].der is None


def test_a_key_of_a_cloud_service_account_in_json_is_found(tmp_path: Path) -> None:
    (tmp_path / "account.json").write_text(json.dumps({"type": "service_account", "private_key": LEAF.private_pem}))
    assert run(tmp_path)[0]["keys", "account.json"].der == LEAF.spki


def test_a_key_indented_in_yaml_is_found(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text("tls:\n  key: |\n" + "".join(f"    {line}\n" for line in LEAF.private_pem.splitlines()))
    assert run(tmp_path)[0]["keys", "values.yaml"].der == LEAF.spki


def test_openssh_keys_are_known_by_their_public_key_even_when_locked(tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "1024", "-N", "secret", "-f", str(tmp_path / "id")], check=True)
    pem = subprocess.run(["ssh-keygen", "-e", "-m", "PKCS8", "-f", str(tmp_path / "id.pub")], check=True, capture_output=True).stdout
    assert run(tmp_path)[0]["keys", "id"].der == openssl("pkey", "-pubin", "-outform", "DER", stdin=pem)


@pytest.mark.parametrize("arguments", [[], ["-legacy"], ["-certpbe", "AES-256-CBC", "-keypbe", "AES-256-CBC"]])
def test_pkcs12_of_openssl(tmp_path: Path, arguments: list[str]) -> None:
    both = (LEAF.private_pem + LEAF.pem + ROOT.pem).encode()
    (tmp_path / "a.p12").write_bytes(openssl("pkcs12", "-export", "-passout", "pass:sesame", *arguments, stdin=both))
    records, problems, _ = run(tmp_path, passwords=("sesame",))
    assert {r.der for (t, _), r in records.items() if t == "certificates"} == {LEAF.der, ROOT.der}
    assert records["keys", "a.p12"].der == LEAF.spki
    assert problems == []
    records, problems, coverage = run(tmp_path)
    assert records == {}
    assert [p.code for p in problems] == ["container_locked"]
    assert not coverage.complete


def test_a_second_key_in_pkcs12_is_not_forgotten(tmp_path: Path) -> None:
    common = ("-storepass", "changeit", "-keystore", str(tmp_path / "two.p12"), "-storetype", "pkcs12")
    for alias in ("one", "two"):
        keytool("-genkeypair", "-alias", alias, "-keyalg", "EC", "-dname", f"CN={alias}", *common)
    records, problems, coverage = run(tmp_path, passwords=("changeit",))
    assert sum(table == "certificates" for table, _ in records) == 2
    assert [p.code for p in problems] == ["container_key_hidden"]
    assert coverage.refused == 1


@pytest.mark.parametrize("kind", ["jks", "jceks"])
def test_java_stores_need_no_password(tmp_path: Path, kind: str) -> None:
    store = tmp_path / f"java.{kind}"
    store.write_bytes(java_store(kind))
    records, problems, _ = run(tmp_path)
    assert problems == []
    assert records["certificates", f"{store.name}#root"].der == authority("Files Root").der
    key = records["keys", f"{store.name}#app"]
    arguments = ("-exportcert", "-rfc", "-alias", "app", "-keystore", str(store), "-storepass", "changeit")
    exported = subprocess.run(["keytool", *arguments], check=True, capture_output=True).stdout
    pem = openssl("x509", "-pubkey", "-noout", stdin=exported)
    assert key.der == openssl("pkey", "-pubin", "-outform", "DER", stdin=pem)
    assert key.attributes["provider"] == "jks"
    made = datetime.fromtimestamp(store.stat().st_mtime, UTC)
    assert timedelta(0) <= made - key.attributes["created_at"] < timedelta(hours=2)


def test_a_secret_key_in_jceks_is_a_symmetric_key(tmp_path: Path) -> None:
    (tmp_path / "s.jceks").write_bytes(java_store("jceks"))
    record = run(tmp_path)[0]["keys", "s.jceks#master"]
    assert (record.der, record.attributes["kind"]) == (None, "symmetric")


@pytest.mark.parametrize("kind", ["jks", "jceks"])
def test_a_damaged_java_store_is_a_problem(tmp_path: Path, kind: str) -> None:
    whole = java_store(kind)
    for number, cut in enumerate((5, 40, len(whole) // 2)):
        (tmp_path / f"{number}.{kind}").write_bytes(whole[:cut])
    records, problems, coverage = run(tmp_path)
    assert records == {}
    assert [p.code for p in problems] == ["container_unreadable"] * 3
    assert coverage.refused == 3


def test_trust_anchors_are_told_from_installed_certificates_by_their_place(tmp_path: Path) -> None:
    (tmp_path / "trust").mkdir()
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "ca.crt").write_bytes(ROOT.der)
    (tmp_path / "trust" / "hash.0").symlink_to(tmp_path / "real" / "ca.crt")
    (tmp_path / "own.pem").write_text(LEAF.pem)
    records, _, _ = run(tmp_path / "trust", trust_stores=("*/trust/*",))
    assert [r.attributes for r in records.values()] == [{"role": "trust_anchor"}]
    assert [r.locator for r in records.values()] == [str(tmp_path / "real" / "ca.crt")]
    assert run(tmp_path)[0]["certificates", "own.pem"].attributes == {"role": "installed"}


def test_trust_stores_of_copied_hosts_are_known_and_servers_own_certificates_are_not_anchors(tmp_path: Path) -> None:
    for name, text in {"usr/local/share/ca-certificates/a.crt": ROOT.pem, "etc/ssl/certs/www.pem": LEAF.pem}.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    roles = {k: r.attributes["role"] for (_, k), r in run(tmp_path)[0].items()}
    assert roles == {"usr/local/share/ca-certificates/a.crt": "trust_anchor", "etc/ssl/certs/www.pem": "installed"}


def test_a_file_behind_many_links_is_one_sighting_and_loops_end(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text(LEAF.pem)
    (tmp_path / "b.pem").symlink_to("a.pem")
    (tmp_path / "c.pem").hardlink_to(tmp_path / "a.pem")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "up").symlink_to("..")
    (tmp_path / "gone").symlink_to("nowhere")
    records, problems, coverage = run(tmp_path)
    assert list(records) == [("certificates", "a.pem")]
    assert problems == []
    assert coverage.complete


def test_fifos_and_sockets_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "to-fifo").symlink_to("fifo")
    (tmp_path / "a.pem").write_text(LEAF.pem)
    records, problems, coverage = run(tmp_path)
    assert len(records) == 1
    assert problems == []
    assert coverage == Coverage(None, 1)


def test_what_may_not_be_read_is_counted(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "a.pem").write_text(LEAF.pem)
    (tmp_path / "denied.pem").write_text(LEAF.pem)
    (tmp_path / "open.pem").write_text(ROOT.pem)
    (tmp_path / "denied.pem").chmod(0)
    (tmp_path / "closed").chmod(0)
    lines = as_nobody(tmp_path)
    (tmp_path / "closed").chmod(0o755)
    assert lines["problems"] == ["permission_denied", "permission_denied", "permission_denied"], "folder, pattern in it, file"
    assert lines["coverage"] == [1, 3, False]


def as_nobody(folder: Path) -> dict[str, Any]:
    """Collect as a user without rights (as root, permissions would not be felt)."""
    script = (
        "import json,os,sys\n"
        "from keymuster.sources import files\n"
        "from keymuster.model import Problem\n"
        "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "got = list(files.collect(files.Settings(paths=(sys.argv[1], sys.argv[1] + '/closed/*'))))\n"
        "c = got[-1]\n"
        "codes = [p.code for p in got if isinstance(p, Problem)]\n"
        "print(json.dumps({'problems': codes, 'coverage': [c.fetched, c.refused, c.truncated]}))\n"
    )
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.getuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    import sys

    done = subprocess.run([sys.executable, "-c", script, str(folder)], check=True, capture_output=True, env={"PYTHONPATH": "plugins"})
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_a_missing_folder_makes_the_listing_short_and_a_glob_does_not(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text(LEAF.pem)
    _, problems, coverage = run(tmp_path, paths=(tmp_path, tmp_path / "absent"))
    assert [p.code for p in problems] == ["path_missing"]
    assert coverage.truncated
    assert run(tmp_path, paths=(tmp_path / "*.pem", tmp_path / "absent*"), optional_paths=(tmp_path / "absent",))[2] == Coverage(None, 1)
    assert run(tmp_path, paths=(), optional_paths=(tmp_path / "absent",))[2] == Coverage(None, 0)
    with pytest.raises(Unreachable, match="none of 1 paths exists"):
        run(tmp_path, paths=(str(tmp_path / "absent"),))


def test_bounds(tmp_path: Path) -> None:
    (tmp_path / "one" / "two").mkdir(parents=True)
    (tmp_path / "one" / "two" / "deep.pem").write_text(LEAF.pem)
    (tmp_path / "long.pem").write_text(LEAF.pem + "x" * 5000)
    (tmp_path / "film.bin").write_bytes(b"\x00\x01" * 5000)
    _, problems, coverage = run(tmp_path, max_bytes=4096, max_depth=1)
    assert sorted(p.code for p in problems) == ["file_too_large", "folder_too_deep"]
    assert coverage == Coverage(None, 0, refused=1, truncated=True)
    _, problems, coverage = run(tmp_path, max_files=1)
    assert [p.code for p in problems] == ["listing_cut"]
    assert coverage.truncated


def test_prose_about_pem_gives_nothing_and_a_broken_block_a_problem(tmp_path: Path) -> None:
    (tmp_path / "manual.txt").write_text("put it between -----BEGIN CERTIFICATE----- and -----END CERTIFICATE-----\n")
    (tmp_path / "holder.pem").write_text("-----BEGIN CERTIFICATE-----\n...\n-----END CERTIFICATE-----\n")
    (tmp_path / "parser.py").write_text('HEAD = "-----BEGIN PRIVATE KEY-----"\n' * 1000)
    assert run(tmp_path)[:2] == ({}, [])
    (tmp_path / "broken.pem").write_text(LEAF.pem.replace("M", "*"))
    assert [p.code for p in run(tmp_path)[1]] == ["pem_unreadable"]


def test_many_unclosed_blocks_are_read_in_one_pass(tmp_path: Path) -> None:
    (tmp_path / "bomb.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\n" * 200_000)
    _, problems, coverage = run(tmp_path)
    assert [p.code for p in problems] == ["file_too_long"]
    assert not coverage.complete


@pytest.mark.parametrize("name", ["request", "crl", "random", "cut", "empty"])
def test_other_der_is_left_alone(tmp_path: Path, name: str) -> None:
    key = ROOT.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "k").write_bytes(key)
    blobs = {
        "request": lambda: openssl("req", "-new", "-key", str(tmp_path / "k"), "-subj", "/CN=x", "-outform", "DER"),
        "crl": lambda: openssl("crl", "-in", str(RECORDINGS / "openssl-ca" / "ca.crl"), "-outform", "DER"),
        "random": lambda: b"\x30\x82\x01\x00" + bytes(256),
        "cut": lambda: LEAF.der[:-1],
        "empty": lambda: b"",
    }
    blob = blobs[name]()
    (tmp_path / "k").unlink()
    (tmp_path / "it.der").write_bytes(blob)
    assert run(tmp_path)[:2] == ({}, [])
    assert _der.kind_of(blob) is None


def test_version_1_certificates_and_trusted_certificates_are_certificates(tmp_path: Path) -> None:
    (tmp_path / "k").write_text(ROOT.private_pem)
    request = openssl("req", "-new", "-key", str(tmp_path / "k"), "-subj", "/CN=x")
    first = openssl("x509", "-req", "-signkey", str(tmp_path / "k"), "-outform", "DER", stdin=request)
    (tmp_path / "k").unlink()
    (tmp_path / "v1.der").write_bytes(first)
    trusted = openssl("x509", "-trustout", "-addtrust", "serverAuth", stdin=LEAF.pem.encode())
    assert b"TRUSTED" in trusted
    (tmp_path / "trusted.pem").write_bytes(trusted)
    records, _, _ = run(tmp_path)
    assert records["certificates", "v1.der"].der == first
    assert records["certificates", "trusted.pem"].der == LEAF.der


def test_public_keys_are_kept_and_are_not_called_exportable(tmp_path: Path) -> None:
    (tmp_path / "pub.der").write_bytes(rsa_spki((1 << 1023) + 9))
    record = run(tmp_path)[0]["keys", "pub.der"]
    assert record.attributes["kind"] == "public"
    assert "is_exportable" not in record.attributes


def test_a_file_name_that_is_no_utf8_is_escaped(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9\n.pem")
    (tmp_path / name).write_text(LEAF.pem)
    assert list(run(tmp_path)[0]) == [("certificates", "caf\\xe9\\n.pem")]


def test_patterns_reach_any_depth_and_do_not_enter_twice(tmp_path: Path) -> None:
    (tmp_path / "a" / "b" / ".hidden").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x.pem").write_text(LEAF.pem)
    (tmp_path / "a" / "b" / ".hidden" / "y.pem").write_text(ROOT.pem)
    assert [place for _, place in run(tmp_path, paths=(tmp_path / "**" / "*.pem",))[0]] == ["a/b/x.pem", "a/b/.hidden/y.pem"]
    assert len(run(tmp_path, paths=(tmp_path / "**",))[0]) == 2


def test_excluded_places_are_not_entered(tmp_path: Path) -> None:
    (tmp_path / "skip").mkdir()
    (tmp_path / "skip" / "a.pem").write_text(LEAF.pem)
    (tmp_path / "b.pem").write_text(ROOT.pem)
    assert list(run(tmp_path, exclude=("*/skip/*",))[0]) == [("certificates", "b.pem")]


def test_public_key_cut_out_of_a_certificate_is_the_right_one() -> None:
    from keymuster.sources._keystores import spki_of

    key = rsa.generate_private_key(65537, 2048)
    made = Builder("x").with_key(key).issue()
    assert spki_of(made.der) == spki(key.public_key()) == key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert spki_of(b"\x30\x03\x02\x01\x00") is None
    assert hashlib.sha256(spki_of(made.der) or b"").hexdigest() == made.spki_sha256
