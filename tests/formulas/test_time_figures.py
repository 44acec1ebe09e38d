"""Formulas of time against published figures and against arithmetic done by hand."""

from __future__ import annotations

import itertools
import math

import pytest

from llmplan.formulas import step
from llmplan.formulas.attention import (
    attended_tokens,
    attention_flops,
    attention_seconds,
    attention_traffic,
    score_traffic,
)
from llmplan.formulas.collectives import (
    bus_bandwidth,
    dispatch_seconds,
    exchange_seconds,
    members_in_domain,
    one_shot_seconds,
    pipelined_seconds,
    ring_latency,
    ring_seconds,
    send_seconds,
    switch_reduce_seconds,
    tree_latency,
    two_shot_seconds,
)
from llmplan.formulas.decode import decode_attention_seconds
from llmplan.formulas.experts import busiest_rank, padded_rows, routed_bytes, touched_experts
from llmplan.formulas.matmul import cast_bytes, gradient_traffic, matmul_flops, matmul_seconds, product_traffic
from llmplan.formulas.numeric import soft_maximum
from llmplan.formulas.pipeline import bubble_seconds

EXACT = 1e-12


# Pipeline


@pytest.mark.parametrize(("p", "v", "m"), [(4, 1, 8), (8, 1, 64), (8, 3, 64), (16, 7, 32)])
def test_bubble_share(p: int, v: int, m: int) -> None:
    # Narayanan et al. 2021 (arXiv 2104.04473), section 2.2: bubble over ideal time = (p - 1) / (v m)
    stage = 0.25
    assert bubble_seconds(stage, p, v) / (m * stage) == pytest.approx((p - 1) / (v * m), rel=EXACT)


def test_bubble_of_figures_3_and_4() -> None:
    # Figure 3: p = 4, m = 8: three of eight micro-batches' time; figure 4, two chunks: half of that.
    assert bubble_seconds(1.0, 4.0, 1.0) / 8 == 0.375
    assert bubble_seconds(1.0, 4.0, 2.0) / 8 == 0.1875
    assert bubble_seconds(1.0, 1.0, 1.0) == 0.0


# Collectives


RING = {"latency": 0.0, "bandwidth": 100e9, "chunk": 0.0}


def test_a_ring_moves_every_byte_but_ones_own() -> None:
    # 4 devices, 1 GB, 100 GB/s: each sends 3 pieces of 0.25 GB = 7.5 ms; an all-reduce does it twice
    assert ring_seconds(1e9, 4.0, 1.0, **RING) == pytest.approx(0.0075, rel=EXACT)
    assert ring_seconds(1e9, 4.0, 2.0, **RING) == pytest.approx(0.015, rel=EXACT)
    assert ring_seconds(1e9, 4.0, 2.0, **(RING | {"latency": 3e-5})) == pytest.approx(0.01503, rel=EXACT)
    assert ring_seconds(1e9, 1.0, 2.0, **(RING | {"latency": 3e-5})) == 0.0
    assert send_seconds(1e9, 25e9, 1e-5) == pytest.approx(0.04001, rel=EXACT)


def test_latency_of_rings_and_trees() -> None:
    # 32 ranks, 8 a domain: a ring passes 28 times inside and 3 times between the 4 domains; an all-reduce goes 7 steps
    # around a domain and up two levels of a tree, and back
    steps = {"base": 10e-6, "step": 1e-6, "hop": 20e-6}
    assert ring_latency(32.0, 8.0, **steps) == pytest.approx(98e-6, rel=EXACT)
    assert tree_latency(32.0, 8.0, **steps) == pytest.approx(104e-6, rel=EXACT)
    # five ranks fill three domains of two
    assert ring_latency(5.0, 2.0, base=0.0, step=1.0, hop=10.0) == 22.0
    assert tree_latency(5.0, 2.0, base=0.0, step=1.0, hop=0.0) == 2.0
    assert tree_latency(5.0, 2.0, base=0.0, step=0.0, hop=1.0) == pytest.approx(2 * 1.584962500721156, rel=EXACT)
    # inside one domain both are the same steps, once and twice
    assert ring_latency(8.0, 8.0, base=0.0, step=1.0, hop=9.0) == 7.0
    assert tree_latency(8.0, 8.0, base=0.0, step=1.0, hop=9.0) == 14.0


