"""Fits can be made again: the stored curves of a device come out of its measured kernels."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from llmplan.calibrate import kernels
from llmplan.calibrate.microbenchmarks import Arrays, products
from llmplan.catalog import catalog

CATALOGUE = Path(__file__).parents[2] / "hardware_catalog"

pytest.importorskip("scipy")


# Where the catalogue departs from the measured kernels on purpose, and says so: the share of the peak that those reach.
POOR_KERNELS = {("b200-sxm-180gb", "fp8"): 0.34}


@cache
def shapes() -> Arrays:
    """Products in precisions that the device has a peak of."""
    measured = products(CATALOGUE / "microbenchmarks")
    return {key: rows for key, rows in measured.items() if key[1] in catalog.device(key[0]).peak}


def test_kernels_were_measured_on_several_devices() -> None:
    assert len(shapes()) >= 4
    assert all(rows.shape[1] > 200 for rows in shapes().values())


@pytest.mark.parametrize(("hardware", "precision"), sorted(shapes()))
def test_curve_of_the_device_reproduces_its_kernels(hardware: str, precision: str) -> None:
    """Median error at most 9 %, by the curve written out here."""
    device = catalog.device(hardware)
    curve = device.efficiency.matmul[precision]  # type: ignore[index]
    m, n, k, seconds = shapes()[hardware, precision]
    element = {"bf16": 2.0, "fp8": 1.0, "nvfp4": 0.5 + 1 / 16}[precision]  # nvfp4: an 8-bit scale for 16 elements
    wave = (device.compute_units or 0) * 128 * 128
    rate = device.peak[precision] * POOR_KERNELS.get((hardware, precision), curve.peak_fraction)  # type: ignore[index]
    compute = 2 * (k + curve.ramp_k) * (m * n + curve.tail * wave) / rate
    moved = (element * (m * k + k * n) + 2 * m * n) / (device.memory.bandwidth * curve.memory_fraction)
    predicted = curve.launch + (compute**4 + moved**4) ** 0.25
    assert np.median(np.abs(predicted / seconds - 1)) <= 0.09


def test_curve_is_what_a_fit_gives() -> None:
    device = catalog.device("a100-sxm-80gb")
    stored = device.efficiency.matmul["bf16"]
    found, median, _ = kernels.fit(device, "bf16", shapes()["a100-sxm-80gb", "bf16"])
    assert found.model_dump() == pytest.approx(stored.model_dump(), rel=0.002)  # stored to three digits
    assert median <= 0.09
