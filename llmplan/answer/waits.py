"""What training steps wait for, by resource: of one plan from numbers, of many that are alike from arrays.

Both come from one evaluation of the step with numbers that remember how they were made; the figures of a plan are the
same to the last digit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from llmplan.answer.named import named_machine
from llmplan.answer.resources import by_resource
from llmplan.formulas.traced import Tape
from llmplan.records import dataclass, replace
from llmplan.setup.many import column
from llmplan.training.many import as_arrays, sharing
from llmplan.training.memory import training_memory
from llmplan.training.plan import TrainingPlan
from llmplan.training.step import training_time

if TYPE_CHECKING:
    from llmplan.formulas.traced_arrays import ArrayTape
    from llmplan.vocabulary import Recompute

    Eased = Callable[[Recompute], tuple[float, float]]
    """Peak [bytes] and step [s] with so much recomputation."""

BUBBLE, STRAGGLERS = "pipeline_bubble", "stragglers"
IDLE = {"pipeline_bubble_seconds": BUBBLE, "straggler_seconds": STRAGGLERS}
"""Parts of a step that are no work."""
FEW = 4
"""Plans of a kind below which arrays take longer than one after the other."""
ROWS = 1024
"""Plans whose arrays are traced at a time: every array of the evaluation is kept until the passes backwards."""


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds of a step: idle by what for; by resource, waited for, worked by it, and felt when it gets faster."""

    idle: dict[str, float]
    waited: dict[str, float]
    worked: dict[str, float]
    felt: dict[str, float]
    eased: Eased


def waits_of(plan: TrainingPlan) -> Waits:
    """What the step of one plan waits for."""

    def eased(recompute: Recompute) -> tuple[float, float]:
        less = plan.with_layout(replace(plan.layout, recompute=recompute, recompute_layers=None))
        return float(training_memory(less).peak_bytes), float(training_time(less).step_seconds)

    idle, waited, worked, felt = _seconds(named_machine(plan), Tape, float)
    return Waits(idle, waited, worked, felt, eased)


def waits_of_many(plans: Sequence[TrainingPlan]) -> list[Waits]:
    """The same of every plan, in their order."""
    found: dict[int, Waits] = {}
    for places in sharing(plans, FEW):
        for start in range(0, len(places), ROWS):
            part = places[start : start + ROWS]
            found |= zip(part, _of_arrays([plans[place] for place in part]), strict=True)
    return [found[place] if place in found else waits_of(plan) for place, plan in enumerate(plans)]


def _of_arrays(plans: list[TrainingPlan]) -> list[Waits]:
    from llmplan.formulas.traced_arrays import ArrayTape, bare

    columns = [
        {name: column(bare(values), len(plans)) for name, values in one.items()}
        for one in _seconds(as_arrays(list(map(named_machine, plans))), ArrayTape, bare)
    ]
    eased: dict[str, tuple[list[float], list[float]]] = {}

    def of(row: int) -> Eased:
        def one(recompute: Recompute) -> tuple[float, float]:
            if recompute not in eased:
                many = as_arrays(plans)
                layouts: Any = many.layout  # arrays
                less = many.with_layout(replace(layouts, recompute=recompute))
                figures = training_memory(less).peak_bytes, training_time(less).step_seconds
                eased[recompute] = column(figures[0], len(plans)), column(figures[1], len(plans))
            peaks, seconds = eased[recompute]
            return peaks[row], seconds[row]

        return one

    def row_of(row: int) -> Waits:
        idle, waited, worked, felt = ({name: values[row] for name, values in one.items()} for one in columns)
        return Waits(idle, waited, worked, felt, of(row))

    return [row_of(row) for row in range(len(plans))]


def _seconds(
    plan: TrainingPlan, tape_of: type[Tape] | type[ArrayTape], bare: Callable[[Any], Any]
) -> tuple[dict[str, Any], ...]:
    """Idle, waited, worked and felt seconds of a plan of `named_machine`, in numbers or in arrays."""
    time = training_time(plan)
    parts = time.parts()
    idle = {name: bare(parts[part]) for part, name in IDLE.items()}
    work: Any = sum(value for part, value in parts.items() if part not in IDLE)
    whole = time.step_seconds
    tape = tape_of(work, whole)
    return idle, *by_resource(tape, [(work, False), (work, True), (whole, False)], plan)
