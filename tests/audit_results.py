"""Builds AuditResult objects as an audit would leave them, so that reports, ledger and tickets can be tested without one.

    one = build([failing("key.file.private", asset="k1")])          # exactly these findings, all else derived
    many = sample(as_of=DAY, certificates=400)                      # a realistic estate; same arguments, same result
    shelf = Shelf(); uri = shelf.put(many)                          # what a store offers to readers: audits(), get_audit()

Outcomes, controls, assets and the manifest follow from the findings and from `passes`, so the numbers always add up.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from keymuster.model import Coverage, Severity, SnapshotRef, finding_key
from keymuster.results import ASSETS, CONTROLS, FINDINGS, OUTCOMES, UNKNOWNS, AuditManifest, AuditResult, StationStatus

DAY = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
_BR = {
    "document": "CA/Browser Forum TLS Baseline Requirements 2.3.1",
    "url": "https://github.com/cabforum/servercert/blob/main/docs/BR.md",
}
_PCI = {"document": "PCI DSS 4.0.1", "url": "https://www.pcisecuritystandards.org/"}


def _rule(code: str, title: str, table: str, severity: str, citation: Mapping[str, str], *texts: str) -> dict[str, Any]:
    remediation, why = (*texts, "")[:2]
    return {
        "code": code, "title": title, "table": table, "severity": severity, "citation": dict(citation),
        "remediation": remediation, "unverified": bool(why), "why": why or None,
    }  # fmt: skip


RULES: dict[str, dict[str, Any]] = {
    "certificate.expiry.in_future": _rule(
        "CRT-003", "A certificate in use has not expired", "certificates", "critical",
        {"document": "RFC 5280", "section": "6.1.3", "url": "https://www.rfc-editor.org/rfc/rfc5280"},
        "Replace the certificate, then find out why renewal failed."),
    "certificate.renewal.on_time": _rule(
        "CRT-005", "A certificate in use is renewed before its warning window", "certificates", "medium",
        {"document": "Delegated Regulation (EU) 2024/1774", "section": "Art. 7(5)", "url": "http://data.europa.eu/eli/reg_del/2024/1774/oj"},
        "Renew and install now; prefer ACME with renewal information.",
        "no framework read fixes the number of days; scaled thresholds are a tool default"),
    "certificate.lifetime.within_cap": _rule(
        "CRT-001", "A public TLS certificate lives no longer than the cap of its issue date", "certificates", "high",
        {**_BR, "section": "6.3.2"}, "Reissue with a lifetime under the cap, ideally through ACME."),
    "certificate.rsa.minimum_bits": _rule(
        "CRT-007", "An RSA key in a certificate has at least 2048 bits", "certificates", "critical",
        {**_BR, "section": "6.1.5"}, "Reissue on RSA >= 3072 or P-256."),
    "certificate.signature.hash_strong": _rule(
        "CRT-016", "No certificate is signed over MD5 or SHA-1", "certificates", "critical",
        {**_BR, "section": "7.1.3.2.1"}, "Reissue with SHA-256 or better."),
    "certificate.san.present": _rule(
        "CRT-022", "A server or mail certificate names its subject in the SAN", "certificates", "high",
        {**_BR, "section": "7.1.2.7.12"}, "Reissue with SAN entries."),
    "certificate.issuer.approved": _rule(
        "CA-011", "Every certificate of ours comes from an approved CA", "certificates", "high",
        {"document": "NIST SP 800-53 Rev. 5", "section": "SC-17", "url": "https://doi.org/10.6028/NIST.SP.800-53r5"},
        "Reissue from an approved CA."),
    "inventory.owner.known": _rule(
        "INV-002a", "Every certificate in use has an owner", "certificates", "medium",
        {"document": "NIST SP 1800-16 Volume B", "section": "5.1.2", "url": "https://doi.org/10.6028/NIST.SP.1800-16"}, "Assign an owner."),
    "key.file.private": _rule(
        "KEY-014", "A private key file is readable by its owner only", "keys", "high", {**_PCI, "section": "3.6.1.2"},
        "Set 0600 owned by the service account; move to a keystore or HSM."),
    "key.compromise.not_reported": _rule(
        "KEY-007", "No key in use is known as compromised", "keys", "critical", {**_BR, "section": "6.1.1.3(4)"},
        "Generate a fresh key; never renew on the same key."),
    "tls.version.modern_only": _rule(
        "TLS-002", "No endpoint offers TLS 1.0 or 1.1", "endpoints", "high",
        {"document": "RFC 8996", "section": "2", "url": "https://www.rfc-editor.org/rfc/rfc8996"}, "Disable TLS 1.0 and 1.1."),
    "tls.chain.complete": _rule(
        "TLS-011a", "The chain is sent complete and in order", "endpoints", "medium",
        {"document": "ANSSI, recommandations de securite relatives a TLS", "section": "R34",
         "url": "https://cyber.gouv.fr/publications/recommandations-de-securite-relatives-tls"},
        "Send the full chain; use the approved CA."),
    "identity.access_key.rotated": _rule(
        "IAM-004", "An access key is younger than its rotation period", "identities", "medium",
        {"document": "CIS AWS Foundations Benchmark 7.0.0", "section": "2.13", "url": "https://www.cisecurity.org/benchmark/amazon_web_services"},
        "Rotate the key, then delete the old one."),
    "certificate.ct.chrome_compliant": _rule(
        "CRT-040a", "A public TLS certificate carries the SCTs that Chrome asks for", "certificates", "high",
        {"document": "Chrome Certificate Transparency Policy", "section": "Embedded SCTs", "url": "https://googlechrome.github.io/CertificateTransparency/ct_policy.html"},
        "Reissue from a CA that logs, or staple SCTs."),
}  # fmt: skip
"""Fourteen rules of the catalogue, in the form of AuditManifest.rules."""

FRAMEWORKS: dict[str, tuple[str, tuple[tuple[str, str, tuple[str, ...], str | None], ...]]] = {
    "PCI-DSS": ("PCI DSS 4.0.1", (
        ("3.6.1.2", "Secret keys are stored in approved forms", ("key.file.private",), None),
        ("3.7.5", "Compromised keys are retired", ("key.compromise.not_reported",), None),
        ("4.2.1", "Strong cryptography over open networks", (
            "certificate.expiry.in_future", "certificate.rsa.minimum_bits", "certificate.signature.hash_strong",
            "tls.version.modern_only"), None),
        ("4.2.1.1", "Inventory of trusted keys and certificates", ("inventory.owner.known",), None),
        ("8.6.3", "Secrets of accounts are changed in time", ("identity.access_key.rotated",), None),
        ("12.3.3", "Cryptography is reviewed once a year", (), "a yearly review is a meeting, not a column"),
    )),
    "CABF-TLS-BR": ("CA/Browser Forum TLS Baseline Requirements 2.3.1", (
        ("6.1.5", "Key sizes", ("certificate.rsa.minimum_bits",), None),
        ("6.3.2", "Lifetime of a certificate", ("certificate.lifetime.within_cap",), None),
        ("7.1.2.7.12", "Subject alternative names", ("certificate.san.present",), None),
        ("7.1.3.2", "Signature algorithms", ("certificate.signature.hash_strong",), None),
        ("4.9.1.1", "Reasons to revoke", ("key.compromise.not_reported",), None),
        ("3.2.2.9", "Multi-perspective corroboration", (), "runs at the CA; a subscriber sees failed orders only"),
    )),
    "DORA": ("Regulation (EU) 2022/2554 with RTS 2024/1774", (
        ("RTS-7(2)", "Keys are protected over their life", ("key.file.private",), None),
        ("RTS-7(5)", "Certificates are renewed in time", ("certificate.expiry.in_future", "certificate.renewal.on_time"), None),
        ("RTS-7(1)", "Keys come from an approved process", ("certificate.issuer.approved",), None),
        ("RTS-7(4)", "A register of certificates", ("certificate.ct.chrome_compliant",), None),
    )),
    "ISO-27001": ("ISO/IEC 27001:2022", (
        ("A.5.9", "Inventory of assets", ("inventory.owner.known",), None),
        ("A.8.20", "Network security", ("tls.chain.complete", "tls.version.modern_only"), None),
        ("A.8.24", "Use of cryptography", (
            "certificate.rsa.minimum_bits", "certificate.lifetime.within_cap", "key.compromise.not_reported", "key.file.private"), None),
    )),
    "NIST-SP800-57": ("NIST SP 800-57 Part 1 Rev. 5", (
        ("5.6.1-T2", "Strength of algorithms and keys", ("certificate.rsa.minimum_bits", "certificate.signature.hash_strong"), None),
        ("5.3", "Cryptoperiods", ("identity.access_key.rotated",), None),
    )),
}  # fmt: skip
"""framework -> (name, requirements (id, title, rules, manual reason))."""


def asset_id(name: str) -> str:
    """A stable fingerprint-like identity."""
    return hashlib.sha256(name.encode()).hexdigest()


def asset(name: str, table: str = "certificates", **values: Any) -> dict[str, Any]:
    """One row of ASSETS."""
    row = {
        "table": table, "asset_id": asset_id(name), "label": f"CN={name}", "owner": None, "environment": "production",
        "stations": ["shop-tls"], "places": 1, "not_after": None, "is_deployed": True, "key_algorithm": "RSA", "key_bits": 2048,
        "issuer": "CN=Sample Issuing CA 1", "worst": None,
    }  # fmt: skip
    return row | values


def failing(rule_id: str, asset: str = "www.example.com", **values: Any) -> dict[str, Any]:
    """One row of FINDINGS; `asset` is a name that its identity is made of."""
    rule = RULES[rule_id]
    row = {
        "rule_id": rule_id, "code": rule["code"], "title": rule["title"], "table": rule["table"], "asset_id": asset_id(asset),
        "label": f"CN={asset}", "outcome": "fail", "severity": rule["severity"], "owner": "web-team", "environment": "production",
        "stations": ["shop-tls"], "locators": [f"shop-tls:{asset}:443"], "places": 1, "snapshot_uri": "snapshots/shop-tls/0123456789abcdef",
        "observed": "days_left=-3.5", "expected": "days_left at_least 0", "waiver": None, "unverified": rule["unverified"],
    }  # fmt: skip
    row |= values
    return {"key": finding_key(row["rule_id"], row["asset_id"]), **row}


def station(name: str = "shop-tls", source: str = "tls_endpoints", **values: Any) -> StationStatus:
    """A current, complete station; `state`, `reason`, `coverage`, … change it."""
    as_of = values.pop("as_of", DAY)
    coverage = values.pop("coverage", Coverage(expected=100, fetched=100))
    reference = SnapshotRef(
        f"snapshots/{name}/{asset_id(name)[:16]}", name, as_of, coverage.fetched, asset_id(f"snapshot {name}"), coverage, 0
    )
    fields: dict[str, Any] = {
        "station": name, "source": source, "owner": "pki-team", "state": "current", "reason": "", "snapshot": reference, "age_days": 0.1,
        "problems": {}, "validation": {"success": True, "failed": [], "uri": f"{reference.uri}/validation.json"},
    }  # fmt: skip
    if values.get("state") == "absent":
        fields |= {"snapshot": None, "age_days": None, "validation": None}
    return StationStatus(**(fields | values))


def build(
    findings: Sequence[Mapping[str, Any]] = (),
    *,
    as_of: datetime = DAY,
    passes: Mapping[str, int] | None = None,
    unknowns: Sequence[Mapping[str, Any]] = (),
    not_evaluated: Mapping[str, str] | None = None,
    assets: Sequence[Mapping[str, Any]] | None = None,
    stations: Sequence[StationStatus] | None = None,
    rules: Iterable[str] = RULES,
    kind: str = "live",
    estate: str = "sample",
    facts_unknown: Mapping[str, str] | None = None,
    rules_text: Mapping[str, Mapping[str, Any]] | None = None,
) -> AuditResult:
    """An audit with exactly these findings. `passes`: verdicts `pass` by rule; `unknowns`: rows of UNKNOWNS."""
    stations = [station()] if stations is None else list(stations)
    not_evaluated = dict(not_evaluated or {})
    known = {name: {**RULES[name], **(rules_text or {}).get(name, {})} for name in rules}
    counts = _counts(findings, passes or {}, unknowns)
    rows = [asset_of(f) for f in findings] if assets is None else list(assets)
    rows = _with_worst(list({r["asset_id"]: r for r in rows}.values()), findings)
    digest = hashlib.sha256(repr([estate, as_of, sorted(f["key"] for f in findings), kind]).encode()).hexdigest()
    totals: Counter[str] = Counter()
    for (_, outcome), number in counts.items():
        totals[outcome] += number
    tables = Counter(r["table"] for r in rows)
    manifest = AuditManifest(
        key=digest, estate=estate, as_of=as_of, kind=kind, ruleset_sha256=asset_id("rules"), policy_sha256=asset_id("policy"),
        stations=tuple(stations), rules=known, not_evaluated=not_evaluated,
        rows={t: sum(r["places"] for r in rows if r["table"] == t) for t in tables}, assets=dict(tables), outcomes=dict(totals),
        versions={"keymuster": "0.1.0", "cryptography": "50.0.2", "great_expectations": "1.24.0", "pyarrow": "26.0.0"},
        reference={"mozilla_roots": f"2026-11-01 {asset_id('roots')}", "public_suffix_list": f"2026-10-20 {asset_id('psl')}"},
        facts_unknown=dict(facts_unknown or {}),
    )  # fmt: skip
    outcome_rows = [
        {"rule_id": rule, "station": name, "outcome": outcome, "assets": number}
        for (rule, outcome), number in sorted(counts.items())
        for name in ("", stations[0].station if stations else "none")
    ]
    uri = f"audits/{estate}/{as_of:%Y-%m-%dT%H%M%SZ}-{digest[:12]}"
    return AuditResult(
        uri, manifest, pa.Table.from_pylist(list(findings), FINDINGS), pa.Table.from_pylist(list(unknowns), UNKNOWNS),
        pa.Table.from_pylist(outcome_rows, OUTCOMES), _controls(counts, not_evaluated, known), pa.Table.from_pylist(rows, ASSETS),
    )  # fmt: skip


def asset_of(finding: Mapping[str, Any]) -> dict[str, Any]:
    """The ASSETS row behind a finding."""
    keep = ("table", "asset_id", "label", "owner", "environment", "stations", "places")
    return asset("x", **{name: finding[name] for name in keep})


def sample(
    *, as_of: datetime = DAY, certificates: int = 400, rate: float = 1.0, kind: str = "live", estate: str = "sample", hostile: bool = True
) -> AuditResult:
    """A realistic estate. Which asset fails which rule depends on its name alone; `rate` scales how many do."""
    assets = list(_estate(certificates, as_of))
    findings: list[dict[str, Any]] = []
    passes: Counter[str] = Counter()
    unknowns: Counter[tuple[str, str, str]] = Counter()
    for row in assets:
        for rule_id, chance in _CHANCES.items():
            if RULES[rule_id]["table"] != row["table"]:
                continue
            seed = int(asset_id(f"{rule_id} {row['asset_id']}")[:8], 16)
            draw = seed / 0xFFFFFFFF + ((seed + as_of.toordinal()) % 97 - 48) / 6000  # some come and go from day to day
            if _late(rule_id, row, as_of, draw < chance * rate):
                findings.append(_fail(rule_id, row, as_of))
            elif draw > 0.97:
                unknowns[rule_id, row["stations"][0], "column not delivered by the source: issued_at"] += 1
            else:
                passes[rule_id] += 1
    if hostile:
        findings.append(
            failing("certificate.san.present", "evil", label='CN=<script>alert("x")</script>, O==HYPERLINK("//evil")', owner=None)
        )
    rows = [{"rule_id": r, "station": s, "reason": why, "assets": n} for (r, s, why), n in sorted(unknowns.items())]
    return build(
        findings, as_of=as_of, passes=passes, unknowns=rows, kind=kind, estate=estate,
        assets=[*assets, *(asset_of(f) for f in findings if hostile and f["label"].startswith("CN=<"))], stations=_stations(as_of),
        not_evaluated={
            "identity.access_key.rotated": "station aws-prod is absent: unreachable: connect to iam.amazonaws.com: connection timed out",
            "certificate.ct.chrome_compliant": "no column scts: none of the stations delivers it",
        },
        facts_unknown={
            "certificates.is_ct_compliant": "no CT log list in checks/reference", "keys.cryptoperiod_days": "policy names no cryptoperiods",
        },
    )  # fmt: skip


_CHANCES = {
    "certificate.expiry.in_future": 0.03, "certificate.renewal.on_time": 0.08, "certificate.lifetime.within_cap": 0.02,
    "certificate.rsa.minimum_bits": 0.02, "certificate.signature.hash_strong": 0.025, "certificate.san.present": 0.015,
    "certificate.issuer.approved": 0.05, "inventory.owner.known": 0.12, "key.file.private": 0.2, "key.compromise.not_reported": 0.012,
    "tls.version.modern_only": 0.15, "tls.chain.complete": 0.08,
}  # fmt: skip
_OBSERVED = {
    "certificate.rsa.minimum_bits": ("key_algorithm=RSA; key_bits=1024", "key_bits at_least 2048"),
    "certificate.signature.hash_strong": ("signature_hash=sha1", "signature_hash none_of md5, sha1"),
    "certificate.issuer.approved": ("is_issuer_approved=false; issuer=CN=Let's Try Encrypt R9", "is_issuer_approved is true"),
    "inventory.owner.known": ("owner=missing", "owner present"),
    "key.file.private": ("mode=0644; owner=root", "mode one_of 0400, 0600"),
    "key.compromise.not_reported": ("is_compromised=true; source=incident 2026-11-02", "is_compromised is false"),
    "tls.version.modern_only": ("versions=TLSv1, TLSv1.1, TLSv1.2", "versions contains_none TLSv1, TLSv1.1"),
    "tls.chain.complete": ("chain_defects=intermediate missing", "chain_defects absent"),
    "certificate.lifetime.within_cap": ("validity_days=397; issued_at=2026-04-02T00:00:00Z", "validity_days at_most 200"),
    "certificate.san.present": ("subject_alternative_names=missing", "subject_alternative_names present"),
}
_OWNERS = ("web-team", "payments", "pki-team", "platform", "data-warehouse", None)


def _estate(certificates: int, as_of: datetime) -> Iterable[dict[str, Any]]:
    for table, number in (("certificates", certificates), ("keys", certificates // 4), ("endpoints", certificates // 3)):
        for index in range(number):
            seed = int(asset_id(f"{table}{index}")[:12], 16)
            name = f"{('www', 'api', 'shop', 'mail', 'db', 'ldap', 'vpn')[seed % 7]}-{index:03d}.example.com"
            label = {"certificates": f"CN={name}", "keys": f"/etc/ssl/private/{name}.key", "endpoints": f"{name}:443"}[table]
            not_after = DAY + timedelta(days=(seed % 4400) / 10 - 20) if table == "certificates" else None
            yield asset(
                f"{table}/{name}", table, label=label, owner=_OWNERS[seed % 6], not_after=not_after, is_deployed=seed % 3 != 0,
                stations=[("shop-tls", "issuing-ca", "web-files")[seed % 3]], places=1 + seed % 4,
                environment=("production", "staging", None)[seed % 3],
            )  # fmt: skip


def _late(rule_id: str, row: Mapping[str, Any], as_of: datetime, otherwise: bool) -> bool:
    if rule_id not in {"certificate.expiry.in_future", "certificate.renewal.on_time"}:
        return otherwise
    days = _days(row, as_of)
    return row["is_deployed"] and (days < 0 if rule_id == "certificate.expiry.in_future" else 0 <= days < 21)


def _days(row: Mapping[str, Any], as_of: datetime) -> float:
    return (row["not_after"] - as_of).total_seconds() / 86400 if row["not_after"] else 0.0


def _fail(rule_id: str, row: Mapping[str, Any], as_of: datetime) -> dict[str, Any]:
    observed, expected = _OBSERVED.get(rule_id, (f"days_left={_days(row, as_of):.1f}", "days_left at_least 0"))
    seed = int(row["asset_id"][:6], 16)
    waived = seed % 23 == 0
    places = [f"{row['stations'][0]}:{row['label'].removeprefix('CN=')}#{n}" for n in range(row["places"])]
    return failing(
        rule_id, "x", **{k: row[k] for k in ("asset_id", "label", "owner", "environment", "stations", "places")}, locators=places,
        observed=observed, expected=expected, outcome="waived" if waived else "fail",
        waiver="WVR-2026-014 until 2026-12-31" if waived else None,
    )  # fmt: skip


def _stations(as_of: datetime) -> list[StationStatus]:
    failed = ["row count 212 lies outside 340 to 520 (previous snapshot: 431)", "column locator has 3 values that are not unique"]
    return [
        station(
            "shop-tls", as_of=as_of, owner="web-team", coverage=Coverage(512, 498, 14),
            problems={"endpoint_silent": 11, "tls_handshake": 3},
        ),
        station("issuing-ca", "openssl_ca", as_of=as_of, coverage=Coverage(431, 431)),
        station(
            "web-files", "files", as_of=as_of - timedelta(days=3), owner="platform", state="stale", age_days=3.1,
            reason="the newest snapshot was quarantined by the gate", coverage=Coverage(None, 388, 2),
            problems={"certificate_unparsable": 2},
            validation={"success": False, "failed": failed, "uri": "snapshots/web-files/ff00/validation.json"},
        ),
        station("aws-prod", "aws_iam", owner="cloud", state="absent",
                reason="unreachable: connect to iam.amazonaws.com: connection timed out"),
    ]  # fmt: skip


def _counts(
    findings: Iterable[Mapping[str, Any]], passes: Mapping[str, int], unknowns: Iterable[Mapping[str, Any]]
) -> Counter[tuple[str, str]]:
    counts = Counter((f["rule_id"], f["outcome"]) for f in findings)
    counts.update({(rule, "pass"): number for rule, number in passes.items()})
    for row in unknowns:
        counts[row["rule_id"], "unknown"] += row["assets"]
    return counts


def _with_worst(rows: Iterable[Mapping[str, Any]], findings: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    worst: dict[str, Severity] = {}
    for f in findings:
        if f["outcome"] == "fail":
            worst[f["asset_id"]] = max(worst.get(f["asset_id"], Severity.INFO), Severity.of(f["severity"]))
    return [{**r, "worst": worst[r["asset_id"]].label if r["asset_id"] in worst else None} for r in rows]


def _controls(counts: Mapping[tuple[str, str], int], not_evaluated: Mapping[str, str], rules: Mapping[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            _control((framework, name), clause, counts, not_evaluated, rules)
            for framework, (name, clauses) in FRAMEWORKS.items()
            for clause in clauses
        ],
        CONTROLS,
    )


def _control(
    framework: tuple[str, str], clause: tuple[str, str, tuple[str, ...], str | None], counts: Mapping[tuple[str, str], int],
    not_evaluated: Mapping[str, str], known: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    requirement, title, mapped, manual = clause
    rules = [r for r in mapped if r in known]
    number = {o: sum(counts.get((r, o), 0) for r in rules) for o in ("pass", "fail", "waived", "unknown")}
    total = sum(number.values())
    status = "failed" if number["fail"] else "unknown" if number["unknown"] else "met"
    return {
        "framework": framework[0], "framework_name": framework[1], "requirement": requirement, "title": title,
        "status": "manual" if manual and not rules else status if total else "no_evidence",
        "passed": number["pass"], "failed": number["fail"], "waived": number["waived"], "unknown": number["unknown"], "denominator": total,
        "not_evaluated": [f"{r}: {not_evaluated[r]}" for r in rules if r in not_evaluated], "rules": rules, "manual": manual,
        "unverified": any(RULES[r]["unverified"] for r in rules),
    }  # fmt: skip


class Shelf:
    """Audits kept in memory, read as from a store."""

    def __init__(self, *results: AuditResult) -> None:
        self.results = {r.uri: r for r in results}

    def put(self, result: AuditResult) -> str:
        self.results[result.uri] = result
        return result.uri

    def get_audit(self, uri: str) -> AuditResult:
        return self.results[uri]

    def audits(self, estate: str) -> list[str]:
        return [r.uri for r in sorted(self.results.values(), key=lambda r: r.manifest.as_of) if r.manifest.estate == estate]


def with_manifest(result: AuditResult, **fields: Any) -> AuditResult:
    """The same audit with some fields of its manifest changed."""
    return replace(result, manifest=replace(result.manifest, **fields))
