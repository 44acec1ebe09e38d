"""What kernels reach on a device: curves by kind, as the formulas take them."""

from __future__ import annotations

from collections.abc import Mapping
from math import log2
from typing import Any, TypeVar

from llmplan.errors import Fault, InputError
from llmplan.formulas.numeric import minimum, real
from llmplan.formulas.power import HALF_ENERGY, sustained_clock
from llmplan.machine.hardware import Device
from llmplan.machine.precision import ELEMENT_BYTES, MEASURED_AS, NARROW, STORED_BYTES, WIDE_BYTES, WIDER
from llmplan.records import dataclass

TILE_AREA = 128.0 * 128.0
"""Output elements that one compute unit works on at a time [1]."""
BLOCK_QUERIES = 128.0
"""Queries that one compute unit works on at a time in flash attention [1]."""
LATENT_PEAK_FRACTION = 0.67
"""Share of the 16-bit peak of decoding attention that computes more than it reads (FlashMLA on H800, 660 TFLOP/s
published as "up to", hardware_catalog/microbenchmarks/deepseek.csv) [1]."""

EntryT = TypeVar("EntryT")


@dataclass(frozen=True, slots=True)
class ProductCurve:
    """Arguments of `formulas.matmul` for one device and kind of product.

    rate [FLOP/s]; ramp_k, tail [1]; bandwidth [bytes/s]; launch [s]; cast_bandwidth: at which inputs are cast, 0 = they
    are not [bytes/s]; input_bytes, weight_bytes: of one element [bytes].
    """

    rate: float
    ramp_k: float
    tail: float
    bandwidth: float
    launch: float
    cast_bandwidth: float
    input_bytes: float
    weight_bytes: float


@dataclass(frozen=True, slots=True)
class GroupedCurve:
    """The same for products grouped by expert.

    launch: of a whole layer of experts [s]; padding: rows of padding for each of few [1]; routed_bandwidth: of
    permutation, non-linearity, weighted sum and casts [bytes/s]; cast_bandwidth: at which rows are cast product by
    product, 0 = they are not, or with what is routed [bytes/s]; all_rows: whether rows of experts elsewhere are routed
    too.
    """

    rate: float
    tail: float
    bandwidth: float
    launch: float
    padding: float
    routed_bandwidth: float
    cast_bandwidth: float
    input_bytes: float
    weight_bytes: float
    all_rows: bool = False


@dataclass(frozen=True, slots=True)
class AttentionCurve:
    """Arguments of `attention_seconds`: rate [FLOP/s], ramp, tail [1], bandwidth [bytes/s], launch [s]."""

    rate: float
    ramp: float
    tail: float
    bandwidth: float
    launch: float


@dataclass(frozen=True, slots=True)
class DecodeCurve:
    """Arguments of `formulas.decode`: bandwidth, on_chip [bytes/s] (0 = not known), rate, latent_rate: of latent
    attention [FLOP/s], latency [s]."""

    bandwidth: float
    on_chip: float
    rate: float
    latent_rate: float
    latency: float


def peak_flops(device: Device, precision: str) -> float:
    """Dense peak for matrix products in `precision` [FLOP/s]; InputError where the device lacks it."""
    for name in (precision, WIDER.get(precision, precision)):
        if name in device.peak and name not in device.unsupported:
            return device.peak[name]
    have = ", ".join(device.peak)
    raise InputError(Fault(f"{device.id} has no {precision} matrix products; it has {have}"))


def has_precision(device: Device, precision: str) -> bool:
    """Whether the device multiplies matrices in that precision itself."""
    if precision in device.unsupported:
        return False
    try:
        return peak_flops(device, precision) > 0
    except InputError:
        return False


