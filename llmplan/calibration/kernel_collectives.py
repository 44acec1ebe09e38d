"""Collectives of one scale-up domain as the planner predicts them, against measured ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from llmplan.calibration import microbenchmarks
from llmplan.calibration.cases import Array, Case, Key, Range
from llmplan.catalog.catalog import open_catalog
from llmplan.formulas.numeric import minimum
from llmplan.machine.hardware import Device
from llmplan.machine.links import ONE_DOMAIN, Links, all_reduce, exchange, gather, links_of, with_algorithms

CLASSES = {"to 64 KiB": (0, 2**16), "64 KiB to 8 MiB": (2**16 + 1, 2**23), "above 8 MiB": (2**23 + 1, 1e12)}
OWN = 0.4
"""Share of a device's own part that was copied beside: these collectives went from one buffer to another, the planner's
stay in place; a copy runs at twice the rate of the links and more [1]."""
_EIGHT_BIT = "nccl:8bit all_reduce"
RINGS = ("nccl all_gather", "nccl:8bit all_gather", "nccl reduce_scatter", "nccl:8bit reduce_scatter", _EIGHT_BIT)
EXCHANGES = ("nccl alltoall", "nccl:8bit alltoall")
_VLLM_MOST = 2**23
"""Bytes up to which vLLM's own kernels reduce; above, NCCL."""
_SLOW_TWO_SHOT = ("gb200",)
"""Where vLLM's larger reductions ran at a twentieth of the links' rate, without NCCL to fall back on: not fitted."""
_RANGES = {
    "base": Range(6.0, 0.0, 100.0), "step": Range(1.0, 0.0, 20.0), "link_fraction": Range(0.7, 0.05, 1.0),
    "chunk": Range(3.0, 0.0, 50.0), "protocol": Range(4.0, 0.0, 50.0),
}  # fmt: skip


def cases(folder: Path = microbenchmarks.FOLDER) -> list[Case]:
    """For each device: rings, exchanges, NCCL's all-reduce, those of engines."""
    measured = microbenchmarks.collectives(folder)
    found = []
    for hardware in sorted({hardware for hardware, _ in measured}):
        device = open_catalog().device(hardware)
        rows = {name: data for (at, name), data in measured.items() if at == hardware}
        switched = "switch" in device.efficiency.collectives
        rings = RINGS if switched else (*RINGS, "nccl all_reduce")
        found.append(_case(device, "rings", [(rows[name], _ring(name)) for name in rings], ("ring",)))
        found.append(_case(device, "exchange", [(rows[name], _exchange) for name in EXCHANGES], ("exchange",)))
        if switched:
            found.append(_case(device, "all-reduce, NCCL", [(rows["nccl all_reduce"], _reduce("switch"))], ("switch",)))
        beside = ("switch",) if switched else ()
        found.append(_case(
            device, "all-reduce, vLLM", [(rows["vllm all_reduce"], _reduce(*beside, "one_shot", "two_shot"))],
            ("one_shot",) if hardware in _SLOW_TWO_SHOT else ("one_shot", "two_shot"), most=_VLLM_MOST,
        ))  # fmt: skip
        found.append(_case(
            device, "all-reduce, TensorRT-LLM", [(rows["trtllm all_reduce"], _reduce(*beside, "lamport"))], ("lamport",)
        ))  # fmt: skip
    return found


Seconds = Callable[[Links, Array, Array], Any]


def _case(
    device: Device, name: str, parts: list[tuple[Any, Seconds]], kinds: tuple[str, ...], most: float = 1e12
) -> Case:
    """One case of several operations; most: bytes up to which rows are read."""
    dropped = []
    read = []
    for (group, size, seconds), operation in parts:
        kept = size <= most
        if not kept.all():
            dropped.append(f"{np.sum(~kept)} rows above {most / 2**20:.0f} MiB, which NCCL reduces")
        read.append((group[kept], size[kept], seconds[kept], operation))
    cluster = open_catalog().cluster(device.cluster or "")

    def predict(at: Device) -> Array:
        links = links_of(at, cluster)
        return np.concatenate([operation(links, size, group) for group, size, _, operation in read])

    sizes = np.concatenate([size for _, size, _, _ in read])
    classes = {text: (sizes >= low) & (sizes <= high) for text, (low, high) in CLASSES.items()}
    return Case(
        "collectives", name, device, np.concatenate([seconds for _, _, seconds, _ in read]), predict, classes,
        _free(kinds), dropped=tuple(dropped),
    )  # fmt: skip


def _free(kinds: tuple[str, ...]) -> dict[Key, Range]:
    names = {
        "ring": ("base", "step", "link_fraction", "chunk"), "exchange": ("base", "link_fraction", "chunk", "protocol"),
        "switch": ("base", "link_fraction", "chunk"),
    }  # fmt: skip
    free = {kind: names.get(kind, ("base", "link_fraction")) for kind in kinds}
    return {("collectives", kind, name): _RANGES[name] for kind in kinds for name in free[kind]}


def _copied(group: Array, passes: float) -> Array:
    """What is moved with the copy of a device's own part, over what is moved without [1]."""
    return 1.0 + OWN / (passes * (group - 1.0))


def _ring(name: str) -> Seconds:
    if name.endswith("all_reduce"):
        return _reduce()
    return lambda links, size, group: gather(links, size * _copied(group, 1.0), group, 1.0)


def _exchange(links: Links, size: Array, group: Array) -> Any:
    links = with_algorithms(links, ("ring",), "all_to_all")
    return exchange(links, size * _copied(group, 1.0), 1.0, group)


def _reduce(*names: str) -> Seconds:
    """The fastest of a ring and these algorithms."""

    def seconds(links: Links, size: Array, group: Array) -> Any:
        best = all_reduce(with_algorithms(links, ("ring",), "domain"), size * _copied(group, 2.0), group)
        for name in names:
            if name in links.algorithms:
                best = minimum(best, ONE_DOMAIN[name](links, links.algorithms[name], size, group))
        return best

    return seconds
