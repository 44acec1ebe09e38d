"""GPT-3 175B on 64 A100 with tp 8 and pp 8, as Korthikanti et al. 2022 ran it: every byte and FLOP by hand."""

from __future__ import annotations

from typing import Any

import pytest

from llmplan import plan_from
from llmplan.answer.resolve import AnyPlan
from llmplan.training.flops import model_flops, training_flops
from llmplan.training.memory import training_memory

# Table 3: 96 layers, hidden 12288, 96 heads; s = 2048, t = p = 8, three chunks a stage, b = 1, global batch 64.
L, H, A, S, T, P, CHUNKS, BATCH = 96, 12288, 96, 2048, 8, 8, 3, 64
V = 50257  # GPT-2's vocabulary; the paper pads it to 51,200
EXACT = 1e-12


def plan(**words: Any) -> AnyPlan:
    fixed = {
        "model": "gpt3-175b", "hardware": "a100-sxm-80gb", "stack": "megatron-lm-2022", "devices": 64, "tp": T, "pp": P,
        "vp": CHUNKS, "seq_len": S, "micro_batch": 1, "global_batch": BATCH, "recompute": "selective", "zero": 0,
        "sequence_parallel": True,
    }  # fmt: skip
    return plan_from(fixed | words)


# Matrices 3h^2 + h^2 + 4h^2 + 4h^2, divided; biases of column-split ones 3h + 4h divided, of row-split ones h + h
# whole; two norms of 2h whole.
LAYER = (12 * H * H + 7 * H) / T + 2 * H + 4 * H
FIRST = V * H / T + S * H  # token table divided, positions whole
LAST = 2 * H + V * H / T  # last norm, and the copy of the tied token table


def test_states_of_the_first_stage() -> None:
    memory = training_memory(plan())
    held = L / P * LAYER + FIRST
    assert held == pytest.approx(2.82e9, rel=2e-3)  # 175e9 / 64 = 2.73e9, and the table with positions
    assert memory.weights_bytes == pytest.approx(2 * held, rel=EXACT)
    assert memory.gradients_bytes == pytest.approx(4 * held, rel=EXACT)  # accumulated in fp32
    assert memory.optimizer_states_bytes == pytest.approx(12 * held, rel=EXACT)  # master, two moments


def test_optimizer_states_are_divided_over_data_parallelism() -> None:
    alone, four = (
        training_memory(plan(devices=64 * dp, global_batch=BATCH * dp, zero=1)).optimizer_states_bytes for dp in (1, 4)
    )
    assert four == pytest.approx(alone / 4, rel=EXACT)


@pytest.mark.parametrize(
    ("recompute", "chunks", "sequence_parallel", "each"),
    [
        # bytes a layer and micro-batch in units of s b h (table 2); 5 a s / h = 80
        ("none", 1, True, (34 + 80) / T),
        ("none", 1, False, 10 + 24 / T + 80 / T),
        ("selective", 1, True, 34 / T),
        ("selective", 1, False, 10 + 24 / T),
        ("selective", 3, True, 34 / T),
        ("full", 1, False, 2.0),  # the input of each layer
        ("full", 1, True, 2 / T),
    ],
)
def test_activations_of_the_first_stage(recompute: str, chunks: int, sequence_parallel: bool, each: float) -> None:
    found = training_memory(plan(recompute=recompute, vp=chunks, sequence_parallel=sequence_parallel))
    # Section 4.2.3: the first stage holds p micro-batches of L / p layers, with chunks 1 + (p - 1) / (p m) times that.
    layers = L * (1 + (P - 1) / (P * CHUNKS) if chunks > 1 else 1)
    unit = S * H
    embeddings = 2 / (T if sequence_parallel else 1)  # what goes into the first layer
    whole = (34 + 80) / T if sequence_parallel else 10 + 24 / T + 80 / T
    again = {"none": 0.0, "selective": 80 / T, "full": whole}[recompute]  # one layer while it is computed again
    expected = unit * (layers * each + embeddings + again)
    assert found.activations_bytes == pytest.approx(expected, rel=EXACT)
    assert found.logits_bytes == 0.0  # the last stage has them


