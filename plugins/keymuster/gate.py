"""The only place that knows Great Expectations (GX): the contract of a snapshot, and the judgement with one validation result a rule.

GX owns suite, batch, metric graph and stored result; our own code evaluates, vectorised. Results carry numbers and words of ours only:
what assets say is hostile text, and GX renders it unescaped. GX is imported inside functions because that costs seconds.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa

from keymuster.contracts import Contract, Demand, batch, demands, load_contract
from keymuster.errors import KeymusterError
from keymuster.frame import Frame, to_pandas
from keymuster.rules import Reader, Rule, Verdicts, crashed
from keymuster.rules import judge as judge_rule

log = logging.getLogger(__name__)

Sink = Callable[[Verdicts], None]
"""Takes the complete verdicts of one rule; called exactly once per rule."""


class GateError(KeymusterError):
    """Great Expectations did not evaluate what it was asked to; nothing of its answer may be used."""


@dataclass(frozen=True)
class GateResult:
    """What the gate says of one snapshot."""

    success: bool
    failed: list[str]
    """Demands that are not met, in words."""
    document: dict[str, Any]
    """The validation results of GX as plain JSON; numbers only, no text of assets."""


# --- the judgement ----------------------------------------------------------------------------------------


@dataclass
class _Run:
    """What the metrics of one judgement need and GX does not carry."""

    frame: Frame
    rules: Mapping[str, Rule]
    as_of: datetime
    sink: Sink
    crashes: dict[str, str] = field(default_factory=dict)
    done: dict[str, dict[str, int]] = field(default_factory=dict)
    broken_sink: list[Exception] = field(default_factory=list)


_RUNS: dict[str, _Run] = {}
_numbers = itertools.count()


def judge(rules: Sequence[Rule], frame: Frame, as_of: datetime, sink: Sink) -> dict[str, Any]:
    """Evaluate the rules of one table over one frame; `sink` gets each rule's verdicts.

    Returns the GX document: one result a rule, rows by outcome under `result.details`; `success` means no failure and nothing unknown.
    A rule that crashes is unknown for every row and carries `exception_info`. Raises what the sink raised, and GateError if other rules
    were evaluated than asked for.
    """
    if not rules:
        return {"success": True, "results": [], "statistics": {}, "meta": {"table": frame.table}}
    gx = _great_expectations()
    wanted = {rule.id: rule for rule in rules}
    with _run(_Run(frame, wanted, as_of, sink)) as name:
        expectations = [gx.Expectation(run=name, rule_id=i, meta=_about(r)) for i, r in sorted(wanted.items())]
        document = _validate(frame.data, expectations, frame.table)
        run = _RUNS[name]
    if run.broken_sink:
        raise run.broken_sink[0]
    crashes = run.crashes
    complete(document, wanted, frame.table)
    for result in document["results"]:
        rule_id = result["expectation_config"]["kwargs"]["rule_id"]
        del result["expectation_config"]["kwargs"]["run"], result["expectation_config"]["kwargs"]["batch_id"]
        result["exception_info"] = {"raised_exception": rule_id in crashes, "exception_message": crashes.get(rule_id)}
    document["meta"] |= {"table": frame.table, "as_of": as_of.isoformat()}
    return document


def complete(document: Mapping[str, Any], wanted: Collection[str], table: str) -> None:
    """GateError unless exactly the wanted rules were evaluated: a suite that GX left empty succeeds."""
    evaluated = [r["expectation_config"]["kwargs"].get("rule_id", "") for r in document["results"]]
    if sorted(evaluated) != sorted(wanted):
        raise GateError(f"{table}: {len(evaluated)} rules were evaluated where {len(wanted)} were asked for")


def _about(rule: Rule) -> dict[str, Any]:
    return {"rule_id": rule.id, "code": rule.code, "title": rule.title, "severity": rule.severity.label}


@contextmanager
def _run(run: _Run) -> Iterator[str]:
    name = f"run-{next(_numbers)}"
    _RUNS[name] = run
    try:
        yield name
    finally:
        del _RUNS[name]


def _count(name: str, rule_id: str, reader: Reader) -> dict[str, int]:
    """Evaluate one rule; never raises, because GX would then repeat the whole pass and hand verdicts out twice."""
    run = _RUNS[name]
    if rule_id not in run.done:
        try:
            verdicts = judge_rule(run.rules[rule_id], reader, run.as_of)
        except Exception as error:  # one rule's crash makes it unknown, told in result and log, and spares the others
            log.exception("rule %s could not be evaluated", rule_id)
            run.crashes[rule_id] = type(error).__name__
            verdicts = crashed(run.rules[rule_id], reader, error)
        run.done[rule_id] = verdicts.counts()
        try:
            run.sink(verdicts)
        except Exception as error:  # noqa: BLE001 (GX would swallow it and ask again; `judge` raises it)
            run.broken_sink.append(error)
    return run.done[rule_id]


@cache
def _great_expectations() -> SimpleNamespace:
    """Import GX and define our metrics and expectation; a class that GX has not seen defined would give an empty suite that succeeds."""
    for name in ("great_expectations", "great_expectations.core"):
        logging.getLogger(name).setLevel(logging.WARNING)
    import great_expectations as gx  # noqa: PLC0415 (seconds; see the module's first lines)
    from great_expectations.core.metric_domain_types import MetricDomainTypes  # noqa: PLC0415
    from great_expectations.execution_engine import PandasExecutionEngine, pandas_execution_engine  # noqa: PLC0415
    from great_expectations.expectations.expectation import BatchExpectation  # noqa: PLC0415
    from great_expectations.expectations.metrics.metric_provider import metric_value  # noqa: PLC0415
    from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider  # noqa: PLC0415
    from great_expectations.validator.metric_configuration import MetricConfiguration  # noqa: PLC0415

    skip_hashing(pandas_execution_engine)

    class KeymusterBatch(TableMetricProvider):  # type: ignore[misc]  # GX has no types here
        """The batch, made ready once for all rules."""

        metric_name = "keymuster.batch"
        value_keys = ("run",)

        @metric_value(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
        def _pandas(cls, execution_engine: Any, metric_domain_kwargs: Any, metric_value_kwargs: Any, **_: Any) -> Reader:  # noqa: N805
            data, _unused, _unused = execution_engine.get_compute_domain(metric_domain_kwargs, domain_type=MetricDomainTypes.TABLE)
            frame = _RUNS[metric_value_kwargs["run"]].frame
            return Reader(Frame(frame.table, data, frame.undelivered))

    class KeymusterRule(TableMetricProvider):  # type: ignore[misc]  # GX has no types here
        """Rows by outcome for one rule."""

        metric_name = "keymuster.rule"
        value_keys = ("run", "rule_id")

        @metric_value(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
        def _pandas(cls, metric_value_kwargs: Any, metrics: Any, **_: Any) -> dict[str, int]:  # noqa: N805
            return _count(metric_value_kwargs["run"], metric_value_kwargs["rule_id"], metrics["keymuster.batch"])

        @classmethod
        def _get_evaluation_dependencies(cls, metric: Any, configuration: Any = None, **_: Any) -> dict[str, Any]:  # noqa: ARG003
            values = {"run": metric.metric_value_kwargs["run"]}
            return {"keymuster.batch": MetricConfiguration("keymuster.batch", metric.metric_domain_kwargs, values)}

    class ExpectAssetsToSatisfyRule(BatchExpectation):  # type: ignore[misc]  # GX has no types here
        """Expect no asset to fail the rule and none to be unknown to it."""

        run: str
        rule_id: str
        metric_dependencies = ("keymuster.rule",)
        success_keys = ("run", "rule_id")

        def _validate(self, metrics: Any, **_: Any) -> dict[str, Any]:
            counts = metrics["keymuster.rule"]
            applicable = sum(n for outcome, n in counts.items() if outcome not in ("not_applicable", "not_effective"))
            words = f"{counts['fail']} of {applicable} applicable rows fail, {counts['unknown']} are unknown"
            success = not counts["fail"] and not counts["unknown"]
            return {"success": success, "result": {"observed_value": words, "details": dict(counts)}}

    return SimpleNamespace(gx=gx, Expectation=ExpectAssetsToSatisfyRule, metrics=(KeymusterBatch, KeymusterRule))


def skip_hashing(engine_module: Any) -> None:
    """Keep GX from hashing the whole frame (seconds on a million rows); the snapshot's own sha256 is the evidence.

    HASH_THRESHOLD is a private constant of GX; GateError tells if an upgrade has moved it.
    """
    if not isinstance(getattr(engine_module, "HASH_THRESHOLD", None), int | float):
        raise GateError("this version of Great Expectations has no HASH_THRESHOLD; see docs on the gate before upgrading")
    engine_module.HASH_THRESHOLD = 0


def _validate(data: pd.DataFrame, expectations: list[Any], name: str) -> dict[str, Any]:
    """Run a suite made in memory over one frame; plain JSON. Without a checkpoint: its own stores cost more than all the rules."""
    suite = _great_expectations().gx.ExpectationSuite(name=name, expectations=expectations)
    batch = _batches().get_batch({"dataframe": data})
    document: dict[str, Any] = batch.validate(suite, result_format="SUMMARY").to_json_dict()
    return _stable(document)


@cache
def _batches() -> Any:
    """One context a process, in memory and silent, whose only asset is whatever frame is handed to it."""
    context = _great_expectations().gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    context.enable_analytics(enable=False)
    return context.data_sources.add_pandas("keymuster").add_dataframe_asset("frame").add_batch_definition_whole_dataframe("all")


def _stable(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out ids and times of the run, so that the same judgement gives the same document."""
    results = []
    for result in document["results"]:
        config = result["expectation_config"]
        results.append({**result, "expectation_config": {k: config[k] for k in ("type", "kwargs", "meta") if k in config}})
        results[-1].pop("meta", None)
    version = _great_expectations().gx.__version__
    statistics = document["statistics"]
    return {"success": document["success"], "statistics": statistics, "results": results, "meta": {"great_expectations_version": version}}


