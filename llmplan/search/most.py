"""The most of one quantity that fits at a fixed layout, or the least memory that does.

Micro-batch or sequence length of a training; requests at once, context or share of memory of a deployment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llmplan.catalog.catalog import Catalog
from llmplan.errors import Fault, InputError
from llmplan.records import dataclass, replace
from llmplan.search.ask import Ask
from llmplan.search.choices import choices
from llmplan.serving.estimate import ServingEstimate, estimate_serving
from llmplan.serving.plan import ServingPlan
from llmplan.serving.resolve import resolve_serving
from llmplan.setup.named import draft_of
from llmplan.setup.request import Request
from llmplan.training.estimate import estimate
from llmplan.training.memory import training_memory
from llmplan.training.open_layouts import default_batch
from llmplan.training.plan import TrainingPlan
from llmplan.training.resolve import resolve_training

if TYPE_CHECKING:
    from llmplan.answer.answer import Estimate

LARGEST = 10**9
"""Where the search ends, the largest count that a plan may hold [1]."""
IN_SERVING = {
    "batch": "batch", "concurrency": "batch", "context": "input_tokens", "seq-len": "input_tokens",
}  # fmt: skip
IN_TRAINING = {"micro-batch": "micro_batch", "batch": "micro_batch", "seq-len": "seq_len", "context": "seq_len"}
_STEPS = 100
"""Shares of memory that are tried, from a hundredth to all of it [1]."""


@dataclass(frozen=True, slots=True)
class Most:
    """Answer: the largest value that fits and its estimate, and the first that does not.

    word: what was maximised; value [1], None where not even the least fits (the estimate is of the least then);
    beyond: the next value [1], None where there is none; beyond_peak: memory that it would need [bytes], None
    where it is not memory alone that decides.
    """

    word: str
    value: int | None
    estimate: Estimate
    beyond: int | None
    beyond_peak: float | None


@dataclass(frozen=True, slots=True)
class Least:
    """Answer: the smallest share of memory that does and its estimate; value [1], None where all of it does not."""

    value: float | None
    estimate: ServingEstimate


def least(ask: Ask, catalog: Catalog) -> Least:
    """The smallest `memory_fraction` at which everything in flight has a place and the targets are met."""
    if ask.wanted.options.workload != "serve":
        raise InputError(Fault("--minimize memory-fraction goes with workload serve: a training takes what it needs"))
    plan = resolve_serving(draft_of(_fixed(ask, "memory_fraction"), catalog), catalog)

    def at(step: int) -> ServingPlan:
        work = replace(plan.workload, memory_fraction=step / _STEPS)
        return replace(plan, workload=work)

    # what does with a share does with more: the share that is left out is counted from all of it
    left_out = _largest(lambda less: _answers(at(_STEPS + 1 - less)), _STEPS)
    step = _STEPS + 1 - max(left_out, 1)
    return Least(step / _STEPS if left_out else None, estimate_serving(at(step)))


def most(ask: Ask, what: str, catalog: Catalog) -> Most:
    """The most of `what` that fits at the layout of the request; a key of `IN_TRAINING` or `IN_SERVING`."""
    if ask.wanted.options.workload == "serve":
        return _most_served(ask, what, catalog)
    if what not in IN_TRAINING:
        raise InputError(Fault(f"--maximize {what} goes with workload serve; a training has {', '.join(IN_TRAINING)}"))
    option = IN_TRAINING[what]
    request = _fixed(ask, option, **({option: 1} if option == "micro_batch" else {}))
    plan = resolve_training(draft_of(request, catalog), catalog)
    at, step, end = _ladder(plan, option, batch_given=ask.wanted.options.global_batch is not None)
    value = _largest(lambda number: _fits(at(number * step), sure=ask.wishes.surely), end)
    shown = at(max(value, 1) * step)
    beyond = (value + 1) * step if value < end else None
    peak = None if beyond is None else float(training_memory(at(beyond)).peak_bytes)
    return Most(option, value * step if value else None, estimate(shown), beyond, peak)


def _fixed(ask: Ask, option: str, **least: int) -> Request:
    """The request at the least of the option, its layout as given or left to be chosen by default."""
    given = {name: one for name, one in choices(ask.given).items() if name != option}
    many = [f"--{name.replace('_', '-')}" for name, one in given.items() if not one.pinned]
    if many or ask.wishes.max_devices is not None:
        raise InputError(Fault(f"--maximize wants one layout: {', '.join(many) or '--max-devices'} leaves it open"))
    pinned = {name: one.values[0] for name, one in given.items() if one.values}
    return ask.wanted.changed(**pinned, **least)


def _ladder(plan: TrainingPlan, option: str, *, batch_given: bool) -> tuple[Callable[[int], TrainingPlan], int, int]:
    """A plan for each value, the step between values, and the most steps."""
    layout, work = plan.layout, plan.workload
    if option == "seq_len":
        step = 2 * layout.cp if layout.cp > 1 else 1
        base = work if batch_given else replace(work, global_batch=default_batch(layout))
        return lambda value: replace(plan, workload=replace(base, seq_len=value)), step, LARGEST // step
    rounds = work.global_batch // (layout.dp * layout.micro_batch)

    def with_micro_batch(value: int) -> TrainingPlan:
        batch = work.global_batch if batch_given else layout.dp * value * rounds
        return replace(
            plan, layout=replace(layout, micro_batch=value),
            workload=replace(work, global_batch=batch),
        )  # fmt: skip

    return with_micro_batch, 1, work.global_batch // layout.dp if batch_given else LARGEST // (layout.dp * rounds)


def _fits(plan: TrainingPlan, *, sure: bool) -> bool:
    peak = plan.interval("peak_bytes", float(training_memory(plan).peak_bytes))
    return (peak.high if sure else peak.value) <= plan.usable_bytes


def _largest(fits: Callable[[int], bool], end: int) -> int:
    """The largest number from 1 to end that fits, 0 for none; what does not fit, does not fit with more."""
    low, high = 0, 1
    while high <= end and fits(high):
        low, high = high, 2 * high
    high = min(high, end + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _most_served(ask: Ask, what: str, catalog: Catalog) -> Most:
    """The most requests in flight, or the longest prompt, that have places in memory and meet the targets."""
    if what == "concurrency" and ("batch" in ask.given or ask.wanted.options.request_rate is not None):
        raise InputError(Fault("--maximize concurrency looks for the requests at once: leave out --batch and the rate"))
    if what not in IN_SERVING:
        raise InputError(Fault(f"--maximize {what} goes with training; a served model has {', '.join(IN_SERVING)}"))
    option = IN_SERVING[what]
    if option == "batch" and (ask.wanted.options.request_rate is not None or "batch" in ask.given):
        raise InputError(
            Fault("--maximize batch looks for the requests in flight: leave out --batch and --request-rate")
        )
    options = ask.wanted.options
    fixed = "batch" in ask.given or options.request_rate is not None or options.load in ("saturated", "open")
    extra = {} if fixed and option != "batch" else {"batch": 1}
    plan = resolve_serving(draft_of(_fixed(ask, option, **extra), catalog), catalog)

    encoded = plan.encoded_tokens if option == "input_tokens" else 0

    def at(value: int) -> ServingPlan:
        changed: dict[str, Any] = {option: value + encoded}
        return replace(plan, workload=replace(plan.workload, **changed))

    value = _largest(lambda number: _answers(at(number)), LARGEST)
    return Most(
        option, value or None, estimate_serving(at(max(value, 1))), value + 1 if value < LARGEST else None, None
    )


def _answers(plan: ServingPlan) -> bool:
    """Whether everything in flight has a place, and the targets and the request rate are met."""
    one = estimate_serving(plan)
    return one.answers and not one.short_of_places and one.resident >= 1
