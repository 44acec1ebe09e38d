"""Fits a device's decode attention and small all-reduces on measured kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from llmplan.calibrate.microbenchmarks import Arrays, all_reduces, decode_attention
from llmplan.catalog import catalog
from llmplan.formulas.collectives import all_reduce_seconds
from llmplan.formulas.decode import decode_attention_seconds, reduce_latency
from llmplan.formulas.kv_cache import cache_elements_gqa
from llmplan.machine.rates import ELEMENT_BYTES, attention_rate
from llmplan.serving.step import DECODE_ATTENTION_SHARE

_OUTLIER = 0.1  # residuals of log time beyond this weigh linearly (soft L1)
_SMALL = 2**18  # bytes up to which an all-reduce counts as small


def fit_decode_attention(hardware: str, precision: str, data: Any) -> tuple[float, float, float]:
    """Fraction of the bandwidth, latency [s], and the median relative error, of one device and cache precision."""
    batch, context, heads, kv_heads, dim, seconds = data
    device = catalog.device(hardware)
    traffic = batch * context * cache_elements_gqa(kv_heads, dim) * ELEMENT_BYTES[precision]
    flops = 4.0 * batch * context * heads * dim
    rate = attention_rate(device) * DECODE_ATTENTION_SHARE

    def predicted(values: Any) -> Any:
        bandwidth = device.memory.bandwidth * values[0]
        return decode_attention_seconds(traffic, flops, bandwidth=bandwidth, rate=rate, latency=values[1] * 1e-6)

    def residuals(values: Any) -> Any:
        return np.log(predicted(values) / seconds)

    solution = least_squares(residuals, (0.8, 8.0), bounds=((0.1, 0.0), (1.0, 50.0)), loss="soft_l1", f_scale=_OUTLIER)
    error = float(np.median(np.abs(predicted(solution.x) / seconds - 1)))
    return float(solution.x[0]), float(solution.x[1]) * 1e-6, error


def small_reduce_latency(hardware: str, data: Any) -> float:
    """Time of a small all-reduce over eight devices, from those of 2, 4 and 8 with the fastest kernel [s]."""
    devices, size, seconds = data
    at = catalog.device(hardware)
    fraction = at.efficiency.link_fraction or 1.0
    found = []
    for group in np.unique(devices):
        for amount in np.unique(size[(devices == group) & (size <= _SMALL)]):
            best = seconds[(devices == group) & (size == amount)].min()
            moving = float(all_reduce_seconds(amount, group, at.scale_up.bandwidth * fraction, 0.0))
            found.append((best - moving) / reduce_latency(float(group), 1.0))
    return float(np.median(found))


def reduces_of(measured: Arrays, hardware: str) -> Any:
    """All-reduces of a device, all libraries together: devices [1], bytes [B], seconds [s]."""
    return np.concatenate([rows for (device, _), rows in measured.items() if device == hardware], axis=1)


def main(folder: Path) -> None:
    """Prints the efficiency fields of every device that the files in `folder` measure."""
    for (hardware, precision), data in decode_attention(folder).items():
        fraction, latency, error = fit_decode_attention(hardware, precision, data)
        found = f"decode_attention_fraction {fraction:.2f}, decode_attention_latency {latency * 1e6:.1f} us"
        print(f"{hardware} {precision}: {found}; median error {error:.1%}")
    measured = all_reduces(folder)
    for hardware in sorted({device for device, _ in measured}):
        latency = small_reduce_latency(hardware, reduces_of(measured, hardware))
        print(f"{hardware}: small_reduce_latency {latency * 1e6:.1f} us")
