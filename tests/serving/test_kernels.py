"""Kernels that serving rests on, against measurements."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from llmplan.calibrate.serving_kernels import reduces_of, small_reduce_latency
from llmplan.serving.step import DECODE_ATTENTION_SHARE, GROUPED_SHARE

from llmplan.calibrate.microbenchmarks import ExpertLayer, all_reduces, decode_attention, expert_layers
from llmplan.catalog import catalog
from llmplan.formulas.decode import decode_attention_seconds, touched_experts, weighted_traffic
from llmplan.formulas.matmul import matmul_seconds
from llmplan.machine import rates

pytest.importorskip("scipy")
ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "hardware_catalog" / "microbenchmarks"


@pytest.mark.parametrize("hardware", ["a100-sxm-80gb", "h100-sxm-80gb", "h200-sxm-141gb", "b200-sxm-180gb"])
def test_decode_attention_is_as_measured(hardware: str) -> None:
    batch, context, heads, kv_heads, dim, seconds = decode_attention(FOLDER)[hardware, "bf16"]
    device = catalog.device(hardware)
    fraction, latency = device.efficiency.decode_attention_fraction, device.efficiency.decode_attention_latency
    assert fraction is not None
    assert latency is not None
    found = decode_attention_seconds(
        batch * context * 2 * kv_heads * dim * 2, 4 * batch * context * heads * dim,
        bandwidth=device.memory.bandwidth * fraction, rate=rates.attention_rate(device) * DECODE_ATTENTION_SHARE,
        latency=latency,
    )  # fmt: skip
    assert np.median(np.abs(found / seconds - 1)) < 0.13


@pytest.mark.parametrize("hardware", ["a100-sxm-80gb", "h100-sxm-80gb", "h200-sxm-141gb", "b200-sxm-180gb", "gb200"])
def test_small_all_reduces_are_as_measured(hardware: str) -> None:
    assert small_reduce_latency(hardware, reduces_of(all_reduces(FOLDER), hardware)) == pytest.approx(
        catalog.device(hardware).efficiency.small_reduce_latency, rel=0.03
    )


def test_layers_of_experts_are_as_measured() -> None:
    """Grouped products on one device, tokens spread evenly, without the kernels around them: half within a quarter."""
    measured = [
        layer for layer in expert_layers(FOLDER)
        if layer.routing == "balanced" and layer.ep == 1 and layer.precision in ("bf16", "fp8")
    ]  # fmt: skip
    ratios = np.array([_layer_of_experts(layer) / layer.seconds for layer in measured])
    assert len(ratios) > 500
    assert 0.8 < np.median(ratios) < 1.1
    assert np.mean(np.abs(ratios - 1) < 0.25) > 0.5


def _layer_of_experts(layer: ExpertLayer) -> float:
    rate = rates.matmul_rate(catalog.device(layer.hardware), layer.precision)
    rows = layer.tokens * layer.experts_per_token
    groups = float(touched_experts(layer.experts, layer.experts_per_token, layer.tokens))
    padded = rows + groups * min(64.0, 8.0 + rows / groups / 2)
    width, hidden, total = layer.expert_ffn_hidden, layer.hidden, 0.0
    for n, k in ((2 * width / layer.tp, hidden), (hidden, width / layer.tp)):
        traffic = weighted_traffic(rows, n, k, rate.element, rate.element, groups)
        total += float(matmul_seconds(
            padded, n, k, rate=rate.rate * GROUPED_SHARE, ramp_k=rate.ramp_k, tail=rate.tail, traffic=traffic,
            bandwidth=rate.bandwidth, launch=rate.launch,
        ))  # fmt: skip
    return total