# --- the contract of a snapshot -----------------------------------------------------------------------------

_NUMBERS_OF_GX = ("element_count", "unexpected_count", "unexpected_percent", "missing_count", "missing_percent")


def check_contract(
    tables: Mapping[str, pa.Table], source: str, as_of: datetime, previous: Mapping[str, int] | None, contract: Contract | None = None
) -> GateResult:
    """Validate one snapshot. `previous`: rows by table of the last good snapshot of the station, None for the first one."""
    contract = contract or load_contract(source)
    failed: list[str] = []
    documents: dict[str, Any] = {}
    for table in sorted(set(tables) | set(previous or {})):
        data = tables.get(table)
        wanted = demands(contract, table, data, as_of, (previous or {}).get(table))
        documents[table] = _checked(table, data, as_of, wanted, failed)
    success = not failed and all(d["success"] for d in documents.values())
    return GateResult(success, failed, {"success": success, "source": source, "as_of": as_of.isoformat(), "tables": documents})


def _checked(table: str, data: pa.Table | None, as_of: datetime, wanted: list[Demand], failed: list[str]) -> dict[str, Any]:
    rows = [d for d in wanted if d.batch == "rows"]
    frames = {"rows": pd.DataFrame() if data is None else to_pandas(batch(data, as_of, rows), data.num_rows), "columns": _columns(data)}
    results: list[dict[str, Any]] = []
    for name, group in (("rows", rows), ("columns", [d for d in wanted if d.batch == "columns"])):
        results += _asked(f"{table}-{name}", frames[name], group)
    failed += [f"{table}: {r['words']}" for r in results if not r["success"]]
    return {"success": all(r["success"] for r in results), "results": results}


