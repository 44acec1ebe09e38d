"""The answer to a plan of training: its fields are the keys of the JSON, the texts under them its documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from llmplan.answer.bottleneck import Bottleneck
from llmplan.answer.data import PartsOf, present
from llmplan.formatting import count, step_time
from llmplan.records import dataclass
from llmplan.software.band import Interval, Verdict
from llmplan.training.memory import Memory
from llmplan.training.states import trained_parameters
from llmplan.training.step import StepTime
from llmplan.vocabulary import Amount

if TYPE_CHECKING:
    from llmplan.answer.economics.cost import RunCost
    from llmplan.answer.economics.energy import RunEnergy
    from llmplan.answer.economics.run import RunAnswer
    from llmplan.answer.economics.storage import RunStorage
    from llmplan.answer.economics.summary import Economics
    from llmplan.answer.limits import LimitAnswer
    from llmplan.training.estimate import TrainingEstimate


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswer:
    """The model that is trained or served."""

    name: str
    parameters: int
    active_parameters: int
    """That one token passes."""
    trainable_parameters: int | None = None
    """All, or those of the adapters; none of them are trained in serving."""
    max_context: int | None = None
    """Tokens that the model was made for."""
    approximate: bool | None = None
    """True where it was read by likeness to other families: a rough answer, with a wider band."""
    encoder_parameters: int | None = None
    """Of the encoders of images and sound that the checkpoint has beside the language model; not in `parameters`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryAnswer:
    """Memory of the fullest device."""

    peak_bytes: Interval
    usable_bytes: Amount
    """What a process may take."""
    capacity_bytes: Amount
    """What the driver reports."""
    parts: Annotated[dict[str, float], PartsOf(Memory, left_out=("host_bytes",))]
    """They sum to the peak; a part of nothing is left out."""
    host_bytes_per_node: Amount | None = None
    """Optimizer states, or parameters with all their states, that were moved to the host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThroughputAnswer:
    """Trained tokens a second."""

    tokens_per_second: Interval
    tokens_per_second_per_device: Interval
    flops_per_second_per_device: Amount
    """Model FLOPs (without recomputation) a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeAnswer:
    """Wall time of one optimizer step."""

    step_seconds: Interval
    parts: Annotated[dict[str, float], PartsOf(StepTime)]
    """They sum to the step; a part of nothing is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """The answer to a plan of `pretrain`, `finetune` or `lora`."""

    model: ModelAnswer
    fits: bool
    """Whether the predicted peak is within what is usable."""
    verdict: Verdict
    """`marginal` where the limit lies inside the band."""
    memory: MemoryAnswer
    throughput: ThroughputAnswer
    time: TimeAnswer
    mfu: Amount
    """Model FLOPs over the dense peak of the workload's precision."""
    hfu: Amount
    """The same with recomputed FLOPs."""
    bottleneck: Bottleneck
    run: RunAnswer | None = None
    """This and what follows: where the length of the run was given."""
    cost: RunCost | None = None
    energy: RunEnergy | None = None
    storage: RunStorage | None = None
    limits: dict[str, LimitAnswer] | None = None
    """Limits of the plan, by name."""

    @property
    def is_yes(self) -> bool:
        """Whether it fits."""
        return self.fits

    def speed(self) -> str:
        """Step, tokens a second and MFU in one line."""
        rate = self.throughput.tokens_per_second.value
        return f"{step_time(self.time.step_seconds.value)} a step, {count(rate)} tokens/s, MFU {self.mfu:.1%}"


def training_result(found: TrainingEstimate, run: Economics | None, held: Bottleneck) -> TrainingResult:
    """The result of an estimate, its run, and what holds it back."""
    plan, rate, devices = found.plan, found.tokens_per_second, float(found.plan.devices)
    model, host = plan.model, float(found.memory.host_bytes)
    return TrainingResult(
        model=ModelAnswer(
            name=model.name, parameters=model.parameters, active_parameters=model.active_parameters,
            trainable_parameters=round(trained_parameters(plan)), max_context=model.max_context,
            encoder_parameters=model.tower_parameters or None, approximate=model.approximate or None,
        ),
        fits=found.fits, verdict=found.verdict,
        memory=MemoryAnswer(
            peak_bytes=found.peak, usable_bytes=found.usable_bytes, capacity_bytes=found.capacity_bytes,
            parts=present(found.memory.parts()), host_bytes_per_node=host or None,
        ),
        throughput=ThroughputAnswer(
            tokens_per_second=rate,
            tokens_per_second_per_device=Interval(rate.value / devices, rate.low / devices, rate.high / devices),
            flops_per_second_per_device=found.model_flops / found.step.value / devices,
        ),
        time=TimeAnswer(step_seconds=found.step, parts=present(found.time.parts())),
        mfu=found.mfu, hfu=found.hfu, bottleneck=held,
        run=run.run if run else None, cost=run.cost if run else None, energy=run.energy if run else None,
        storage=run.storage if run else None, limits=_limits(found, run),
    )  # fmt: skip


def _limits(found: TrainingEstimate, run: Economics | None) -> dict[str, LimitAnswer] | None:
    limits = found.plan.options.limits
    if limits is None:
        return None
    from llmplan.answer.limits import limits_kept, training_figures

    return limits_kept(limits, training_figures(found, run))
