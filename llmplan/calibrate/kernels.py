"""Fits a device's matrix-product efficiency on measured kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from llmplan.calibrate.microbenchmarks import products
from llmplan.catalog import catalog
from llmplan.formulas.matmul import matmul_seconds, matmul_traffic
from llmplan.machine.hardware import Device, MatmulEfficiency
from llmplan.machine.rates import ELEMENT_BYTES, TILE_AREA

_NAMES = ("peak_fraction", "ramp_k", "tail", "memory_fraction", "launch")
_START = (0.8, 50.0, 0.3, 0.8, 3e-6)
_LOW = (0.1, 0.0, 0.0, 0.3, 0.0)
_HIGH = (1.0, 2000.0, 5.0, 1.0, 3e-5)
_SCALE = (0.1, 50.0, 0.1, 0.1, 1e-6)
_OUTLIER = 0.1  # residuals of log time beyond this weigh linearly (soft L1)


def predict(device: Device, precision: str, curve: MatmulEfficiency, m: Any, n: Any, k: Any) -> Any:
    """Seconds of (m, n, k) products on a device with that curve; arrays broadcast [s]."""
    return matmul_seconds(
        m, n, k, rate=device.peak[precision] * curve.peak_fraction, ramp_k=curve.ramp_k,  # type: ignore[index]
        tail=curve.tail * (device.compute_units or 1) * TILE_AREA,
        traffic=matmul_traffic(m, n, k, ELEMENT_BYTES[precision], ELEMENT_BYTES["bf16"]),
        bandwidth=device.memory.bandwidth * curve.memory_fraction, launch=curve.launch,
    )  # fmt: skip


def fit(device: Device, precision: str, rows: Any) -> tuple[MatmulEfficiency, float, float]:
    """The curve that fits the rows best, and the median and 90th percentile of its relative error [1]."""
    m, n, k, seconds = rows

    def residuals(values: Any) -> Any:
        curve = MatmulEfficiency(**dict(zip(_NAMES, map(float, values), strict=True)))
        return np.log(predict(device, precision, curve, m, n, k) / seconds)

    solution = least_squares(residuals, _START, bounds=(_LOW, _HIGH), x_scale=_SCALE, loss="soft_l1", f_scale=_OUTLIER)
    digits = (3, 0, 3, 3, 8)
    rounded = {name: round(float(x), d) for name, x, d in zip(_NAMES, solution.x, digits, strict=True)}
    curve = MatmulEfficiency(**rounded)
    errors = np.abs(predict(device, precision, curve, m, n, k) / seconds - 1)
    return curve, float(np.median(errors)), float(np.quantile(errors, 0.9))


def main(folder: Path) -> None:
    """Prints the `matmul:` block of every device that was measured, by the precisions that it has a peak of."""
    for (hardware, precision), rows in sorted(products(folder).items()):
        device = catalog.device(hardware)
        if precision not in device.peak:
            continue
        curve, median, p90 = fit(device, precision, rows)
        print(f"# {hardware}, {rows.shape[1]} shapes: median error {median:.1%}, 90th percentile {p90:.1%}")
        values = curve.model_dump() | {"launch": f"{curve.launch * 1e6:.2f} us"}
        print(f"    {precision}: {{{', '.join(f'{key}: {value}' for key, value in values.items())}}}")