@pytest.mark.parametrize(("chunks", "layers"), [(1, 3), (3, 1)])
def test_some_layers_keep_their_inputs_and_the_others_all(chunks: int, layers: int) -> None:
    # 12 layers a stage: 3 of them, or one of each of three chunks of 4; the schedule holds 8 or 10 1/3 of a stage
    found = training_memory(plan(recompute="full", recompute_layers=layers, vp=chunks)).activations_bytes
    in_flight = P * (1 + (P - 1) / (P * CHUNKS) if chunks > 1 else 1)
    kept = in_flight * (3 * 2 / T + 9 * (34 + 80) / T)
    assert found == pytest.approx(S * H * (kept + 2 / T + (34 + 80) / T), rel=EXACT)


def test_selective_recomputation_holds_the_scores_of_one_layer() -> None:
    # Core attention is computed again layer by layer: its 5 a s^2 b / t bytes stand in memory once, 4 GB at s = 8192.
    words = {"seq_len": 8192, "flash_attention": False, "vp": 1}
    found = training_memory(plan(**words)).activations_bytes
    kept = 8192 * H * (34 / T * L + 2 / T)
    assert found == pytest.approx(kept + 5 * A * 8192**2 / T, rel=EXACT)


def test_peak_is_all_of_it_with_what_the_allocator_wastes() -> None:
    memory = training_memory(plan())
    allocated = 18 * (L / P * LAYER + FIRST) + S * H * (34 / T * L * (1 + 7 / 24) + (2 + 80) / T)
    assert memory.peak_bytes == pytest.approx(1.08 * allocated + 2**30, rel=EXACT)  # the stack's entry: 8 %, 1 GiB
    assert 64 < memory.peak_bytes / 2**30 < 68  # it ran on devices of 80 GiB


def test_last_stage_is_counted_where_it_is_the_fuller_one() -> None:
    # one micro-batch: the first stage holds as many activations, and the last has logits over the whole vocabulary
    words = {"tp": 1, "pp": 2, "vp": 1, "devices": 2, "global_batch": 1, "recompute": "none", "zero": 0}
    memory = training_memory(plan(**words))
    assert memory.logits_bytes == 8 * S * V  # fp32 logits and their gradient
    layer = 12 * H * H + 13 * H
    assert memory.weights_bytes == pytest.approx(2 * (L / 2 * layer + 2 * H + V * H), rel=EXACT)


def test_parameters_are_those_of_the_formula() -> None:
    # Narayanan et al. 2021, equation 2, has no last norm: 2h more
    published = 12 * L * H * H * (1 + 13 / (12 * H) + (V + S) / (12 * L * H))
    assert plan().model.parameters == pytest.approx(published + 2 * H, rel=EXACT)


def test_flops_of_a_step_against_the_published_formula() -> None:
    # Narayanan et al. 2021, appendix: 96 B s l h^2 (1 + s / (6h) + V / (16 l h)) with full recomputation, of which
    # three quarters are the model's (forward, twice that backward), the head's never being computed again. The
    # formula counts all s^2 scores; here causal attention counts the half that is needed: 6 B l s^2 h less.
    published = 96 * BATCH * S * L * H**2 * (1 + S / (6 * H) + V / (16 * L * H))
    forward_again = BATCH * L * (24 * S * H**2 + 4 * S**2 * H)
    needless = 3 * BATCH * L * 2 * S**2 * H
    assert training_flops(plan()) == pytest.approx(published - forward_again - needless, rel=EXACT)
    assert training_flops(plan()) == 3 * model_flops(plan())


def test_published_days_of_gpt3() -> None:
    # Narayanan et al. 2021, section 5.1: 8 T P / (n X) with T = 300e9, P = 175e9, n = 1024, X = 140e12 is 34 days.
    # The formula's 8 T P is forward, backward and forward again of 2 P a token; ours has attention beside it.
    days = 8 * 300e9 * 175e9 / (1024 * 140e12) / 86400
    assert round(days) == 34
    tokens = BATCH * S
    assert training_flops(plan()) / tokens == pytest.approx(6 * 175e9, rel=0.02)


@pytest.mark.parametrize(("stack", "unit"), [("torchtitan", 12 * H * H + 13 * H), ("maxtext", 4 * H * H + 4 * H)])
def test_gathered_under_zero_3(stack: str, unit: int) -> None:
    """FSDP gathers layers, XLA matrices (the first of the feed-forward with its bias): two, a gradient, the tables."""
    words = {"devices": 256, "tp": 1, "pp": 1, "vp": 1, "zero": 3, "sequence_parallel": False, "global_batch": 256}
    memory = training_memory(plan(**words, stack=stack, recompute="full"))
    first = V * H + S * H
    assert memory.gathered_bytes == pytest.approx(2 * (2 * unit + max(first - unit, 0) + unit), rel=EXACT)
