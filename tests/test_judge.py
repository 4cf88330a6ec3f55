"""`keymuster judge`: one verdict a file, exit codes that mean something, nothing secret and nothing obeyed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from keymuster import content, judging
from keymuster.cli import app
from keymuster.model import Severity
from keymuster.policy import read_policy
from keymuster.rules_file import load_rules
from tests.certificates import Builder, rsa_key

DAY = "2026-11-01"
PEM_FORM = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def run(*arguments: object):
    return CliRunner().invoke(app, ["judge", *map(str, arguments), "--as-of", DAY])


@pytest.fixture
def weak(tmp_path: Path) -> Path:
    path = tmp_path / "weak.pem"
    path.write_bytes(Builder("weak.example").with_key(rsa_key(1024)).issue().pem.encode())
    return path


def objects(result) -> list[dict]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_one_object_a_file_with_fingerprint_outcomes_and_problems(weak: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing here\n")
    (tmp_path / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n")
    found = {Path(o["file"]).name: o for o in objects(run("--json", weak, tmp_path / "empty.pem", tmp_path / "broken.pem"))}
    assert set(found) == {"weak.pem", "empty.pem", "broken.pem"}
    assert len(found["weak.pem"]["fingerprint"]) == 64
    assert found["weak.pem"]["outcomes"]["certificate.rsa.minimum_bits"] == "fail"
    assert found["weak.pem"]["problems"] == []
    assert [p["code"] for p in found["empty.pem"]["problems"]] == ["nothing_recognised"]
    assert found["broken.pem"]["problems"]
    assert found["broken.pem"]["outcomes"] == {}


def test_exit_codes(weak: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing here\n")
    assert run(weak).exit_code == 0
    assert run(weak, "--fail-on", "critical").exit_code == 1
    assert run(weak, "--fail-on", "grave").exit_code == 2
    assert run(tmp_path / "empty.pem").exit_code == 3
    assert run(tmp_path / "absent.pem").exit_code == 2


def test_what_needs_an_estate_is_unknown_and_never_a_pass(weak: Path) -> None:
    outcomes = objects(run("--json", weak))[0]["outcomes"]
    assert outcomes["certificate.serial.unique_per_issuer"] == "unknown"
    assert outcomes["inventory.owner.known"] != "pass"


def test_a_private_key_is_judged_and_not_shown(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "loose.key"
    path.write_bytes(key.private_bytes(*PEM_FORM))
    path.chmod(0o644)
    for arguments in (["--json"], []):
        result = run(path, *arguments)
        assert "key.file.private" in result.stdout
        assert "PRIVATE KEY" not in result.stdout
        assert f"{key.private_numbers().private_value:x}" not in result.stdout
    assert objects(run("--json", path))[0]["outcomes"]["key.file.private"] == "fail"
    assert run(path, "--fail-on", "critical").exit_code == 1  # readable for everybody: severity_when raises it
    path.chmod(0o640)
    assert run(path, "--fail-on", "critical").exit_code == 0


def test_a_file_name_cannot_command_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31mb.pem"
    path.write_text("nothing\n")
    assert "\x1b" not in run(path).stdout
    assert "\x1b" not in run("--json", path).stdout


def test_a_bundle_is_one_object_with_more(tmp_path: Path) -> None:
    path = tmp_path / "bundle#1.pem"
    path.write_bytes((Builder("one.example").issue().pem + Builder("two.example").issue().pem).encode())
    (only,) = objects(run("--json", path))
    assert only["file"] == str(path)
    assert len(only["more"]) == 1
    assert only["more"][0]["fingerprint"] != only["fingerprint"]


def test_batches_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(7):
        (tmp_path / f"{n}.pem").write_bytes(Builder(f"{n}.example").issue().pem.encode())
    whole = objects(run("--json", tmp_path))
    monkeypatch.setattr(judging, "BATCH", 2)
    assert objects(run("--json", tmp_path)) == whole
    assert len(whole) == 7


def test_a_typo_in_a_rule_names_the_file(tmp_path: Path, weak: Path) -> None:
    folder = tmp_path / "rules" / "key"
    folder.mkdir(parents=True)
    shipped = content.checks() / "rules" / "key" / "key.file.private.yaml"
    (folder / shipped.name).write_text(shipped.read_text().replace("file_mode", "file_mod"))
    result = run(weak, "--rules", tmp_path / "rules")
    assert result.exit_code == 2
    assert shipped.name in result.output
    assert "file_mode" in result.output


def test_failures_come_worst_first(weak: Path) -> None:
    rules = load_rules(content.checks() / "rules")
    judge = judging.Judge(rules, read_policy(content.checks() / "policies" / "default.yaml"), datetime(2026, 11, 1, tzinfo=UTC))
    (verdict,) = judge.files([weak])
    severities = [s for s, _, _ in verdict.failures()]
    assert severities[0] == Severity.CRITICAL
    assert severities == sorted(severities, reverse=True)
