"""Facts about hierarchies: trust, issuers, usages, chains as sent, serials, CT, expected issuance, deployments, the register."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from keymuster.errors import ContentError
from keymuster.facts._issuers import hierarchy
from keymuster.facts._reference import in_use
from keymuster.facts.usages import survey
from keymuster.policy import Policy
from keymuster.protocols import Unknowable
from tests.certificates import AS_OF, CLIENT, SERVER, Builder, Issued, authority, ec_key, leaf, rsa_key
from tests.fact_runs import context_of, ders_of, run, sighting

ROOT = authority("Root")
ISSUING = authority("Issuing", by=ROOT, path_length=0)
LEAF = leaf("www.example.com", by=ISSUING)
OURS = Policy(private_roots=(ROOT.spki_sha256,))
MAIL, CODE = ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.CODE_SIGNING


def listed(folder: Path, **roots: Issued) -> Path:
    """A reference folder with one root list per trust class."""
    entries = []
    for trust, root in roots.items():
        (folder / f"{trust}.pem").write_text(root.pem)
        sha256 = hashlib.sha256(root.pem.encode()).hexdigest()
        entries.append({"name": trust, "trust": trust, "file": f"{trust}.pem", "date": "2026-11-01", "sha256": sha256})
    (folder / "index.yaml").write_text(yaml.safe_dump({"roots": entries}))
    return folder


def trusts(*chain: Issued, **knobs: Any) -> Any:
    """Trust of the first certificate, the others beside it."""
    return run("trust", "certificates", [sighting(c) for c in chain], ders=ders_of(*chain), **knobs)[0]


def test_private_by_root_key() -> None:
    rows, ders = [sighting(c) for c in (LEAF, ISSUING, ROOT)], ders_of(LEAF, ISSUING, ROOT)
    assert run("trust", "certificates", rows, ders=ders, policy=OURS) == ["private"] * 3


def test_private_by_root_file_that_no_station_delivers(tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_text(ROOT.pem)
    assert trusts(LEAF, ISSUING, policy=Policy(private_roots=(f"file:{tmp_path / 'root.pem'}",))) == "private"


@pytest.mark.parametrize("text", ["no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_root_file_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "root.pem").write_text(text)
    with pytest.raises(ContentError, match=r"root\.pem"):
        trusts(LEAF, policy=Policy(private_roots=(f"file:{tmp_path / 'root.pem'}",)))


@pytest.mark.parametrize(
    ("purposes", "limits", "trust"),
    [
        ((SERVER,), (), "public_tls"),
        ((), (), "public_tls"),
        ((ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,), (), "public_tls"),
        ((SERVER, CLIENT), (SERVER,), "public_tls"),
        ((CLIENT,), (), None),
        ((MAIL,), (), None),
        ((), (MAIL,), None),
        ((SERVER,), (MAIL,), None),
    ],
)
def test_public_by_list_and_purpose(tmp_path: Path, purposes: Any, limits: Any, trust: str | None) -> None:
    issuing = Builder("Sub").ca().eku(*limits).issue(ROOT)
    one = Builder("a.example.com").dns("a.example.com").eku(*purposes).issue(issuing)
    assert trusts(one, issuing, reference=listed(tmp_path, public_tls=ROOT)) == trust


def test_one_root_on_several_lists(tmp_path: Path) -> None:
    reference = listed(tmp_path, public_tls=ROOT, public_smime=ROOT, public_codesign=ROOT)
    cases = {(SERVER,): "public_tls", (MAIL,): "public_smime", (CODE,): "public_codesign", (): "public_tls"}
    for purposes, trust in cases.items():
        assert trusts(Builder("x").eku(*purposes).issue(ROOT), reference=reference) == trust


def test_root_of_our_own_is_not_public_and_a_public_one_is_not_ours(tmp_path: Path) -> None:
    other = authority("Other")
    reference = listed(tmp_path, public_tls=other)
    assert trusts(LEAF, ISSUING, reference=reference, policy=OURS) is None, "the root itself was not delivered"
    assert trusts(LEAF, ISSUING, ROOT, reference=reference, policy=OURS) == "private"
    assert trusts(leaf("x", by=other), reference=reference, policy=OURS) == "public_tls"


def test_no_chain_no_trust() -> None:
    assert trusts(LEAF, policy=OURS) is None
    assert trusts(LEAF, ROOT, policy=OURS) is None
    assert trusts(Builder("self.example.com").issue(), policy=OURS) is None
    forged = leaf("www.example.com", by=Issued(ISSUING.certificate, ec_key("somebody else")))
    assert trusts(forged, ISSUING, ROOT, policy=OURS) is None


def test_what_clients_would_refuse_still_has_a_hierarchy() -> None:
    weak_root = authority("Weak", key=rsa_key(1024))
    policy = Policy(private_roots=(weak_root.spki_sha256,))
    assert trusts(leaf("x", by=weak_root), weak_root, policy=policy) == "private"
    expired = Builder("old").valid(datetime(2021, 1, 1, tzinfo=UTC), days=10).issue(ISSUING)
    assert trusts(expired, ISSUING, ROOT, policy=OURS) == "private"
    beyond = leaf("deep", by=authority("Sub", by=ISSUING))
    assert trusts(beyond, authority("Sub", by=ISSUING), ISSUING, ROOT, policy=OURS) == "private"


def test_a_name_that_cannot_be_read_troubles_nobody_else() -> None:
    """A TeletexString in Latin-1, as old CAs wrote them: a subject of a CA, an issuer of a leaf."""
    readable = leaf("x", by=authority("Muellermann", by=ROOT))
    odd = [c.der.replace(b"\x0c\x0bMuellermann", b"\x14\x0bM\xfcllermann") for c in (authority("Muellermann", by=ROOT), readable)]
    prints = [hashlib.sha256(der).hexdigest() for der in odd]
    assert all(der.count(b"M\xfc") == 1 for der in odd)
    rows = [{"asset_id": p, "is_ca": i == 0, "role": "served", "station": "s", "locator": p} for i, p in enumerate(prints)]
    ders = {**ders_of(LEAF, ISSUING, ROOT), **dict(zip(prints, odd, strict=True))}
    met = [*rows, *(sighting(c) for c in (LEAF, ISSUING, ROOT))]
    assert run("trust", "certificates", met, ders=ders, policy=OURS)[1:] == [None, *["private"] * 3]
    ends = [{"asset_id": "e", "station": "s", "locator": "e", "certificate_asset_id": p} for p in (*prints, LEAF.fingerprint)]
    assert run("chain_defects", "endpoints", ends, {"certificates": met}, ders=ders, policy=OURS) == [None, None, ["incomplete"]]


def test_cross_certificates_lead_to_both_roots(tmp_path: Path) -> None:
    public = authority("Public")
    crossed = Builder("Root").ca().with_key(ROOT.key).issue(public)
    back = Builder("Public").ca().with_key(public.key).issue(ROOT)
    reference = listed(tmp_path, public_tls=public)
    pool = (ISSUING, ROOT, crossed, back)
    assert trusts(LEAF, *pool, reference=reference, policy=OURS) == "public_tls"
    client = Builder("c").eku(CLIENT).issue(ISSUING)
    assert trusts(client, *pool, reference=reference, policy=OURS) == "private"


def test_many_authorities_of_one_name() -> None:
    twins = [Builder("Appliance CA").ca().with_key(ec_key(f"twin {i}")).issue() for i in range(50)]
    one = leaf("box", by=twins[49])
    policy = Policy(private_roots=(twins[49].spki_sha256,))
    assert trusts(one, *twins, policy=policy) == "private"
    assert trusts(twins[49], *twins[:49], policy=policy) == "private"


def test_der_that_was_not_kept() -> None:
    rows = [sighting(c) for c in (LEAF, ISSUING, ROOT)]
    assert run("trust", "certificates", rows, policy=OURS) == [None] * 3


def test_nothing_to_go_by(tmp_path: Path) -> None:
    with pytest.raises(Unknowable, match="private_roots"):
        trusts(LEAF, reference=tmp_path)


def test_links_are_worked_out_once_a_shard() -> None:
    rows, ders = [sighting(c) for c in (LEAF, ISSUING)], ders_of(LEAF, ISSUING)
    context = context_of({"certificates": rows}, ders=ders)
    assert hierarchy(context) is hierarchy(context)
    assert hierarchy(context) is not hierarchy(context_of({"certificates": rows[:1]}, ders=ders))


def approved(policy: Policy, *rows: dict[str, Any], ders: dict[str, bytes]) -> list[Any]:
    return run("is_issuer_approved", "certificates", list(rows), policy=policy, ders=ders)


def test_issuer_is_approved_by_the_key_that_signed() -> None:
    ders = ders_of(LEAF, ISSUING, ROOT)
    rows = [sighting(LEAF), sighting(ISSUING), sighting(ROOT, role="trust_anchor"), sighting(ROOT, role="chain")]
    by_issuing, by_root = Policy(approved_issuers=(ISSUING.spki_sha256,)), Policy(approved_issuers=(ROOT.spki_sha256,))
    assert approved(by_issuing, *rows, ders=ders) == [True, False, False, False]
    assert approved(by_root, *rows, ders=ders) == [False, True, True, True]
    both = Policy(approved_issuers=(ISSUING.spki_sha256,), private_roots=(ROOT.spki_sha256,))
    assert approved(both, *rows, ders=ders) == [True, False, True, False]
    assert approved(Policy(approved_issuers=()), *rows, ders=ders) == [False] * 4


def test_issuer_that_only_a_policy_file_holds(tmp_path: Path) -> None:
    (tmp_path / "issuing.pem").write_text(ISSUING.pem)
    policy = Policy(approved_issuers=(f"file:{tmp_path / 'issuing.pem'}",))
    forged = leaf("www.example.com", by=Issued(ISSUING.certificate, ec_key("somebody else")))
    assert approved(policy, sighting(LEAF), sighting(forged), ders=ders_of(LEAF, forged)) == [True, None]


def test_issuer_unknown_is_not_disapproved() -> None:
    assert approved(Policy(approved_issuers=(ROOT.spki_sha256,)), sighting(LEAF), ders=ders_of(LEAF)) == [None]
    with pytest.raises(Unknowable, match="approved_issuers"):
        approved(Policy(), sighting(LEAF), ders={})


@pytest.mark.parametrize(
    ("row", "usages"),
    [
        ({"extended_key_usage": ["serverAuth", "clientAuth"]}, ["tls_server", "tls_client"]),
        ({"extended_key_usage": ["codeSigning"]}, ["code_signing"]),
        ({"extended_key_usage": ["emailProtection", "timeStamping", "OCSPSigning"]}, ["smime", "timestamping", "ocsp_signing"]),
        ({"extended_key_usage": ["1.2.3"]}, []),
        ({"extended_key_usage": None, "san_types": ["dNSName"]}, ["tls_server", "tls_client"]),
        ({"extended_key_usage": None, "san_types": []}, ["tls_server", "tls_client"]),
        ({"extended_key_usage": None, "san_types": ["rfc822Name"]}, ["tls_client", "smime"]),
        ({"extended_key_usage": None, "key_usage": ["keyEncipherment"]}, ["tls_server"]),
        ({"extended_key_usage": None, "key_usage": ["cRLSign"]}, []),
        ({"extended_key_usage": ["anyExtendedKeyUsage", "codeSigning"]}, ["tls_server", "tls_client", "code_signing"]),
        ({"extended_key_usage": ["serverAuth"], "is_ca": True}, ["ca"]),
        ({"extended_key_usage": None, "is_ca": True, "san_types": None}, ["ca"]),
        ({"extended_key_usage": None, "is_ca": None}, None),
        ({}, None),
    ],
)
def test_usages(row: dict[str, Any], usages: list[str] | None) -> None:
    base = {"asset_id": "a", "spki_sha256": "k", "key_usage": None, "is_ca": False, "san_types": ["dNSName"]}
    assert run("usages", "certificates", [base | row]) == [usages]


def test_a_certificate_that_signs_others_is_a_ca_whatever_it_says() -> None:
    rogue = leaf("rogue.example.com", by=ISSUING)
    child, fake = leaf("child", by=rogue), leaf("fake", by=Issued(rogue.certificate, ec_key("somebody else")))
    single = Builder("self.example.com").issue()
    every = (rogue, child, single)
    rows = [sighting(c) for c in every]
    assert run("usages", "certificates", rows, ders=ders_of(*every)) == [["ca"], ["tls_server"], ["tls_server"]]
    rows = [sighting(rogue), sighting(fake)]
    assert run("usages", "certificates", rows, ders=ders_of(rogue, fake)) == [["tls_server"], ["tls_server"]]


def test_a_shard_takes_the_survey_of_signers() -> None:
    rogue = leaf("rogue.example.com", by=ISSUING)
    child = leaf("child", by=rogue)
    estate = context_of({"certificates": [sighting(rogue), sighting(child)]}, ders=ders_of(rogue, child))
    answers = survey(estate.frames, estate)
    assert answers.to_pylist() == [{"spki_sha256": rogue.spki_sha256}]
    assert run("usages", "certificates", [sighting(rogue)], survey={"usages": answers}) == [["ca"]]


PLACE = "192.0.2.1:443/www.example.com"


def defects(chain: tuple[Issued, ...], *inventory: Issued, policy: Policy = OURS, places: tuple[int, ...] = (), **knobs: Any) -> Any:
    """Defects of a chain as sent, leaf first; `inventory` was met elsewhere."""
    order = places or tuple(range(1, len(chain)))
    sent = [sighting(c, role="chain", locator=f"{PLACE}#{i}") for c, i in zip(chain[1:], order, strict=True)]
    rows = [sighting(chain[0], locator=PLACE), *sent, *(sighting(c, role="issued", station="ca") for c in inventory)]
    endpoint = {"station": "s", "locator": PLACE, "certificate_asset_id": chain[0].fingerprint}
    ders = ders_of(*chain, *inventory)
    return run("chain_defects", "endpoints", [endpoint], {"certificates": rows}, ders=ders, policy=policy, **knobs)[0]


def test_chains_as_sent() -> None:
    assert defects((LEAF, ISSUING), ROOT) == []
    assert defects((LEAF, ISSUING, ROOT)) == []
    assert defects((LEAF,), ISSUING, ROOT) == ["incomplete"]
    assert defects((LEAF,)) == ["incomplete", "untrusted"]
    assert defects((LEAF, ISSUING)) == ["incomplete", "untrusted"], "nobody has the root"


def test_order_is_that_of_the_places() -> None:
    deep = authority("Deep", by=ROOT)
    middle = authority("Middle", by=deep)
    end = leaf("end", by=middle)
    assert defects((end, middle, deep), ROOT) == []
    assert defects((end, deep, middle), ROOT) == ["misordered"]
    assert defects((end, deep, middle), ROOT, places=(2, 1)) == []
    assert defects((end, middle, deep), ROOT, places=(10, 9)) == ["misordered"]


def test_roots_that_nobody_approved() -> None:
    assert defects((LEAF, ISSUING, ROOT), policy=Policy(private_roots=())) == ["unapproved_root"]
    assert defects((LEAF, ISSUING, ROOT), policy=Policy()) is None, "policy leaves its roots open"
    single = Builder("self.example.com").issue()
    assert defects((single,), policy=Policy(private_roots=())) == ["untrusted"]
    assert defects((single,), policy=Policy()) is None


def test_public_roots_need_no_policy(tmp_path: Path) -> None:
    reference = listed(tmp_path, public_tls=ROOT)
    assert defects((LEAF, ISSUING), policy=Policy(), reference=reference) == []
    assert defects((LEAF,), ISSUING, policy=Policy(), reference=reference) == ["incomplete"]
    (tmp_path / "index.yaml").write_text("{}")
    with pytest.raises(Unknowable, match="private_roots"):
        defects((LEAF,), policy=Policy(), reference=tmp_path)


def test_expiry_of_the_leaf_is_another_finding_and_of_an_issuer_is_not() -> None:
    old = Builder("old").valid(AS_OF - timedelta(days=100), days=10).issue(ISSUING)
    assert defects((old, ISSUING), ROOT) == []
    ended = Builder("Ended").ca().valid(AS_OF - timedelta(days=100), days=50).issue(ROOT)
    assert defects((leaf("x", by=ended), ended), ROOT) == ["incomplete", "untrusted"]


@pytest.mark.parametrize("kind", ["path length", "name constraint", "not a CA", "forged"])
def test_paths_that_no_client_takes(kind: str) -> None:
    allowed = x509.NameConstraints([x509.DNSName("example.org")], None)
    issuer = {
        "path length": authority("Sub", by=ISSUING),
        "name constraint": Builder("Bound").ca().extension(allowed, critical=True).issue(ROOT),
        "not a CA": Builder("No CA").issue(ROOT),
        "forged": Issued(ISSUING.certificate, ec_key("somebody else")),
    }[kind]
    assert defects((leaf("www.example.com", by=issuer), issuer), ISSUING, ROOT) == ["incomplete", "untrusted"]


@pytest.mark.parametrize(("kind", "expected"), [("tls_endpoints", ["incomplete"]), ("nmap_xml", None)])
def test_a_source_that_reports_leaves_only_tells_nothing_of_chains(kind: str, expected: list[str] | None) -> None:
    rows = [sighting(c, locator=PLACE, role=r) for c, r in ((LEAF, "served"), (ISSUING, "issued"), (ROOT, "issued"))]
    beside: dict[str, Any] = {"certificates": rows, "stations": [{"station": "s", "kind": kind}]}
    endpoint = {"station": "s", "locator": PLACE, "certificate_asset_id": LEAF.fingerprint}
    assert run("chain_defects", "endpoints", [endpoint], beside, ders=ders_of(LEAF, ISSUING, ROOT), policy=OURS) == [expected]


def test_chains_without_leaf_or_der() -> None:
    endpoint = {"station": "s", "locator": PLACE, "certificate_asset_id": None}
    assert run("chain_defects", "endpoints", [endpoint, {"certificate_asset_id": "0" * 64}], policy=OURS) == [None, None]


def test_serials() -> None:
    def row(asset: str | None, serial: str | None, *, issuer: str | None = "CN=i", pre: bool | None = False) -> dict[str, Any]:
        return {"asset_id": asset, "serial_number": serial, "issuer": issuer, "is_precertificate": pre}

    rows = [
        row("a", "1"),
        row("a", "1"),
        row("b", "2"),
        row("c", "2"),
        row("d", "3"),
        row("e", "3", pre=True),
        row("f", "1", issuer="CN=j"),
    ]
    more = [
        row("g", "4", pre=True),
        row("h", "4", pre=True),
        row("i", None),
        row("j", "5", issuer=None),
        row(None, "6"),
        row("k", "7", pre=None),
    ]
    expected = [True, True, False, False, True, True, True, False, False, None, None, None, True]
    assert run("is_issuer_serial_unique", "certificates", rows + more) == expected


def test_serials_over_shards() -> None:
    from keymuster.facts.is_issuer_serial_unique import survey as serials

    rows = [{"asset_id": a, "serial_number": "1", "issuer": "CN=i", "is_precertificate": False} for a in "ab"]
    estate = context_of({"certificates": rows})
    answers = serials(estate.frames, estate)
    assert run("is_issuer_serial_unique", "certificates", rows[:1], survey={"is_issuer_serial_unique": answers}) == [False]


ROLES = {
    **dict.fromkeys(("served", "chain", "client", "trust_anchor", "client_trust"), True),
    **dict.fromkeys(("issued", "ct", "repository"), False),
}


def test_deployment() -> None:
    for role, deployed in {**ROLES, "installed": None, "?": None, None: None}.items():
        assert run("is_deployed", "certificates", [{"role": role}]) == [deployed], role
    places = [
        ("a", "1", True),
        ("a", "1", True),
        ("a", "2", True),
        ("a", "3", None),
        ("b", "1", False),
        ("c", "1", None),
        ("c", "2", False),
    ]
    rows = [{"asset_id": a, "station": "s", "locator": p, "is_deployed": d} for a, p, d in places]
    assert run("deployment_count", "certificates", rows) == [2, 2, 2, 2, 0, None, None]


def test_must_staple() -> None:
    stapling = Builder("x").must_staple().issue(ROOT)
    rows = [{"certificate_asset_id": c} for c in (stapling.fingerprint, LEAF.fingerprint, "0" * 64, None)]
    assert run("is_staple_required", "endpoints", rows, {"certificates": [sighting(stapling), sighting(LEAF)]}) == [True, False, None, None]


def ct_row(key: str, **columns: Any) -> dict[str, Any]:
    return {"asset_id": f"ct-{key}", "spki_sha256": key, "role": "ct", "issued_at": AS_OF - timedelta(days=2), **columns}


def test_issuance_expected() -> None:
    grace = AS_OF - timedelta(hours=24)
    rows = [
        ct_row("ordered"),
        {"asset_id": "x", "spki_sha256": "ordered", "role": "issued"},
        ct_row("held"),
        ct_row("stolen"),
        ct_row("logged just now", issued_at=grace + timedelta(seconds=1)),
        ct_row("logged a day ago", issued_at=grace),
        ct_row("recorded"),
        ct_row("undated", issued_at=None, observed_at=None),
    ]
    beside = {
        "keys": [{"spki_sha256": "held", "kind": "private"}, {"spki_sha256": "stolen", "kind": "public"}],
        "issuances": [{"certificate_asset_id": "ct-recorded"}, {"certificate_asset_id": None}],
    }
    expected = [True, None, True, False, None, False, True, None]
    assert run("is_issuance_expected", "certificates", rows, beside) == expected
    longer = Policy(ct_grace_hours=72)
    assert run("is_issuance_expected", "certificates", rows, beside, policy=longer)[3] is None


def test_issuance_expected_needs_records() -> None:
    with pytest.raises(Unknowable, match="issuance records"):
        run("is_issuance_expected", "certificates", [ct_row("a")])


def test_register() -> None:
    policy = Policy(register_station="register", register_fields=("subject", "san_names", "server_name"))
    rows = [
        {"station": "scan", "asset_id": "a"},
        {"station": "scan", "asset_id": "b"},
        {"station": "register", "asset_id": "a", "subject": "CN=a", "san_names": []},
        {"station": "register", "asset_id": "c", "subject": "", "san_names": ["c"]},
        {"station": "scan", "asset_id": None},
    ]
    assert run("is_registered", "certificates", rows, policy=policy) == [True, False, True, True, None]
    gaps = [["san_names"], None, ["san_names"], ["subject"], None]
    assert run("register_gaps", "certificates", rows, policy=policy) == gaps


def test_register_that_is_not_there() -> None:
    with pytest.raises(Unknowable, match="register_station"):
        run("is_registered", "certificates", [{"asset_id": "a"}])
    with pytest.raises(Unknowable, match="delivered nothing"):
        run("is_registered", "certificates", [{"asset_id": "a", "station": "s"}], policy=Policy(register_station="register"))
    with pytest.raises(Unknowable, match="register_fields"):
        run("register_gaps", "keys", [{"asset_id": "a", "station": "r"}], policy=Policy(register_station="r"))


def test_register_in_another_shard() -> None:
    from keymuster.facts._register import survey as register_survey

    policy = Policy(register_station="register")
    estate = context_of({"certificates": [{"asset_id": "a", "station": "register"}]}, policy=policy)
    answers = register_survey(estate.frames, estate)
    row = {"asset_id": "b", "station": "scan"}
    assert run("is_registered", "certificates", [row], policy=policy, survey={"is_registered": answers}) == [False]


def log_list(folder: Path, **logs: tuple[str, str, str]) -> None:
    """Log lists of both programmes: log -> (operator, state, kind)."""
    operators: dict[str, dict[str, Any]] = {}
    for name, (operator, state, kind) in logs.items():
        entry = {"log_id": base64.b64encode(log_id(name)).decode(), "state": {state: {"timestamp": "2026-06-01T00:00:00Z"}}}
        operators.setdefault(operator, {"name": operator, "logs": [], "tiled_logs": []})[kind].append(entry)
    raw = json.dumps({"operators": list(operators.values())}).encode()
    (folder / "logs.json").write_bytes(raw)
    entry = {"file": "logs.json", "date": "2026-11-01", "sha256": hashlib.sha256(raw).hexdigest()}
    (folder / "index.yaml").write_text(yaml.safe_dump({"ct_logs": {"chrome": entry, "apple": entry}}))


def log_id(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def with_scts(*stamps: tuple[str, datetime]) -> Issued:
    """A certificate with embedded SCTs (RFC 6962 3.2, 3.3); their signatures are dummies."""
    made = b""
    for name, at in stamps:
        sct = b"\0" + log_id(name) + int(at.timestamp() * 1000).to_bytes(8, "big") + b"\0\0" + b"\x04\x03\0\x02\x30\0"
        made += len(sct).to_bytes(2, "big") + sct
    body = len(made).to_bytes(2, "big") + made
    octets = len(body).to_bytes(2, "big").lstrip(b"\0")
    der = b"\x04" + (octets if len(body) < 128 else bytes([0x80 + len(octets)]) + octets)
    value = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2"), der + body)
    return Builder("www.example.com").dns("www.example.com").extension(value).issue(ROOT)


MAY, JULY = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
CHROME = ["chrome_count", "chrome_operators", "chrome_no_current_log"]
APPLE = ["apple_count", "apple_no_current_log", "apple_no_rfc6962_log"]


@pytest.mark.parametrize(
    ("stamps", "days", "expected"),
    [
        ([("a1", MAY), ("b1", MAY)], 180, []),
        ([("a1", MAY), ("b1", MAY)], 181, ["chrome_count", "apple_count"]),
        ([("a1", MAY), ("a2", MAY), ("b1", MAY)], 181, []),
        ([("a1", MAY), ("a2", MAY)], 90, ["chrome_operators", "apple_count"]),
        ([("a1", MAY), ("a1", MAY)], 90, ["chrome_count", "chrome_operators", "apple_count"]),
        ([("a1", MAY), ("retired", MAY)], 90, []),
        ([("a1", MAY), ("retired", JULY)], 90, ["chrome_count", "chrome_operators", "apple_count"]),
        ([("retired", MAY), ("gone", MAY)], 90, ["chrome_no_current_log", "apple_no_current_log"]),
        ([("tiled_a", MAY), ("tiled_b", MAY)], 90, ["apple_no_rfc6962_log"]),
        ([("a1", MAY), ("stranger", MAY)], 90, ["chrome_count", "chrome_operators", "apple_count"]),
        ([("a1", MAY), ("rejected", MAY)], 90, ["chrome_count", "chrome_operators", "apple_count"]),
        ([("readonly", MAY), ("retired", MAY)], 90, []),
        ([], 90, CHROME + APPLE),
    ],
)
def test_ct_policies(tmp_path: Path, stamps: Any, days: int, expected: list[str]) -> None:
    log_list(
        tmp_path,
        a1=("A", "usable", "logs"),
        a2=("A", "qualified", "logs"),
        b1=("B", "usable", "logs"),
        readonly=("C", "readonly", "logs"),
        retired=("D", "retired", "logs"),
        gone=("E", "retired", "logs"),
        rejected=("F", "rejected", "logs"),
        tiled_a=("A", "usable", "tiled_logs"),
        tiled_b=("B", "usable", "tiled_logs"),
    )
    one = with_scts(*stamps) if stamps else LEAF
    row = {"asset_id": one.fingerprint, "validity_days": days, "is_ca": False}
    assert run("ct_policy_defects", "certificates", [row], ders=ders_of(one), reference=tmp_path) == [expected]


def test_ct_without_lists_der_or_for_cas(tmp_path: Path) -> None:
    with pytest.raises(Unknowable, match="log lists"):
        run("ct_policy_defects", "certificates", [{"asset_id": "a"}])
    log_list(tmp_path, a1=("A", "usable", "logs"))
    rows = [{"asset_id": c.fingerprint, "validity_days": 90, "is_ca": ca} for c, ca in [(LEAF, False), (ROOT, True)]]
    assert run("ct_policy_defects", "certificates", rows, ders=ders_of(ROOT), reference=tmp_path) == [None, None]


@pytest.mark.parametrize("text", ["[]", "{}", '{"operators": [{"name": "x", "logs": [{}]}]}', "not json"])
def test_ct_list_in_another_format(tmp_path: Path, text: str) -> None:
    (tmp_path / "logs.json").write_text(text)
    entry = {"file": "logs.json", "date": "2026-11-01", "sha256": hashlib.sha256(text.encode()).hexdigest()}
    (tmp_path / "index.yaml").write_text(yaml.safe_dump({"ct_logs": {"chrome": entry, "apple": entry}}))
    with pytest.raises(ContentError, match=r"logs\.json"):
        run("ct_policy_defects", "certificates", [{"asset_id": "a"}], reference=tmp_path)


def test_what_an_audit_leaned_on_can_be_recorded(tmp_path: Path) -> None:
    from keymuster.content import checks

    shipped = {entry["name"]: entry for entry in in_use(checks() / "reference")}
    assert {"roots/mozilla", "special_addresses.yaml", "special_names.yaml", "actions.yaml", "distrusted.yaml"} <= shipped.keys()
    assert shipped["roots/mozilla"]["date"].startswith("certifi 20")
    log_list(tmp_path, a1=("A", "usable", "logs"))
    assert {"ct_logs/chrome", "ct_logs/apple"} <= {entry["name"] for entry in in_use(tmp_path)}


def test_reference_files_match_their_index() -> None:
    from keymuster.content import checks
    from keymuster.facts._reference import document, index

    folder = checks() / "reference"
    for name in index(folder)["files"]:
        assert document(folder, name), name
    assert {p.name for p in folder.glob("*.yaml")} == {*index(folder)["files"], "index.yaml"}


def test_reference_file_that_was_touched(tmp_path: Path) -> None:
    (tmp_path / "special_names.yaml").write_text("names: []\n")
    with pytest.raises(ContentError, match=r"not in index\.yaml"):
        run("internal_names", "certificates", [{"san_names": []}], reference=tmp_path)
    (tmp_path / "index.yaml").write_text("files: {special_names.yaml: {date: 2026-01-01, sha256: '00'}}\n")
    with pytest.raises(ContentError, match="sha256 is"):
        run("internal_names", "certificates", [{"san_names": []}], reference=tmp_path)


def test_no_reference_data_no_answer(tmp_path: Path) -> None:
    with pytest.raises(Unknowable, match=r"special_names\.yaml"):
        run("internal_names", "certificates", [{"san_names": []}], reference=tmp_path)
    with pytest.raises(Unknowable, match=r"actions\.yaml"):
        run("capabilities", "grants", [{"actions": []}], reference=tmp_path)
