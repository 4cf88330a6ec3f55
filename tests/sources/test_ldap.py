"""The directory source against real OpenLDAP servers with the limits that cut listings in silence."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.certificates import Builder, authority
from tests.servers.processes import free_port
from tests.servers.slapd import BASE, start_slapd
from tests.sources.cases.ldap import person, reading

from keymuster.errors import BadAnswer, Refused, Unreachable
from keymuster.model import Coverage, Problem, Record
from keymuster.normalise import normalise
from keymuster.sources import _adcs
from keymuster.sources._directory import Entry
from keymuster.sources.ldap import DELIVERS, Settings, _enabled, collect

READER = f'limits dn.exact="cn=reader,{BASE}"'


def of(items, table):
    return [i for i in items if isinstance(i, Record) and i.table == table]


def problems(items):
    return [(i.code, i.locator) for i in items if isinstance(i, Problem)]


def people(server, count):
    server.add([person(server, f"p{n}") for n in range(count)])


def group(server, name, *members):
    return f"cn={name},ou=groups,{server.base_dn}", ["groupOfNames"], {"member": [m.format(base=server.base_dn) for m in members]}


ANNA, BEN = "uid=anna,ou=people,{base}", "uid=ben,ou=people,{base}"


def test_accounts_memberships_and_certificates(slapd):
    first, second = (Builder("anna").serial(n).issue(authority()) for n in (1, 2))
    slapd.add([person(slapd, "anna", **{"userCertificate;binary": [first.der, second.der]}), person(slapd, "ben")])
    slapd.add([group(slapd, "admins", ANNA), group(slapd, "everybody", BEN, "cn=admins,ou=groups,{base}", "cn=everybody,ou=groups,{base}")])
    items = list(collect(reading(slapd)))
    assert problems(items) == []
    assert items[-1] == Coverage(expected=None, fetched=4)
    accounts = {r.locator.split(",")[0]: r.attributes for r in of(items, "principals")}
    assert set(accounts) == {"uid=anna", "uid=ben"}
    anna = accounts["uid=anna"]
    assert (anna["kind"], anna["provider"], anna["is_enabled"], anna["is_interactive"]) == ("human", "ldap", True, True)
    assert "mfa_type" not in anna, "a directory does not know"
    assert {r.der for r in of(items, "certificates")} == {first.der, second.der}
    held = sorted((r.attributes["actions"][0].split(",")[0], r.attributes["principal_asset_id"]) for r in of(items, "grants"))
    assert held == sorted(
        [
            ("member_of:cn=admins", anna["asset_id"]),
            ("member_of:cn=everybody", anna["asset_id"]),
            ("member_of:cn=everybody", accounts["uid=ben"]["asset_id"]),
        ]
    )


def test_every_row_survives_normalising(slapd):
    slapd.add([person(slapd, "anna", **{"userCertificate;binary": Builder("anna").issue(authority()).der})])
    slapd.add([group(slapd, "admins", ANNA)])
    made = normalise(collect(reading(slapd)), station="s", source="ldap", as_of=datetime(2026, 11, 23, tzinfo=UTC), delivers=DELIVERS)
    assert made.problems == ()
    assert {name: table.num_rows for name, table in made.tables.items() if table.num_rows} == {
        "principals": 1,
        "certificates": 1,
        "grants": 1,
        "stations": 1,
    }


def test_identity_outlives_a_rename(slapd):
    people(slapd, 1)
    (before,) = of(collect(reading(slapd)), "principals")
    with slapd.connected() as connection:
        connection.modify_dn(before.locator, "uid=renamed")
    (after,) = of(collect(reading(slapd)), "principals")
    assert after.locator != before.locator
    assert after.attributes["asset_id"] == before.attributes["asset_id"]


def test_more_entries_than_an_unpaged_search_gives(tmp_path):
    with start_slapd(tmp_path / "s", f"{READER} size.soft=5 size.hard=unlimited") as server:
        people(server, 12)
        items = list(collect(reading(server, page_size=4)))
    assert len(of(items, "principals")) == 12
    assert items[-1].complete


def test_a_total_limit_is_noticed(tmp_path):
    with start_slapd(tmp_path / "s", f"{READER} size.prtotal=5") as server:
        people(server, 12)
        items = list(collect(reading(server, page_size=2)))
    assert 0 < len(of(items, "principals")) < 12
    assert ("listing_cut", None) in problems(items)
    assert items[-1].truncated


def test_a_page_above_the_limit_is_no_empty_directory(tmp_path):
    with start_slapd(tmp_path / "s", f"{READER} size.pr=5") as server:
        people(server, 12)
        with pytest.raises(BadAnswer, match="page_size"):
            list(collect(reading(server, page_size=10)))
        assert len(of(collect(reading(server, page_size=5)), "principals")) == 12


def test_disabled_accounts(slapd):
    people(slapd, 1)
    locked = Entry("x", {"pwdaccountlockedtime": [b"000001010000Z"]})
    assert [_enabled(e, _Directory(ad=False)) for e in (locked, Entry("x", {"nsaccountlock": [b"TRUE"]}), Entry("x", {}))] == [
        False,
        False,
        True,
    ]
    flags = [Entry("x", {"useraccountcontrol": [v]}) for v in (b"514", b"512", b"x")]
    assert [_enabled(e, _Directory(ad=True)) for e in (*flags, Entry("x", {}))] == [False, True, None, None]


class _Directory:
    def __init__(self, *, ad):
        self.is_active_directory = ad


def test_services_by_place_and_class(slapd):
    service = f"cn=backup,ou=groups,{slapd.base_dn}", ["applicationProcess"], {}
    slapd.add([person(slapd, "robot"), service])
    items = list(collect(reading(slapd, service_bases=(f"ou=people, {BASE.upper()}",))))
    assert {(r.attributes["kind"], r.attributes["is_interactive"]) for r in of(items, "principals")} == {("service", None)}
    assert len(of(items, "principals")) == 2


def test_a_referral_is_not_followed_but_said(slapd):
    people(slapd, 1)
    slapd.add([(f"ou=elsewhere,{slapd.base_dn}", ["referral", "extensibleObject"], {"ref": "ldap://127.0.0.1:1/ou=elsewhere"})])
    items = list(collect(reading(slapd)))
    assert problems(items) == [("referral_not_followed", None)]
    assert items[-1].truncated


def test_published_ca_certificates(slapd):
    root = authority()
    entry = f"cn=ca,{slapd.base_dn}", ["organizationalRole", "pkiCA"], {"cACertificate;binary": root.der}
    slapd.add([entry])
    (record,) = of(collect(reading(slapd)), "certificates")
    assert (record.der, record.attributes["role"]) == (root.der, "repository")


def test_ldaps_is_verified_too(slapd):
    people(slapd, 1)
    url = slapd.ldaps_url.replace("127.0.0.1", "localhost")
    assert len(of(collect(reading(slapd, url=url)), "principals")) == 1
    with pytest.raises(Refused, match="certificate"):
        list(collect(reading(slapd, url=url, ca_bundle=None)))


def test_starttls_is_verified(slapd, tmp_path):
    other = tmp_path / "other.pem"
    other.write_bytes(authority().certificate.public_bytes(Encoding.PEM))
    with pytest.raises(Refused, match="certificate") as caught:
        list(collect(reading(slapd, ca_bundle=other)))
    assert slapd.reader_password not in str(caught.value)


def test_a_wrong_password_is_refused_and_not_shown(slapd):
    with pytest.raises(Refused, match="invalidCredentials") as caught:
        list(collect(reading(slapd, password="hunter2")))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("missing", [{"password": None}, {"password": ""}, {"bind_dn": ""}])
def test_anonymous_is_refused_before_anything_is_sent(missing):
    settings = {"url": "ldaps://127.0.0.1:1", "base_dn": BASE, "bind_dn": "cn=x", "password": "y", **missing}
    with pytest.raises(Refused, match="anonymous"):
        list(collect(Settings(**settings)))


def test_a_dead_server_is_unreachable():
    for scheme in ("ldap", "ldaps"):
        url = f"{scheme}://127.0.0.1:{free_port()}"
        with pytest.raises(Unreachable):
            list(collect(Settings(url=url, base_dn=BASE, bind_dn="cn=x", password="hunter2")))


def test_a_base_that_is_not_there(slapd):
    with pytest.raises(BadAnswer, match="no such base"):
        list(collect(reading(slapd, base_dn="dc=nowhere,dc=test")))
    with pytest.raises(BadAnswer, match="no such base"):
        list(collect(reading(slapd, user_base=f"ou=nowhere,{slapd.base_dn}")))


def test_a_malformed_filter_is_a_bad_answer(slapd):
    with pytest.raises(BadAnswer, match="filter"):
        list(collect(reading(slapd, user_filter="(uid=*")))


@pytest.mark.parametrize("url", ["http://127.0.0.1", "localhost", "ldap://127.0.0.1:notaport"])
def test_addresses_that_are_none(url):
    with pytest.raises(BadAnswer):
        list(collect(Settings(url=url, base_dn=BASE, bind_dn="cn=x", password="y")))


# Active Directory's own object classes and the attribute of its root entry, so that OpenLDAP can play its configuration partition.
ADCS_SCHEMA = """
attributetype (1.2.840.113556.1.4.1432 NAME 'msPKI-Certificate-Name-Flag' SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE)
attributetype (1.2.840.113556.1.4.1430 NAME 'msPKI-Enrollment-Flag' SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE)
attributetype (1.2.840.113556.1.4.1429 NAME 'msPKI-RA-Signature' SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE)
attributetype (1.2.840.113556.1.4.1434 NAME 'msPKI-Template-Schema-Version' SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE)
attributetype (1.2.840.113556.1.4.1436 NAME 'msPKI-Cert-Template-OID' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE)
attributetype (1.2.840.113556.1.4.1333 NAME 'pKIExtendedKeyUsage' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15)
attributetype (1.2.840.113556.1.4.480 NAME 'configurationNamingContext' SYNTAX 1.3.6.1.4.1.1466.115.121.1.12)
objectclass (1.2.840.113556.1.5.177 NAME 'pKICertificateTemplate' SUP top STRUCTURAL MUST cn MAY (msPKI-Certificate-Name-Flag $
 msPKI-Enrollment-Flag $ msPKI-RA-Signature $ msPKI-Template-Schema-Version $ msPKI-Cert-Template-OID $ pKIExtendedKeyUsage))
