"""The audit on small estates: what is judged, what is said to be missing, and that no number depends on how the work was cut."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from keymuster.audit import audit, conclude, judge_shard, plan
from keymuster.audit_plan import Plan
from keymuster.errors import NoEvidence
from keymuster.frameworks import load_frameworks
from keymuster.model import Coverage, finding_key
from keymuster.policy import Policy
from keymuster.results import AuditResult
from keymuster.rules import load_rules
from keymuster.store import Store
from keymuster.waivers import Selector, Waiver
from tests.estate_rows import AS_OF, Place, certificate, snapshot, spki

RULES = load_rules()
FRAMEWORKS = load_frameworks(rules=[r.id for r in RULES])
WEAK = "certificate.rsa.minimum_bits"
FEW = {
    WEAK, "certificate.renewal.on_time", "certificate.encoding.valid", "certificate.purpose.not_mixed", "certificate.issuer.approved",
    "tls.version.no_ssl", "key.file.private", "inventory.source.fresh", "inventory.source.complete",
}  # fmt: skip
"""Enough for most tests; each rule costs Great Expectations some milliseconds."""


def judged(store: Store, *stations: Place, as_of: Any = AS_OF, waivers: Sequence[Waiver] = (), **more: Any) -> AuditResult:
    some = more.pop("rules", [r for r in RULES if r.id in FEW])
    uri = audit(store, "test", stations, some, FRAMEWORKS, waivers, more.pop("policy", Policy()), as_of, more.pop("kind", "live"), **more)
    return store.get_audit(uri)


def of_rule(result: AuditResult, rule: str) -> list[dict[str, Any]]:
    return result.findings.filter(pc.equal(result.findings["rule_id"], rule)).to_pylist()


def counts(result: AuditResult, rule: str, station: str = "") -> dict[str, int]:
    rows = result.outcomes.to_pylist()
    return {r["outcome"]: r["assets"] for r in rows if r["rule_id"] == rule and r["station"] == station}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


# --- one asset, many sightings ----------------------------------------------------------------------------


def test_a_certificate_in_forty_places_is_one_finding(store: Store) -> None:
    weak = [certificate("weak", key_bits=1024, locator=f"host{i}:443") for i in range(40)]
    snapshot(store, "lan", {"certificates": weak})
    snapshot(store, "dmz", {"certificates": [certificate("weak", key_bits=1024, locator="edge:443"), certificate("good")]})
    result = judged(store, Place("lan"), Place("dmz"))
    (finding,) = of_rule(result, WEAK)
    assert finding["key"] == finding_key(WEAK, certificate("weak")["asset_id"])
    assert finding["places"] == 41
    assert finding["stations"] == ["dmz", "lan"]
    assert finding["locators"][0] == "dmz:edge:443"
    assert finding["locators"] == sorted(finding["locators"])
    assert (finding["observed"], finding["expected"], finding["severity"]) == ("key_bits=1024", "key_bits at least 2048", "critical")
    assert counts(result, WEAK) == {"fail": 1, "pass": 1}
    assert counts(result, WEAK, "lan") == {"fail": 1}
    assert counts(result, WEAK, "dmz") == {"fail": 1, "pass": 1}


def test_locators_are_bounded_and_places_are_not(store: Store) -> None:
    snapshot(store, "lan", {"certificates": [certificate("weak", key_bits=1024, locator=f"host{i:03}") for i in range(130)]})
    (finding,) = of_rule(judged(store, Place("lan")), WEAK)
    assert (len(finding["locators"]), finding["places"]) == (100, 130)


@pytest.mark.parametrize(
    ("sightings", "outcome"),
    [((1024, 2048), "fail"), ((1024, None), "fail"), ((2048, None), "unknown"), ((2048, 2048), "pass"), ((None, None), "unknown")],
)
def test_the_gravest_sighting_decides(store: Store, sightings: tuple[Any, ...], outcome: str) -> None:
    snapshot(store, "lan", {"certificates": [certificate("one", key_bits=bits) for bits in sightings]})
    assert counts(judged(store, Place("lan")), WEAK) == {outcome: 1}


def test_severity_is_that_of_the_gravest_sighting(store: Store) -> None:
    near = certificate("near", not_after=AS_OF + timedelta(days=20), not_before=AS_OF - timedelta(days=70))
    snapshot(store, "lan", {"certificates": [near]})
    (finding,) = of_rule(judged(store, Place("lan")), "certificate.renewal.on_time")
    assert finding["severity"] == "medium"
    later = judged(store, Place("lan"), as_of=AS_OF + timedelta(days=15))
    (moved,) = of_rule(later, "certificate.renewal.on_time")
    assert (moved["key"], moved["severity"]) == (finding["key"], "critical")


def test_assets_know_their_worst_failure_and_what_is_unknown_of_them(store: Store) -> None:
    snapshot(store, "lan", {"certificates": [certificate("weak", key_bits=1024), certificate("odd", key_bits=None)]})
    assets = {a["label"]: a for a in judged(store, Place("lan")).assets.to_pylist()}
    assert assets["CN=weak"]["worst"] == "critical"
    assert WEAK not in assets["CN=weak"]["unknown_rules"]
    assert WEAK in assets["CN=odd"]["unknown_rules"]
    assert assets["CN=weak"]["is_deployed"] is True
    assert assets["CN=weak"]["not_after"] == certificate("weak")["not_after"]


def test_a_finding_without_a_subject_is_labelled_by_its_name_or_place(store: Store) -> None:
    rows = [
        certificate("a", key_bits=1024, subject="", san_names=["a.example"]),
        certificate("b", key_bits=1024, subject="", san_names=[], locator="/etc/b.pem"),
    ]
    snapshot(store, "lan", {"certificates": rows})
    assert {f["label"] for f in of_rule(judged(store, Place("lan")), WEAK)} == {"a.example", "/etc/b.pem"}


# --- shards -------------------------------------------------------------------------------------------------


def estate(store: Store) -> list[Place]:
    """Leaves, CA certificates, shared keys, chains, endpoints that changed their certificate, and things without a key."""
    leaves = [certificate(f"leaf{i}", key_bits=(1024, 2048, None)[i % 3], spki_sha256=spki(f"k{i % 17}")) for i in range(60)]
    cas = [certificate(f"ca{i}", is_ca=True, role="chain", issuer=f"CN=ca{i}", is_self_signed=True) for i in range(5)]
    twins = [
        certificate("leaf1", locator="again", spki_sha256=spki("k1")),
        certificate("leaf1x", serial_number=certificate("leaf1")["serial_number"]),
    ]
    ends = [
        {"asset_id": f"tls:host{i}:443:", "certificate_asset_id": leaves[(i * j) % 60]["asset_id"], "server_name": f"leaf{i}",
         "tls_versions": ["TLSv1.2"] + ["TLSv1.0"] * (i % 4 == 0)}
        for i, j in itertools.product(range(30), (1, 7))
    ]  # fmt: skip
    keys = [
        {"asset_id": spki(f"k{i}"), "spki_sha256": spki(f"k{i}"), "key_algorithm": "RSA", "kind": "private", "file_mode": "0644"}
        for i in range(25)
    ]
    orders = [
        {"asset_id": f"ca:{i}", "certificate_asset_id": leaves[i]["asset_id"], "requester": "x", "issued_at": AS_OF} for i in range(20)
    ]
    snapshot(store, "lan", {"certificates": [*leaves, *cas, *twins], "endpoints": ends[::2], "issuances": orders})
    snapshot(store, "dmz", {"endpoints": ends[1::2], "keys": keys, "certificates": leaves[:10]})
    return [Place("lan"), Place("dmz"), Place("never", "aws_iam", "cloud-team")]


def test_the_number_of_shards_changes_no_byte(tmp_path: Path) -> None:
    read = {}
    for shards in (1, 8):
        store = Store(tmp_path / str(shards))
        result = judged(store, *estate(store), shards=shards, rules=RULES)
        read[shards] = {
            name: hashlib.sha256((tmp_path / str(shards) / result.uri / f"{name}.parquet").read_bytes()).hexdigest()
            for name in ("findings", "outcomes", "unknowns", "assets", "controls")
        }
        assert result.findings.num_rows > 50
    assert read[1] == read[8]


def test_a_key_is_labelled_by_the_certificate_over_it(store: Store) -> None:
    key = {"asset_id": spki("k1"), "spki_sha256": spki("k1"), "key_algorithm": "RSA", "kind": "private", "file_mode": "0644"}
    lone = {"asset_id": "urn:lan:lone", "key_algorithm": "RSA", "kind": "private", "file_mode": "0644"}
    snapshot(store, "lan", {"certificates": [certificate("leaf1", spki_sha256=spki("k1")), certificate("x")], "keys": [key, lone]})
    labels = {a["asset_id"]: a["label"] for a in judged(store, Place("lan")).assets.to_pylist() if a["table"] == "keys"}
    assert labels[spki("k1")] == f"key of {certificate('leaf1')['subject']}"
    assert "key of" not in labels["urn:lan:lone"]


def test_every_row_is_judged_in_exactly_one_shard(store: Store) -> None:
    stations = estate(store)
    result = judged(store, *stations, shards=3)
    pairs = list(zip(result.assets["table"].to_pylist(), result.assets["asset_id"].to_pylist(), strict=True))
    assert len(pairs) == len(set(pairs))
    for rule in (WEAK, "tls.version.no_ssl", "key.file.private"):
        table = next(r.table for r in RULES if r.id == rule)
        assert sum(counts(result, rule).values()) == result.manifest.assets[table]


def test_a_plan_travels_as_json_and_steps_can_be_repeated(store: Store) -> None:
    stations, few = estate(store), [r for r in RULES if r.id in FEW]
    made = plan(store, "test", stations, few, FRAMEWORKS, [], Policy(), AS_OF, "live", shards=2)
    made = Plan.from_json(made.as_json())
    for index in (1, 0, 1):
        judge_shard(store, made, index)
    uri = conclude(store, made)
    assert conclude(store, made) == uri
    judge_shard(store, made, 0)
    again = plan(store, "test", stations, few, FRAMEWORKS, [], Policy(), AS_OF, "live")
    assert (again.existing, again.shards, conclude(store, again)) == (uri, 0, uri)


# --- what is there and what is not ----------------------------------------------------------------------------


def test_without_any_snapshot_there_is_no_evidence(store: Store) -> None:
    store.refuse("lan", "files", AS_OF - timedelta(hours=1), "unreachable", "connection refused")
    with pytest.raises(NoEvidence, match=r"lan: unreachable: connection refused.*new: was never collected"):
        judged(store, Place("lan"), Place("new"))
    assert store.audits("test") == []


def test_a_day_before_the_first_snapshot_has_no_evidence(store: Store) -> None:
    snapshot(store, "lan", {"certificates": [certificate("a")]})
    with pytest.raises(NoEvidence):
        judged(store, Place("lan"), as_of=AS_OF - timedelta(seconds=1))


def test_the_snapshot_of_the_day_is_judged_not_the_newest(store: Store) -> None:
    snapshot(store, "lan", {"certificates": [certificate("old", key_bits=1024)]}, AS_OF - timedelta(days=2))
    snapshot(store, "lan", {"certificates": [certificate("new")]}, AS_OF)
    then = judged(store, Place("lan"), as_of=AS_OF - timedelta(days=1), kind="backfill")
    assert [f["label"] for f in of_rule(then, WEAK)] == ["CN=old"]
    assert of_rule(judged(store, Place("lan")), WEAK) == []


def test_a_stale_station_is_judged_on_its_last_good_snapshot_and_says_so(store: Store) -> None:
    snapshot(store, "lan", {"certificates": [certificate("a", key_bits=1024)]}, AS_OF - timedelta(days=3))
    store.refuse("lan", "files", AS_OF - timedelta(hours=1), "unreachable", "time-out")
    result = judged(store, Place("lan", owner="net"))
    (lan,) = result.manifest.stations
    assert (lan.state, lan.reason, lan.age_days, lan.owner, lan.complete) == ("stale", "unreachable: time-out", 3.0, "net", False)
    assert len(of_rule(result, WEAK)) == 1


def test_a_quarantined_snapshot_is_not_judged(store: Store) -> None:
    snapshot(store, "lan", {"certificates": [certificate("a", key_bits=1024)]}, AS_OF - timedelta(days=1))
    snapshot(store, "lan", {"certificates": []}, AS_OF, accepted=False, failed=["certificates: at least 10 rows"])
    result = judged(store, Place("lan"))
    (lan,) = result.manifest.stations
    assert lan.state == "stale"
    assert "certificates: at least 10 rows" in lan.reason
    assert lan.validation is not None
    assert lan.validation["failed"] == ["certificates: at least 10 rows"]
    assert len(of_rule(result, WEAK)) == 1


def test_a_snapshot_that_waits_for_the_gate_is_not_judged(store: Store) -> None:
    snapshot(store, "lan", {"certificates": [certificate("a")]}, accepted=None)
    snapshot(store, "dmz", {"certificates": [certificate("b")]})
    lan = {s.station: s for s in judged(store, Place("lan"), Place("dmz")).manifest.stations}["lan"]
    assert (lan.state, lan.reason) == ("absent", "its snapshot waits for the gate")


def test_a_success_after_a_refusal_is_current(store: Store) -> None:
    store.refuse("lan", "files", AS_OF - timedelta(hours=1), "unreachable", "time-out")
    snapshot(store, "lan", {"certificates": [certificate("a")]})
    (lan,) = judged(store, Place("lan")).manifest.stations
    assert (lan.state, lan.reason, dict(lan.problems)) == ("current", "", {"certificate_unparsable": 1})


def test_a_station_that_was_never_read_fails_the_freshness_rule(store: Store) -> None:
    snapshot(store, "lan", {"certificates": [certificate("a")]})
    result = judged(store, Place("lan"), Place("ghost", "aws_iam"))
    assert [f["asset_id"] for f in of_rule(result, "inventory.source.fresh")] == ["ghost"]
    assert counts(result, "inventory.source.complete") == {"pass": 1, "unknown": 1}


def test_rules_without_rows_are_not_evaluated_and_say_why(store: Store) -> None:
    snapshot(store, "lan", {"certificates": [certificate("a")]})
    store.refuse("scan", "tls_endpoints", AS_OF, "unreachable", "no route")
    some = [r for r in RULES if r.id in {*FEW, "iam.root.mfa"}]
    result = judged(store, Place("lan"), Place("scan", "tls_endpoints"), rules=some)
    assert result.manifest.not_evaluated["tls.version.no_ssl"] == "station scan: unreachable: no route"
    assert result.manifest.not_evaluated["iam.root.mfa"] == "no station has rows of principals"
    assert "tls.version.no_ssl" not in result.outcomes["rule_id"].to_pylist()
    assert WEAK not in result.manifest.not_evaluated


def test_an_absent_station_keeps_a_requirement_from_being_met(tmp_path: Path) -> None:
    def status(folder: str, *stations: Place) -> dict[str, Any]:
        store = Store(tmp_path / folder)
        snapshot(store, "lan", {"certificates": [certificate("a")]})
        rows = judged(store, *stations).controls.to_pylist()
        return next(r for r in rows if r["framework"] == "CABF-TLS-BR" and r["requirement"] == "4.3.1.2")

    assert status("whole", Place("lan"))["status"] == "met"
    short = status("short", Place("lan"), Place("scan", "tls_endpoints"))
    assert (short["status"], short["passed"]) == ("unknown", 1)
    assert short["not_evaluated"] == ["certificate.encoding.valid: in part: station scan: was never collected"]


def test_why_things_are_unknown_is_told(store: Store) -> None:
    snapshot(store, "lan", {"certificates": [certificate("a", key_bits=None)], "keys": [{"asset_id": "k", "key_algorithm": "RSA"}]})
    reasons = {(u["rule_id"], u["reason"]) for u in judged(store, Place("lan")).unknowns.to_pylist()}
    assert (WEAK, "key_bits: not known") in reasons
    assert ("key.file.private", "file_mode: not delivered by files; kind: not delivered by files") in reasons
    assert ("certificate.issuer.approved", "is_issuer_approved: policy names no approved issuers (approved_issuers)") in reasons


def test_an_empty_cell_of_a_source_that_does_not_deliver_is_not_nothing(store: Store) -> None:
    bare = {k: v for k, v in certificate("a").items() if k != "extended_key_usage"}
    snapshot(store, "blind", {"certificates": [bare]})
    snapshot(store, "seeing", {"certificates": [certificate("b", extended_key_usage=None)]})
    result = judged(store, Place("blind"), Place("seeing"))
    assert counts(result, "certificate.purpose.not_mixed", "blind") == {"unknown": 1}
    assert counts(result, "certificate.purpose.not_mixed", "seeing") == {"not_applicable": 1}


def test_great_expectations_leaves_a_document_a_table_with_a_result_a_rule(store: Store, tmp_path: Path) -> None:
    import json

    snapshot(store, "lan", {"certificates": [certificate("<script>alert(1)</script>", key_bits=1024)]})
    result = judged(store, Place("lan"))
    raw = (tmp_path / "store" / result.uri / "validations" / "certificates.json").read_text("utf-8")
    document = json.loads(raw)
    ids = [r["expectation_config"]["kwargs"]["rule_id"] for r in document["results"]]
    assert sorted(ids) == sorted(r.id for r in RULES if r.table == "certificates" and r.id in FEW)
    assert "<script>" not in raw
    assert document["success"] is False


# --- keys and waivers -------------------------------------------------------------------------------------------


def test_the_same_inputs_are_recognised(store: Store) -> None:
    snapshot(store, "lan", {"certificates": [certificate("a")]})
    first = judged(store, Place("lan"))
    assert judged(store, Place("lan")).uri == first.uri
    assert len(store.audits("test")) == 1
    assert judged(store, Place("lan"), policy=Policy(domains=("example.com",))).uri != first.uri
    assert judged(store, Place("lan"), kind="what_if").uri != first.uri
    assert judged(store, Place("lan"), as_of=AS_OF + timedelta(seconds=1)).uri != first.uri
    snapshot(store, "lan", {"certificates": [certificate("b")]})
    assert judged(store, Place("lan")).uri != first.uri


def waiver(**values: Any) -> Waiver:
    fields = {"rule": WEAK, "asset": Selector(subject="cn=WEAK*"), "reason": "goes in March", "approver": "ciso"}
    fields |= {"expires": date(2026, 11, 23), "granted": None, "ticket": "SEC-1"}
    return Waiver(**{**fields, **values})


def test_a_waiver_in_force_waives_and_keeps_the_finding(store: Store) -> None:
    rows = [certificate("weak1", key_bits=1024), certificate("other", key_bits=1024)]
    snapshot(store, "lan", {"certificates": rows})
    result = judged(store, Place("lan"), waivers=[waiver()])
    found = {f["label"]: (f["outcome"], f["waiver"]) for f in of_rule(result, WEAK)}
    assert found == {
        "CN=weak1": ("waived", "goes in March (approved by ciso until 2026-11-23, SEC-1)"),
        "CN=other": ("fail", None),
    }
    assert counts(result, WEAK) == counts(result, WEAK, "lan") == {"fail": 1, "waived": 1}
    worst = {a["label"]: a["worst"] for a in result.assets.to_pylist()}
    assert (worst["CN=weak1"], worst["CN=other"]) == (None, "critical")


@pytest.mark.parametrize("changes", [{"expires": date(2026, 11, 22)}, {"granted": date(2026, 11, 24)}, {"asset": Selector(station="dmz")}])
def test_a_waiver_that_does_not_hold_changes_nothing(store: Store, changes: dict[str, Any]) -> None:
    snapshot(store, "lan", {"certificates": [certificate("weak", key_bits=1024)]})
    assert counts(judged(store, Place("lan"), waivers=[waiver(**changes)]), WEAK) == {"fail": 1}


def test_a_waiver_for_one_place_does_not_cover_another(store: Store) -> None:
    rows = [certificate("weak", key_bits=1024, locator=f"host{i}") for i in (1, 2)]
    snapshot(store, "lan", {"certificates": rows})
    one, two = (waiver(asset=Selector(locator=f"host{i}")) for i in (1, 2))
    assert counts(judged(store, Place("lan"), waivers=[one]), WEAK) == {"fail": 1}
    assert counts(judged(store, Place("lan"), waivers=[one, two]), WEAK) == {"waived": 1}


def test_coverage_travels_into_the_manifest(store: Store) -> None:
    snapshot(store, "lan", {"certificates": [certificate("a")]}, coverage=Coverage(10, 1, truncated=True))
    (lan,) = judged(store, Place("lan")).manifest.stations
    assert lan.snapshot is not None
    assert lan.snapshot.coverage == Coverage(10, 1, truncated=True)
    assert not lan.complete


def test_tables_have_the_promised_columns(store: Store) -> None:
    from keymuster.results import ASSETS, CONTROLS, FINDINGS, OUTCOMES, UNKNOWNS

    result = judged(store, *estate(store))
    schemas = {"findings": FINDINGS, "outcomes": OUTCOMES, "unknowns": UNKNOWNS, "controls": CONTROLS, "assets": ASSETS}
    for name, schema in schemas.items():
        table: pa.Table = getattr(result, name)
        assert table.schema.equals(schema), name
    assert sum(result.manifest.outcomes.values()) == sum(r["assets"] for r in result.outcomes.to_pylist() if r["station"] == "")
