"""What mixes tokens: FLOPs, bytes, ramps and launches of attention and recurrences, counted by hand."""

from __future__ import annotations

from typing import Any

import pytest

from llmplan.machine.efficiency import AttentionEfficiency
from llmplan.model.layer import Core
from llmplan.work.attention import mixing_backward, mixing_forward
from llmplan.work.flow import Flow
from tests.truth.counting import kernels, layout, machine

FLOPS, BYTES, LAUNCHES = machine(flops=1.0), machine(memory=1.0), machine(launches=True)
TWO = Flow(tokens=32.0, length=16.0)  # two sequences of 16 tokens
V_DIM = 5
WIDTH, HEADS, CACHED = 3 + V_DIM, 4, 2


def core(**changes: Any) -> Core:
    """Four query heads, two cached ones; queries and keys 3 wide, values 5."""
    words: dict[str, Any] = {"cache_elements": CACHED * WIDTH, "cache_heads": CACHED, **changes}
    return Core("softmax", HEADS, CACHED, 3, V_DIM, **words)


@pytest.mark.parametrize(
    ("changes", "attended"),
    [
        ({}, 8), ({"causal": False}, 16), ({"context": 4, "chunked": True}, 2),
        ({"context": 4, "cache_window": 4}, 4 - 4 * 4 / 32), ({"context": 64}, 8),
    ],
)  # fmt: skip
def test_flops_forward(changes: dict[str, Any], attended: float) -> None:
    found = mixing_forward(core(**changes), TWO, layout(), kernels(FLOPS))
    assert found == pytest.approx(2 * 32 * HEADS * attended * WIDTH)


def test_an_engine_that_ignores_windows_attends_to_all() -> None:
    window = core(context=4, cache_window=4)
    assert mixing_forward(window, TWO, layout(), kernels(FLOPS, windows=False)) == pytest.approx(
        2 * 32 * HEADS * 8 * WIDTH
    )
    chosen = core(context=4)  # what an index selects is no window
    assert mixing_forward(chosen, TWO, layout(), kernels(FLOPS, windows=False)) == pytest.approx(
        2 * 32 * HEADS * (4 - 4 * 4 / 32) * WIDTH
    )


def test_backward_does_five_products_for_two_at_three_quarters_of_the_rate() -> None:
    found = mixing_backward(core(), TWO, layout(), kernels(FLOPS))
    assert found == pytest.approx(5 / 2 / 0.76 * 2 * 32 * HEADS * 8 * WIDTH)


def test_bytes_are_queries_keys_values_and_output_once() -> None:
    moved = 2 * 32 * (HEADS * WIDTH + CACHED * WIDTH)
    assert mixing_forward(core(), TWO, layout(), kernels(BYTES)) == pytest.approx(moved)
    assert mixing_backward(core(), TWO, layout(), kernels(BYTES)) == pytest.approx(2 * moved)


def test_tensor_parallelism_divides_heads() -> None:
    assert mixing_forward(core(), TWO, layout(tp=2), kernels(FLOPS)) == pytest.approx(2 * 32 * HEADS / 2 * 8 * WIDTH)
    # of two cached heads each stands on two of four devices
    assert mixing_forward(core(), TWO, layout(tp=4), kernels(BYTES)) == pytest.approx(2 * 32 * (1 + 1) * WIDTH)


def test_context_parallelism_shares_queries_and_sees_all_keys() -> None:
    half = Flow(tokens=16.0, length=16.0)  # half of two sequences
    assert mixing_forward(core(), half, layout(cp=2), kernels(FLOPS)) == pytest.approx(2 * 16 * HEADS * 8 * WIDTH)
    # a call for each half of the keys, which reads queries, writes an output and adds it to a sum: two in, one out
    calls = 2 * 2 * WIDTH * (16 * HEADS + 16 * CACHED)
    assert mixing_forward(core(), half, layout(cp=2), kernels(BYTES)) == pytest.approx(
        calls + 2 * 3 * 2 * 16 * HEADS * V_DIM
    )
    # backward twice as much, and gradients of queries, keys and values are added up
    assert mixing_backward(core(), half, layout(cp=2), kernels(BYTES)) == pytest.approx(
        2 * calls + 2 * 3 * 2 * 16 * (HEADS * (WIDTH - V_DIM) + CACHED * WIDTH)
    )


def test_every_piece_of_keys_is_a_call_with_its_own_ramp() -> None:
    half, quarter = Flow(tokens=16.0, length=16.0), Flow(tokens=8.0, length=16.0)
    curve = AttentionEfficiency(peak_fraction=1.0, ramp=10.0, memory_fraction=1.0)
    at = kernels(machine(flops=1.0, efficiency={"attention": {"bf16": curve}}))
    assert mixing_forward(core(), half, layout(cp=2), at) == pytest.approx(2 * 16 * HEADS * (8 + 2 * 10) * WIDTH)
    assert mixing_forward(core(), quarter, layout(cp=4), at) == pytest.approx(2 * 8 * HEADS * (8 + 4 * 10) * WIDTH)
    assert mixing_forward(core(), quarter, layout(cp=4), kernels(LAUNCHES)) == pytest.approx(4e6)


