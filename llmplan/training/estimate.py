"""One plan in, one estimate out: memory, verdict, step time, throughput, utilisation, with bands."""

from __future__ import annotations

from typing import Any

from llmplan.errors import Fault, InputError
from llmplan.formulas.numeric import real
from llmplan.formulas.step import model_flops_utilization
from llmplan.machine.kernels import peak_flops
from llmplan.records import dataclass
from llmplan.setup.plan import PlanWarning
from llmplan.software.band import Interval, Verdict
from llmplan.training.checks import remarks
from llmplan.training.flops import recomputed_flops, training_flops
from llmplan.training.flow import step_tokens
from llmplan.training.memory import Memory, training_memory
from llmplan.training.plan import TrainingPlan
from llmplan.training.remarks import memory_remarks
from llmplan.training.step import StepTime, training_time


@dataclass(frozen=True, slots=True)
class TrainingEstimate:
    """Answer for `pretrain`, `finetune` and `lora`; SI base units.

    peak: memory of the fullest device [bytes]; usable: what that device offers [bytes]; step: seconds;
    tokens_per_second: of all devices; model_flops: of one step, without recomputation [FLOP];
    mfu, hfu: of the dense peak of the workload's precision [1].
    """

    plan: TrainingPlan
    memory: Memory
    peak: Interval
    usable_bytes: float
    capacity_bytes: float
    verdict: Verdict
    time: StepTime
    step: Interval
    tokens_per_second: Interval
    model_flops: float
    mfu: float
    hfu: float

    @property
    def fits(self) -> bool:
        """Whether the predicted peak, not its band's end, is within what is usable, and the host holds the rest."""
        return self.peak.value <= self.usable_bytes and self.plan.host_holds(self.memory.host_bytes)

    @property
    def warnings(self) -> tuple[PlanWarning, ...]:
        """What is allowed and should be known, of the plan and of the numbers."""
        return (
            *remarks(self.plan),
            *memory_remarks(self.plan, self.peak, self.usable_bytes, real(self.memory.host_bytes)),
        )


@dataclass(frozen=True, slots=True)
class TrainingFigures:
    """What the formulas give of a plan, in numbers, or in arrays where its layout or its lengths are arrays.

    Of `TrainingEstimate`, with the ends of bands; shapes broadcast against each other.
    """

    memory: Memory
    time: StepTime
    peak: Interval
    step: Interval
    tokens_per_second: Interval
    model_flops: Any
    mfu: Any
    hfu: Any


def estimate(plan: TrainingPlan) -> TrainingEstimate:
    """Estimates one training; raises InputError for a plan of serving, and where its parts do not go together."""
    if not isinstance(plan, TrainingPlan):
        raise InputError(Fault("the workload is serve: `estimate_serving` estimates it"))
    return estimate_of(plan, figures_of(plan))


def figures_of(plan: TrainingPlan) -> TrainingFigures:
    """Memory, time and utilisation of one plan, or of every one of its layouts and lengths."""
    memory, time = training_memory(plan), training_time(plan)
    step = plan.interval("step_seconds", real(time.step_seconds))
    tokens = step_tokens(plan)
    flops = training_flops(plan)
    top = plan.on_machine(lambda one: peak_flops(one.device, one.workload.precision))
    mfu = real(model_flops_utilization(flops, step.value, real(plan.devices), top))
    return TrainingFigures(
        memory=memory, time=time, peak=plan.interval("peak_bytes", real(memory.peak_bytes)), step=step,
        tokens_per_second=Interval(tokens / step.value, tokens / step.high, tokens / step.low),
        model_flops=flops, mfu=mfu, hfu=mfu * (1.0 + recomputed_flops(plan) / flops),
    )  # fmt: skip


def estimate_of(plan: TrainingPlan, found: TrainingFigures) -> TrainingEstimate:
    """The estimate that figures in plain numbers make, with its verdict."""
    usable, peak = plan.usable_bytes, found.peak
    return TrainingEstimate(
        plan=plan, memory=found.memory, peak=peak, usable_bytes=usable, capacity_bytes=plan.device.memory.capacity,
        verdict=plan.verdict(peak, usable, found.memory.host_bytes), time=found.time, step=found.step,
        tokens_per_second=found.tokens_per_second, model_flops=found.model_flops, mfu=found.mfu, hfu=found.hfu,
    )  # fmt: skip