def test_chunks_are_cut_as_well_as_can_be() -> None:
    # 1 s on the link, 0.01 s to start a chunk: ten chunks of 0.1 s take 1 + 0.1 + 0.1; nine or eleven no less
    best = min((1 + 1 / count) * 1.0 + count * 0.01 for count in range(1, 100))
    assert pipelined_seconds(1e9, 1e9, 0.01) == pytest.approx(best, rel=EXACT) == 1.2


def test_a_switch_adds_up_on_the_way() -> None:
    # 8 devices, 1 GB, 100 GB/s: the whole up once, an eighth down for the share each holds: 11.25 ms
    assert switch_reduce_seconds(1e9, 8.0, bandwidth=100e9, base=1e-5, chunk=0.0) == pytest.approx(0.01126, rel=EXACT)


def test_shots_of_small_messages() -> None:
    # 8 devices, 1 MB, 100 GB/s: seven others' megabytes are 70 us; by shares 2 x 7 / 8 of one: 17.5 us
    assert one_shot_seconds(1e6, 8.0, bandwidth=100e9, base=3e-6) == pytest.approx(73e-6, rel=EXACT)
    assert two_shot_seconds(1e6, 8.0, bandwidth=100e9, base=3e-6) == pytest.approx(20.5e-6, rel=EXACT)


def test_groups_inside_and_across_nodes() -> None:
    # domain of 8, as in a DGX: 16 ranks with 2 between neighbours (tp 2) have 4 in each domain
    assert members_in_domain(16.0, 2.0, 8.0) == 4.0
    assert members_in_domain(4.0, 1.0, 8.0) == 4.0
    assert members_in_domain(4.0, 8.0, 8.0) == 1.0
    # 4 ranks of a domain have 4 ports of 25 GB/s together, less than the 230 GB/s of one device's links
    assert bus_bandwidth(16.0, 4.0, 230e9, 25e9) == 100e9
    assert bus_bandwidth(4.0, 4.0, 230e9, 25e9) == 230e9
    assert bus_bandwidth(16.0, 8.0, 100e9, 25e9) == 100e9  # the links limit, not 8 ports


def test_dispatch_inside_a_domain_carries_every_copy() -> None:
    # 8 devices, 2 copies of 1 GB, 7 of 8 leave the device: 2 x 0.875 GB / 100 GB/s
    assert dispatch_seconds(1e9, 2.0, 8.0, 8.0, 100e9, 1.0, 0.0) == pytest.approx(0.0175, rel=EXACT)


def test_dispatch_across_domains_sends_once_to_each() -> None:
    # 2 domains, 2 copies: the other domain has none of a token's experts with probability 1/4,
    # so 3/4 of tokens cross once: 0.75 GB / 10 GB/s; one copy: half of them
    assert dispatch_seconds(1e9, 2.0, 16.0, 8.0, 1e15, 10e9, 0.0) == pytest.approx(0.075, rel=EXACT)
    assert dispatch_seconds(1e9, 1.0, 16.0, 8.0, 1e15, 10e9, 0.0) == pytest.approx(0.05, rel=EXACT)
    # many copies reach every other domain, and no more: 3 of 4 domains
    assert dispatch_seconds(1e9, 1e6, 32.0, 8.0, 1e30, 10e9, 0.0) == pytest.approx(0.3, rel=EXACT)


