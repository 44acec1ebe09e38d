"""Whether an answer keeps the limits of its plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmplan.training.estimate import TrainingEstimate

if TYPE_CHECKING:
    from llmplan.answer.answer import Estimate
    from llmplan.serving.estimate import ServingEstimate
    from llmplan.setup.limits import Limits

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Kept:
    """One limit and the figure that it is about, SI base units.

    value: None = not known; applies: whether this kind of workload has such a figure at all.
    """

    name: str
    limit: float
    value: float | None
    applies: bool

    @property
    def kept(self) -> bool:
        """A figure that is not known keeps no limit; one that does not exist breaks none."""
        if not self.applies:
            return True
        if self.value is None:
            return False
        return self.value <= self.limit if self.name.startswith("max_") else self.value >= self.limit


def limits_kept(answer: Estimate) -> tuple[Kept, ...]:
    """Every limit of the plan, in the order in which they are described; none where it has none."""
    limits: Limits | None = answer.plan.options.limits
    if limits is None:
        return ()
    figures: dict[str, Callable[[Any], float | None]]
    figures = TRAINING if isinstance(answer, TrainingEstimate) else SERVING
    found = []
    for name in type(limits).model_fields:
        limit = getattr(limits, name)
        if limit is not None:
            figure = figures.get(name)
            value = figure(answer) if figure else None
            found.append(Kept(name, float(limit), value, figure is not None))
    return tuple(found)


def _days(answer: TrainingEstimate) -> float | None:
    return answer.economics.run.wall.value / DAY if answer.economics else None


def _cost(answer: TrainingEstimate) -> float | None:
    if answer.economics is None or answer.economics.cost.headline is None:
        return None
    return answer.economics.cost.headline.usd


def _energy(answer: TrainingEstimate) -> float | None:
    return answer.economics.energy.joules if answer.economics else None


def _carbon(answer: TrainingEstimate) -> float | None:
    return answer.economics.energy.carbon if answer.economics else None


def _goodput(answer: TrainingEstimate) -> float | None:
    return answer.economics.reliability.goodput if answer.economics else None


def _cost_per_million(answer: ServingEstimate) -> float | None:
    """All that a deployment costs over the output tokens that it writes; over input tokens where there are none."""
    work = answer.plan.workload
    if answer.economics is None or answer.economics.request.usd is None:
        return None
    tokens = work.output_tokens if answer.economics.output else work.input_tokens
    return answer.economics.request.usd.value / tokens


SERVING: dict[str, Callable[[ServingEstimate], float | None]] = {
    "max_memory": lambda answer: answer.needed.value,
    "min_tokens_per_second": lambda answer: (
        answer.output_tokens_per_second.value if answer.output_tokens_per_second else None
    ),
    "max_ttft": lambda answer: answer.ttft.value,
    "max_tpot": lambda answer: answer.tpot.value if answer.tpot else None,
    "max_cost_per_million": _cost_per_million,
}
"""What each limit on a deployment is about."""
TRAINING: dict[str, Callable[[TrainingEstimate], float | None]] = {
    "max_days": _days,
    "max_cost": _cost,
    "max_energy": _energy,
    "max_carbon": _carbon,
    "max_step": lambda answer: answer.step.value,
    "max_memory": lambda answer: answer.peak.value,
    "min_mfu": lambda answer: answer.mfu,
    "min_goodput": _goodput,
    "min_tokens_per_second": lambda answer: answer.tokens_per_second.value,
}
"""What each limit on a training is about."""
