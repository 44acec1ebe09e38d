"""Whether a measured run is plausible: no device exceeds its peaks."""

from __future__ import annotations

from collections.abc import Mapping

from llmplan.answer.resolve import AnyPlan
from llmplan.machine.kernels import peak_flops
from llmplan.machine.precision import STORED_BYTES
from llmplan.serving.plan import ServingPlan
from llmplan.training.flops import recomputed_flops, training_flops

_TOKENS = 2.0  # FLOPs of a parameter and token, forward


def impossible(plan: AnyPlan, measured: Mapping[str, float | bool], step_flops: float | None = None) -> str | None:
    """Why no run of this plan can be as measured, by the names of the measured columns; None where it can.

    Training: FLOPs of a step over the peak. Serving: FLOPs of the tokens written over the peak, and parameters that one
    token passes over the bandwidth of memory (where a sequence is alone; experts of others only add to it).
    step_flops: of a training's step, what is computed again among them, where they are at hand [FLOP].
    """
    if not isinstance(plan, ServingPlan):
        rate, seconds = measured.get("tokens_per_second_per_device"), measured.get("step_seconds")
        if not rate and not seconds:
            return None
        tokens = float(plan.workload.global_batch) * plan.workload.seq_len / plan.devices
        flops = training_flops(plan) + recomputed_flops(plan) if step_flops is None else step_flops
        work = flops / plan.devices
        least = work / peak_flops(plan.device, plan.workload.precision)
        share = least / (tokens / rate if rate else float(seconds or 1.0))
        return f"it takes {share:.2f} times the peak FLOP/s of {plan.device.id}" if share > 1.0 else None
    serves, model, device = plan.workload, plan.model, plan.device
    if rate := measured.get("output_tokens_per_second"):
        share = (
            _TOKENS * model.active_parameters * rate / plan.devices / peak_flops(device, serves.activation_precision)
        )
        if share > 1.0:
            return f"it takes {share:.2f} times the peak FLOP/s of {device.id}"
    if (seconds := measured.get("tpot_seconds")) and model.architecture == "decoder":
        inside = model.active_parameters - model.embedding_parameters
        held = inside * STORED_BYTES[serves.weight_precision] / (plan.layout.tp * plan.layout.pp)
        share = held / device.memory.bandwidth / seconds / plan.layout.pp
        if share > 1.0:
            return f"its weights take {share:.2f} times the memory bandwidth of {device.id}"
    return None
