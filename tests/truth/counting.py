"""A made-up machine on which only one thing takes time, so that seconds are a count of it.

With `flops=1.0` every product and every attention runs at 1 FLOP/s and all else is free: a time is the number of FLOPs.
With `memory=1.0` it is the number of bytes read and written, with `link=1.0` of bytes sent, and launches are counted by
giving each kind of kernel a fixed time of its own. Nothing here comes from the catalogue.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llmplan.machine.efficiency import (
    AttentionEfficiency,
    CollectiveEfficiency,
    DecodeEfficiency,
    Efficiency,
    GroupedEfficiency,
    MatmulEfficiency,
)
from llmplan.machine.hardware import Cluster, Device, DeviceMemory, Fabric, HostLink, ScaleUp
from llmplan.machine.links import Links, links_of, with_algorithms
from llmplan.model.layer import Layer
from llmplan.model.lowering import lower
from llmplan.model.model import Model
from llmplan.model.spec import ModelSpec
from llmplan.schema import Source
from llmplan.serving.plan import ServingPlan, ServingWorkload
from llmplan.setup.layout import Layout
from llmplan.software.coefficients import NEUTRAL, Coefficients
from llmplan.software.engine import Engine, ServingPolicy
from llmplan.software.recipe import TrainingRecipe
from llmplan.software.stack import MemoryModel, Stack
from llmplan.training.plan import TrainingPlan, TrainingWorkload
from llmplan.work.flow import Flow
from llmplan.work.kernels import Kernels, Precisions, Software, kernels_of

FREE = 1e40
"""A rate at which nothing takes time."""
SOURCES = (Source(what="all", where="made up"),)
NOTE: Any = {"date": "2025-01-01", "sources": SOURCES}


def machine(
    *, flops: float = FREE, memory: float = FREE, link: float = FREE, host: float = FREE, launches: bool = False,
    domain: int = 8, grouped: dict[str, Any] | None = None, efficiency: dict[str, Any] | None = None,
) -> Device:  # fmt: skip
    """A device; launches: a product takes 1 s to start, a layer of experts 1,000, attention of prompts 1e6, decoding's
    1e9; grouped: of kernels of experts, as `GroupedEfficiency` has it; efficiency: anything else of that class."""
    product, experts, attention, decoding = (1.0, 1e3, 1e6, 1e9) if launches else (0.0, 0.0, 0.0, 0.0)
    products = MatmulEfficiency(peak_fraction=1.0, memory_fraction=1.0, launch=product)
    narrow = replace(products, cast_fraction=1.0)
    bank = GroupedEfficiency(
        peak_fraction=1.0, memory_fraction=1.0, launch=experts, **{"padding": 0.0, **(grouped or {})}
    )
    measured: dict[str, Any] = {
        "matmul": {"bf16": products, "fp32": products, "fp8": narrow, "nvfp4": narrow, "int4": narrow},
        "grouped_matmul": {"bf16": bank, "fp8": bank},
        "attention": {"bf16": AttentionEfficiency(peak_fraction=1.0, memory_fraction=1.0, launch=attention)},
        "decode_attention": {"bf16": DecodeEfficiency(memory_fraction=1.0, latency=decoding)},
        "collectives": {"ring": CollectiveEfficiency(link_fraction=1.0)},
        "memory_fraction": 1.0,
    }
    return Device(
        id="made-up", name="made up", vendor="none", kind="gpu", architecture="none", release=2025, compute_units=1,
        memory=DeviceMemory(type="none", capacity=1e12, bandwidth=memory),
        peak={"bf16": flops, "fp16": flops, "fp32": flops / 4.0, "fp8": 2.0 * flops},
        scale_up=ScaleUp(link="none", bandwidth=link, domain=domain, topology="switch"),
        host_link=HostLink(link="none", bandwidth=host), cluster="made-up",
        efficiency=Efficiency(**{**measured, **(efficiency or {})}), **NOTE,
    )  # fmt: skip


def cluster(*, network: float = FREE, latency: float = 0.0, devices_per_node: int = 8) -> Cluster:
    """Nodes of the device; network: of one device's port [bytes/s]."""
    fabric = Fabric(link="none", bandwidth=network, latency=latency, link_fraction=1.0)
    return Cluster(id="made-up", name="made up", devices_per_node=devices_per_node, fabric=fabric, **NOTE)


