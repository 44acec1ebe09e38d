"""Figures that alternatives are compared by, under the names of `--by`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from llmplan.answer.answer import Answer
from llmplan.answer.training import TrainingResult
from llmplan.records import dataclass
from llmplan.software.band import Interval

if TYPE_CHECKING:
    from llmplan.answer.economics.serving import PerMillion
    from llmplan.answer.serving import ServingResult


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure that alternatives are compared by.

    training, serving: it off an answer of that kind, None where not known; None where there is no such figure.
    less: whether less of it is better; whole_run: whether a training must say how long it is; word: of the plan, where
    that is the figure of both kinds; unfit: whether it says something about what does not fit.
    """

    training: Callable[[TrainingResult], Interval | None] | None
    serving: Callable[[ServingResult], Interval | None] | None
    less: bool
    whole_run: bool = False
    word: str | None = None
    unfit: bool = False

    def applies(self, one: Answer) -> bool:
        """Whether that kind of answer has such a figure."""
        return (
            self.word is not None
            or (self.training if isinstance(one.result, TrainingResult) else self.serving) is not None
        )

    def figure(self, one: Answer) -> Interval | None:
        """The figure of an answer; None where it is not known or there is none."""
        if self.word is not None:
            number = float(one.inputs[self.word])
            return Interval(number, number, number)
        if isinstance(one.result, TrainingResult):
            return self.training(one.result) if self.training else None
        return self.serving(one.result) if self.serving else None


def _mfu(result: TrainingResult) -> Interval:
    step, mfu = result.time.step_seconds, result.mfu
    return Interval(mfu, mfu * step.value / step.high, mfu * step.value / step.low)


def _requests(found: PerMillion | None) -> Interval | None:
    return found.requests if found else None


MEASURES: dict[str, Measure] = {
    "throughput": Measure(
        lambda one: one.throughput.tokens_per_second,
        lambda one: one.throughput.output_tokens_per_second or one.throughput.requests_per_second, less=False,
    ),
    "step": Measure(lambda one: one.time.step_seconds, None, less=True),
    "mfu": Measure(_mfu, None, less=False),
    "ttft": Measure(None, lambda one: one.latency.ttft_seconds, less=True),
    "tpot": Measure(None, lambda one: one.latency.tpot_seconds, less=True),
    "latency": Measure(lambda one: one.time.step_seconds, lambda one: one.latency.request_seconds, less=True),
    "memory": Measure(lambda one: one.memory.peak_bytes, lambda one: one.memory.needed_bytes, less=True, unfit=True),
    "devices": Measure(None, None, less=True, word="devices", unfit=True),
    "days": Measure(lambda one: one.run.wall_seconds if one.run else None, None, less=True, whole_run=True),
    "cost": Measure(
        lambda one: one.cost.usd if one.cost else None, lambda one: _requests(one.cost.usd_per_million), less=True,
        whole_run=True,
    ),
    "energy": Measure(
        lambda one: one.energy.joules if one.energy else None, lambda one: _requests(one.energy.joules_per_million),
        less=True, whole_run=True,
    ),
    "carbon": Measure(
        lambda one: one.energy.co2e_kilograms if one.energy else None,
        lambda one: _requests(one.energy.co2e_kilograms_per_million), less=True, whole_run=True,
    ),
}  # fmt: skip
"""What `--by` takes: of a training, the run; of a deployment, requests of the plan's lengths in all, the same work
everywhere."""
