"""Weights of a replica's fullest device by module group, in the bytes that their precisions take."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llmplan.formulas.engine_memory import filled_width
from llmplan.formulas.numeric import maximum, real, where
from llmplan.formulas.pipeline import stage_layers
from llmplan.machine.precision import STORED_BYTES, WIDE_BYTES
from llmplan.model.layer import Group, Linear, group_of
from llmplan.model.model import Model
from llmplan.records import dataclass, fields_of, replace
from llmplan.serving.drafts import MEDUSA, drafting_plan, head_parameters, module_bytes
from llmplan.serving.iteration import precisions
from llmplan.serving.lora import adapter_bytes, served_adapters
from llmplan.serving.plan import ServingPlan, ServingWorkload
from llmplan.work.states import local_parameters

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

_PARTS: dict[Group, str] = {
    "attention": "attention_bytes", "mlp": "mlp_bytes", "shared": "shared_experts_bytes",
    "experts": "routed_experts_bytes",
}  # fmt: skip
_REST = "rest_bytes"


@dataclass(frozen=True, slots=True)
class WeightParts:
    """Bytes of weights on one device by module group; every field a number or an array [bytes].

    mlp: dense ones; encoders: towers of images and sound, whole on every device of a tensor-parallel group;
    rest: norms, routers, positions; draft: what drafts tokens for the model to check;
    adapters: all that are resident.
    """

    attention_bytes: Num = 0.0
    mlp_bytes: Num = 0.0
    shared_experts_bytes: Num = 0.0
    routed_experts_bytes: Num = 0.0
    embedding_bytes: Num = 0.0
    head_bytes: Num = 0.0
    encoders_bytes: Num = 0.0
    rest_bytes: Num = 0.0
    draft_bytes: Num = 0.0
    adapters_bytes: Num = 0.0

    def parts(self) -> dict[str, Num]:
        """Every group by name."""
        return fields_of(self)

    @property
    def total(self) -> Num:
        """All weights of the device."""
        total: Num = 0.0
        for held in self.parts().values():
            total = total + held
        return total


def weight_bytes(plan: ServingPlan, work: ServingWorkload) -> Num:
    """Weights of the fullest device [bytes]."""
    return weight_parts(plan, work).total


def weight_parts(plan: ServingPlan, work: ServingWorkload) -> WeightParts:
    """Weights of the fullest device: its share of the layers, and what stands at its end of the model.

    Bytes of a parameter are those of the files where these were read, else by precision; tables, head, norms and
    routers then have 16 bits at most.
    """
    layout, model = plan.layout, plan.model
    rate = _in_files(model) if model.stored is not None else _by_precision(plan, work)
    fullest = stage_layers(real(model.layer_count), layout.pp, 1.0) * plan.device_layers
    found: dict[str, Num] = {}
    for layer in model.layers:
        share = fullest * (layer.copies / model.layer_count)
        for linear in layer.linears:
            name = _PARTS.get(group_of(linear), _REST)
            held = local_parameters(linear, layout) * rate(linear)
            found[name] = found.get(name, 0.0) + share * held
        found[_REST] = found.get(_REST, 0.0) + share * layer.extra_parameters * rate("rest", layer)
    first, last = _ends(model, layout, rate)
    before = sum(first.values(), 0.0) >= sum(last.values(), 0.0)
    alone = layout.pp == 1
    for name in {**first, **last}:
        one, other = first.get(name, 0.0), last.get(name, 0.0)
        found[name] = found.get(name, 0.0) + where(alone, one + other, where(before, one, other))
    if plan.host is not None:
        found |= _kept(plan, found)
    adapters = adapter_bytes(served_adapters(model, work), model, layout)
    return WeightParts(**found, draft_bytes=_draft_bytes(plan, work, rate), adapters_bytes=adapters)


def _kept(plan: ServingPlan, found: dict[str, Num]) -> dict[str, Num]:
    """Table and head where the host has layers: it has the table, and the head with the last layer that it gets."""
    head = plan.workload.gpu_layers != 0
    table = head and plan.model.tied_embeddings  # that table is the head
    return {name: found.get(name, 0.0) if stays else 0.0
            for name, stays in (("embedding_bytes", table), ("head_bytes", head))}  # fmt: skip


def host_weight_bytes(plan: ServingPlan) -> Num:
    """Weights in host memory [bytes]: what the device does not hold, and a tied table twice."""
    if plan.host is None:
        return 0.0
    whole = replace(plan, host=None, workload=replace(plan.workload, gpu_layers=None))
    device = weight_parts(plan, plan.workload)
    return weight_parts(whole, whole.workload).total - device.total + device.embedding_bytes


def _draft_bytes(plan: ServingPlan, work: ServingWorkload, rate: Callable[..., Num]) -> Num:
    """What drafts [bytes]: a model, heads in 16 bits, or a layer like the last one with the rates of its matrices."""
    model, layout = plan.model, plan.layout
    if plan.draft is not None:
        alone = drafting_plan(plan)
        return weight_parts(alone, alone.workload).total
    if work.speculation == "none":
        return 0.0 * layout.tp
    if work.speculation == MEDUSA:
        heads = real(work.draft_tokens or plan.engine.policy.draft_tokens)
        return heads * head_parameters(model, layout) * WIDE_BYTES
    return module_bytes(model, model.layers[-1], layout, rate)


def _ends(model: Model, layout: Any, rate: Callable[..., Num]) -> tuple[dict[str, Num], dict[str, Num]]:
    """What stands before the first layer and after the last, each on its own stage of a pipeline [bytes].

    A tied table then stands on both.
    """
    table = model.embedding_parameters / layout.tp * rate("embedding")
    tied = where(layout.pp > 1, table, 0.0) if model.tied_embeddings else 0.0
    first = {
        "embedding_bytes": table, "encoders_bytes": real(model.tower_parameters) * rate("encoders"),
        _REST: model.position_parameters * rate("rest"),
    }  # fmt: skip
    head = model.head_parameters / layout.tp * rate("head") + tied
    return first, {"head_bytes": head, _REST: real(model.final_parameters) * rate("rest")}


def _in_files(model: Model) -> Callable[..., Num]:
    """Bytes of a parameter as the files of the weights hold them."""
    ends = model.stored
    assert ends is not None
    found = {"embedding": ends.embedding, "head": ends.head, "rest": ends.rest, "encoders": ends.rest}

    def rate(what: Linear | str, layer: Any = None) -> Num:
        if isinstance(what, Linear):
            return what.stored or 0.0
        return (layer.extra_stored or 0.0) if layer is not None else found[what]

    return rate


def _by_precision(plan: ServingPlan, work: ServingWorkload) -> Callable[..., Num]:
    """Bytes of a parameter by the precisions of weights and experts, or as the release says for its group."""
    model, layout, policy = plan.model, plan.layout, plan.engine.policy
    narrow = STORED_BYTES[work.weight_precision]
    wide = maximum(narrow, WIDE_BYTES)
    kinds = precisions(model, work)
    released: dict[str, float] = {**dict(model.released)} if plan.as_released else {}

    def rate(what: Linear | str, layer: Any = None) -> Num:
        if not isinstance(what, Linear):
            return released.get(what, wide)
        each = STORED_BYTES[kinds.experts] if what.routed else wide if what.wide else narrow
        each = each if what.wide else released.get(group_of(what), each)
        if not (what.routed and kinds.experts == "mxfp4"):
            return each
        width = expert_width(what, layout)
        return each * filled_width(width, real(policy.mxfp4_multiple)) / width

    return rate


def expert_width(linear: Linear, layout: Any) -> Num:
    """Width of one expert on one device: tensor parallelism divides it where expert parallelism does not [1]."""
    width = linear.inputs if linear.role == "expert_out" else linear.outputs
    return width / maximum(layout.tp / (layout.ep * 1.0), 1.0)
