"""One measured run in a process of its own: CPU seconds after the imports, and peak memory of the process. Prints one JSON object."""

# ruff: noqa: PLC0415 (each worker imports only what it measures, so that peak memory is its own)
from __future__ import annotations

import argparse
import gc
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bench.corpus import AS_OF, corpus

STATION = "bench"
DELIVERS = {"certificates": ["role"]}


@dataclass(frozen=True)
class Place:
    """A station as the audit wants it."""

    name: str = STATION
    source: str = "files"
    owner: str | None = None


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds (user and system, all threads) and the answer."""
    gc.collect()
    start = time.process_time()
    answer = work()
    return time.process_time() - start, answer


def parse(ders: Sequence[bytes]) -> dict[str, Any]:
    """Keymuster's columns alone, as an Arrow table."""
    from keymuster.normalise import parse_certificates

    parse_certificates(ders[:1])  # Arrow imports pandas at its first array
    seconds, table = timed(lambda: parse_certificates(ders))
    return {"cpu": seconds, "certificates": table.num_rows}


def plain(ders: Sequence[bytes]) -> dict[str, Any]:
    """The plain loop over cryptography."""
    from bench.plain import read

    seconds, rows = timed(lambda: [read(der) for der in ders])
    return {"cpu": seconds, "certificates": len(rows)}


def pkilint(ders: Sequence[bytes]) -> dict[str, Any]:
    """Pkilint's serverauth linter in one process, validators made once for each kind of certificate, findings filtered."""
    from pkilint import finding_filter, loader
    from pkilint.cabf import serverauth
    from pkilint.pkix import certificate

    made: dict[Any, Any] = {}

    def lint(der: bytes) -> int:
        document = loader.load_certificate(der, "bench")
        kind = serverauth.determine_certificate_type(document)
        if kind not in made:
            checks = serverauth.create_decoding_validators(), serverauth.create_validators(kind)
            filters = serverauth.create_serverauth_finding_filters(kind)
            made[kind] = certificate.create_pkix_certificate_validator_container(*checks), filters
        validator, filters = made[kind]
        found, _ = finding_filter.filter_results(filters, validator.validate(document.root))
        return len(found)

    lint(ders[-1])  # the validators are made outside the clock
    seconds, counts = timed(lambda: [lint(der) for der in ders])
    return {"cpu": seconds, "certificates": len(counts), "results": sum(counts)}


def keymuster(ders: Sequence[bytes]) -> dict[str, Any]:
    """Records to findings: parse, snapshot, facts, every rule, Great Expectations, the audit on disk. Then again, and again a day later."""
    from keymuster import content
    from keymuster.audit import audit
    from keymuster.frameworks import load_frameworks
    from keymuster.model import Coverage, Record
    from keymuster.normalise import Normalised, normalise
    from keymuster.policy import read_policy
    from keymuster.rules_file import load_rules
    from keymuster.store import Store

    rules = load_rules(content.checks() / "rules")
    frameworks = load_frameworks(content.checks() / "frameworks", rules=[r.id for r in rules])
    policy = read_policy(content.checks() / "policies" / "default.yaml")
    clocks = {"parse": 0.0, "store": 0.0, "judge": 0.0}

    def once(store: Store, days: int) -> tuple[Normalised, str]:
        as_of = AS_OF + timedelta(days=days)
        stream = [*(Record("certificates", f"/{i}", der, {"role": "served"}) for i, der in enumerate(ders)), Coverage(len(ders), len(ders))]
        clocks["parse"], made = timed(
            lambda: normalise(stream, station=STATION, source="files", as_of=as_of, delivers=DELIVERS, cache=store)
        )

        def keep() -> None:
            ref = store.write_snapshot(STATION, "files", as_of, made.tables, made.problems, made.coverage, made.delivers, made.ders)
            store.settle(ref, accepted=True, validation={"success": True})

        clocks["store"], _ = timed(keep)
        clocks["judge"], uri = timed(lambda: audit(store, "bench", [Place()], rules, frameworks, (), policy, as_of, "what_if"))
        return made, uri

    with tempfile.TemporaryDirectory() as folder:
        everything, ders = ders, ders[:1]
        once(Store(f"{folder}/warm"), 0)  # imports that happen at first use stay outside the clock
        ders = everything
        store = Store(f"{folder}/store")
        made, uri = once(store, 0)
        steps, peak = dict(clocks), _peak()
        result = store.get_audit(uri)
        second, second_uri = once(Store(f"{folder}/store"), 0)
        again = sum(clocks.values())
        later = Store(f"{folder}/store")
        third, _ = once(later, 1)
    return {
        "cpu": sum(steps.values()), "certificates": len(ders), "steps": steps, "rules": len(rules), "peak_mib": peak,
        "findings": result.findings.num_rows, "outcomes": dict(result.manifest.outcomes),
        "not_evaluated": len(result.manifest.not_evaluated),
        "parsed": made.parsed, "again": {"cpu": again, "parsed": second.parsed, "same_audit": second_uri == uri},
        "tomorrow": {"cpu": sum(clocks.values()), "parsed": third.parsed, "worked_out": dict(+later.memory.computed),
                     "remembered": later.memory.recalled.total()},
    }  # fmt: skip


def _peak() -> float:
    """Peak resident memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


WORKERS = {"keymuster": keymuster, "parse": parse, "plain": plain, "pkilint": pkilint}


def main() -> None:
    """Run one worker over the first certificates of a corpus, or over a sample spread evenly across it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("worker", choices=WORKERS)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    ders = corpus(arguments.count, arguments.seed)
    ders = ders[10 :: max(1, len(ders) // arguments.sample)][: arguments.sample] if arguments.sample else ders
    base = _peak()
    answer = WORKERS[arguments.worker](ders)
    sys.stdout.write(json.dumps({"base_mib": base, "peak_mib": _peak(), **answer}))


if __name__ == "__main__":
    main()