objectclass (1.2.840.113556.1.5.178 NAME 'pKIEnrollmentService' SUP top STRUCTURAL MUST cn MAY cACertificate)
rootDSE {folder}/root.ldif
"""


@pytest.fixture
def forest(tmp_path):
    (tmp_path / "root.ldif").write_text(f"dn:\nconfigurationNamingContext: cn=Configuration,{BASE}\n")
    with start_slapd(tmp_path / "s", config=ADCS_SCHEMA.replace("{folder}", str(tmp_path))) as server:
        below = f"cn=Configuration,{BASE}"
        containers = [below]
        for name in ("Services", "Public Key Services"):
            containers.append(f"cn={name},{containers[-1]}")
        containers += [f"cn={name},{containers[2]}" for name in ("Certificate Templates", "Enrollment Services")]
        server.add([(name, ["organizationalRole"], {}) for name in containers])
        yield server, containers[2]


def test_templates_and_authorities_of_ad_cs(forest):
    server, services = forest
    root = authority("Issuing CA")
    weak = {"msPKI-Certificate-Name-Flag": "1", "msPKI-Enrollment-Flag": str(0x80000), "msPKI-RA-Signature": "0"}
    weak |= {
        "msPKI-Template-Schema-Version": "2",
        "msPKI-Cert-Template-OID": "1.3.6.1.4.1.311.21.8.1",
        "pKIExtendedKeyUsage": "1.3.6.1.5.5.7.3.2",
    }
    server.add(
        [
            (f"cn=Weak,cn=Certificate Templates,{services}", ["pKICertificateTemplate"], weak),
            (f"cn=Old,cn=Certificate Templates,{services}", ["pKICertificateTemplate"], {"msPKI-Enrollment-Flag": "2"}),
            (f"cn=CA1,cn=Enrollment Services,{services}", ["pKIEnrollmentService"], {"cACertificate;binary": root.der}),
        ]
    )
    items = list(collect(reading(server)))
    assert problems(items) == []
    rows = {r.locator.split(",")[0]: r.attributes for r in of(items, "templates")}
    assert rows["cn=Weak"] == {
        "asset_id": f"urn:ad:cn=configuration,{BASE}:1.3.6.1.4.1.311.21.8.1",
        "schema_version": 2,
        "extended_key_usage": ["clientAuth"],
        "authorized_signatures": 0,
        "requires_manager_approval": False,
        "is_subject_supplied_by_requester": True,
        "omits_security_extension": True,
    }
    old = rows["cn=Old"]
    assert (old["schema_version"], old["extended_key_usage"], old["requires_manager_approval"]) == (1, ["anyExtendedKeyUsage"], True)
    assert [(r.der, r.attributes) for r in of(items, "authorities")] == [(root.der, {"kind": "adcs"})]


def test_a_forest_without_ad_cs_is_said(tmp_path):
    (tmp_path / "root.ldif").write_text(f"dn:\nconfigurationNamingContext: cn=Configuration,{BASE}\n")
    with start_slapd(tmp_path / "s", config=ADCS_SCHEMA.replace("{folder}", str(tmp_path))) as server:
        items = list(collect(reading(server)))
    assert problems(items) == [("part_unreadable", None)]


def test_flags_are_the_documented_ones():
    assert (_adcs.SUPPLIES_SUBJECT, _adcs.PEND_ALL, _adcs.NO_SECURITY_EXTENSION) == (0x10001, 0x2, 0x80000)
