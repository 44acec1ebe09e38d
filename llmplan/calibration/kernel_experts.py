"""Layers of routed experts as the planner predicts them, against measured ones."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from llmplan.calibration import microbenchmarks
from llmplan.calibration.cases import Array, Case, Key, Range, class_weights
from llmplan.calibration.microbenchmarks import ExpertLayer
from llmplan.calibration.routing import busiest
from llmplan.catalog.catalog import open_catalog
from llmplan.formulas.experts import busiest_rank, touched_experts
from llmplan.formulas.numeric import minimum
from llmplan.machine.hardware import Device
from llmplan.machine.kernels import grouped_curve
from llmplan.records import dataclass
from llmplan.work.elementwise import routed_seconds
from llmplan.work.products import grouped_product

CLASSES = {"16 tokens and less": (0, 16), "17 to 256 tokens": (17, 256), "1024 and more": (1024, 1e9)}
"""Tokens of all ranks together: a decoding step, a batched one, a prefill."""
KINDS = {"int4_wo": "w4a16"}
WEIGHTS = {"w4a16": "int4", "w4a16_mxfp4": "mxfp4"}
"""Precision of stored weights, where it is not the kind."""
SPREADS = {"balanced": 0.0, "power_law_1.01": 0.8, "power_law_1.2": 1.1}
"""Coefficient of variation of the loads of experts that comes nearest a routing, for the planner's closed formulas."""
_UNPACKED = 15.0
_VLLM_ROUTED = 1.5e12
"""Rate of non-linearity and sum by vLLM's kernels, the same on Hopper and Blackwell [bytes/s]."""
_OTHER_ROUTED = (("a100-sxm-80gb", "bf16"), ("b200-sxm-180gb", "nvfp4"))
"""Of vLLM 0.14 on A100, of TensorRT-LLM's nvfp4 kernel: fitted."""
_RANGES = {
    "peak_fraction": Range(0.5, 0.02, 1.0), "tail": Range(0.7, 0.0, 2.0), "memory_fraction": Range(0.8, 0.05, 1.0),
    "launch": Range(20.0, 1.0, 100.0),
}  # fmt: skip
_UNPACKING = {
    "unit_rate": Range(1.0, 0.1, 10.0), "tail": _RANGES["tail"], "unit_bandwidth": Range(7.0, 1.0, 50.0),
    "launch": _RANGES["launch"],
}  # fmt: skip
"""Of kernels that unpack weights on the way, whose compute units hold them: they take as long on H100 as on H200,
whatever the memory, and on B200 a unit does a fifth more, where matrix units have twice the rate."""


@dataclass(frozen=True)
class Layers:
    """Measured layers as arrays [1]: tokens of all ranks, widths, experts, how they are cut, routing."""

    tokens: Array
    hidden: Array
    inner: Array
    experts: Array
    active: Array
    ep: Array
    spread: Array
    rows: Array
    """Of the busiest rank, as the collector routed."""
    touched: Array


def cases(folder: Path = microbenchmarks.FOLDER, *, closed: bool = False) -> list[Case]:
    """One case for each device and kind; closed: uneven routing by the planner's formulas, not as it was drawn."""
    groups: dict[tuple[str, str], list[ExpertLayer]] = defaultdict(list)
    for layer in microbenchmarks.expert_layers(folder):
        groups[layer.hardware, KINDS.get(layer.precision, layer.precision)].append(layer)
    found = []
    for (hardware, kind), measured in sorted(groups.items()):
        layers = [layer for layer in measured if not closed or layer.routing != "balanced"]
        device, seconds = open_catalog().device(hardware), np.array([layer.seconds for layer in layers])
        at = _arrays(layers, by_id=hardware.startswith("a100"), whole=kind == "w4a16_mxfp4")
        rows, touched = _routed(at) if closed else (at.rows, at.touched)
        classes = {name: (at.tokens >= low) & (at.tokens <= high) for name, (low, high) in CLASSES.items()}
        free, fixed = _numbers(hardware, kind)
        dropped = ("moe_ep of w4a16_mxfp4: its kernel was not split",) if kind == "w4a16_mxfp4" else ()
        found.append(Case(
            "moe", kind, device, seconds, _predict(kind, at, rows, touched), classes, free, fixed,
            class_weights(classes, len(seconds)), dropped,
        ))  # fmt: skip
    return found


def _numbers(hardware: str, kind: str) -> tuple[dict[Key, Range], dict[Key, float | bool]]:
    own = kind in open_catalog().device(hardware).efficiency.engine_grouped_matmul
    section = "engine_grouped_matmul" if own else "grouped_matmul"
    free = {(section, kind, name): one for name, one in (_UNPACKING if kind in WEIGHTS else _RANGES).items()}
    fixed: dict[Key, float | bool] = {}
    routed = (section, kind, "routed_bandwidth")
    if (hardware, kind) in _OTHER_ROUTED:
        free[routed] = Range(1.5, 0.3, 5.0)
    else:
        fixed[routed] = _VLLM_ROUTED
    if kind in WEIGHTS:
        fixed[section, kind, "padding"] = _UNPACKED
    if kind not in ("nvfp4", "w4a16_mxfp4"):  # kernels that were not split, or hold the rows of their own experts
        fixed[section, kind, "all_rows"] = True
    return free, fixed


def _arrays(layers: list[ExpertLayer], *, by_id: bool, whole: bool) -> Layers:
    ranks = [1 if whole else int(layer.ep) for layer in layers]
    routed = np.array([
        busiest(int(layer.tokens), int(layer.experts), int(layer.experts_per_token), ep, layer.routing, by_id=by_id)
        for layer, ep in zip(layers, ranks, strict=True)
    ])  # fmt: skip
    tokens, hidden, inner, experts, active, spread = np.array([
        (layer.tokens, layer.hidden, layer.expert_ffn_hidden / layer.tp, layer.experts, layer.experts_per_token,
         SPREADS[layer.routing]) for layer in layers
    ]).T  # fmt: skip
    return Layers(tokens, hidden, inner, experts, active, np.array(ranks, float), spread, *routed.T)


def _routed(at: Layers) -> tuple[Any, Any]:
    """Rows of the busiest rank and its experts that have any, as `work.products.rank_rows` has them."""
    rows = at.tokens * at.active / at.ep * busiest_rank(at.ep, at.experts, at.active, at.tokens, at.spread)
    return rows, minimum(touched_experts(at.experts, at.active, at.tokens, at.spread) / at.ep, rows)


def _predict(kind: str, at: Layers, rows: Array, touched: Array) -> Any:
    def seconds(device: Device) -> Array:
        curve = grouped_curve(device, kind, WEIGHTS.get(kind, kind), engine=True)
        up = grouped_product(2.0 * at.inner, at.hidden, rows, touched, curve, "forward")
        down = grouped_product(at.hidden, at.inner, rows, touched, curve, "forward")
        held = at.tokens * at.active if curve.all_rows else rows
        return np.asarray(up + down + routed_seconds(held, at.tokens, at.hidden, at.inner, curve))

    return seconds
