"""Facts about names, addresses, suites, policies and ownership."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from keymuster.content import checks, read_yaml
from keymuster.facts._names import Blocks, host, is_matched
from keymuster.facts._ownership import expression
from keymuster.policy import Match, Ownership, Policy
from keymuster.protocols import Unknowable
from tests.certificates import Builder, authority
from tests.fact_runs import run, sighting

LEAF = "0" * 64


def one(fact: str, table: str = "certificates", policy: Policy | None = None, **row: Any) -> Any:
    return run(fact, table, [row], policy=policy)[0]


@pytest.mark.parametrize(
    ("server_name", "names", "types", "matched"),
    [
        ("www.example.com", ["www.example.com"], ["dNSName"], True),
        ("WWW.Example.COM", ["www.example.com"], ["dNSName"], True),
        ("www.example.com", ["WWW.EXAMPLE.COM"], ["dNSName"], True),
        ("www.example.com.", ["www.example.com"], ["dNSName"], True),
        ("www.example.com", ["www.example.com."], ["dNSName"], False),
        ("www.example.com", ["*.example.com"], ["dNSName"], True),
        ("a.b.example.com", ["*.example.com"], ["dNSName"], False),
        ("example.com", ["*.example.com"], ["dNSName"], False),
        ("www.example.com", ["w*.example.com"], ["dNSName"], False),
        ("www.example.com", ["www.*.com"], ["dNSName"], False),
        ("www.example.com", ["*"], ["dNSName"], False),
        ("www.example.com", ["*.*.com"], ["dNSName"], False),
        ("localhost", ["*"], ["dNSName"], False),
        (".example.com", ["*.example.com"], ["dNSName"], False),
        ("bücher.example", ["xn--bcher-kva.example"], ["dNSName"], True),
        ("BÜCHER.example.", ["xn--bcher-kva.example"], ["dNSName"], True),
        ("bücher.example", ["bücher.example"], ["dNSName"], False),
        ("xn--bcher-kva.example.com", ["*.example.com"], ["dNSName"], True),
        ("xn--bcher-kva.example.com", ["xn--*.example.com"], ["dNSName"], False),
        ("192.0.2.1", ["192.0.2.1"], ["iPAddress"], True),
        ("192.0.2.1", ["192.0.2.1"], ["dNSName"], False),
        ("192.0.2.1", ["*.0.2.1"], ["dNSName", "iPAddress"], False),
        ("2001:db8::1", ["2001:db8:0:0:0:0:0:1"], ["iPAddress"], True),
        ("[2001:db8::1]", ["2001:db8::1"], ["iPAddress"], True),
        ("192.0.2.2", ["192.0.2.1"], ["iPAddress"], False),
        ("www.example.com", [], [], False),
        ("www.example.com", ["www.example.com"], ["uniformResourceIdentifier"], False),
        ("a\u0000.example.com", ["a.example.com"], ["dNSName"], False),
        ("\ud7ff\u200d..", ["x"], ["dNSName"], False),
    ],
)
def test_names_match_by_rfc_9525(server_name: str, names: list[str], types: list[str], matched: bool) -> None:
    endpoint = {"server_name": server_name, "certificate_asset_id": LEAF}
    leaf = {"asset_id": LEAF, "san_names": names, "san_types": types}
    assert run("is_name_matched", "endpoints", [endpoint], {"certificates": [leaf]}) == [matched]


def test_common_name_never_matches() -> None:
    issued = Builder("www.example.com").dns("other.example.com").issue(authority())
    endpoint = {"server_name": "www.example.com", "certificate_asset_id": issued.fingerprint}
    assert run("is_name_matched", "endpoints", [endpoint], {"certificates": [sighting(issued)]}) == [False]


def test_name_match_is_unknown_without_name_or_leaf() -> None:
    leaf = {"asset_id": LEAF, "san_names": ["a.example.com"], "san_types": ["dNSName"]}
    rows = [
        {"server_name": None, "certificate_asset_id": LEAF},
        {"server_name": "a.example.com", "certificate_asset_id": None},
        {"server_name": "a.example.com", "certificate_asset_id": "1" * 64},
        {"certificate_asset_id": LEAF},
    ]
    assert run("is_name_matched", "endpoints", rows, {"certificates": [leaf]}) == [None] * 4
    assert run("is_name_matched", "endpoints", rows) == [None] * 4


def test_matching_takes_a_set_in_lower_case() -> None:
    assert is_matched("x.example.com", frozenset({"*.example.com"}), ("dNSName",))


@pytest.mark.parametrize(
    ("names", "malformed"),
    [
        (["www.example.com", "*.example.com", "a-b.example.com", "xn--bcher-kva.example", "192.0.2.1", "2001:db8::1"], []),
        (["example.com.", "a_b.example.com"], ["example.com.", "a_b.example.com"]),
        (
            ["-a.example.com", "a-.example.com", ".example.com", "a..b", "", "*"],
            ["-a.example.com", "a-.example.com", ".example.com", "a..b", "", "*"],
        ),
        (["w*.example.com", "*.*.example.com", "a.*.com"], ["w*.example.com", "*.*.example.com", "a.*.com"]),
        (
            ["ab--cd.example.com", "xn--.example.com", "xn--\u00e9.example.com"],
            ["ab--cd.example.com", "xn--.example.com", "xn--\u00e9.example.com"],
        ),
        ([f"{'a' * 63}.example.com", f"{'a' * 64}.example.com"], [f"{'a' * 64}.example.com"]),
        (["https://example.com", "ex ample.com", "<script>"], ["https://example.com", "ex ample.com", "<script>"]),
        ([".".join(["a" * 49] * 5) + ".abc", ".".join(["a" * 49] * 5) + ".abcd"], [".".join(["a" * 49] * 5) + ".abcd"]),
        ([], []),
        (None, None),
    ],
)
def test_malformed_names(names: list[str] | None, malformed: list[str] | None) -> None:
    assert one("malformed_names", san_names=names) == malformed


@pytest.mark.parametrize(
    ("names", "internal"),
    [
        (["www.example.com", "example.co.uk", "bücher.de", "xn--bcher-kva.de", "8.8.8.8", "2606:4700::1111", "abc.onion"], []),
        (["db.local", "srv", "x.corp", "printer.internal", "*.lan", "localhost", "router.home.arpa"], None),
        (
            [
                "10.0.0.1",
                "192.168.1.1",
                "127.0.0.1",
                "169.254.1.1",
                "100.64.0.1",
                "fe80::1",
                "fd00::1",
                "::1",
                "203.0.113.9",
                "2001:db8::1",
            ],
            None,
        ),
        (["192.0.0.9", "1.0.0.127.in-addr.arpa"], []),
    ],
)
def test_internal_names(names: list[str], internal: list[str] | None) -> None:
    assert one("internal_names", san_names=names) == (names if internal is None else internal)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("8.8.8.8", "global"),
        ("9.255.255.255", "global"),
        ("10.0.0.0", "private"),
        ("10.255.255.255", "private"),
        ("11.0.0.0", "global"),
        ("100.63.255.255", "global"),
        ("100.64.0.0", "private"),
        ("127.255.255.255", "loopback"),
        ("172.15.255.255", "global"),
        ("172.31.255.255", "private"),
        ("192.0.0.8", "reserved"),
        ("192.0.0.9", "global"),
        ("198.19.255.255", "private"),
        ("224.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("::", "reserved"),
        ("::1", "loopback"),
        ("::2", "global"),
        ("::ffff:8.8.8.8", "reserved"),
        ("2001:1::1", "global"),
        ("2001:1::3", "reserved"),
        ("2001:db8:ffff::1", "reserved"),
        ("3fff:fff::1", "reserved"),
        ("fe80::1", "private"),
        ("ff02::1", "reserved"),
        ("2a00::1", "global"),
    ],
)
def test_blocks_at_their_edges(text: str, kind: str) -> None:
    blocks = Blocks(read_yaml(checks() / "reference" / "special_addresses.yaml")["blocks"])
    assert blocks.kind(ipaddress.ip_address(text)) == kind


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["1.0.0.127.in-addr.arpa"], True),
        (["8.b.d.0.1.0.0.2.IP6.ARPA."], True),
        (["in-addr.arpa.example.com"], False),
        (["xin-addr.arpa"], False),
        ([], False),
        (None, None),
    ],
)
def test_reverse_zones(names: list[str] | None, found: bool | None) -> None:
    assert one("has_reverse_zone_name", san_names=names) is found


@pytest.mark.parametrize(
    ("subject", "names", "found"),
    [
        ("CN=www.example.com,O=x", ["www.example.com"], True),
        ("CN=WWW.example.com", ["www.example.com"], False),
        ("CN=www.example.com", [], False),
        ("CN=a.example.com,CN=b.example.com", ["a.example.com", "b.example.com"], False),
        ("O=x", ["a.example.com"], None),
        ("", ["a.example.com"], None),
        ("CN=192.0.2.1", ["192.0.2.1"], True),
        ("CN=a\\,b,O=CN\\=c", ["a,b"], True),
        ("CN=www.example.com", None, None),
        (None, ["www.example.com"], None),
    ],
)
def test_common_name_in_san(subject: str | None, names: list[str] | None, found: bool | None) -> None:
    assert one("is_common_name_in_san", subject=subject, san_names=names) is found


def test_common_name_is_compared_with_the_names_of_its_own_row() -> None:
    rows = [{"subject": "CN=a", "san_names": ["b"]}, {"subject": "CN=b", "san_names": ["a"]}, {"subject": "CN=b", "san_names": ["a", "b"]}]
    assert run("is_common_name_in_san", "certificates", rows) == [False, False, True]


def test_wildcards_in_closed_zones() -> None:
    policy = Policy(wildcard_closed_zones=("secure.example.com",))
    cases = {
        "*.secure.example.com": False,
        "*.a.SECURE.example.com": False,
        "*.example.com": True,
        "secure.example.com": True,
        "*.insecure.example.com": True,
    }
    for name, allowed in cases.items():
        assert one("is_wildcard_allowed", policy=policy, san_names=[name]) is allowed, name
    with pytest.raises(Unknowable, match="wildcard_closed_zones"):
        one("is_wildcard_allowed", san_names=[])


@pytest.mark.parametrize(
    ("suites", "weak"),
    [
        (["TLS_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"], []),
        (["TLS_RSA_WITH_AES_128_GCM_SHA256"], ["STATIC_RSA"]),
        (["TLS_ECDH_ECDSA_WITH_AES_128_CBC_SHA"], ["STATIC_DH", "CBC"]),
        (["TLS_DH_anon_WITH_RC4_128_MD5"], ["ANON", "RC4"]),
        (["TLS_RSA_EXPORT_WITH_DES40_CBC_SHA"], ["EXPORT", "DES", "STATIC_RSA", "CBC"]),
        (["TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA"], ["3DES", "CBC"]),
        (["TLS_NULL_WITH_NULL_NULL"], ["NULL", "ANON"]),
        (["TLS_SHA256_SHA256"], ["NULL"]),
        (["SSL_CK_DES_192_EDE3_CBC_WITH_MD5"], ["3DES", "STATIC_RSA", "CBC"]),
        (["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_RSA_WITH_RC4_128_SHA"], ["RC4", "STATIC_RSA"]),
        (["AES128-SHA"], None),
        ([], []),
        (None, None),
    ],
)
def test_cipher_weaknesses(suites: list[str] | None, weak: list[str] | None) -> None:
    assert one("cipher_weaknesses", "endpoints", cipher_suites=suites) == weak


@pytest.mark.parametrize(
    ("algorithm", "bits", "curve", "strength"),
    [
        ("RSA", 512, None, 80),
        ("RSA", 1024, None, 80),
        ("RSA", 2047, None, 80),
        ("RSA", 2048, None, 112),
        ("RSA", 3071, None, 112),
        ("RSA", 3072, None, 128),
        ("RSA", 7680, None, 192),
        ("RSA", 15360, None, 256),
        ("DSA", 2048, None, 112),
        ("EC", 192, "P-192", 80),
        ("EC", 224, "P-224", 112),
        ("EC", 256, "P-256", 128),
        ("EC", 384, "P-384", 192),
        ("EC", 521, "P-521", 256),
        ("Ed25519", None, None, 128),
        ("Ed448", None, None, 192),
        ("ML-DSA-65", None, None, None),
        ("RSA", None, None, None),
        (None, 2048, None, None),
    ],
)
def test_security_strength_by_sp_800_57(algorithm: str | None, bits: int | None, curve: str | None, strength: int | None) -> None:
    assert one("security_strength_bits", key_algorithm=algorithm, key_bits=bits, key_curve=curve) == strength


@pytest.mark.parametrize(
    ("oids", "count"),
    [(["2.23.140.1.2.1"], 1), (["2.23.140.1.1", "2.23.140.1.2.2", "1.3.6.1.4.1.1"], 2), (["2.23.140.1.2"], 0), ([], 0), (None, None)],
)
def test_reserved_policies(oids: list[str] | None, count: int | None) -> None:
    assert one("reserved_policy_count", policy_oids=oids) == count


@pytest.mark.parametrize(
    ("crl", "aia", "found"),
    [
        (["http://c"], [], True),
        ([], ["ocsp=http://o"], True),
        ([], ["caIssuers=http://i"], False),
        ([], [], False),
        (None, ["ocsp=http://o"], True),
        (None, [], None),
    ],
)
def test_revocation_pointer(crl: list[str] | None, aia: list[str] | None, found: bool | None) -> None:
    assert one("has_revocation_pointer", crl_urls=crl, aia_entries=aia) is found


OWNED = Policy(
    ownership=(
        Ownership(match=Match(locator="10.1.*"), exposure="internal", environment="test"),
        Ownership(match=Match(name="*.Shop.example.com"), owner="shop", service="webshop", scopes=("pci", "nis2")),
        Ownership(match=Match(table="ssh_keys", account="deploy"), owner="platform"),
        Ownership(match=Match(table="certificates", station="lab-?"), owner="lab", environment="development"),
        Ownership(match=Match(locator="*"), owner="security"),
    )
)


def test_the_first_ownership_rule_that_names_a_value_gives_it() -> None:
    rows = [
        {"station": "x", "locator": "10.1.0.1:443", "san_names": ["a.shop.example.com"]},
        {"station": "lab-1", "locator": "h", "san_names": ["b.example.com"]},
        {"station": "lab-12", "locator": "h", "san_names": []},
        {"station": "lab-1", "locator": None, "san_names": None},
    ]
    assert run("owner", "certificates", rows, policy=OWNED) == ["shop", "lab", "security", "lab"]
    assert run("service", "certificates", rows, policy=OWNED) == ["webshop", None, None, None]
    assert run("environment", "certificates", rows, policy=OWNED) == ["test", "development", None, "development"]
    assert run("assurance_scopes", "certificates", rows, policy=OWNED) == [["pci", "nis2"], [], [], []]
    assert run("owner", "ssh_keys", [{"locator": "/x", "account": "deploy"}, {"locator": "/x"}], policy=OWNED) == ["platform", "security"]
    assert run("owner", "endpoints", [{"locator": "e", "server_name": "a.SHOP.example.com"}], policy=OWNED) == ["shop"]


def test_a_key_has_the_names_of_its_certificate() -> None:
    certificates = [
        {"station": "s", "locator": "1", "spki_sha256": "k", "subject": "CN=x", "san_names": ["b.example.com"]},
        {"station": "s", "locator": "2", "spki_sha256": "k", "subject": "CN=x", "san_names": ["a.shop.example.com"]},
    ]
    rows = [{"station": "s", "locator": place, "spki_sha256": key} for place, key in (("1", "k"), ("2", "k"), ("3", "l"))]
    assert run("owner", "keys", rows, {"certificates": certificates}, policy=OWNED) == ["security", "shop", "security"]
    assert run("owner", "keys", rows, policy=OWNED) == ["security"] * 3


def test_nobody_said_is_not_nobody_owns() -> None:
    with pytest.raises(Unknowable, match="ownership"):
        one("owner", locator="x")
    with pytest.raises(Unknowable, match="scopes"):
        one("assurance_scopes", locator="x", policy=Policy(ownership=()))
    assert one("owner", locator="x", policy=Policy(ownership=())) is None


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("a*c", "abc", True),
        ("a.c", "abc", False),
        ("*", "any\nline", True),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("[ab]x", "bx", True),
        ("[!ab]x", "bx", False),
        ("(a|b)+", "(a|b)+", True),
        ("arn:aws:*", "ARN:aws:iam", True),
        ("[", "[", True),
    ],
)
def test_patterns_are_shell_wildcards(pattern: str, text: str, fits: bool) -> None:
    rule = Ownership(match=Match(locator=pattern), owner="o")
    assert one("owner", locator=text, policy=Policy(ownership=(rule,))) == ("o" if fits else None)
    assert rule.match.fits({"locator": text}) is fits
    assert expression(pattern).startswith("^(?s:")


@pytest.mark.parametrize(
    ("locator", "reach"),
    [
        ("127.0.0.1:443", "loopback"),
        ("[::1]:443", "loopback"),
        ("10.0.0.5:443", "internal"),
        ("[fd00::1]:8443/name", "internal"),
        ("198.18.0.1:25", "internal"),
        ("8.8.8.8:443", "internet"),
        ("9.9.9.9:443/www.example.com", "internal"),
        ("www.example.com:443", None),
        ("2606:4700::1111", "internet"),
    ],
)
def test_exposure_by_address(locator: str, reach: str | None) -> None:
    policy = Policy(networks=("9.9.9.0/24",))
    assert one("exposure", "endpoints", policy, locator=locator) == reach
    assert one("exposure", "certificates", policy, locator=locator, role="served") == reach
    assert one("exposure", "certificates", policy, locator=locator, role="installed") is None
    assert one("exposure", "keys", policy, locator=locator) is None


def test_policy_beats_the_address() -> None:
    policy = Policy(ownership=(Ownership(match=Match(locator="8.8.*"), exposure="internal"),))
    assert one("exposure", "endpoints", policy, locator="8.8.8.8:443") == "internal"


@pytest.mark.parametrize(("text", "name"), [("h:1", "h"), ("[::1]:1", "::1"), ("ldaps://h:636/x", "h"), ("h", "h"), ("h:1#2", "h")])
def test_host_of_a_locator(text: str, name: str) -> None:
    assert host(text) == name
