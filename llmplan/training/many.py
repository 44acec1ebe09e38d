"""Many trainings at once: plans that share a model, a machine and a recipe go through the formulas as arrays.

Degrees, micro-batches, sharding, recomputation and lengths run along the arrays; the formulas are those of one plan,
and what comes out is equal to the last digit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from llmplan.formulas.numeric import real
from llmplan.records import replace
from llmplan.setup.layout import LayoutArrays
from llmplan.setup.many import column, unstacked
from llmplan.training.choose import ONE_BY_ONE, LayoutEvaluator
from llmplan.training.estimate import TrainingEstimate, estimate, estimate_of, figures_of
from llmplan.training.memory import training_memory
from llmplan.training.plan import TrainingPlan, TrainingWorkload
from llmplan.training.resolve import OpenTraining
from llmplan.training.step import training_time

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEW = 4
"""Plans of a kind below which arrays take longer than one after the other."""
SEVERAL = 16
"""The same of open plans, of which not all would be worked out."""
ROWS = 8192
"""Plans that are evaluated at a time: their arrays stay in a core's cache."""
LENGTHS = ("seq_len", "global_batch")
"""Words of a workload that run along the arrays; the others choose between formulas, as `tokens` does not."""
_shared_words = attrgetter(*(name for name in TrainingWorkload.model_fields if name not in (*LENGTHS, "tokens")))


def estimate_many(plans: Sequence[TrainingPlan]) -> list[TrainingEstimate]:
    """The estimate of every plan, in their order: what `estimate` gives of each."""
    found: dict[int, TrainingEstimate] = {}
    for places in sharing(plans):
        alike = [plans[place] for place in places]
        if len(alike) < FEW:
            found |= zip(places, map(estimate, alike), strict=True)
        for start in range(0, len(alike) if len(alike) >= FEW else 0, ROWS):
            part = alike[start : start + ROWS]
            made = map(estimate_of, part, unstacked(figures_of(as_arrays(part)), len(part)))
            found |= zip(places[start : start + ROWS], made, strict=True)
    return [found[place] for place in range(len(plans))]


def evaluator_of(opened: Sequence[OpenTraining]) -> LayoutEvaluator:
    """What works out the open plans of many requests, all of them at once where there are several of a request."""
    asked = [(plan, one.compared) for one in opened if not one.decided for plan in one.sound]
    timed = [(plan, batch) for plan, batch in asked if batch is not None]
    peaks = _worked_out(
        [(plan, plan.workload.global_batch) for plan, _ in asked], lambda plans: training_memory(plans).peak_bytes
    )
    seconds = _worked_out(timed, lambda plans: training_time(plans).step_seconds)

    def peak(plan: TrainingPlan) -> float:
        return peaks[id(plan)] if id(plan) in peaks else ONE_BY_ONE.peak(plan)

    def time(plan: TrainingPlan, batch: int) -> float:
        return seconds[id(plan)] if id(plan) in seconds else ONE_BY_ONE.seconds(plan, batch)

    return LayoutEvaluator(peak, time)


def _worked_out(
    wanted: Sequence[tuple[TrainingPlan, float]], figure: Callable[[TrainingPlan], Any]
) -> dict[int, float]:
    """A figure of every plan with so many sequences a step, by the plan's `id`; where few are alike, of none."""
    found: dict[int, float] = {}
    for places in sharing([plan for plan, _ in wanted]):
        for start in range(0, len(places) if len(places) >= SEVERAL else 0, ROWS):
            part = [wanted[place] for place in places[start : start + ROWS]]
            many = as_arrays([plan for plan, _ in part], [batch for _, batch in part])
            found |= zip((id(plan) for plan, _ in part), column(real(figure(many)), len(part)), strict=True)
    return found


def sharing(plans: Sequence[TrainingPlan]) -> list[list[int]]:
    """Places of the plans that differ in nothing but their layouts and lengths."""
    groups: dict[Any, list[int]] = {}
    for place, plan in enumerate(plans):
        parts = plan.model, plan.device, plan.cluster, plan.stack, plan.coefficients, plan.recipe
        key = *map(id, parts), plan.options.stack_version, _shared_words(plan.workload)
        groups.setdefault(key, []).append(place)
    return list(groups.values())


def as_arrays(plans: Sequence[TrainingPlan], batches: Sequence[Any] | None = None) -> TrainingPlan:
    """One plan whose layout and lengths are arrays, of plans that differ in nothing else; batches: not their own."""
    import numpy as np

    def numbers(names: tuple[str, ...], things: list[Any]) -> NDArray[np.float64]:
        return np.array(list(map(attrgetter(*names), things)), dtype=float).T

    layouts, names = [plan.layout for plan in plans], tuple(field.name for field in fields(LayoutArrays))
    flags = np.array([(one.sequence_parallel, one.offload_optimizer) for one in layouts]).T
    again = [np.inf if one.recompute_layers is None else one.recompute_layers for one in layouts]
    columns = [*numbers(names[:-4], layouts), np.array(again), *flags, np.array([one.recompute for one in layouts])]
    rows = LayoutArrays(**dict(zip(names, columns, strict=True)))
    lengths = dict(zip(LENGTHS, numbers(LENGTHS, [plan.workload for plan in plans]), strict=True))
    if batches is not None:
        lengths["global_batch"] = np.array(batches, dtype=float)
    return replace(plans[0].with_layout(rows), workload=plans[0].workload.model_copy(update=lengths))
