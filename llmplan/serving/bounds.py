"""What nature does not let a deployment pass: one reading of the weights, the peak of the matrix units.

Bands are those of past errors and know of neither; here they end where no machine goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import maximum, minimum, real
from llmplan.machine.kernels import has_precision, peak_flops
from llmplan.records import dataclass, replace
from llmplan.serving.weights import weight_parts
from llmplan.software.band import Interval

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num
    from llmplan.serving.iteration import Replica
    from llmplan.serving.plan import ServingPlan
    from llmplan.setup.layout import Layout

_PRODUCT = 2.0  # FLOPs of a parameter and token
READ = ("attention_bytes", "mlp_bytes", "shared_experts_bytes", "head_bytes")
"""Groups of weights that every decoding step reads whole, by the fields of `WeightParts`; of routed experts, those of
one token."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least times, and the most tokens; 0 and infinity where nothing is known.

    tpot: weights of one token once from memory, over the tokens that a step writes [s]; ttft: FLOPs of one prompt at
    the peak of its devices [s]; output: tokens a second that all devices can write and read prompts for [1/s].
    """

    tpot: Num
    ttft: Num
    output: Num

    def request(self, output_tokens: Num) -> Num:
        """A whole request [s]."""
        return self.ttft + maximum(output_tokens - 1.0, 0.0) * self.tpot


def bounds(plan: ServingPlan, at: Replica) -> Bounds:
    """Those of a plan; at: its replica that writes."""
    model, work, layout = plan.model, plan.workload, plan.layout
    if model.architecture != "decoder":
        return Bounds(0.0, 0.0, float("inf"))
    tpot = _read_bytes(plan) / plan.device.memory.bandwidth / real(at.written)
    peak = plan.on_machine(_peak)
    each = _PRODUCT * (model.active_parameters - model.embedding_parameters - model.head_parameters)  # of a token
    ttft = each * work.computed_tokens / (_each(plan.prefill or layout) * peak)
    passed = work.computed_tokens + maximum(work.output_tokens - 1.0, 0.0)
    return Bounds(tpot, ttft, work.output_tokens * plan.devices * peak / (each * passed))


def _peak(plan: ServingPlan) -> float:
    """Of matrix products with the plan's inputs, which bounds nothing where it is not known [FLOP/s]."""
    precision = plan.workload.activation_precision
    return peak_flops(plan.device, precision) if has_precision(plan.device, precision) else float("inf")


def _each(layout: Layout) -> Num:
    """Devices that one prompt can be on: a replica's, or all where experts are spread [1]."""
    return real(maximum(layout.devices // layout.dp, layout.ep))


def _read_bytes(plan: ServingPlan) -> Num:
    """Weights that one device reads for one token in all stages of a pipeline, routed experts spread evenly [bytes]."""
    whole = plan.with_layout(replace(plan.layout, pp=1))
    parts = weight_parts(whole, plan.workload)
    routed = [linear for layer in plan.model.layers for linear in layer.linears if linear.routed]
    copies = plan.layout.redundant_experts
    share = min((linear.active / (linear.experts + copies) for linear in routed), default=0.0)
    return sum(real(getattr(parts, name)) for name in READ) + share * real(parts.routed_experts_bytes)


def above(found: Interval, least: Num) -> Interval:
    """A band that goes no lower than the least."""
    return replace(found, low=real(maximum(found.low, minimum(least, found.value))))


def below(found: Interval, most: Num) -> Interval:
    """A band that goes no higher than the most."""
    return replace(found, high=real(minimum(found.high, maximum(most, found.value))))


def flight_over(rate: Interval, flight: float, value: float) -> Interval:
    """Time of a request where so many are in flight: flight / rate, its band too (Little's law); rate [1/s]."""
    return Interval(value, flight / rate.high, flight / rate.low)
