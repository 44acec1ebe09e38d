"""Elementwise work, launches and operations of a layer, counted by hand."""

from __future__ import annotations

import pytest

from llmplan.work.elementwise import elementwise_seconds, operations
from llmplan.work.layer import backward, forward
from tests.truth.counting import EXPERTS, coefficients, kernels, layer, layout, machine, micro_batch

TOKENS, BYTES = 32.0, machine(memory=1.0)
NORMS = 2 * (8 + 8)  # two norms read and write the hidden vector
RESIDUALS = 2 * (2 * 8 + 8)  # two additions read two and write one
SWIGLU = 2 * 20 + 20  # two halves read, one written
ROTARY = 1.5 * (12 + 2 * 6)  # half of queries, keys and values is read and written and half read


def test_bytes_of_a_layer() -> None:
    found = elementwise_seconds(layer(), micro_batch(TOKENS), layout(), kernels(BYTES))
    assert found == pytest.approx(2 * TOKENS * (NORMS + RESIDUALS + SWIGLU + ROTARY))
    back = backward(layer(), micro_batch(TOKENS), layout(), kernels(BYTES), trained=True).elementwise
    assert back == pytest.approx(2 * found)


def test_tensor_parallelism_divides_what_is_inside() -> None:
    found = elementwise_seconds(layer(), micro_batch(TOKENS), layout(tp=2), kernels(BYTES))
    assert found == pytest.approx(2 * TOKENS * (NORMS + RESIDUALS + (SWIGLU + ROTARY) / 2))
    found = elementwise_seconds(layer(), micro_batch(TOKENS), layout(tp=2, sequence_parallel=True), kernels(BYTES))
    assert found == pytest.approx(2 * TOKENS * (NORMS + RESIDUALS + SWIGLU + ROTARY) / 2)


def test_unfused_kernels_pass_more_often() -> None:
    from dataclasses import replace

    at = kernels(BYTES)
    once = elementwise_seconds(layer(), micro_batch(TOKENS), layout(), at)
    assert elementwise_seconds(layer(), micro_batch(TOKENS), layout(), replace(at, passes=3.0)) == pytest.approx(
        3 * once
    )


def test_kernels_that_are_launched() -> None:
    # two norms, rotation, non-linearity
    assert elementwise_seconds(
        layer(), micro_batch(TOKENS), layout(), kernels(machine(launches=True))
    ) == pytest.approx(4)
    # of experts two norms, rotation and the launch of the whole layer
    moe = layer(**EXPERTS)
    assert elementwise_seconds(moe, micro_batch(TOKENS), layout(), kernels(machine(launches=True))) == pytest.approx(
        1003
    )
    assert elementwise_seconds(moe, micro_batch(0.0, 1.0), layout(), kernels(machine(launches=True))) == 0


def test_small_kernels_of_their_own_time() -> None:
    device = machine(launches=True, efficiency={"small_launch": 0.25})
    assert elementwise_seconds(layer(), micro_batch(TOKENS), layout(), kernels(device)) == pytest.approx(4 * 0.25)
    # the non-linearity of shared experts runs while the routed ones do
    shared = layer(**EXPERTS, shared_experts=1, shared_expert_ffn_hidden=14)
    for beside, small in ((False, 4), (True, 3)):
        found = elementwise_seconds(shared, micro_batch(TOKENS), layout(), kernels(device, beside=beside))
        assert found == pytest.approx(1000 + small * 0.25)


def test_kernels_that_start_early() -> None:
    plain, early = (kernels(machine(launches=True), early=early) for early in (False, True))
    for name in ("products", "fused", "wide", "experts", "attention"):
        assert getattr(early, name).launch == pytest.approx(29 / 34 * getattr(plain, name).launch)
    assert early.small == pytest.approx(29 / 34 * plain.small)
    assert early.decode.latency == pytest.approx(29 / 34 * plain.decode.latency)


def test_bytes_of_experts() -> None:
    # each of two rows a token: 2 x 10 read, 10 written, then 8 read; one sum of 8 written a token
    routed = 2 * (2 * 10 + 10 + 8) + 8
    found = elementwise_seconds(layer(**EXPERTS), micro_batch(TOKENS), layout(), kernels(BYTES))
    assert found == pytest.approx(2 * TOKENS * (NORMS + RESIDUALS + ROTARY + routed))


def test_shared_experts_are_a_dense_mlp() -> None:
    shared = layer(**EXPERTS, shared_experts=1, shared_expert_ffn_hidden=14)
    more = elementwise_seconds(shared, micro_batch(TOKENS), layout(), kernels(BYTES))
    less = elementwise_seconds(layer(**EXPERTS), micro_batch(TOKENS), layout(), kernels(BYTES))
    assert more - less == pytest.approx(2 * TOKENS * (2 * 14 + 14))


def test_operations_that_the_host_launches() -> None:
    # q, kv, out, gate, up, down; attention and rotation; two norms, two additions
    assert operations(layer()) == 6 + 2 + 2 + 2
    # a router more, and twelve of routing: top-k, sort, permute, counts, exchange, weigh, and their inverses
    assert operations(layer(**EXPERTS)) == 7 + 2 + 2 + 2 + 12


def test_a_layer_is_the_sum_of_its_parts() -> None:
    found = forward(layer(), micro_batch(TOKENS), layout(), kernels(BYTES))
    assert found.total == pytest.approx(found.matmul + found.attention + found.elementwise)


def test_shares_that_running_software_reaches() -> None:
    """Coefficients divide the rate of what they are about, and nothing else."""
    from llmplan.work.kernels import Precisions, Software, kernels_of

    def at(precision: str = "bf16", **numbers: float) -> tuple[float, float, float]:
        kinds = Precisions(precision, precision, precision, "bf16")
        run = kernels_of(machine(flops=1.0), kinds, Software(), coefficients(**numbers))
        found = forward(layer(), micro_batch(TOKENS), layout(), run)
        return float(found.matmul), float(found.attention), float(found.elementwise)

    matmul, attention, _ = at()
    assert at(matmul_efficiency=0.5)[:2] == pytest.approx((2 * matmul, attention))
    assert at(attention_efficiency=0.5)[:2] == pytest.approx((matmul, 2 * attention))
    assert at(low_precision_efficiency=0.5)[:2] == pytest.approx((matmul, attention))
    assert at("fp8", low_precision_efficiency=0.5)[0] == pytest.approx(2 * at("fp8")[0])
