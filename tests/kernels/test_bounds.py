"""No curve of any device reaches more than nature gives: peaks, datasheet bandwidths, the fastest measured kernel."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from llmplan.catalog.catalog import open_catalog
from llmplan.machine.hardware import Device
from llmplan.machine.kernels import (
    attention_curve,
    decode_curve,
    grouped_curve,
    has_precision,
    peak_flops,
    product_curve,
    stream_bandwidth,
    wide_peak,
)
from llmplan.machine.links import links_of
from llmplan.machine.precision import ELEMENT_BYTES
from llmplan.work.products import grouped_product, plain_product

DEVICES = [name for name in open_catalog().ids("devices") if open_catalog().device(name).plannable]
WEIGHTS = {"w4a16": "int4", "w4a16_mxfp4": "mxfp4"}


def kinds(device: Device) -> list[str]:
    """Kinds of products that the device multiplies itself."""
    return [kind for kind in ("bf16", "fp8", "fp8_block", "nvfp4", "int8") if has_precision(device, kind)]


@pytest.mark.parametrize("name", DEVICES)
def test_rates_stay_below_the_datasheet(name: str) -> None:
    device = open_catalog().device(name)
    memory = device.memory.bandwidth
    for kind in kinds(device):
        for engine in (False, True):
            curve = product_curve(device, kind, kind, engine=engine)
            assert curve.rate <= peak_flops(device, kind)
            assert max(curve.bandwidth, curve.cast_bandwidth) <= memory
        grouped = grouped_curve(device, kind, kind)
        assert grouped.rate <= peak_flops(device, kind)
        assert max(grouped.bandwidth, grouped.routed_bandwidth) <= memory
    assert stream_bandwidth(device) <= memory
    for cache in ("bf16", "fp8"):
        assert attention_curve(device, cache=cache).rate <= wide_peak(device)
        decode = decode_curve(device, cache)
        assert decode.bandwidth <= memory
        assert decode.rate <= wide_peak(device)
    if device.cluster:
        links = links_of(device, open_catalog().cluster(device.cluster))
        assert links.scale_up <= links.raw
        assert all(one.link_fraction <= 1 for one in links.algorithms.values())


@pytest.mark.parametrize("name", DEVICES)
def test_no_software_passes_the_datasheet(name: str) -> None:
    device, most = open_catalog().device(name), {"share": 2.0, "memory": 3.0}
    for kind in kinds(device):
        plain, grouped = product_curve(device, kind, kind, **most), grouped_curve(device, kind, kind, **most)
        assert plain.rate <= peak_flops(device, kind)
        assert grouped.rate <= peak_flops(device, kind)
        assert max(plain.bandwidth, grouped.bandwidth) <= device.memory.bandwidth
    decode = decode_curve(device, "bf16", **most)
    assert decode.bandwidth == device.memory.bandwidth
    assert max(decode.rate, attention_curve(device, share=2.0).rate) <= wide_peak(device)


@pytest.mark.parametrize("name", DEVICES)
def test_times_are_above_the_roofline(name: str) -> None:
    """Products of every size, plain and grouped: never above the peak, never above the bandwidth."""
    device = open_catalog().device(name)
    m = 2.0 ** np.arange(15)
    n, k = 4096.0, 7168.0
    for kind in kinds(device):
        element = ELEMENT_BYTES[kind]
        floor = np.maximum(2 * m * n * k / peak_flops(device, kind), element * n * k / device.memory.bandwidth)
        assert np.all(plain_product(n, k, m, product_curve(device, kind, kind, engine=True), "forward") >= floor)
        curve = grouped_curve(device, kind, kind)
        assert np.all(grouped_product(n, k, m, np.minimum(m, 8.0), curve, "forward") >= floor)


@pytest.mark.parametrize("name", DEVICES)
def test_small_kernels_of_gpus_are_not_free(name: str) -> None:
    """Without compute units or a launch, small products and lone sequences would cost nothing."""
    device = open_catalog().device(name)
    if device.kind == "gpu" and device.vendor != "Apple":
        curve = product_curve(device, "bf16" if "bf16" in device.peak else "fp16", "bf16")
        assert curve.launch >= 1e-6
        assert device.compute_units, "products smaller than a wave need to know how wide the chip is"


def test_routed_tokens_pass_at_the_rate_of_memory_where_permutations_are_fused() -> None:
    device = open_catalog().device("b200-sxm-180gb")
    plain, streamed = (grouped_curve(device, "bf16", "bf16", fused=False, streamed=one) for one in (False, True))
    assert plain.routed_bandwidth == 1.5e12
    assert streamed.routed_bandwidth == pytest.approx(0.93 * 7.67e12)
    assert dataclasses.replace(streamed, routed_bandwidth=1.5e12) == plain


def test_unpacked_weights_are_read_packed() -> None:
    """Four bits a weight are moved, at the rate of the kernels that unpack them."""
    device = open_catalog().device("h100-sxm-80gb")
    curve = grouped_curve(device, "w4a16", "int4")
    assert curve.weight_bytes < 0.6
    assert curve.input_bytes == 2
    assert curve.rate < grouped_curve(device, "bf16", "bf16").rate / 2
    wide = dataclasses.replace(curve, weight_bytes=2.0)
    assert grouped_product(4096.0, 4096.0, 8.0, 8.0, curve, "forward") < grouped_product(
        4096.0, 4096.0, 8.0, 8.0, wide, "forward"
    )


def test_units_that_unpack_weights_hold_the_kernel() -> None:
    """H20 has 78 of the 132 compute units of H100 and 15 % of its matrix rate: products of 4-bit experts take 1.7 times
    as long there, not 6.7 times; where units unpack more than matrix units take, those decide."""
    h100, h20 = (grouped_curve(open_catalog().device(name), "w4a16", "int4") for name in ("h100-sxm-80gb", "h20-96gb"))
    assert h100.rate == pytest.approx(132 * 0.989e12)
    assert h20.rate == pytest.approx(h100.rate * 78 / 132)
    assert h100.bandwidth == pytest.approx(132 * 5.94e9)
    device = open_catalog().device("h20-96gb")
    plain = grouped_curve(device, "w4a16_mxfp4", "mxfp4")
    assert plain.rate == pytest.approx(148e12 * device.efficiency.matmul["bf16"].peak_fraction)
