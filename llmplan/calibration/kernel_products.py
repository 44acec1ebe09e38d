"""Plain matrix products as the planner predicts them, against measured ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from llmplan.calibration import microbenchmarks
from llmplan.calibration.cases import Array, Case, Key, Range, class_weights
from llmplan.catalog.catalog import open_catalog
from llmplan.formulas.matmul import matmul_flops
from llmplan.machine.hardware import Device
from llmplan.machine.kernels import peak_flops, product_curve
from llmplan.machine.precision import NARROW
from llmplan.work.products import plain_product

CLASSES = {
    "m <= 16": (0, 16), "17 to 256": (17, 256), "257 to 1023": (257, 1023), "1024 to 4096": (1024, 4096),
    "above 4096": (4097, 1e9),
}  # fmt: skip
"""Rows of the product: a decoding step, a batched one, a prefill or a training micro-batch."""
_RANGES = {
    "peak_fraction": Range(0.7, 0.05, 1.0), "ramp_k": Range(100.0, 0.0, 1000.0), "tail": Range(0.2, 0.0, 3.0),
    "memory_fraction": Range(0.8, 0.1, 1.0), "launch": Range(4.0, 1.0, 30.0), "cast_fraction": Range(0.5, 0.02, 1.0),
}  # fmt: skip


def cases(folder: Path = microbenchmarks.FOLDER) -> list[Case]:
    """One case for each device and kind that was measured."""
    found = []
    for (hardware, kind), rows in sorted(microbenchmarks.products(folder).items()):
        device = open_catalog().device(hardware)
        m, n, k, seconds = rows
        seconds = best_of_more_rows(m, n, k, seconds)
        # no product is faster than the fastest measured: the curve's end is no extrapolation
        best = float(np.max(matmul_flops(m, n, k) / seconds) / peak_flops(device, kind))
        section = "engine_matmul" if kind in device.efficiency.engine_matmul else "matmul"
        classes = {name: (m >= low) & (m <= high) for name, (low, high) in CLASSES.items()}
        found.append(Case(
            "gemm", kind, device, seconds, _predict(kind, m, n, k), classes, _free(section, kind, best),
            weights=class_weights(classes, len(m)),
        ))  # fmt: skip
    return found


def best_of_more_rows(m: Array, n: Array, k: Array, seconds: Array) -> Array:
    """The least time of a product and of those with the same matrix and more rows, to which it could be padded [s].

    Engines choose among kernels by trying them; a library's one choice may be worse than its choice for more rows
    (vLLM 0.19 on B200, fp8: 46 us with 4 rows, 32 us with 16).
    """
    best = seconds.copy()
    order = np.argsort(-m, kind="stable")
    least: dict[tuple[float, float], float] = {}
    for index in order:
        shape = (float(n[index]), float(k[index]))
        least[shape] = best[index] = min(seconds[index], least.get(shape, np.inf))
    return best


def _free(section: str, kind: str, best: float) -> dict[Key, Range]:
    names = [name for name in _RANGES if kind in NARROW or name != "cast_fraction"]
    ranges = {name: _RANGES[name] for name in names}
    ranges["peak_fraction"] = ranges["peak_fraction"]._replace(high=best)
    return {(section, kind, name): one for name, one in ranges.items()}


def _predict(kind: str, m: Array, n: Array, k: Array) -> Any:
    def seconds(device: Device) -> Array:
        curve = product_curve(device, kind, kind, engine=True)
        return np.asarray(plain_product(n, k, m, curve, "forward"))

    return seconds