# Hidden 8, four query heads and two cached ones of width 3 (12 and 6 together, not 8), gated MLP of 20, vocabulary 50.
WORDS: dict[str, Any] = {
    "name": "small", "layers": 2, "hidden": 8, "heads": 4, "kv_heads": 2, "head_dim": 3, "ffn_hidden": 20,
    "gated_mlp": True, "vocab": 50,
}  # fmt: skip
EXPERTS: dict[str, Any] = {"experts": 4, "experts_per_token": 2, "expert_ffn_hidden": 10}


def model(**changes: Any) -> Model:
    """A small decoder, with changes."""
    return lower(ModelSpec(**{**WORDS, **changes}))


def layer(**changes: Any) -> Layer:
    """The first layer of such a model."""
    return model(**changes).layers[0]


def kernels(
    device: Device, weights: str = "bf16", inputs: str = "bf16", *, cache: str = "bf16", blocks: bool = False,
    **software: Any,
) -> Kernels:  # fmt: skip
    """What kernels reach on a device with neutral coefficients; blocks: whether 8-bit weights have a scale a block."""
    kinds = Precisions(weights, weights, inputs, cache, block_scaled=blocks)
    return kernels_of(device, kinds, Software(**{"fused_experts": True, **software}), NEUTRAL)


def layout(**degrees: Any) -> Any:
    """Degrees of parallelism as numbers."""
    return Layout(**degrees)


def links(
    device: Device, at: Cluster | None = None, *, reduce_by: tuple[str, ...] = ("ring",), dispatch: str = "domain"
) -> Links:
    """The links of a device with the algorithms of a stack."""
    return with_algorithms(links_of(device, at or cluster()), reduce_by, dispatch)


def micro_batch(tokens: float, length: float | None = None) -> Flow:
    """Tokens of sequences of one length."""
    return Flow(tokens=tokens, length=tokens if length is None else length, source_tokens=tokens, source=tokens)


def stack(**memory: Any) -> Stack:
    """A stack that holds nothing beside the model."""
    return Stack(
        id="made-up", name="made up", workloads=("pretrain", "finetune", "lora", "serve"),
        memory=MemoryModel(**{"context": 0.0, **memory}), **NOTE,
    )  # fmt: skip


RECIPE = TrainingRecipe(all_reduce=("ring",), fused_experts=True)


def training(
    device: Device, *, at: Cluster | None = None, spec: dict[str, Any] | None = None, recipe: TrainingRecipe = RECIPE,
    numbers: dict[str, float] | None = None, work: dict[str, Any] | None = None, **degrees: Any,
) -> TrainingPlan:  # fmt: skip
    """A training of the small model: sequences of 16 tokens, as many as there are replicas unless `work` says."""
    made = Layout(**degrees)
    workload: dict[str, Any] = {"workload": "pretrain", "seq_len": 16, "global_batch": made.dp * made.micro_batch}
    return TrainingPlan(
        model=model(**(spec or {})), device=device, cluster=at or cluster(), layout=made, stack=stack(),
        coefficients=coefficients(**(numbers or {})), workload=TrainingWorkload(**{**workload, **(work or {})}),
        recipe=recipe,
    )  # fmt: skip


def coefficients(**numbers: float) -> Coefficients:
    """Neutral ones but for these."""
    return replace(NEUTRAL, **numbers)


POLICY = ServingPolicy(all_reduce=("ring",), routing_spread=0.0)


def serving(
    device: Device, *, at: Cluster | None = None, spec: dict[str, Any] | None = None, policy: ServingPolicy = POLICY,
    numbers: dict[str, float] | None = None, work: dict[str, Any] | None = None, **degrees: Any,
) -> ServingPlan:  # fmt: skip
    """A deployment of the small model under an engine."""
    return ServingPlan(
        model=model(**(spec or {})), device=device, cluster=at or cluster(), layout=Layout(**degrees), stack=stack(),
        coefficients=coefficients(**(numbers or {})), workload=ServingWorkload(**(work or {})),
        engine=Engine("", "2025-01", policy),
    )  # fmt: skip
