"""What must hold between a layout, a workload and a model: contradictions and remarks, as data."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from llmplan.formatting import binary
from llmplan.model.layer import Linear
from llmplan.model.model import Model
from llmplan.setup.codes import warning
from llmplan.setup.layout import Layout
from llmplan.setup.plan import PlanWarning, Setup

if TYPE_CHECKING:
    from llmplan.software.band import Interval

Problem = tuple[str, tuple[str, ...]]
"""A sentence, and the options of the plan that it is about."""


def layout_problems(model: Model, layout: Layout, *, served: bool = False) -> list[Problem]:
    """Why this layout cannot run this model, every reason with its numbers; none where it can.

    served: experts may be copied (`redundant_experts`).
    """
    return [
        *tensor_problems(model, layout.tp, layout.ep),
        *stage_problems(model, layout),
        *expert_problems(model, layout, served=served),
    ]


@lru_cache(maxsize=4096)
def tensor_problems(model: Model, tp: int, ep: int) -> tuple[Problem, ...]:
    """That tp divides heads and widths."""
    heads = sorted({core.heads for layer in model.layers for core in layer.cores})
    about = ("tp", "model")
    if undivided := [count for count in heads if count % tp]:
        return tuple((f"tp {tp} does not divide the {n} attention heads of {model.name}", about) for n in undivided)
    for linear in (linear for layer in model.layers for linear in layer.linears):
        side = linear.outputs if linear.split == "column" else linear.inputs
        if linear.split != "none" and side % _parts(linear, tp, ep):
            text = f"tp {tp} does not divide the width {side} of matrix {linear.name!r} of {model.name}"
            return ((text, about),)
    return ()


def _parts(linear: Linear, tp: int, ep: int) -> int:
    """Parts that one matrix is cut into."""
    if linear.routed:
        return max(1, tp // ep)
    return min(tp, linear.split_limit) if linear.split_limit else tp


_ENDS = 2  # embedding and head may take a layer's place each, as in Megatron-Core's account of pipeline splits


def stage_problems(model: Model, layout: Layout) -> Iterator[Problem]:
    """That there are layers for all (virtual) stages."""
    stages = layout.pp * layout.vp
    if layout.pp > 1 and stages > model.layer_count + _ENDS:
        yield (
            f"pp {layout.pp} x vp {layout.vp} = {stages} stages, but {model.name} has {model.layer_count} layers",
            ("pp", "vp", "model"),
        )


def expert_banks(model: Model) -> list[int]:
    """Experts of the model's layers, each number once [1]."""
    return sorted({linear.experts for layer in model.layers for linear in layer.linears if linear.routed})


def fewest_redundant(model: Model, ep: int) -> int | None:
    """The fewest copies of experts with which ep divides every layer's [1]; None where no number does."""
    missing = {-experts % ep for experts in expert_banks(model)}
    return missing.pop() if len(missing) == 1 else None


def expert_problems(model: Model, layout: Layout, *, served: bool = False) -> Iterator[Problem]:
    """That ep divides the experts, their copies among them, and the devices that share a stage."""
    ep, copies, about = layout.ep, layout.redundant_experts, ("ep", "redundant_experts", "model")
    if ep == 1 and not copies:
        return
    banks = expert_banks(model)
    if not banks:
        yield f"{f'redundant_experts {copies}' if copies else f'ep {ep}'}, but {model.name} has no experts", about
    elif ep == 1:
        yield f"redundant_experts {copies} goes with ep above 1: a copy is for another device", about
        return
    for experts in banks:
        if (experts + copies) % ep:
            beside = f" and {copies} redundant_experts" if copies else ""
            message = f"ep {ep} does not divide the {experts} experts{beside} of {model.name}"
            fewest = fewest_redundant(model, ep) if served else None
            if fewest is not None:
                slots = experts + fewest
                message += f"; redundant_experts {fewest} makes {slots} slots, {slots // ep} a device"
            yield message, about
        elif copies > experts * (ep - 1):
            yield f"redundant_experts {copies}: ep {ep} devices hold each of {experts} experts once already", about
    group = layout.dp * layout.cp * layout.tp
    if group % ep:
        shape = f"dp {layout.dp} x cp {layout.cp} x tp {layout.tp} = {group}"
        yield f"ep {ep} does not divide {shape}", ("ep", "devices")


def ends_in_whole_rounds(micro_batches: int, pp: int, vp: int) -> bool:
    """Whether an interleaved schedule, which hands out rounds of pp micro-batches, has no part of one (LP007)."""
    return pp == 1 or vp == 1 or micro_batches % pp == 0


def batch_problems(layout: Layout, global_batch: int, seq_len: int) -> Iterator[Problem]:
    """That the global batch divides into micro-batches and the sequence into pieces."""
    at_once = layout.dp * layout.micro_batch
    if global_batch % at_once:
        shape = f"dp {layout.dp} x micro_batch {layout.micro_batch} = {at_once}"
        yield f"global_batch {global_batch} is not a multiple of {shape}", ("global_batch", "micro_batch")
    if layout.cp > 1 and seq_len % (2 * layout.cp):
        yield (
            f"seq_len {seq_len} is not a multiple of 2 x cp {layout.cp} = {2 * layout.cp}, "
            "the pieces that context parallelism cuts it into",
            ("seq_len", "cp"),
        )


def common_remarks(plan: Setup) -> Iterator[PlanWarning]:
    """What is allowed and should be known of any plan: the model, copied cached heads, wide tp, the stack."""
    layout, model = plan.layout, plan.model
    yield from (warning("LP011", message=message) for message in model.warnings)
    if model.approximate:
        yield warning("LP014", model=model.name, family=model.family or "(none)")
    cores = [core for layer in model.layers for core in layer.cores if core.kind == "softmax"]
    kv_heads = min((core.kv_heads for core in cores), default=0)
    if kv_heads and layout.tp > kv_heads and any(x.split_limit for layer in model.layers for x in layer.linears):
        yield warning("LP001", tp=layout.tp, kv_heads=kv_heads, copies=-(-layout.tp // kv_heads))
    scale_up = plan.device.scale_up
    if layout.tp > scale_up.domain and scale_up.topology != "none":
        yield warning("LP005", tp=layout.tp, domain=scale_up.domain, link=scale_up.link)


def stack_remarks(plan: Setup) -> Iterator[PlanWarning]:
    """Whether the stack is for this workload and this device."""
    stack = plan.stack
    if plan.kind not in stack.workloads:
        yield warning("LP009", stack=stack.id, known=", ".join(stack.workloads), workload=plan.kind)
    if stack.vendors and plan.device.vendor not in stack.vendors:
        yield warning("LP013", stack=stack.id, known=" and ".join(stack.vendors), vendor=plan.device.vendor)


def marginal(needed: Interval, usable: float) -> Iterator[PlanWarning]:
    """That the limit lies inside the band. needed, usable: of a device [bytes]."""
    if needed.low <= usable < needed.high:
        sizes = {"peak": needed.value, "low": needed.low, "high": needed.high, "usable": usable}
        yield warning("LP010", **{name: binary(size, 3) for name, size in sizes.items()})