def test_an_exchange_sends_every_copy_to_its_rank() -> None:
    # 16 ranks on two nodes, 2 copies of 1 GB: 7 of 16 stay inside (0.875 GB at 100 GB/s), 8 of 16 cross (1 GB at 10)
    links = {"scale_up": 100e9, "scale_out": 10e9, "base": 1e-3, "chunk": 0.0, "protocol": 0.0, "turn": 1.0}
    assert exchange_seconds(1e9, 2.0, 16.0, 8.0, **links) == pytest.approx(0.101, rel=EXACT)
    assert exchange_seconds(1e9, 2.0, 8.0, 8.0, **links) == pytest.approx(0.0185, rel=EXACT)  # 7 of 8, twice
    # 2 GB against a turn of 6 GB: a quarter of what other packets cost
    turned = links | {"protocol": 4e-3, "turn": 6e9}
    assert exchange_seconds(1e9, 2.0, 8.0, 8.0, **turned) == pytest.approx(0.0195, rel=EXACT)


# Experts


def test_touched_experts_are_those_of_a_drawing() -> None:
    # 3 tokens, each to one of 2 experts: all three miss one with probability 1/8
    assert touched_experts(2.0, 1.0, 3.0) == pytest.approx(2 * 7 / 8, rel=EXACT)
    # uneven, s = 1, r = 1 row an expert on average: (1 + 1)^-1 have none
    assert touched_experts(8.0, 2.0, 4.0, 1.0) == pytest.approx(4.0, rel=1e-5)


def test_the_busiest_rank() -> None:
    # 4 ranks of 4 experts, 25 rows an expert, s = 0: a rank's sum varies by sqrt(1/25 / 4) = 0.1, times sqrt(2 ln 4)
    assert busiest_rank(4.0, 16.0, 2.0, 200.0, 0.0) == pytest.approx(1 + 0.1 * math.sqrt(2 * math.log(4)), rel=EXACT)
    # s = 0.3 beside it: sqrt((0.09 + 0.04) / 4)
    uneven = 1 + math.sqrt(0.13 / 4 * 2 * math.log(4))
    assert busiest_rank(4.0, 16.0, 2.0, 200.0, 0.3) == pytest.approx(uneven, rel=EXACT)
    assert busiest_rank(8.0, 8.0, 2.0, 1e9, 5.0) == 4.0  # every token on its one expert: R x 1 / k


def test_padding_of_groups_costs_rows() -> None:
    assert padded_rows(1000.0, 8.0, 3.0, 64.0) == 1512.0  # half a tile for each of many rows
    assert padded_rows(8.0, 8.0, 3.0, 64.0) == 32.0  # three more for each of few


def test_bytes_beside_the_products_of_experts() -> None:
    # 10 rows, 8 wide inside and 4 outside: 2 x 8 read, 8 written, 4 read; 5 tokens' sums of 4 written; 2 bytes each
    assert routed_bytes(10.0, 5.0, 4.0, 8.0) == 2 * (10 * (16 + 8 + 4) + 5 * 4)


# Attention


