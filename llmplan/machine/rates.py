"""What a device, its links and a stack really reach: the rates that formulas are given."""

from __future__ import annotations

from dataclasses import dataclass

from llmplan.errors import Fault, InputError
from llmplan.formulas.numeric import real
from llmplan.machine.hardware import Cluster, Device, MatmulEfficiency

TILE_AREA = 128.0 * 128.0  # output elements that one compute unit works on at a time
ATTENTION_RAMP = 2e9
"""FLOPs lost while an attention kernel fills the chip: half of a wave of 128 x 128 blocks over some hundred units at
128 wide heads."""
ELEMENT_BYTES = {
    "fp32": 4.0, "tf32": 4.0, "bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "mxfp8": 1.03125, "int8": 1.0, "nvfp4": 0.5625,
    "mxfp4": 0.53125, "int4": 0.5, "nf4": 0.51586914,
}  # fmt: skip
"""Bytes of one element with its share of block scales: nvfp4 has one 8-bit scale for 16 elements, mxfp8 and
mxfp4 one for 32 (OCP MX v1.0), nf4 with double quantization 0.127 bits a parameter (Dettmers et al. 2023)."""

# Where a product in one precision runs on a device without units for it: the next that it has.
_WIDER = {"tf32": "fp32", "mxfp8": "fp8", "nvfp4": "mxfp4", "mxfp4": "nvfp4", "fp16": "bf16", "bf16": "fp16"}
# Whose measured behaviour is nearest where a precision was not measured on a device.
_MEASURED_AS = {"fp16": "bf16", "tf32": "bf16", "fp32": "bf16", "mxfp8": "fp8", "int8": "fp8", "mxfp4": "nvfp4"}


@dataclass(frozen=True, slots=True)
class MatmulRate:
    """Arguments of `formulas.matmul.matmul_seconds` for one device and precision, stack included."""

    peak: float  # dense datasheet [FLOP/s]
    rate: float  # [FLOP/s]
    ramp_k: float  # [1]
    tail: float  # [1]
    bandwidth: float  # [bytes/s]
    launch: float  # [s]
    element: float  # [bytes]

    def curve(self) -> dict[str, float]:
        """What `matmul_seconds` takes beside shape and traffic."""
        names = ("rate", "ramp_k", "tail", "bandwidth", "launch")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Links:
    """Rates of one device's links as collectives reach them, one direction."""

    domain: float  # devices that share the scale-up link [1]
    scale_up: float  # [bytes/s]
    scale_up_latency: float  # [s]
    scale_out: float  # [bytes/s]
    scale_out_latency: float  # [s]
    devices_per_node: float  # [1]


def peak_flops(device: Device, precision: str) -> float:
    """Dense peak for matrix products in `precision` [FLOP/s]; InputError where the device lacks it."""
    for name in (precision, _WIDER.get(precision, precision)):
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


def matmul_rate(device: Device, precision: str, share: float = 1.0) -> MatmulRate:
    """Rates of matrix products in `precision`; share: what the stack reaches of the measured kernels [1]."""
    peak = peak_flops(device, precision)
    measured = device.efficiency.matmul
    name = precision if precision in measured else _MEASURED_AS.get(precision, "bf16")
    curve: MatmulEfficiency | None = measured.get(name) or measured.get("bf16")  # type: ignore[call-overload]
    assert curve is not None  # `catalog.device` fills it from the device's kind
    units = device.compute_units or 1
    return MatmulRate(
        peak=peak,
        rate=peak * curve.peak_fraction * share,
        ramp_k=curve.ramp_k,
        tail=curve.tail * units * TILE_AREA,
        bandwidth=device.memory.bandwidth * curve.memory_fraction,
        launch=curve.launch,
        element=ELEMENT_BYTES[precision],
    )


def attention_rate(device: Device, share: float = 1.0, kernel: str = "best") -> float:
    """FLOP/s of a long flash attention, forward [FLOP/s]; kernel: `flash-2` or `best`."""
    older = device.efficiency.flash_2_fraction if kernel == "flash-2" else None
    fraction = older or device.efficiency.attention_fraction
    peak = device.peak.get("bf16") or device.peak.get("fp16") or device.peak.get("fp32")
    assert fraction is not None  # `catalog.device` fills it
    if peak is None:
        raise InputError(Fault(f"{device.id} has no 16- or 32-bit peak to run attention at"))
    return peak * fraction * share


def stream_bandwidth(device: Device) -> float:
    """Bytes/s of streaming kernels [bytes/s]."""
    fraction = device.efficiency.memory_fraction
    assert fraction is not None  # `catalog.device` fills it
    return device.memory.bandwidth * fraction


def links(device: Device, cluster: Cluster, scale_out_share: float = 1.0) -> Links:
    """Rates of the device's links in that cluster; scale_out_share: what the stack reaches between nodes [1]."""
    measured = device.efficiency
    fabric = cluster.fabric
    domain = device.scale_up.domain
    if device.scale_up.topology == "none" or device.scale_up.bandwidth == 0:
        host = device.host_link.bandwidth if device.host_link else fabric.bandwidth
        domain, scale_up = cluster.devices_per_node, host / 2  # a transfer crosses the host's memory twice
    else:
        scale_up = device.scale_up.bandwidth
    return Links(
        domain=real(domain),
        scale_up=scale_up * (measured.link_fraction or fabric.link_fraction),
        scale_up_latency=measured.link_latency or fabric.latency,
        scale_out=fabric.bandwidth * fabric.link_fraction * scale_out_share,
        scale_out_latency=fabric.latency,
        devices_per_node=real(cluster.devices_per_node),
    )