def product_curve(
    device: Device, kind: str, weights: str, *, share: float = 1.0, memory: float = 1.0, engine: bool = False,
    sustained: float = 1.0, fused_casts: bool = False,
) -> ProductCurve:  # fmt: skip
    """Curve of products with inputs in `kind` and weights stored in `weights`.

    share: of the measured rate, memory: of the measured bandwidth that running software reaches [1];
    engine: whether the kernels are a serving engine's; sustained: as in `throttled` [1]; fused_casts: whether what
    makes the inputs casts them, blocks of 128 apart: then a product starts as one in 16 bits does.
    """
    inputs = kind if kind in ELEMENT_BYTES else "bf16"  # weights that are unpacked meet inputs of 16 bits
    measured = device.efficiency.matmul | (device.efficiency.engine_matmul if engine else {})
    found = _nearest(measured, inputs)
    cast = found.cast_fraction if inputs in NARROW and found.cast_fraction else 0.0
    launch = found.launch
    if fused_casts and inputs in NARROW and inputs != "fp8_block":
        cast, launch = 0.0, min(launch, _nearest(device.efficiency.matmul, "bf16").launch)
    clock = throttled(found.peak_fraction, _nearest(device.efficiency.matmul, inputs).peak_fraction, sustained)
    return ProductCurve(
        rate=_reached(peak_flops(device, inputs), found.peak_fraction * clock, share),
        ramp_k=found.ramp_k,
        tail=found.tail * (device.compute_units or 1) * TILE_AREA * clock,
        bandwidth=_reached(device.memory.bandwidth, found.memory_fraction, memory),
        launch=launch,
        cast_bandwidth=device.memory.bandwidth * cast,
        input_bytes=ELEMENT_BYTES[inputs],
        weight_bytes=STORED_BYTES[weights],
    )


def sustained(device: Device, kind: str = "bf16") -> float:
    """Share of its rate alone that the best product with inputs in `kind` keeps in continuous work, by its power [1].

    1 where no limit is known, or no energy was fitted. Products in more than 16 bits are taken to draw what those do.
    """
    limit, energy = device.power.tdp, device.efficiency.product_energy
    if limit is None or energy is None:
        return 1.0
    narrow = kind in NARROW and has_precision(device, kind)
    halvings = round(log2(WIDE_BYTES / ELEMENT_BYTES[kind])) if narrow else 0
    best = _nearest(device.efficiency.matmul, kind if narrow else "bf16").peak_fraction
    drawn = energy * HALF_ENERGY**halvings * best * (peak_flops(device, kind) if narrow else wide_peak(device))
    return real(sustained_clock(limit, drawn))


def throttled(fraction: float, best: float, sustained: float) -> float:
    """Share of its rate that a kernel keeps where power limits the clock: min(1, sustained best / fraction) [1].

    fraction: of the peak that the kernel reaches alone, best: that the best kernel does [1]; sustained: share of `best`
    that the device keeps [1]. A kernel that is slower than what power leaves to the best one draws less and is
    not throttled; nor is a product that leaves units idle, so `tail` shrinks with the rate.

    >>> [round(throttled(fraction, 0.76, 0.75), 2) for fraction in (0.76, 0.67, 0.36)]
    [0.75, 0.85, 1.0]
    """
    return min(1.0, sustained * best / fraction)


def grouped_curve(
    device: Device, kind: str, weights: str, *, share: float = 1.0, memory: float = 1.0, fused: bool = True,
    engine: bool = False, sustained: float = 1.0, streamed: bool = False,
) -> GroupedCurve:  # fmt: skip
    """Curve of products grouped by expert; fused: by the fused kernels that were measured, else at the rate of plain
    products, as CUTLASS and DeepGEMM reach it (hardware_catalog/microbenchmarks/deepseek.csv); streamed: whether what
    is routed passes at the rate of memory; engine, sustained: as in `product_curve`."""
    inputs = kind if kind in ELEMENT_BYTES else "bf16"
    efficiency, peak = device.efficiency, peak_flops(device, inputs)
    plain = product_curve(device, kind, weights, share=share, memory=memory, sustained=sustained)
    stream = stream_bandwidth(device)
    if not efficiency.grouped_matmul:
        return GroupedCurve(
            plain.rate, plain.tail, plain.bandwidth, plain.launch, 3.0, stream, plain.cast_bandwidth, plain.input_bytes,
            plain.weight_bytes,
        )  # fmt: skip
    found = _nearest(efficiency.grouped_matmul | (efficiency.engine_grouped_matmul if engine else {}), kind)
    best, units = _nearest(efficiency.matmul, inputs).peak_fraction, device.compute_units
    fraction = _of_units(found.peak_fraction or best, found.unit_rate, units, peak)
    clock = throttled(fraction, best, sustained)
    read = _of_units(found.memory_fraction, found.unit_bandwidth, units, device.memory.bandwidth)
    return GroupedCurve(
        rate=_reached(peak, fraction * clock, share) if fused else plain.rate,
        tail=found.tail * (units or 1) * TILE_AREA * clock,
        bandwidth=_reached(device.memory.bandwidth, read, memory),
        launch=found.launch,
        padding=found.padding,
        routed_bandwidth=stream if streamed else min(found.routed_bandwidth or stream, stream),
        cast_bandwidth=0.0 if fused else plain.cast_bandwidth,
        input_bytes=plain.input_bytes,
        weight_bytes=plain.weight_bytes,
        all_rows=fused and found.all_rows,
    )


