"""Certificates per CPU-second and peak memory: keymuster beside a plain loop over cryptography and beside pkilint, in one run.

Every measured run is a process of its own; the contestants take turns, so that a busy machine slows all of them alike. What is shown is
the median, and ratios of medians. They do different work, and the table says what: the plain loop reads the same fields and judges nothing;
pkilint lints (its serverauth profile, with its filters) a sample, and its rate is scaled from it. The exit code is 1 if a rerun on the
unchanged inventory parses, verifies or tests anything again or makes another audit.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.corpus import corpus

WORKS = {
    "keymuster": "parse, snapshot, facts, all rules, Great Expectations, findings on disk",
    "parse": "keymuster's columns alone, as an Arrow table",
    "plain": "plain loop over cryptography: the same fields, no judgement",
    "pkilint": "pkilint serverauth with filters, sample of {sample}",
}


def run(worker: str, count: int, sample: int, seed: int) -> dict[str, Any]:
    """One run of one contestant in a process of its own."""
    command = [sys.executable, "-m", "bench.workers", worker, f"--count={count}", f"--seed={seed}", f"--sample={sample}"]
    path = os.pathsep.join((str(Path("plugins").absolute()), str(Path().absolute())))
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONPATH": path, "PATH": os.defpath})
    if done.returncode:
        sys.exit(f"{worker} failed:\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def measure(count: int, sample: int, seed: int, turns: int) -> dict[str, list[dict[str, Any]]]:
    """Runs by contestant, taking turns."""
    runs: dict[str, list[dict[str, Any]]] = {worker: [] for worker in WORKS}
    for turn in range(turns):
        for worker in WORKS:
            print(f"\rturn {turn + 1} of {turns}: {worker:<10}", end="", file=sys.stderr, flush=True)
            runs[worker].append(run(worker, count, sample if worker == "pkilint" else 0, seed))
    print("\r" + " " * 40 + "\r", end="", file=sys.stderr)
    return runs


def summary(runs: dict[str, list[dict[str, Any]]], count: int, seed: int) -> dict[str, Any]:
    """Medians, ratios and the rerun."""
    rates = {worker: median(r["certificates"] / r["cpu"] for r in found) for worker, found in runs.items()}
    peaks = {worker: median(r["peak_mib"] for r in found) for worker, found in runs.items()}
    ours = runs["keymuster"]
    again = [r["again"] for r in ours]
    return {
        "certificates": count, "seed": seed, "turns": len(ours), "rules": ours[0]["rules"], "rules_not_evaluated": ours[0]["not_evaluated"],
        "findings": ours[0]["findings"], "outcomes": ours[0]["outcomes"], "per_cpu_second": rates, "peak_mib": peaks,
        "steps_cpu_seconds": {step: median(r["steps"][step] for r in ours) for step in ours[0]["steps"]},
        "ratios": {"keymuster / pkilint": rates["keymuster"] / rates["pkilint"], "keymuster / plain": rates["keymuster"] / rates["plain"],
                   "parse / plain": rates["parse"] / rates["plain"]},
        "rerun": {"cpu_seconds": median(a["cpu"] for a in again), "parsed": max(a["parsed"] for a in again),
                  "same_audit": all(a["same_audit"] for a in again)},
        "next_day": {"cpu_seconds": median(r["tomorrow"]["cpu"] for r in ours), "parsed": max(r["tomorrow"]["parsed"] for r in ours),
                     "worked_out": max((r["tomorrow"]["worked_out"] for r in ours), key=lambda kinds: sum(kinds.values())),
                     "remembered": min(r["tomorrow"]["remembered"] for r in ours)},
        "runs": runs,
    }  # fmt: skip


def worked_again(found: dict[str, Any]) -> bool:
    """Whether a rerun on the unchanged inventory parsed, verified or tested anything again, or made another audit."""
    later = found["next_day"]
    return bool(found["rerun"]["parsed"] or later["parsed"] or later["worked_out"] or not found["rerun"]["same_audit"])


def show(found: dict[str, Any], sample: int) -> None:
    """The table for people."""
    print(f"{found['certificates']:,} distinct certificates, seed {found['seed']}, medians of {found['turns']} turns, one process each")
    print(f"{'':10} {'per CPU-second':>14} {'peak MiB':>9}  what it does")
    for worker, work in WORKS.items():
        print(f"{worker:10} {found['per_cpu_second'][worker]:14,.0f} {found['peak_mib'][worker]:9,.0f}  {work.format(sample=sample)}")
    steps = ", ".join(f"{step} {seconds:.2f} s" for step, seconds in found["steps_cpu_seconds"].items())
    print(f"keymuster: {found['rules']} rules ({found['rules_not_evaluated']} without a verdict), {found['findings']:,} findings; {steps}")
    print("ratios: " + ", ".join(f"{name} {ratio:.1f}" for name, ratio in found["ratios"].items()))
    rerun, later = found["rerun"], found["next_day"]
    audit = "the same audit" if rerun["same_audit"] else "ANOTHER AUDIT"
    print(f"unchanged inventory: {rerun['parsed']} parsed again, {audit}, {rerun['cpu_seconds']:.2f} CPU s", end="; ")
    again = ", ".join(f"{count:,} {kind}" for kind, count in sorted(later["worked_out"].items())) or "nothing"
    print(f"judged again a day later: {later['parsed']} parsed again, {later['cpu_seconds']:.2f} CPU s;", end=" ")
    print(f"verified, tested or compared again: {again}, remembered: {later['remembered']:,}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and show; 1 if a rerun did work again."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000, help="certificates")
    parser.add_argument("--sample", type=int, default=200, help="certificates that pkilint lints")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write all figures, every single run included, to this file")
    given = parser.parse_args(arguments)
    corpus(given.count, given.seed)  # made outside the clock, kept below var/bench
    found = summary(measure(given.count, given.sample, given.seed, given.turns), given.count, given.seed)
    show(found, given.sample)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    return int(worked_again(found))


if __name__ == "__main__":
    sys.exit(main())