def _asked(name: str, frame: pd.DataFrame, group: list[Demand]) -> list[dict[str, Any]]:
    if not group:
        return []
    expectations = _great_expectations().gx.expectations
    made = [getattr(expectations, d.expectation)(**d.kwargs, meta={"words": d.words}) for d in group]
    results = _validate(frame, made, name)["results"]
    if len(results) != len(group):
        raise GateError(f"{name}: {len(results)} demands were checked where {len(group)} were asked for")
    return [_bare(r) for r in results]


def _columns(data: pa.Table | None) -> pd.DataFrame:
    """The shape of a table as rows of a frame: `name: type`."""
    # Parquet calls the items of a list `element`, Arrow calls them `item`; it is the same type.
    names = [] if data is None else [f"{f.name}: {f.type}".replace("<element: ", "<item: ") for f in data.schema]
    return pd.DataFrame({"column": pd.Series(names, dtype="str")})


def _bare(result: Mapping[str, Any]) -> dict[str, Any]:
    """One result without any value of an asset: GX quotes unexpected ones, and its pages do not escape them."""
    numbers = {k: v for k, v in (result.get("result") or {}).items() if k in _NUMBERS_OF_GX}
    config = result["expectation_config"]
    raised = any(isinstance(v, Mapping) and v.get("raised_exception") for v in _exceptions(result))
    words = config["meta"]["words"] + (" (could not be checked)" if raised else "")
    return {"success": bool(result["success"]), "type": config["type"], "words": words, "result": numbers}


def _exceptions(result: Mapping[str, Any]) -> list[Any]:
    info = result.get("exception_info") or {}
    return [info, *info.values()]
