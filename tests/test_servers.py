"""The kit itself: every server starts, answers and holds what its fixture promises; a missing one is skipped loudly."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections import Counter

import boto3
import ldap3
import pytest
import redis as redis_client
import requests
from botocore.exceptions import ClientError
from sqlalchemy import create_engine, text

from tests.servers.needs import NEEDS
from tests.servers.plugin import not_run_lines

pytest_plugins = ["pytester"]


def test_postgres_gives_an_empty_database(postgres):
    with create_engine(postgres).begin() as connection:
        assert connection.execute(text("select count(*) from information_schema.tables where table_schema = 'public'")).scalar() == 0
        connection.execute(text("create table t (i int)"))


def test_postgres_gives_another_empty_database(postgres):
    with create_engine(postgres).begin() as connection:
        connection.execute(text("create table t (i int)"))


def test_redis_answers_and_is_empty(redis):
    with redis_client.Redis.from_url(redis) as connection:
        assert connection.dbsize() == 0
        connection.set("a", "b")


def test_redmine_takes_a_ticket_and_turns_a_wrong_key_down(redmine):
    issue = {"issue": {"project_id": redmine.project, "subject": "kit"}}
    made = requests.post(f"{redmine.url}/issues.json", json=issue, headers={"X-Redmine-API-Key": redmine.api_key}, timeout=60)
    assert made.status_code == 201, made.text
    assert requests.get(f"{redmine.url}/issues.json", headers={"X-Redmine-API-Key": "c" * 40}, timeout=60).status_code == 401


def test_openbao_issues_and_lists(openbao):
    mount = openbao.mount("pki")
    openbao.call("POST", f"{mount}/root/generate/internal", {"common_name": "Lab Root", "ttl": "8760h", "key_type": "ec"})
    assert len(openbao.call("LIST", f"{mount}/certs")["data"]["keys"]) == 1


def test_slapd_speaks_plain_and_verified_tls(slapd):
    tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=str(slapd.ca))
    with ldap3.Connection(ldap3.Server(slapd.ldaps_url, tls=tls), slapd.bind_dn, slapd.password) as connection:
        connection.search(slapd.base_dn, "(objectClass=organizationalUnit)")
        assert len(connection.entries) == 2


def test_moto_is_an_empty_account(moto):
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    assert boto3.client("iam", endpoint_url=moto, region_name="us-east-1", **keys).list_users()["Users"] == []


def test_seaweedfs_writes_once(seaweedfs):
    s3 = seaweedfs.client()
    s3.put_object(Bucket=seaweedfs.bucket, Key="k", Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=seaweedfs.bucket, Key="k", Body=b"2", IfNoneMatch="*")
    assert s3.get_object(Bucket=seaweedfs.bucket, Key="k")["Body"].read() == b"1"


def test_cfssl_fills_its_database(cfssl):
    cfssl.issue("kit.lab.test")
    with create_engine(cfssl.database).connect() as connection:
        assert connection.execute(text("select count(*) from certificates")).scalar() == 1


def test_nginx_serves_a_certificate_of_its_ca(nginx):
    context = ssl.create_default_context(cafile=str(nginx.tls.ca))
    with socket.create_connection((nginx.host, nginx.port)) as raw, context.wrap_socket(raw, server_hostname="localhost") as tls:
        assert tls.getpeercert()["subject"] == ((("commonName", "localhost"),),)


def test_sshd_shows_its_host_keys(sshd):
    with socket.create_connection((sshd.host, sshd.port), timeout=10) as connection:
        assert connection.recv(64).startswith(b"SSH-2.0-OpenSSH")
    assert len(sshd.host_keys) == 2


@pytest.mark.server("nmap")
def test_nmap_is_there():
    assert b"Nmap version" in subprocess.run(["nmap", "--version"], capture_output=True, check=True).stdout


def test_the_last_lines_count_by_server():
    counts = Counter({"needs redis (apt-get install redis-server): no redis-server": 7, "needs nmap (x): y": 1})
    assert not_run_lines(counts) == [
        "not run: 1 test that needs nmap (x): y",
        "not run: 7 tests that need redis (apt-get install redis-server): no redis-server",
    ]


MISSING = """
import pytest
from tests.servers.needs import NEEDS, Need
NEEDS["nmap"] = Need(lambda: "no nmap", "apt-get install nmap")
@pytest.mark.server("nmap")
def test_it(): pass
"""


@pytest.mark.parametrize(("ci", "outcome"), [("", {"skipped": 1}), ("true", {"errors": 1})])
def test_a_missing_server_skips_here_and_fails_in_ci(pytester, monkeypatch, ci, outcome):
    monkeypatch.setenv("CI", ci)
    monkeypatch.delenv("KEYMUSTER_REQUIRE_SERVERS", raising=False)
    monkeypatch.setitem(NEEDS, "nmap", NEEDS["nmap"])
    pytester.makepyfile(MISSING)
    result = pytester.runpytest_inprocess("-p", "tests.servers.plugin")
    result.assert_outcomes(**outcome)
    if not ci:
        assert result.outlines[-1] == "not run: 1 test that needs nmap (apt-get install nmap): no nmap"


def test_an_unknown_server_is_a_usage_error(pytester):
    pytester.makepyfile("import pytest\n@pytest.mark.server('nmpa')\ndef test_it(): pass")
    result = pytester.runpytest_inprocess("-p", "tests.servers.plugin")
    result.stderr.fnmatch_lines(["*no server named 'nmpa'; there are *"])
