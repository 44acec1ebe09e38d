"""Whether the entry of a device is sound: peaks, memory, links, power, and what it says of itself."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from llmplan.catalog.lint import Problem, date_problems, is_within, source_problems
from llmplan.documents import Document, Path_
from llmplan.machine.hardware import Device, DeviceMemory, HostLink, Power, ScaleUp
from llmplan.records import names
from llmplan.schema import Source, Spec
from llmplan.units import BytesPerSecond

ROUNDING = 0.03  # vendors round peaks to three digits and sums of links to two
SPARSE_OVER_DENSE = 2.0  # structured 2:4 sparsity; entries of other schemes give no sparse_peak
INT8_OVER_16BIT = (1.0, 2.0, 4.0)  # as many, twice or four times the 16-bit rate, on every device so far
LINKS = {"torus-2d": 4, "torus-3d": 6}  # neighbours of a node in a torus
PAIR = 2
# Ranges that every real device lies well inside, so that a wrong prefix (x 1000) or unit (x 8) falls out.
READ_MEMORY = (3e-3, 4.0)  # seconds to read all memory once: 6 ms (SRAM over PCIe) .. 1.7 s (a CPU socket)
CAPACITY = (64e6, 2e12)  # bytes: on-chip memory .. a CPU socket
TDP = (5.0, 3000.0)  # watts: an inference card .. a superchip
FLOPS_PER_WATT = (1e9, 5e12)  # dense 16-bit: a CPU .. twice the best device of 2025
RESERVED = 0.3  # share of memory that driver and system hold back: 25 % on unified memory


class LinkRate(Spec):
    """One direction of a link: of a whole device, or of one of its several links."""

    device: BytesPerSecond | None = None
    link: BytesPerSecond | None = None

    def __post_init__(self) -> None:
        if (self.device is None) == (self.link is None):
            raise ValueError("give either `device` or `link`")


class LinkTable(Spec):
    """`hardware_catalog/links.yaml`."""

    links: dict[str, LinkRate]
    sources: tuple[Source, ...]
    date: str


def device_problems(device: Device, document: Document, links: dict[str, LinkRate]) -> Iterator[Problem]:
    """Everything that is wrong with one device by itself."""
    yield from date_problems(device.date)
    yield from source_problems(device.sources)
    if device.cluster is None:
        yield ("name",), "no cluster is named: say which node and fabric are usual for it (cluster: dgx-h100)"
    yield from _peak_problems(device)
    yield from _memory_problems(device, document)
    yield from _link_problems(device, links)
    yield from _power_problems(device)
    yield from _honesty_problems(device)


def _peak_problems(device: Device) -> Iterator[Problem]:
    peak = device.peak
    for precision, sparse in device.sparse_peak.items():
        dense = peak.get(precision)
        if dense is None:
            yield ("sparse_peak", precision), f"sparse_peak.{precision} has no dense rate beside it in peak"
        elif not _near(sparse, SPARSE_OVER_DENSE * dense):
            text = f"sparse_peak.{precision} is {sparse / dense:.2f} x peak.{precision}, expected 2: is peak sparse?"
            yield ("sparse_peak", precision), text
    base = peak.get("bf16") or peak.get("fp16")
    fp8, int8 = peak.get("fp8"), peak.get("int8")
    if base and fp8 and not _near(fp8, device.fp8_ratio * base):
        text = f"peak.fp8 is {fp8 / base:.2f} x 16-bit, expected {device.fp8_ratio:g}: dense and sparse mixed, or set"
        yield ("peak", "fp8"), f"{text} fp8_ratio"
    usual = base and int8 and any(_near(int8, ratio * base) for ratio in INT8_OVER_16BIT)
    if base and int8 and not usual and not _explained(device, "int8"):
        yield ("peak", "int8"), f"peak.int8 is {int8 / base:.2f} x 16-bit, expected 1, 2 or 4; a note must say why"
    if "bf16" in peak and "fp16" in peak and not _near(peak["bf16"], peak["fp16"]) and not _explained(device, "fp16"):
        yield ("peak", "fp16"), "peak.fp16 differs from peak.bf16; a note must say why"
    for precision in device.unsupported:
        if precision in peak:
            yield ("unsupported",), f"{precision} is unsupported and has a peak"
    if device.power.tdp and base and not is_within(base / device.power.tdp, FLOPS_PER_WATT):
        text = f"16-bit peak of {base / device.power.tdp:.2g} FLOP/s a watt is not plausible: check unit, sparsity, tdp"
        yield ("peak",), text


def _memory_problems(device: Device, document: Document) -> Iterator[Problem]:
    memory = device.memory
    written = str(_value(document, ("memory", "capacity")))
    if memory.type.startswith(("HBM", "GDDR", "LPDDR", "DDR")) and re.search(r"\d\s*[kMGT]B\s*\Z", written):
        yield (
            ("memory", "capacity"),
            f"memory.capacity {written}: DRAM is binary, write GiB (or MiB as the driver says)",
        )
    if not is_within(memory.capacity, CAPACITY):
        yield ("memory", "capacity"), f"memory.capacity of {memory.capacity:.3g} bytes is not plausible"
    seconds = memory.capacity / memory.bandwidth
    if not is_within(seconds, READ_MEMORY):
        text = f"memory.bandwidth would take {seconds:.2g} s to read all memory: check the unit"
        yield ("memory", "bandwidth"), text
    if memory.reserved > RESERVED * memory.capacity:
        yield ("memory", "reserved"), "memory.reserved is more than 30 % of the capacity"


def _link_problems(device: Device, links: dict[str, LinkRate]) -> Iterator[Problem]:
    up = device.scale_up
    if up.topology in LINKS and up.links != LINKS[up.topology]:
        yield ("scale_up",), f"scale_up.links of a {up.topology} is {LINKS[up.topology]}"
    if up.topology == "mesh" and up.links is None:
        yield ("scale_up",), "scale_up.links is needed in a mesh"
    if up.topology == "pairs" and up.domain != PAIR:
        yield ("scale_up", "domain"), "scale_up.domain of pairs is 2"
    if (up.bandwidth > 0) != (up.domain > 1):
        yield ("scale_up",), "scale_up.bandwidth and a domain of more than 1 go together"
    if up.bandwidth > 0:
        name = up.link.removesuffix(", no link between cards")
        yield from _rate_problems(("scale_up", "bandwidth"), name, up.bandwidth, up.links or 1, links, required=True)
    if device.host_link:
        link = device.host_link
        yield from _rate_problems(("host_link", "bandwidth"), link.link, link.bandwidth, 1, links, required=False)


def _rate_problems(
    path: Path_, name: str, rate: float, count: int, links: dict[str, LinkRate], *, required: bool
) -> Iterator[Problem]:
    known = links.get(name)
    if known is None:
        if required:
            yield path, f"link {name!r} is not in links.yaml, so its direction cannot be checked"
        return
    expected = known.device if known.device is not None else (known.link or 0.0) * count
    if _near(rate, 2 * expected):
        yield path, f"{rate:.4g} bytes/s is both directions of {name}; write one, {expected:.4g}"
    elif not _near(rate, expected):
        yield path, f"{rate:.4g} bytes/s is not the rate of {name}, {expected:.4g} in one direction"


def _power_problems(device: Device) -> Iterator[Problem]:
    tdp, load = device.power.tdp, device.power.load
    if tdp is not None and not is_within(tdp, TDP):
        yield ("power", "tdp"), f"power.tdp of {tdp:g} W is not plausible"
    if tdp is not None and load is not None and load > tdp:
        yield ("power", "load"), "power.load is more than power.tdp"


def _honesty_problems(device: Device) -> Iterator[Problem]:
    """What an entry says of itself: what cannot be planned, what could not be verified, what was measured."""
    if device.plannable == bool(device.why_not_plannable):
        yield ("why_not_plannable",), "plannable: false and why_not_plannable go together"
    if device.plannable and not {"bf16", "fp16"} & set(device.peak):
        yield ("peak",), "a plannable device needs a bf16 or fp16 peak"
    for index, name in enumerate(device.unverified):
        if not _is_field(name.split(".")):
            yield ("unverified", index), f"unverified names {name!r}, which is no field"
    efficiency = device.efficiency
    measured = efficiency.given - {"like", "source"}
    if measured and not efficiency.source:
        yield ("efficiency",), "measured efficiencies need a source"


def _near(value: float, expected: float) -> bool:
    return math.isclose(value, expected, rel_tol=ROUNDING)


def _explained(device: Device, word: str) -> bool:
    return any(word in note for note in device.notes)


def _value(document: Document, path: Path_) -> object:
    value: Any = document.data
    for step in path:
        value = value[step] if isinstance(value, dict) else None
    return value


def _is_field(steps: list[str]) -> bool:
    """Whether `memory` or `memory.type` names something that a device has."""
    parts: dict[str, type[Spec]] = {"memory": DeviceMemory, "scale_up": ScaleUp, "host_link": HostLink, "power": Power}
    first, *rest = steps
    if first not in names(Device) or not rest:
        return first in names(Device)
    return len(rest) == 1 and (first not in parts or rest[0] in names(parts[first]))