def brute(length: int, window: int | None, *, causal: bool, chunked: bool) -> float:
    """Mean number of keys, counted pair by pair; a token sees half of itself (the diagonal that is ignored)."""
    seen = 0.0
    for query, key in itertools.product(range(length), repeat=2):
        if causal and key > query:
            continue
        if window is not None and (query // window != key // window if chunked else query - key >= window):
            continue
        seen += 0.5 if causal and key == query else 1.0
    return seen / length


@pytest.mark.parametrize("window", [None, 4, 16, 64])
@pytest.mark.parametrize("chunked", [False, True])
def test_attended_tokens_are_those_counted(window: int | None, chunked: bool) -> None:
    counted = brute(64, window, causal=True, chunked=chunked)
    formula = attended_tokens(64.0, None if window is None else float(window), causal=True, chunked=chunked)
    # a sliding window ends between two tokens: half a token less for every query that fills it
    edge = 0.0 if window is None or chunked else 0.5 * (64 - window) / 64
    assert formula == pytest.approx(counted + edge, rel=EXACT)


def test_attended_tokens_without_a_mask() -> None:
    assert attended_tokens(100.0, None, causal=False) == 100.0
    assert attended_tokens(100.0, 1000.0, causal=False) == 100.0  # a context beyond the sequence is the sequence
    assert attended_tokens(100.0, 1000.0, causal=True) == 50.0


def test_attention_flops_of_narayanan() -> None:
    # appendix of arXiv 2104.04473: 4 B s^2 h for scores and weighted values of all heads, forward, uncausal
    b, s, h, a = 3.0, 2048.0, 12288.0, 96.0
    assert attention_flops(b * s, s, a, h / a, h / a) == 4 * b * s * s * h


def test_attention_is_limited_by_work_or_by_traffic() -> None:
    curve = {"rate": 1e14, "bandwidth": 1e12, "launch": 5e-6, "ramp": 0.0, "tail": 0.0}
    # 1e6 queries x 1000 keys x 500 wide x 2 = 1e12 FLOP: 10 ms; 1e10 bytes too
    assert attention_seconds(1e6, 1e3, 500.0, 0.0, 1.0, **curve) == pytest.approx(0.010005, rel=1e-9)
    assert attention_seconds(1.0, 1.0, 1.0, 0.0, 1e10, **curve) == pytest.approx(0.010005, rel=1e-9)
    assert attention_seconds(0.0, 0.0, 500.0, 0.0, 0.0, **curve) == 5e-6
    # a ramp of 100 keys adds a tenth, a tail of 1e5 queries another, 1e12 FLOP beside it as much again
    more = curve | {"ramp": 100.0, "tail": 1e5}
    assert attention_seconds(1e6, 1e3, 500.0, 1e12, 0.0, **more) == pytest.approx(0.0221 + 5e-6, rel=EXACT)


def test_decoding_reads_the_cache_once() -> None:
    curve = {"few": 4.0, "bandwidth": 1e12, "rate": 1e15, "latency": 1e-5}
    assert decode_attention_seconds(1e9, 1e9, 0.0, **curve) == pytest.approx(0.00101, rel=EXACT)
    # as many streams as `few`: longer by sqrt(2); three quarters of them: by 5 / 3
    assert decode_attention_seconds(1e9, 4.0, 0.0, **curve) == pytest.approx(1e-5 + 1e-3 * math.sqrt(2), rel=EXACT)
    assert decode_attention_seconds(1e9, 3.0, 0.0, **curve) == pytest.approx(1e-5 + 1e-3 * 5 / 3, rel=EXACT)
    assert decode_attention_seconds(0.0, 3.0, 1e12, **curve) == pytest.approx(1.01e-3, rel=EXACT)


def test_attention_traffic_and_scores() -> None:
    # 100 queries, 200 keys, 8 heads, 2 kv heads, 64 wide: q and o 2 x 100 x 8 x 64, k and v 2 x 200 x 2 x 64
    assert attention_traffic(100.0, 200.0, 8.0, 2.0, 64.0, 64.0, 2.0) == 2 * (2 * 100 * 8 * 64 + 2 * 200 * 2 * 64)
    assert score_traffic(100.0, 200.0, 8.0, 3.0) == 3 * 2 * 100 * 200 * 8


# Matrix products

CURVE = {"rate": 4e14, "ramp_k": 128.0, "tail": 2e5, "bandwidth": 2e12, "launch": 4e-6}


def seconds(m: float, n: float, k: float) -> float:
    return float(matmul_seconds(m, n, k, traffic=product_traffic(m, n, k, 2.0, 2.0), **CURVE))


def test_large_product_runs_at_the_rate() -> None:
    # 16k cube: 8.8 TFLOP / 400 TFLOP/s = 22 ms; ramp, tail, traffic and launch add 1.5 % at most
    m = 16384.0
    ideal = matmul_flops(m, m, m) / CURVE["rate"]
    assert ideal == 2 * 16384**3 / 4e14
    assert ideal < seconds(m, m, m) < 1.015 * ideal


def test_skinny_product_runs_at_the_bandwidth() -> None:
    # one row: 2 x 16k x 16k bytes of weights / 2 TB/s = 268 us, of which FLOPs alone would take 1.3
    expected = 2 * 16384.0**2 / 2e12
    assert expected < seconds(1.0, 16384.0, 16384.0) < 1.05 * expected


def test_tiny_product_is_a_launch() -> None:
    assert CURVE["launch"] < seconds(1.0, 1.0, 1.0) < 1.05 * CURVE["launch"]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_more_work_never_takes_less_time(axis: int) -> None:
    for others in itertools.product((1.0, 64.0, 3000.0), repeat=2):
        times = []
        for size in (1.0, 2.0, 16.0, 100.0, 1024.0, 5000.0, 65536.0):
            shape = list(others)
            shape.insert(axis, size)
            times.append(seconds(*shape))
        assert times == sorted(times)


def test_a_small_product_leaves_units_idle() -> None:
    # 3 x 4 elements against a tail of 16: 20 of them are paid for (3, 4, 5), each 2 (8 + 2) FLOP at 1 FLOP/s
    curve = {"rate": 1.0, "ramp_k": 2.0, "tail": 16.0, "traffic": 0.0, "bandwidth": 1.0, "launch": 1.0}
    assert matmul_seconds(3.0, 4.0, 8.0, **curve) == 1.0 + 2 * 10 * 20


def test_traffic_of_products() -> None:
    # a bank of 4: every matrix is read; the result is written in 16 bits
    assert product_traffic(10.0, 20.0, 30.0, 1.0, 2.0, 4.0) == 4 * 30 * 20 + 2 * 10 * 30 + 2 * 10 * 20
    # the gradient of the same: both operands, and 32 bits read and written for each weight
    assert gradient_traffic(10.0, 20.0, 30.0, 2.0, 4.0) == 2 * 10 * (20 + 30) + (4 + 4) * 4 * 20 * 30
    # 100 values of 16 bits read, two 8-bit copies written
    assert cast_bytes(100.0, 1.0, 2.0) == 100 * (2 + 2)


def test_soft_maximum_lies_a_little_above_the_larger() -> None:
    assert soft_maximum(3.0, 0.0) == pytest.approx(3.0, rel=EXACT)
    assert soft_maximum(1.0, 2.0) == pytest.approx(17**0.25, rel=EXACT)  # (1 + 16)^(1/4)


# Pieces of a step


def test_exposed_communication() -> None:
    # 1 s of it, a fifth never hidden, 0.5 s to hide behind: 0.2 + (0.8 - 0.5)
    assert step.exposed_seconds(1.0, 0.5, 0.2) == pytest.approx(0.5, rel=EXACT)
    assert step.exposed_seconds(1.0, 0.0, 0.2) == pytest.approx(1.0, rel=EXACT)
    assert step.exposed_seconds(1.0, 9.0, 0.0) == 0.0


def test_adam_in_mixed_precision_moves_thirty_bytes() -> None:
    # read gradient 4, master 4, two moments 8; write master 4, moments 8, parameter 2
    assert step.optimizer_seconds(2e9, 4 + 12 + 12 + 2, 1e12) == pytest.approx(0.06, rel=EXACT)


def test_stragglers_cost_by_the_doubling() -> None:
    assert step.straggler_factor(64.0, 0.01) == pytest.approx(1.06, rel=EXACT)


def test_elementwise_traffic() -> None:
    assert step.elementwise_bytes(7.0, 11.0, 3.0, 4.0) == 7 * 11 * 3 * 4


def test_host_is_a_floor() -> None:
    assert step.host_bound_seconds(1e-6, 1e-3) == pytest.approx(1e-3, rel=1e-9)
    assert step.host_bound_seconds(1.0, 0.0) == 1.0


def test_mfu_of_gpt3_in_table_1() -> None:
    # Korthikanti et al. 2022, table 5, 175B on 64 A100 (312 TFLOP/s): 13.75 s, MFU 51.4 %, HFU 52.8 %.
    # Model FLOPs, appendix A equation 7: 72 B s l h^2 (1 + s / (6 h) + V / (12 h l)), uncausal.
    b, s, layers, h, v = 64.0, 2048.0, 96.0, 12288.0, 51200.0
    model = 72 * b * s * layers * h * h * (1 + s / (6 * h) + v / (12 * h * layers))
    assert round(100 * step.model_flops_utilization(model, 13.75, 64.0, 312e12), 1) == 51.4