def _of_units(fraction: float, each: float | None, units: int | None, datasheet: float) -> float:
    """Share of a datasheet figure that is reached where compute units do no more than `each`, if that is known [1].

    >>> _of_units(0.8, 1e12, 100, 1000e12), _of_units(0.8, None, 100, 1000e12)
    (0.1, 0.8)
    """
    return fraction if each is None or units is None else min(fraction, each * units / datasheet)


def attention_curve(device: Device, *, cache: str = "bf16", share: float = 1.0, kernel: str = "best") -> AttentionCurve:
    """Curve of flash attention, forward; cache: precision that keys and values are kept in; kernel: `flash-2` or
    `best`."""
    if not device.efficiency.attention:
        raise InputError(Fault(f"{device.id} has no measured attention, nor its kind"))
    found = _nearest(device.efficiency.attention, cache)
    older = device.efficiency.flash_2_fraction if kernel == "flash-2" else None
    return AttentionCurve(
        rate=_reached(wide_peak(device), older or found.peak_fraction, share),
        ramp=found.ramp,
        tail=found.tail * (device.compute_units or 1) * BLOCK_QUERIES,
        bandwidth=device.memory.bandwidth * found.memory_fraction,
        launch=found.launch,
    )


def decode_curve(
    device: Device, cache: str, *, share: float = 1.0, memory: float = 1.0, narrow: bool = False
) -> DecodeCurve:
    """Curve of attention of one new token a sequence to a cache in `cache`; narrow: whether latent attention multiplies
    in the cache's 8 bits, where the device can. Ignored: casting queries to them, a pass over one token's."""
    found = _nearest(device.efficiency.decode_attention, cache)
    narrow = narrow and cache in NARROW and has_precision(device, cache)
    latent = peak_flops(device, cache) if narrow else wide_peak(device)
    return DecodeCurve(
        bandwidth=_reached(device.memory.bandwidth, found.memory_fraction, memory),
        on_chip=device.efficiency.repeated_read_bandwidth or 0.0,
        rate=_reached(wide_peak(device), LATENT_PEAK_FRACTION, share),
        latent_rate=_reached(latent, LATENT_PEAK_FRACTION, share),
        latency=found.latency,
    )


def wide_peak(device: Device) -> float:
    """Dense peak of the precision that attention works in: 16 bits, else 32 [FLOP/s]."""
    for name in ("bf16", "fp16", "fp32"):
        if name in device.peak:
            return device.peak[name]
    raise InputError(Fault(f"{device.id} has no 16- or 32-bit peak to run attention at"))


def stream_bandwidth(device: Device) -> float:
    """Bytes/s of streaming kernels [bytes/s]."""
    fraction = device.efficiency.memory_fraction
    return device.memory.bandwidth * (1.0 if fraction is None else fraction)


def _reached(datasheet: float, fraction: float, share: float) -> Any:
    """What software reaches of a peak or a bandwidth, from what was measured of it: never more than all.

    A number, or an array where `share` is one (a fit).
    """
    return datasheet * minimum(fraction * share, 1.0)


def _nearest(measured: Mapping[str, EntryT], kind: str) -> EntryT:
    """The entry of a kind, of the kind whose behaviour is nearest, else of 16 bits."""
    for name in (kind, MEASURED_AS.get(kind, kind), "bf16"):
        if name in measured:
            return measured[name]
    return next(iter(measured.values()))
