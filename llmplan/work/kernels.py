"""The curves of a plan's kernels together, and what running software makes of them."""

from __future__ import annotations

from llmplan.machine.hardware import Device
from llmplan.machine.kernels import (
    AttentionCurve,
    DecodeCurve,
    GroupedCurve,
    ProductCurve,
    attention_curve,
    decode_curve,
    grouped_curve,
    has_precision,
    peak_flops,
    product_curve,
    stream_bandwidth,
    sustained,
    wide_peak,
)
from llmplan.machine.precision import ELEMENT_BYTES, NARROW, STORED_BYTES, kernel_kind
from llmplan.records import dataclass, replace
from llmplan.software.coefficients import Coefficients

EARLY_START = 2.9 / 3.4
"""What is left of a kernel's fixed time where it does not wait to start behind the one before it: small ones in a
captured graph take 3.4 us each and run for 2.9 us (NVIDIA, Getting Started with CUDA Graphs, 2019) [1]."""


@dataclass(frozen=True, slots=True)
class Precisions:
    """Of stored weights, of experts' weights, of the inputs of products and of the cache.

    block_scaled: whether 8-bit weights have a scale a block.
    """

    weights: str
    experts: str
    inputs: str
    cache: str
    block_scaled: bool = False


@dataclass(frozen=True, slots=True)
class Software:
    """What a stack decides about kernels: its attention, whose products, how experts are grouped and routed.

    permute_fusion: whether tokens are sorted by expert and put back at the rate of memory; routing_spread: how unevenly
    they go to experts, coefficient of variation between experts [1];
    shares_cache: whether all query heads of a group share one reading of the cache; shared_groups: if not, sizes of
    groups that do [1]; windows: whether layers with a sliding window attend to no more than it; fused_norms: whether a
    norm behind an all-reduce is part of its kernel; fused_casts: what casts the inputs of products that it makes;
    experts_apart: kinds of products for which a layer of experts is one kernel after another;
    beside: whether shared experts run beside the routed ones; early: whether kernels start while those before them
    end; narrow_latent: whether decoding latent attention multiplies in 8 bits where the cache has them.
    """

    attention: str = "best"
    flash: bool = True
    engine: bool = False
    fused_experts: bool = True
    permute_fusion: bool = False
    routing_spread: float = 0.0
    shares_cache: bool = True
    shared_groups: tuple[float, ...] = ()
    windows: bool = True
    fused_norms: bool = False
    fused_casts: tuple[str, ...] = ()
    experts_apart: tuple[str, ...] = ()
    beside: bool = False
    early: bool = False
    narrow_latent: bool = False


@dataclass(frozen=True, slots=True)
class Kernels:
    """Curves of one device under one stack, fitted coefficients applied.

    products, fused: in the plan's kind, with and without a cast before it; wide: in 16 bits (or 32); experts;
    attention; decode; stream: of elementwise kernels [bytes/s]; small: fixed time of one [s]; passes: their traffic
    over that of fully fused ones [1]; cache_bytes: of one cached element [bytes]; routing_apart: whether operations of
    routing have gaps before them that were not measured.
    """

    products: ProductCurve
    fused: ProductCurve
    wide: ProductCurve
    experts: GroupedCurve
    attention: AttentionCurve
    decode: DecodeCurve
    stream: float
    small: float
    passes: float
    cache_bytes: float
    software: Software
    routing_apart: bool = False


def _narrowed(device: Device, wide: str) -> float:
    """Peak of attention in 32 bits over the one of 16 [1]: it is no faster than products of what it works on."""
    peak = peak_flops(device, wide) if has_precision(device, wide) else wide_peak(device)
    return min(1.0, peak / wide_peak(device))


def kernels_of(device: Device, precisions: Precisions, software: Software, numbers: Coefficients) -> Kernels:
    """The kernels of a plan."""
    kept = sustained(device)
    share, memory = numbers.matmul_efficiency, numbers.memory_efficiency

    def narrow(kind: str) -> float:
        return share * (numbers.low_precision_efficiency if kind in NARROW else 1.0)

    kind = kernel_kind(precisions.weights, precisions.inputs, block_scaled=precisions.block_scaled)
    grouped = kernel_kind(precisions.experts, precisions.inputs, block_scaled=precisions.block_scaled)
    if grouped not in ELEMENT_BYTES and has_precision(device, precisions.experts):
        grouped = precisions.experts  # unpacked only where the device cannot multiply in it
    wide = precisions.inputs if precisions.inputs in ("fp32", "tf32") else "bf16"
    of_wide = product_curve(
        device, wide, "fp32" if wide != "bf16" else "bf16", share=share, memory=memory, sustained=kept
    )
    small = of_wide.launch if device.efficiency.small_launch is None else device.efficiency.small_launch
    attending = numbers.attention_efficiency * kept

    def of_kind(*, fused_casts: bool) -> ProductCurve:
        return product_curve(
            device, kind, precisions.weights, share=narrow(kind), memory=memory, engine=software.engine,
            sustained=sustained(device, kind), fused_casts=fused_casts,
        )  # fmt: skip

    found = Kernels(
        products=of_kind(fused_casts=False),
        fused=of_kind(fused_casts=True),
        wide=of_wide,
        experts=grouped_curve(
            device,
            grouped,
            precisions.experts,
            share=narrow(grouped),
            memory=memory,
            fused=software.fused_experts,
            streamed=software.permute_fusion,
            engine=software.engine,
            sustained=sustained(device, grouped),
        ),
        attention=attention_curve(
            device, cache=precisions.cache, share=attending * _narrowed(device, wide), kernel=software.attention
        ),
        decode=decode_curve(
            device,
            precisions.cache,
            share=attending,
            memory=numbers.attention_efficiency,
            narrow=software.narrow_latent,
        ),
        stream=stream_bandwidth(device),
        small=small,
        passes=numbers.elementwise_passes,
        cache_bytes=STORED_BYTES[precisions.cache],
        software=software,
        routing_apart=grouped in software.experts_apart,
    )
    return _starting_early(found) if software.early else found


def _starting_early(kernels: Kernels) -> Kernels:
    """Kernels that start while the one before them ends. Ignored: those of a layer of experts, among each other."""

    curves = {name: getattr(kernels, name) for name in ("products", "fused", "wide", "experts", "attention")}
    return replace(
        kernels, **{name: replace(curve, launch=EARLY_START * curve.launch) for name, curve in curves.items()},
        decode=replace(kernels.decode, latency=EARLY_START * kernels.decode.latency), small=EARLY_START * kernels.small,
    )  # fmt: skip