def test_ramp_tail_and_launch() -> None:
    curve = AttentionEfficiency(peak_fraction=1.0, ramp=10.0, tail=0.5, memory_fraction=1.0)
    at = kernels(machine(flops=1.0, efficiency={"attention": {"bf16": curve}}))
    # half a wave of one unit is 64 queries; ten keys more for each
    assert mixing_forward(core(), TWO, layout(), at) == pytest.approx(2 * (32 * HEADS + 64) * (8 + 10) * WIDTH)
    assert mixing_forward(core(), TWO, layout(), kernels(LAUNCHES)) == pytest.approx(1e6)


def test_cross_attention_sees_the_whole_source() -> None:
    flow = Flow(tokens=32.0, length=16.0, source=100.0, source_tokens=200.0)
    found = mixing_forward(core(cross=True, causal=False), flow, layout(), kernels(FLOPS))
    assert found == pytest.approx(2 * 32 * HEADS * 100 * WIDTH)


def test_an_index_scores_every_token_before() -> None:
    # attends to 4 of 8 on average, and 7 FLOPs for each pair beside 11 for each token
    chosen = core(context=4, pair_flops=7.0, token_flops=11.0)
    attended = 4 - 4 * 4 / 32
    found = mixing_forward(chosen, TWO, layout(), kernels(FLOPS))
    assert found == pytest.approx(2 * 32 * HEADS * attended * WIDTH + 32 * (11 + 7 * 8))


RECURRENT = Core(
    "recurrent", 4, 4, 3, 5, token_flops=1000.0, saved_elements=40.0, state_elements=60.0, cache_heads=4,
)  # fmt: skip


def test_a_recurrence() -> None:
    assert mixing_forward(RECURRENT, TWO, layout(), kernels(FLOPS)) == pytest.approx(32 * 1000)
    assert mixing_backward(RECURRENT, TWO, layout(), kernels(FLOPS)) == pytest.approx(2 * 32 * 1000)
    assert mixing_forward(RECURRENT, TWO, layout(tp=2), kernels(BYTES)) == pytest.approx(2 * 32 * 40 / 2)


class TestUnfused:
    """Scores are written: QK^T and weighted values as batched products over heads, the whole square."""

    def test_products(self) -> None:
        run = mixing_forward(core(), TWO, layout(), kernels(FLOPS, flash=False))
        assert run == pytest.approx(2 * (2 * 32 * HEADS * 16 * 3))
        back = mixing_backward(core(), TWO, layout(), kernels(FLOPS, flash=False))
        assert back == pytest.approx(2 * run)

    def test_passes_over_the_scores(self) -> None:
        # out of QK^T; softmax reads the half that is not masked and writes all; dropout in and out; into the product
        forward = 1 + (0.5 + 1) + 2 + 1
        # out of dO V^T; dropout in and out; softmax reads two halves and writes all; into dQ, dK and dV
        backward = 1 + 2 + (2 * 0.5 + 1) + 3
        scores = 2 * 32 * HEADS * 16
        assert mixing_forward(core(), TWO, layout(), kernels(BYTES, flash=False)) == pytest.approx(forward * scores)
        assert mixing_backward(core(), TWO, layout(), kernels(BYTES, flash=False)) == pytest.approx(backward * scores)


# One new token against a cache

EIGHT = Flow(tokens=0.0, length=1.0, decoding=8.0, context=100.0)
STREAMS = (1 + (4 / (8 * CACHED)) ** 2) ** 0.5
"""Eight sequences of two cached heads: four streams are as few as slow reading down."""


def test_decoding_reads_the_cache_once() -> None:
    read = 8 * 100 * 2 * CACHED * WIDTH
    assert mixing_forward(core(), EIGHT, layout(), kernels(BYTES)) == pytest.approx(read * STREAMS)
    assert mixing_forward(core(), EIGHT, layout(), kernels(LAUNCHES)) == pytest.approx(1e9)
    # nothing is read of tokens outside a window; all is where an engine ignores it
    window = core(context=30, cache_window=30)
    assert mixing_forward(window, EIGHT, layout(), kernels(BYTES)) == pytest.approx(0.3 * read * STREAMS)
    assert mixing_forward(window, EIGHT, layout(), kernels(BYTES, windows=False)) == pytest.approx(read * STREAMS)


def test_decoding_divides_cached_heads() -> None:
    one = 8 * 100 * 2 * WIDTH * (1 + (4 / 8) ** 2) ** 0.5
    assert mixing_forward(core(), EIGHT, layout(tp=2), kernels(BYTES)) == pytest.approx(one)
    assert mixing_forward(core(), EIGHT, layout(tp=4), kernels(BYTES)) == pytest.approx(one)  # each stands twice


