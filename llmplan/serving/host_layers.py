"""Layers that stay in the host's memory (llama.cpp's --n-gpu-layers): whether that can be, and their time.

The output layer is on the device first, then the repeating layers from the last one backwards; the table of the input
is on the host. Few rows are multiplied where the weights are; for many, weights are copied over the host link as they
are needed, and the device multiplies (llama.cpp b11434: src/llama-model.cpp, load_tensors; ggml-backend.cpp;
ggml-cuda.cu, ggml_backend_cuda_device_offload_op).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmplan.catalog.inheritance import GENERIC, filled_efficiency
from llmplan.formulas.experts import touched_experts
from llmplan.formulas.numeric import minimum, real, where
from llmplan.machine.efficiency import Efficiency
from llmplan.machine.hardware import Cluster, Device, DeviceMemory, Power, ScaleUp
from llmplan.model.layer import Layer
from llmplan.model.model import Model
from llmplan.records import dataclass, replace
from llmplan.work.flow import Flow
from llmplan.work.kernels import Kernels
from llmplan.work.layer import forward

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num
    from llmplan.setup.draft import Draft
    from llmplan.setup.options import PlanOptions
    from llmplan.software.engine import ServingPolicy

BESIDE = ("speculation", "lora_adapters", "images", "audio_seconds", "prefix_hit", "turns")
"""Options that layers on the host are not planned with."""


@dataclass(frozen=True, slots=True)
class HostLayers:
    """What runs layers that are on the host.

    kernels: of its processors; link: bandwidth to the device [bytes/s]; rows: from which on weights are copied to the
    device [1]; head: whether the output layer is there too.
    """

    kernels: Kernels
    link: float
    rows: float
    head: bool


def unified(device: Device) -> bool:
    """Whether device and host have one memory."""
    return "unified" in device.memory.type


def host_of(cluster: Cluster) -> Device | None:
    """The processors of a node as a device; None where the catalogue does not know what they do."""
    if cluster.host_bandwidth is None or cluster.host_peak is None:
        return None
    host = Device(
        id=f"{cluster.id}-host", name=f"host of {cluster.name}", vendor="none", kind="cpu", architecture="none",
        release=2025, memory=DeviceMemory(type="host", capacity=cluster.host_memory or 1.0,
                                          bandwidth=cluster.host_bandwidth),
        peak={"bf16": cluster.host_peak, "fp32": cluster.host_peak},
        scale_up=ScaleUp(link="none", domain=1, topology="none"), power=Power(), efficiency=Efficiency(),
        sources=cluster.sources, date=cluster.date,
    )  # fmt: skip
    return replace(host, efficiency=filled_efficiency(host, lambda _: host))


def host_options(
    draft: Draft, model: Model, device: Device, cluster: Cluster, policy: ServingPolicy, devices: int
) -> tuple[int | None, Device | None]:
    """Layers on the device, None where nothing was given, and what runs the others; faults where that cannot be."""
    asked = draft.options.gpu_layers
    if asked is None:
        return None, None
    most = model.layer_count + 1
    if asked > most:
        draft.assume("gpu_layers", most, f"{model.name} has no more: {model.layer_count} layers and the output")
    layers = min(asked, most)
    host = host_of(cluster)
    if why := why_not(draft.options, model, device, policy, devices):
        draft.fault(f"gpu_layers {asked}: {why[0]}", "gpu_layers", *why[1:])
    elif layers < most and host is None:
        unknown = f"the entry of cluster {cluster.id} has no host_bandwidth and host_peak to plan the others with"
        draft.fault(f"gpu_layers {asked}: {unknown}", "gpu_layers", "cluster")
    if layers == most or host is None:
        return layers, None
    rates = f"{host.memory.bandwidth / 1e9:g} GB/s and {host.peak['bf16'] / 1e12:.3g} TFLOP/s, as of {cluster.id}"
    draft.assumptions.append(f"host: {rates}; no measured run has told how long layers take there")
    if cluster.host_memory is None:
        draft.assumptions.append(f"host memory: not known of {cluster.id}; layers are taken to fit there")
    return layers, host


def why_not(options: PlanOptions, model: Model, device: Device, policy: ServingPolicy, devices: int) -> tuple[str, ...]:
    """Why layers cannot be left to the host, and the options that say so; empty where they can."""
    if policy.host_rows is None:
        return f"stack {options.stack or GENERIC} leaves no layers to the host; llama.cpp does", "stack"
    if unified(device) or device.kind == "cpu":
        return f"{device.id} and its host have one memory, so layers on the host save none", "hardware"
    if device.host_link is None:
        return f"{device.id} has no known link to its host", "hardware"
    if devices > 1:
        return f"planned on one device, and devices is {devices}", "devices"
    if model.architecture != "decoder":
        return f"planned for decoders, and {model.name} is not one", "model"
    beside = [name for name in BESIDE if getattr(options, name) not in (None, "none")]
    return (f"not planned with {beside[0]}", beside[0]) if beside else ()


def host_layer_seconds(layer: Layer, flow: Flow, layout: Any, kernels: Kernels, host: HostLayers) -> Num:
    """One layer that is on the host [s]: on its processors, or copied and then computed on the device.

    llama.cpp waits for the device before it copies the next weights, so copies and products add up. Ignored: vectors
    that cross the link, as they do without layers on the host; pages that the driver copies twice.
    """
    there = forward(layer, flow, layout, host.kernels).total
    copied = moved_bytes(layer, flow, kernels) / host.link + forward(layer, flow, layout, kernels).total
    return where(flow.rows > 0, where(flow.rows >= host.rows, copied, there), 0.0)


def moved_bytes(layer: Layer, flow: Flow, kernels: Kernels) -> Num:
    """Weights of a layer, of its experts those that any token takes, and the cache that is read [bytes]."""
    total: Num = 0.0
    for linear in layer.linears:
        each = kernels.experts.weight_bytes if linear.routed else kernels.products.weight_bytes
        each = kernels.wide.weight_bytes if linear.wide else each
        held = real(linear.inputs * linear.outputs) * (each if linear.stored is None else linear.stored)
        spread = kernels.software.routing_spread
        banks = touched_experts(real(linear.experts), real(linear.active), flow.rows, spread) if linear.routed else 1.0
        total = total + held * banks
    for core in layer.cores:
        kept = flow.context if core.cache_window is None else minimum(flow.context, real(core.cache_window))
        each = core.cache_elements * core.cache_ratio * kernels.cache_bytes
        total = total + each * (flow.decoding * kept + flow.tokens)
    return total
