"""From verdicts on rows to verdicts on assets: of several sightings the gravest counts.

Grave to mild: fail, unknown, pass, not effective, not applicable (`rules.ORDER`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.frame import Frame, Mask
from keymuster.model import Outcome, Severity, finding_key
from keymuster.results import ASSETS, FINDINGS, OUTCOMES, UNKNOWNS
from keymuster.rules import FAIL, ORDER, UNKNOWN, Rule, Verdicts
from keymuster.waivers import Waiver, covered

Index = npt.NDArray[np.intp]
OUTCOME_CODES = (*ORDER, Outcome.WAIVED)
_WAIVED = len(ORDER)
MOST_LOCATORS = 100
"""Locators that one finding lists; `places` has the full count."""


class Sightings:
    """The rows of one table, grouped by asset and by (asset, station)."""

    def __init__(self, frame: Frame, certificates: Frame | None = None) -> None:
        """`certificates` of the same shard give the keys their names."""
        self.frame = frame
        place = pc.binary_join_element_wise(_text(frame, "station"), _text(frame, "locator"), ":")
        self.place = place
        self.asset, self.assets = _coded(pc.coalesce(frame.arrow("asset_id"), place))
        self.station, self.stations = _coded(_text(frame, "station"))
        pairs, self.pair = np.unique(self.asset * max(1, len(self.stations)) + self.station, return_inverse=True)
        self.pair_asset, self.pair_station = np.divmod(pairs, max(1, len(self.stations)))
        self.rank = np.empty(len(frame), dtype=np.intp)
        self.rank[pc.array_sort_indices(place).to_numpy()] = np.arange(len(frame))
        self.labels = _labels(frame, certificates)

    def by_asset(self, codes: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        """The gravest code of each asset."""
        return _gravest(codes, self.asset, len(self.assets))

    def by_pair(self, codes: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        """The gravest code of each (asset, station)."""
        return _gravest(codes, self.pair, len(self.pair_asset))


def _coded(values: pa.Array) -> tuple[Index, pa.Array]:
    """Codes into the sorted distinct values."""
    distinct = pc.unique(values)
    distinct = distinct.take(pc.array_sort_indices(distinct))
    return pc.index_in(values, value_set=distinct).to_numpy().astype(np.intp), distinct


def _text(frame: Frame, column: str) -> pa.Array:
    return pc.fill_null(frame.arrow(column), "")


def _gravest(codes: npt.NDArray[np.int8], groups: Index, count: int) -> npt.NDArray[np.int8]:
    found = np.zeros(count, dtype=np.int8)
    np.maximum.at(found, groups, codes)
    return found


def _labels(frame: Frame, certificates: Frame | None) -> pa.Array:
    """What people know the row by: the subject, else its first name, else whose key it is, else its place. Hostile text."""
    parts = [frame.arrow("subject")] if "subject" in frame.data.columns else []
    if "san_names" in frame.data.columns:
        names = frame.arrow("san_names")
        first = pc.list_element(pc.if_else(pc.greater(pc.list_value_length(names), 0), names, pa.scalar([""], names.type)), 0)
        parts.append(first)
    if frame.table == "keys" and certificates is not None:
        parts.append(_whose(frame, certificates))
    filled = [pc.if_else(pc.equal(p, ""), pa.scalar(None, pa.string()), p) for p in parts]
    return pc.utf8_slice_codeunits(pc.coalesce(*filled, frame.arrow("locator")), 0, 300)


def _whose(keys: Frame, certificates: Frame) -> pa.Array:
    """`key of <subject>`, of the certificate over the same key whose subject sorts first; a shard holds all of them."""
    pairs = pa.table({"spki": certificates.arrow("spki_sha256"), "subject": certificates.arrow("subject")})
    first = pairs.group_by("spki").aggregate([("subject", "min")])
    at = pc.index_in(keys.arrow("spki_sha256"), value_set=first["spki"].combine_chunks(), skip_nulls=True)
    found = first["subject_min"].combine_chunks().take(at)
    return pc.binary_join_element_wise("key of", found, " ")


@dataclass
class Tally:
    """Takes the verdicts of every rule of one table and adds them up; a sink for `gate.judge`."""

    sightings: Sightings
    waivers: Sequence[Waiver]
    """Those in force."""
    snapshots: Mapping[str, str]
    """station -> address of its snapshot."""
    facts_unknown: Mapping[str, str]
    sources: Mapping[str, str]
    """station -> source."""
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    unknowns: list[dict[str, Any]] = field(default_factory=list)
    findings: list[pa.Table] = field(default_factory=list)
    _unknown_assets: list[tuple[str, Index]] = field(default_factory=list)

    def __call__(self, verdicts: Verdicts) -> None:
        """Add one rule."""
        see, rule = self.sightings, verdicts.rule
        by_asset, by_pair = see.by_asset(verdicts.codes), see.by_pair(verdicts.codes)
        failing = np.flatnonzero(verdicts.codes == FAIL)
        waived, words = self._waived(rule, failing)
        by_asset[waived] = _WAIVED
        by_pair[(by_pair == FAIL) & waived[see.pair_asset]] = _WAIVED
        self._count(rule, by_asset, by_pair)
        self._explain(verdicts, by_pair)
        self._unknown_assets.append((rule.id, np.flatnonzero(by_asset == UNKNOWN)))
        if len(failing):
            self.findings.append(self._findings(verdicts, failing, waived, words))

    def _count(self, rule: Rule, by_asset: npt.NDArray[np.int8], by_pair: npt.NDArray[np.int8]) -> None:
        width = len(OUTCOME_CODES)
        found = np.bincount(self.sightings.pair_station * width + by_pair, minlength=len(self.sightings.stations) * width)
        for i, name in enumerate(self.sightings.stations.to_pylist()):
            self._outcomes(rule, name, found[i * width : (i + 1) * width])
        self._outcomes(rule, "", np.bincount(by_asset, minlength=width))

    def _outcomes(self, rule: Rule, station: str, counts: npt.NDArray[np.intp]) -> None:
        rows = [
            {"rule_id": rule.id, "station": station, "outcome": str(outcome), "assets": int(n)}
            for outcome, n in zip(OUTCOME_CODES, counts, strict=True)
            if n
        ]
        self.outcomes += rows

    def _explain(self, verdicts: Verdicts, by_pair: npt.NDArray[np.int8]) -> None:
        """Count unknown assets by station and reason; an asset counts once a station, with its smallest set of gaps."""
        see = self.sightings
        rows = np.flatnonzero((verdicts.codes == UNKNOWN) & (by_pair[see.pair] == UNKNOWN))
        if not len(rows):
            return
        gaps = pd.Series(verdicts.gaps()[rows]).groupby(see.pair[rows]).min()
        pairs = np.column_stack([see.pair_station[gaps.index.to_numpy()], gaps.to_numpy()])
        distinct, counts = np.unique(pairs, axis=0, return_counts=True)
        for (station, bits), n in zip(distinct.tolist(), counts.tolist(), strict=True):
            name = see.stations[station].as_py()
            self.unknowns.append({"rule_id": verdicts.rule.id, "station": name, "reason": self._reason(verdicts, bits, name), "assets": n})

    def _reason(self, verdicts: Verdicts, bits: int, station: str) -> str:
        if verdicts.crash:
            return f"the rule could not be evaluated ({verdicts.crash}); see the log"
        words = []
        for i, column in enumerate(verdicts.rule.columns):
            fact = self.facts_unknown.get(f"{verdicts.rule.table}.{column}")
            if bits >> (2 * i) & 3 and fact:
                words.append(f"{column}: {fact}")
            elif bits >> (2 * i) & 1:
                words.append(f"{column}: not delivered by {self.sources.get(station, station)}")
            elif bits >> (2 * i + 1) & 1:
                words.append(f"{column}: not known")
        return "; ".join(words)

    def _waived(self, rule: Rule, failing: Index) -> tuple[Mask, dict[int, str]]:
        """Assets all of whose failing sightings are covered, and by what."""
        see = self.sightings
        waived = np.zeros(len(see.assets), dtype=bool)
        mine = [w for w in self.waivers if w.rule == rule.id] if len(failing) else []
        if not mine:
            return waived, {}
        taken = pa.array(failing)

        def column(name: str) -> pa.Array | None:
            return pc.take(see.frame.arrow(name), taken) if name in see.frame.data.columns else None

        open_rows = np.ones(len(failing), dtype=bool)
        words: dict[int, str] = {}
        for waiver in mine:
            mask = covered(waiver, column, len(failing)) & open_rows
            open_rows &= ~mask
            words |= {int(a): waiver.words for a in see.asset[failing[mask]] if int(a) not in words}
        waived[see.asset[failing]] = True
        waived[see.asset[failing[open_rows]]] = False
        return waived, words

    def _findings(self, verdicts: Verdicts, failing: Index, waived: Mask, words: Mapping[int, str]) -> pa.Table:
        see, rule = self.sightings, verdicts.rule
        severity = verdicts.severities()
        ordered = failing[np.lexsort((see.rank[failing], see.asset[failing]))]
        gravest = failing[np.lexsort((see.rank[failing], -severity[failing], see.asset[failing]))]
        assets, first = np.unique(see.asset[gravest], return_index=True)
        shown = gravest[first]
        groups = np.searchsorted(assets, see.asset[ordered])
        ids = see.assets.take(pa.array(assets))
        n = len(assets)
        stations = see.stations.take(pa.array(see.station[shown]))
        columns: dict[str, Any] = {
            "key": pa.array([finding_key(rule.id, i) for i in ids.to_pylist()]),
            "asset_id": ids,
            "label": see.labels.take(pa.array(shown)),
            "outcome": pc.if_else(pa.array(waived[assets]), str(Outcome.WAIVED), str(Outcome.FAIL)),
            "severity": pa.array([s.label for s in Severity]).take(pa.array(severity[shown])),
            "owner": first_known(see.frame, "owner", ordered, groups, n),
            "environment": first_known(see.frame, "environment", ordered, groups, n),
            "stations": listed(see.stations, see.station[ordered], groups, n),
            "locators": listed(see.place, ordered, groups, n, MOST_LOCATORS),
            "places": pa.array(np.bincount(groups, minlength=n)),
            "snapshot_uri": pa.array([self.snapshots.get(s, "") for s in stations.to_pylist()], pa.string()),
            "observed": verdicts.observed(shown),
            "expected": verdicts.expected(shown),
            "waiver": pa.array([words.get(int(a)) if waived[a] else None for a in assets], pa.string()),
        }
        fixed = {"rule_id": rule.id, "code": rule.code, "title": rule.title, "table": rule.table, "unverified": rule.unverified}
        columns |= {k: pa.repeat(pa.scalar(v), n) for k, v in fixed.items()}
        return pa.table([columns[f.name] for f in FINDINGS], schema=pa.schema([(f.name, columns[f.name].type) for f in FINDINGS])).cast(
            FINDINGS
        )

    def tables(self) -> dict[str, pa.Table]:
        """What has been added up so far, by the names in `results`."""
        findings = pa.concat_tables([FINDINGS.empty_table(), *self.findings])
        return {
            "findings": findings,
            "outcomes": pa.Table.from_pylist(self.outcomes, OUTCOMES),
            "unknowns": pa.Table.from_pylist(self.unknowns, UNKNOWNS),
            "assets": assets_of(self.sightings, findings, self._unknown_rules()),
        }

    def _unknown_rules(self) -> pa.Array:
        """For each asset the rules that are unknown for it, sorted."""
        ordered = sorted(self._unknown_assets, key=lambda pair: pair[0])
        names = pa.array([rule for rule, _ in ordered], pa.string())
        assets = np.concatenate([a for _, a in ordered]) if ordered else np.zeros(0, dtype=np.intp)
        rules = np.repeat(np.arange(len(ordered)), [len(a) for _, a in ordered])
        order = np.argsort(assets, kind="stable")
        return _lists(names.take(pa.array(rules[order])), assets[order], len(self.sightings.assets))


def _lists(values: pa.Array, groups: Index, count: int) -> pa.Array:
    """Values, ordered by group, as one list a group."""
    offsets = np.concatenate([[0], np.cumsum(np.bincount(groups, minlength=count))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)


def listed(values: pa.Array, picks: Index, groups: Index, count: int, most: int | None = None) -> pa.Array:
    """The distinct values of each group, sorted; `picks` indexes `values`, `groups` must not decrease."""
    table = pd.DataFrame({"group": groups, "value": values.take(pa.array(picks)).to_pandas().astype(object)})
    table = table.drop_duplicates().sort_values(["group", "value"])
    if most is not None:
        table = table[table.groupby("group").cumcount() < most]
    return _lists(pa.array(table["value"].to_numpy(), pa.string()), table["group"].to_numpy(dtype=np.intp), count)


def first_known(frame: Frame, column: str, rows: Index, groups: Index, count: int) -> pa.Array:
    """The first value of each group that is there."""
    values = frame.arrow(column) if column in frame.data.columns else pa.nulls(len(frame), pa.string())
    taken = values.take(pa.array(rows))
    there = pc.is_valid(taken).to_numpy(zero_copy_only=False)
    found, first = np.unique(groups[there], return_index=True)
    at = np.full(count, -1, dtype=np.int64)
    at[found] = np.flatnonzero(there)[first]
    return taken.take(pa.array(at, mask=at < 0))


def _most(frame: Frame, column: str, asset: Index, count: int) -> pa.Array:
    """The largest value of each asset; for booleans whether one is true."""
    if column not in frame.data.columns:
        return pa.nulls(count, ASSETS.field(column).type)
    values = frame.arrow(column)
    found = pa.table({"asset": asset, "value": values}).group_by("asset").aggregate([("value", "max")]).sort_by("asset")
    return found["value_max"].combine_chunks()


def assets_of(see: Sightings, findings: pa.Table, unknown_rules: pa.Array) -> pa.Table:
    """One row an asset."""
    n, frame = len(see.assets), see.frame
    ordered = np.lexsort((see.rank, see.asset))
    groups = see.asset[ordered]
    first = ordered[np.unique(groups, return_index=True)[1]]
    columns: dict[str, Any] = {
        "table": pa.repeat(pa.scalar(frame.table), n),
        "asset_id": see.assets,
        "label": see.labels.take(pa.array(first)),
        "stations": listed(see.stations, see.station[ordered], groups, n),
        "places": pa.array(np.bincount(see.asset, minlength=n)),
        "not_after": _most(frame, "not_after", see.asset, n),
        "is_deployed": _most(frame, "is_deployed", see.asset, n),
        "worst": _worst(see, findings),
        "unknown_rules": unknown_rules,
    }
    for name in ("owner", "environment", "key_algorithm", "key_bits", "issuer"):
        columns[name] = first_known(frame, name, ordered, groups, n).cast(ASSETS.field(name).type)
    return pa.table([columns[f.name].cast(f.type) for f in ASSETS], schema=ASSETS)


def _worst(see: Sightings, findings: pa.Table) -> pa.Array:
    """Gravest severity among the failures of each asset that no waiver covers."""
    open_ones = findings.filter(pc.equal(findings["outcome"], str(Outcome.FAIL)))
    labels = pa.array([s.label for s in Severity])
    worst = np.full(len(see.assets), -1, dtype=np.int64)
    at = pc.index_in(open_ones["asset_id"].combine_chunks(), value_set=see.assets).to_numpy()
    np.maximum.at(worst, at, pc.index_in(open_ones["severity"].combine_chunks(), value_set=labels).to_numpy())
    return labels.take(pa.array(worst, mask=worst < 0))
