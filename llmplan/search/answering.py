"""From what a search found to the answer of `fit`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from llmplan.answer.answer import Answer, answer_of
from llmplan.answer.limits import LimitAnswer, limits_kept, serving_figures, training_figures
from llmplan.answer.summary import chief_figures
from llmplan.answer.training import TrainingResult
from llmplan.answer.waits import waits_of_many
from llmplan.records import fields_of
from llmplan.search.answers import (
    ChangeAnswer,
    FitAnswer,
    FrontAnswer,
    FrontPoint,
    MaximizeAnswer,
    MinimizeAnswer,
    Miss,
    NextAnswer,
    Ranked,
    SubjectAnswer,
    Summary,
)
from llmplan.serving.targets import TARGETS
from llmplan.setup.limits import Limits
from llmplan.training.estimate import TrainingEstimate

if TYPE_CHECKING:
    from llmplan.answer.answer import Estimate
    from llmplan.answer.waits import Waits
    from llmplan.catalog.catalog import Catalog
    from llmplan.search.advice import Remedy
    from llmplan.search.ask import Ask
    from llmplan.search.found import SearchFound
    from llmplan.search.most import Least, Most
    from llmplan.search.serving_goal import ServingSearch
    from llmplan.search.training import Search
    from llmplan.serving.estimate import ServingEstimate


def training_answer(
    ask: Ask, asked: Search, found: SearchFound[TrainingEstimate], assumed: Sequence[str], changes: Sequence[Remedy],
    catalog: Catalog,
) -> FitAnswer:  # fmt: skip
    """The answer of a search of layouts."""
    from llmplan.answer.economics.summary import economics
    from llmplan.search.goal import objective_value
    from llmplan.search.training import as_good

    goal = asked.goal
    shown = [*found.best, *(one for one in (found.simple, found.marginal) if one is not None)]
    waits = dict(zip(map(id, shown), waits_of_many([one.plan for one in shown]), strict=True))

    def values(objective: str, one: TrainingEstimate) -> dict[str, float]:
        return objective_value(goal, objective, one)

    def ranked(rank: int, one: TrainingEstimate) -> Ranked:
        good = as_good(goal, found.best[0], one)
        return _ranked(rank, one, good, values(goal.objective, one), catalog, waits.get(id(one)))

    def missed(one: TrainingEstimate) -> dict[str, LimitAnswer]:
        return limits_kept(goal.limits, training_figures(one, economics(one, catalog)))

    return FitAnswer(
        objective=goal.objective, limits=goal.given(),
        simplest=ranked(1, found.simple) if found.simple else None,
        **_common(ask, found, assumed, changes, ranked, missed), devices=asked.devices,
        each=_each(found, lambda one: values(goal.objective, one), lambda a, b: as_good(goal, a, b), missed),
        left_out=asked.left_out or None, pareto=_front(asked.pareto, found.pareto, values) if asked.pareto else None,
    )  # fmt: skip


def serving_answer(
    ask: Ask, asked: ServingSearch, found: SearchFound[ServingEstimate], assumed: Sequence[str],
    changes: Sequence[Remedy], catalog: Catalog,
) -> FitAnswer:  # fmt: skip
    """The answer of a search of deployments."""
    from llmplan.answer.economics.serving import serving_economics
    from llmplan.search.serving_goal import as_good_serving, serving_value

    work = asked.bases[0].workload
    given = {name: getattr(work, name) for name in TARGETS}
    wanted = Limits(**given, max_cost_per_million=asked.most_cost)

    def values(objective: str, one: ServingEstimate) -> dict[str, float]:
        return serving_value(asked, objective, one)

    def ranked(rank: int, one: ServingEstimate) -> Ranked:
        good = as_good_serving(asked, found.best[0], one)
        return _ranked(rank, one, good, values(asked.objective, one), catalog)

    def missed(one: ServingEstimate) -> dict[str, LimitAnswer]:
        return limits_kept(wanted, serving_figures(one, serving_economics(one, catalog)))

    rate = {} if asked.least_rate is None else {"min_output_tokens_per_second": asked.least_rate}
    return FitAnswer(
        objective=asked.objective, limits=rate | wanted.stated(),
        **_common(ask, found, assumed, changes, ranked, missed), devices=asked.devices,
        each=_each(
            found, lambda one: values(asked.objective, one), lambda a, b: as_good_serving(asked, a, b), missed
        ),
        left_out=asked.left_out or None, pareto=_front(asked.pareto, found.pareto, values) if asked.pareto else None,
    )  # fmt: skip


def maximized(ask: Ask, what: str, found: Most, catalog: Catalog) -> FitAnswer:
    """The answer of `--maximize`."""
    after = None if found.beyond is None else NextAnswer(value=found.beyond, peak_bytes=found.beyond_peak)
    return FitAnswer(
        inputs=ask.as_options(), results=() if found.value is None else (answer_of(found.estimate, catalog),),
        maximize=MaximizeAnswer(what=what, word=found.word, value=found.value, next=after),
    )  # fmt: skip


def minimized(ask: Ask, found: Least, catalog: Catalog) -> FitAnswer:
    """The answer of `--minimize memory-fraction`."""
    return FitAnswer(
        inputs=ask.as_options(), results=() if found.value is None else (answer_of(found.estimate, catalog),),
        minimize=MinimizeAnswer(what="memory-fraction", word="memory_fraction", value=found.value),
    )  # fmt: skip


def _common(
    ask: Ask, found: SearchFound[Any], assumed: Sequence[str], changes: Sequence[Remedy],
    ranked: Callable[[int, Any], Ranked], missed: Callable[[Any], dict[str, LimitAnswer]],
) -> dict[str, Any]:  # fmt: skip
    """What answers about layouts and deployments have in common."""
    best = found.best
    parts: dict[str, Any] = {
        "inputs": ask.as_options(), "max_devices": ask.wishes.max_devices, "assumptions": tuple(assumed),
        "search": found.counts, "results": tuple(ranked(rank, one) for rank, one in enumerate(best, 1)),
    }  # fmt: skip
    if not best:
        parts["nearest_misses"] = tuple(_miss(one, missed(one)) for one in found.misses)
        parts["changes"] = tuple(ChangeAnswer(change=one.sentence, **summary(one.best)) for one in changes)
    elif best[0].verdict != "fits":
        parts["nothing_surely_fits"] = True
    elif found.marginal is not None:
        parts["marginal"] = ranked(1, found.marginal)
    return parts


def _ranked(
    rank: int, one: Estimate, good: bool, value: dict[str, float], catalog: Catalog, waits: Waits | None = None
) -> Ranked:  # fmt: skip
    found = answer_of(one, catalog, waits)
    return Ranked(rank=rank, as_good_within_error=good, objective=value, **fields_of(found))


def _each(
    found: SearchFound[Any], value: Callable[[Any], dict[str, float]], good: Callable[[Any, Any], bool],
    missed: Callable[[Any], dict[str, LimitAnswer]],
) -> tuple[SubjectAnswer, ...] | None:  # fmt: skip
    """Every device and stack that was asked about, those that do first."""
    ahead = [
        SubjectAnswer(
            rank=rank, does=True, objective=value(one), as_good_within_error=good(found.each[0], one),
            stable=_stable(one), limits=missed(one), **summary(one),
        )
        for rank, one in enumerate(found.each, 1)
    ]  # fmt: skip
    behind = [
        SubjectAnswer(does=False, stable=_stable(one), limits=missed(one), **summary(one)) for one in found.behind
    ]
    return (*ahead, *behind) or None


def _stable(one: Estimate) -> bool | None:
    return None if isinstance(one, TrainingEstimate) else one.stable


def _front(
    objectives: tuple[str, str], found: Sequence[Any], values: Callable[[str, Any], dict[str, float]]
) -> FrontAnswer:
    points = [FrontPoint(objectives=values(objectives[0], x) | values(objectives[1], x), **summary(x)) for x in found]
    return FrontAnswer(objectives=objectives, results=tuple(points))


def _miss(one: Estimate, limits: dict[str, LimitAnswer]) -> Miss:
    parts = one.memory.parts()
    largest = max(parts, key=lambda name: float(parts[name]))
    return Miss(largest_part=largest, stable=_stable(one), limits=limits, **summary(one))


def summary(one: Estimate) -> dict[str, Any]:
    """Fields of a `Summary`."""
    known = {"inputs": one.plan.as_options(), **chief_figures(one)}
    if isinstance(one, TrainingEstimate):
        return known
    return known | {"capacity_requests_per_second": one.capacity, "utilization": one.load}


def summarized(one: Answer) -> Summary:
    """The chief figures of an answer."""
    result = one.result
    if isinstance(result, TrainingResult):
        return Summary(
            inputs=one.inputs, verdict=result.verdict, usable_bytes=result.memory.usable_bytes,
            peak_bytes=result.memory.peak_bytes, step_seconds=result.time.step_seconds,
            tokens_per_second=result.throughput.tokens_per_second, mfu=result.mfu,
        )  # fmt: skip
    latency, throughput = result.latency, result.throughput
    return Summary(
        inputs=one.inputs, verdict=result.verdict, usable_bytes=result.memory.usable_bytes,
        peak_bytes=result.memory.needed_bytes, ttft_seconds=latency.ttft_seconds, tpot_seconds=latency.tpot_seconds,
        request_seconds=latency.request_seconds, requests_per_second=throughput.requests_per_second,
        output_tokens_per_second=throughput.output_tokens_per_second,
        capacity_requests_per_second=result.load.capacity_requests_per_second, utilization=result.load.utilization,
    )  # fmt: skip
