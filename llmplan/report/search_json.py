"""Answers of `fit` as plain data: the envelope `llmplan.fit/1`, and rows for CSV."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from llmplan.answer.bottleneck import bottleneck
from llmplan.report.json import estimate_json
from llmplan.search.goal import objective_value
from llmplan.search.training import as_good
from llmplan.setup.layout import Layout
from llmplan.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llmplan.search.advice import Change
    from llmplan.search.most import Most
    from llmplan.search.request import Ask
    from llmplan.search.training import Counts, Found, Search
    from llmplan.training.estimate import TrainingEstimate

FIT = "llmplan.fit/1"
_SUBJECT = ("hardware", "devices", "workload", "precision", "seq_len", "global_batch")


def fit_json(ask: Ask, asked: Search, found: Found, told: tuple[str, ...], changes: list[Change]) -> dict[str, Any]:
    """One search as `llmplan.fit/1`; `results` are estimates, best first."""
    answer: dict[str, Any] = {
        "schema": FIT,
        "llmplan_version": __version__,
        "inputs": ask.words(),
        "objective": asked.goal.objective,
        "limits": asked.goal.given(),
        "assumptions": list(told),
        "search": counts_json(found.counts),
        "results": results(asked, found),
    }
    if found.simple is not None:
        answer["simplest"] = estimate_json(found.simple)
    if found.best and found.sure is not None and found.best[0].verdict != "fits":
        answer["surely_fits"] = estimate_json(found.sure)
    if asked.pareto is not None:
        answer["pareto"] = {
            "objectives": list(asked.pareto),
            "results": [_on_front(asked, one) for one in found.pareto],
        }
    if not found.best:
        answer["nearest_misses"] = [summary(one) for one in found.misses]
        answer["changes"] = [{"change": one.sentence, **summary(one.best)} for one in changes]
    return answer


def counts_json(counts: Counts) -> dict[str, Any]:
    """What the search went through; `kept` fit and keep every limit; `removed` says why the others do not."""
    return {
        "considered": counts.considered, "legal": counts.legal, "evaluated": counts.legal, "fitting": counts.fitting,
        "kept": counts.kept, "seconds": counts.seconds,
        "removed": {reason: count for reason, count in counts.removed.items() if count},
    }  # fmt: skip


def results(asked: Search, found: Found) -> list[dict[str, Any]]:
    """Estimates with their rank, the objective, and whether the winner's band reaches them."""
    return [
        {
            "rank": rank,
            "as_good_within_error": as_good(asked.goal, found.best[0], one),
            "objective": objective_value(asked.goal, asked.goal.objective, one),
            **estimate_json(one),
        }
        for rank, one in enumerate(found.best, 1)
    ]


def _on_front(asked: Search, one: TrainingEstimate) -> dict[str, Any]:
    values = [objective_value(asked.goal, name, one) for name in asked.pareto or ()]
    return {"objectives": {key: value for each in values for key, value in each.items()}, **summary(one)}


def summary(one: TrainingEstimate) -> dict[str, Any]:
    """The plan of an estimate and its chief figures: `estimate` on the plan gives the rest."""
    return {
        "inputs": one.plan.words(), "verdict": one.verdict, "peak_bytes": one.peak.value,
        "usable_bytes": one.usable_bytes, "step_seconds": one.step.value,
        "tokens_per_second": one.tokens_per_second.value, "mfu": one.mfu,
    }  # fmt: skip


def most_json(ask: Ask, what: str, found: Most) -> dict[str, Any]:
    """An answer of `--maximize` as `llmplan.fit/1`."""
    answer: dict[str, Any] = {"word": found.word, "value": found.value}
    if found.beyond is not None:
        answer["next"] = {"value": found.beyond, "peak_bytes": found.beyond_peak}
    results = [] if found.value is None else [estimate_json(found.estimate)]
    return {
        "schema": FIT,
        "llmplan_version": __version__,
        "inputs": ask.words(),
        "maximize": {"what": what, **answer},
        "results": results,
    }


def csv_text(asked: Search, found: Found) -> str:
    """The results as CSV, a header and a line each; columns of the layout are words of the vocabulary."""
    buffer = io.StringIO()
    rows = list(_csv_rows(asked, found))
    writer = csv.DictWriter(buffer, list(rows[0]) if rows else ["rank"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _csv_rows(asked: Search, found: Found) -> Iterator[dict[str, Any]]:
    for rank, one in enumerate(found.best, 1):
        said = one.plan.words()
        yield {
            "rank": rank,
            **{name: said[name] for name in _SUBJECT},
            **{name: _cell(getattr(one.plan.layout, name)) for name in Layout.model_fields},
            "peak_bytes": one.peak.value, "usable_bytes": one.usable_bytes, "verdict": one.verdict,
            "step_seconds": one.step.value, "step_low_seconds": one.step.low, "step_high_seconds": one.step.high,

        "tokens_per_second": one.tokens_per_second.value, "mfu": one.mfu, "bottleneck": bottleneck(one).resource,
            "as_good_within_error": _cell(as_good(asked.goal, found.best[0], one)),
            **objective_value(asked.goal, asked.goal.objective, one),
        }  # fmt: skip


def _cell(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value
