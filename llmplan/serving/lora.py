"""Adapters on a served model: options, memory on a device, and the two small products beside each matrix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from llmplan.formulas.numeric import maximum, real
from llmplan.formulas.pipeline import stage_layers
from llmplan.formulas.served_adapters import adapter_parameters, adapters_in_use
from llmplan.machine.precision import WIDE_BYTES
from llmplan.model.adapters import ALL_LINEAR, adapters_of, has_target, target_names
from llmplan.records import dataclass
from llmplan.work.products import plain_product

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num
    from llmplan.model.layer import Layer
    from llmplan.model.model import Model
    from llmplan.serving.plan import ServingWorkload
    from llmplan.setup.draft import Draft
    from llmplan.work.kernels import Kernels


@dataclass(frozen=True, slots=True)
class ServedAdapters:
    """Adapters that are resident in a replica.

    count: of them [1]; rank [1]; targets: matrices that have one, by the names that PEFT knows or ours.
    """

    count: float
    rank: float
    targets: tuple[str, ...]

    def sides(self, model: Model, layer: Layer, layout: Any) -> Iterator[tuple[Num, Num, float]]:
        """Inputs, outputs and rank of each adapter of a layer on one device [1].

        Tensor parallelism divides the side of the pair that the matrix is divided on; the other is held whole. Routed
        experts have none.
        """
        for adapter in adapters_of(model, layer, self.targets):
            linear = adapter.linear
            if not linear.routed:
                inputs, outputs = real(linear.inputs), real(adapter.outputs)
                inputs = inputs / layout.tp if linear.split == "row" else inputs
                outputs = outputs / layout.tp if linear.split == "column" else outputs
                yield inputs, outputs, self.rank * adapter.times


def served_adapters(model: Model, work: ServingWorkload) -> ServedAdapters | None:
    """The adapters of a workload; None where it has none."""
    if work.lora_adapters is None or work.lora_rank is None:
        return None
    return ServedAdapters(real(work.lora_adapters), real(work.lora_rank), work.lora_targets or (ALL_LINEAR,))


def adapter_options(draft: Draft, model: Model) -> dict[str, Any]:
    """Options about adapters; faults where some are missing, or name no matrix of the model."""
    options = draft.options
    if options.lora_adapters is None:
        return {}
    if options.lora_rank is None:
        draft.fault("lora_rank is missing: of the adapters", "lora_adapters")
    for name in options.lora_targets or ():
        if not has_target(model, name):
            have = ", ".join(target_names(model))
            draft.fault(f"lora_targets: {model.name} has no matrix {name!r} (it has {have})", "lora_targets")
    if options.lora_targets is None:
        draft.assume("lora_targets", ALL_LINEAR, "engines set room aside for adapters of every matrix")
    targets = options.lora_targets or (ALL_LINEAR,)
    return {"lora_adapters": options.lora_adapters, "lora_rank": options.lora_rank, "lora_targets": targets}


def adapter_bytes(found: ServedAdapters | None, model: Model, layout: Any) -> Num:
    """Adapters in 16 bits on the fullest device [bytes]."""
    total: Num = 0.0 * layout.tp
    if found is None:
        return total
    fullest = stage_layers(real(model.layer_count), layout.pp, 1.0)
    for layer in model.layers:
        each = sum((adapter_parameters(*sides) for sides in found.sides(model, layer, layout)), 0.0 * layout.tp)
        total = total + fullest * (layer.copies / model.layer_count) * each
    return found.count * WIDE_BYTES * total


def adapter_seconds(
    found: ServedAdapters, model: Model, layer: Layer, rows: Num, sequences: Num, layout: Any, kernels: Kernels
) -> Num:
    """Two products beside each matrix of a layer, of all its sequences' adapters together (Punica, S-LoRA) [s].

    rows: tokens of the step on the device [1]; sequences: that they belong to [1]. What one adapter more than the first
    takes is reading it.
    """
    more = maximum(adapters_in_use(found.count, sequences) - 1.0, 0.0)
    total: Num = 0.0 * layout.tp
    for inputs, outputs, rank in found.sides(model, layer, layout):
        down = plain_product(rank + 0.0 * layout.tp, inputs, rows, kernels.wide, "forward")
        up = plain_product(outputs, rank + 0.0 * layout.tp, rows, kernels.wide, "forward")
        read = more * WIDE_BYTES * adapter_parameters(inputs, outputs, rank) / kernels.wide.bandwidth
        total = total + down + up + read
    return total