def test_decoding_computes_little() -> None:
    # 0.67 of the peak is reached
    found = mixing_forward(core(), EIGHT, layout(), kernels(FLOPS))
    assert found == pytest.approx(2 * 8 * 100 * HEADS * WIDTH / 0.67)


def test_drafts_read_the_cache_once() -> None:
    three = Flow(tokens=0.0, length=1.0, decoding=8.0, context=100.0, each=3.0)
    once = mixing_forward(core(), EIGHT, layout(), kernels(BYTES))
    assert mixing_forward(core(), three, layout(), kernels(BYTES)) == once
    found = mixing_forward(core(), three, layout(), kernels(FLOPS))
    assert found == pytest.approx(3 * 2 * 8 * 100 * HEADS * WIDTH / 0.67)


def test_latent_attention_works_on_what_is_cached() -> None:
    latent = Core("softmax", 4, 4, 3, 5, cache_elements=9.0, cache_heads=1)
    assert latent.latent
    streams = (1 + (4 / 8) ** 2) ** 0.5
    assert mixing_forward(latent, EIGHT, layout(tp=2), kernels(BYTES)) == pytest.approx(
        8 * 100 * 2 * 9 * streams
    )  # copied
    found = mixing_forward(latent, EIGHT, layout(tp=2), kernels(FLOPS))
    assert found == pytest.approx(2 * 8 * 100 * (4 / 2) * (2 * 9) / 0.67)


def test_latent_attention_of_a_narrow_cache_multiplies_in_its_bits() -> None:
    # the machine's fp8 is twice its 16 bits; attention that is not latent stays in 16
    latent = Core("softmax", 4, 4, 3, 5, cache_elements=9.0, cache_heads=1)
    at, wide = kernels(FLOPS, cache="fp8", narrow_latent=True), kernels(FLOPS, cache="fp8")
    assert mixing_forward(latent, EIGHT, layout(), at) == pytest.approx(2 * 8 * 100 * 4 * (2 * 9) / 0.67 / 2)
    assert mixing_forward(latent, EIGHT, layout(), kernels(FLOPS, narrow_latent=True)) == pytest.approx(
        2 * 8 * 100 * 4 * (2 * 9) / 0.67
    )
    assert mixing_forward(core(), EIGHT, layout(), at) == mixing_forward(core(), EIGHT, layout(), wide)
    assert mixing_forward(latent, EIGHT, layout(), wide) == 2 * mixing_forward(latent, EIGHT, layout(), at)


def test_an_index_is_read_for_every_token() -> None:
    chosen = core(context=30, cache_elements=CACHED * WIDTH + 6.0, index_elements=6.0, cache_ratio=0.25, pair_flops=7.0)
    read = 8 * 2 * (30 * CACHED * WIDTH + 100 * 6 * 0.25)
    assert mixing_forward(chosen, EIGHT, layout(), kernels(BYTES)) == pytest.approx(read * STREAMS)
    found = mixing_forward(chosen, EIGHT, layout(), kernels(FLOPS))
    assert found == pytest.approx(8 * (2 * 30 * HEADS * WIDTH + 7 * 100) / 0.67)


def test_a_state_is_read_and_written() -> None:
    streams = (1 + (4 / (8 * 4)) ** 2) ** 0.5
    assert mixing_forward(RECURRENT, EIGHT, layout(), kernels(BYTES)) == pytest.approx(8 * 2 * 60 * 4 * streams)


class TestRepeatedReads:
    """Two query heads of a cached one, each with a reading of its own."""

    AGAIN = machine(memory=1.0, efficiency={"repeated_read_bandwidth": 1.5})
    READ = 8 * 100 * 2 * CACHED * WIDTH * STREAMS

    def test_from_the_chips_own_cache(self) -> None:
        # 1.5 bytes/s there serve two readers at 0.75 each
        assert mixing_forward(core(), EIGHT, layout(), kernels(self.AGAIN, shares_cache=False)) == pytest.approx(
            self.READ / 0.75
        )

    def test_from_memory_where_it_is_not_known(self) -> None:
        assert mixing_forward(core(), EIGHT, layout(), kernels(BYTES, shares_cache=False)) == pytest.approx(
            self.READ * 2
        )

    def test_groups_that_have_a_kernel(self) -> None:
        for groups, times in (((2.0,), 1.0), ((4.0,), 2.0)):
            at = kernels(BYTES, shares_cache=False, shared_groups=groups)
            assert mixing_forward(core(), EIGHT, layout(), at) == pytest.approx(self.READ * times)


def test_prompts_and_decoding_of_one_step_add_up() -> None:
    both = Flow(tokens=32.0, length=16.0, decoding=8.0, context=100.0)
    alone = mixing_forward(core(), TWO, layout(), kernels(BYTES)) + mixing_forward(
        core(), EIGHT, layout(), kernels(BYTES)
    )
    assert mixing_forward(core(), both, layout(), kernels(BYTES)) == pytest.approx(alone)
