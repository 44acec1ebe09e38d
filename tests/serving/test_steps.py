"""Properties of one step, and arrays against numbers."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from llmplan.serving.iteration import Replica, iteration, replica
from llmplan.software.coefficients import NEUTRAL
from llmplan.software.engine import ServingPolicy
from tests.serving.plans import plan


def under(policy: ServingPolicy, **changes: object) -> Replica:
    found = plan(**changes)
    return replica(replace(found, engine=replace(found.engine, policy=policy)), NEUTRAL)


def deployed(**changes: object) -> Replica:
    return under(ServingPolicy(), **changes)


def total(at: Replica, *arguments: float) -> float:
    return float(iteration(at, *arguments).total)


def test_one_sequence_reads_the_weights_once() -> None:
    at = deployed()
    read = 2 * plan().model.parameters - 2 * 128256 * 4096  # the token table is looked up, not read
    bound = read / at.kernels.products.bandwidth
    assert bound < total(at, 1.0, 100.0, 0.0, 100.0) < 1.25 * bound


def test_a_step_takes_longer_with_more_of_anything() -> None:
    at = deployed()
    base = total(at, 8.0, 1000.0, 0.0, 1000.0)
    assert total(at, 16.0, 1000.0, 0.0, 1000.0) > base
    assert total(at, 8.0, 4000.0, 0.0, 1000.0) > base
    assert total(at, 8.0, 1000.0, 512.0, 1000.0) > base


def test_mixing_is_cheaper_than_two_steps() -> None:
    at = deployed()
    mixed = total(at, 32.0, 1000.0, 256.0, 1000.0)
    assert mixed < total(at, 32.0, 1000.0, 0.0, 1000.0) + total(at, 0.0, 0.0, 256.0, 1000.0)


def test_long_prompts_cost_more_than_their_tokens() -> None:
    at = deployed()
    assert total(at, 0.0, 0.0, 65536.0, 65536.0) > 1.2 * total(at, 0.0, 0.0, 65536.0, 1024.0)


def test_tensor_parallelism_helps_less_and_less() -> None:
    times = [total(deployed(devices=tp, tp=tp), 1.0, 500.0, 0.0, 500.0) for tp in (1, 2, 4, 8)]
    gains = [a / b for a, b in itertools.pairwise(times)]
    assert all(1.0 < gain < 2.0 for gain in gains)
    assert gains == sorted(gains, reverse=True)


def test_a_mixture_reads_the_experts_that_its_tokens_take() -> None:
    at = deployed(model="mixtral-8x7b", devices=2, tp=2)
    one, many = total(at, 1.0, 100.0, 0.0, 100.0), total(at, 32.0, 100.0, 0.0, 100.0)
    assert 2.0 < many / one < 4.5  # 2 of 8 experts against all: up to four times the bytes


def test_windows_bound_the_cache_that_is_read() -> None:
    at = deployed(model="gemma-3-27b")
    near, far = total(at, 16.0, 1024.0, 0.0, 100.0), total(at, 16.0, 16384.0, 0.0, 100.0)
    full = 10 * 2 * 16 * 128 * 2 * 16 * (16384 - 1024) / at.kernels.decode.bandwidth  # only ten layers read more
    assert far - near == pytest.approx(full, rel=0.2)


LONG, PROMPT = (16.0, 16384.0, 0.0, 16000.0), (0.0, 0.0, 16384.0, 16384.0)
FULL, IGNORED = ServingPolicy(window_cache="full"), ServingPolicy(window_cache="ignored")


def test_windows_that_an_engine_ignores_bound_nothing() -> None:
    bound, ignored = under(FULL, model="mistral-7b-v0.1"), under(IGNORED, model="mistral-7b-v0.1")
    for load in (LONG, PROMPT):
        assert total(ignored, *load) > 1.1 * total(bound, *load)
    inside = (16.0, 2048.0, 1024.0, 2048.0)
    assert total(ignored, *inside) == total(bound, *inside)


@pytest.mark.parametrize("model", ["deepseek-v3.2", "llama-4-scout", "llama-3.1-8b"])
def test_what_an_index_or_chunk_selects_is_no_sliding_window(model: str) -> None:
    layout = {"model": model, "devices": 8, "tp": 8}
    for load in (LONG, PROMPT):
        assert total(under(IGNORED, **layout), *load) == total(under(FULL, **layout), *load)


HEADS = (64.0, 4096.0, 0.0, 1024.0)
"""Many sequences with long caches: attention is most of the step."""
SHARED, EACH = ServingPolicy(cache_reads="shared"), ServingPolicy(cache_reads="each")
BY_EIGHT = ServingPolicy(cache_reads="each", shared_groups=(8.0,))
WIDE_ALONE = ServingPolicy(cache_reads="shared_16_bit")


def test_a_cache_that_is_not_shared_is_read_again() -> None:
    """Llama 3.1 8B has four query heads to a cached one; the chip's own cache is a little faster than memory."""
    once, each = iteration(under(SHARED), *HEADS), iteration(under(EACH), *HEADS)
    at = under(EACH)
    assert at.kernels.decode.on_chip > at.kernels.decode.bandwidth
    again = float(each.attention_seconds) / float(once.attention_seconds)
    assert again == pytest.approx(4.0 * at.kernels.decode.bandwidth / at.kernels.decode.on_chip, rel=0.1)
    assert float(each.matmul_seconds) == float(once.matmul_seconds)


def test_where_the_cache_of_the_chip_is_not_known_memory_is_read_again() -> None:
    once, each = (iteration(under(policy, hardware="mi300x"), *HEADS) for policy in (SHARED, EACH))
    assert float(each.attention_seconds) == pytest.approx(4.0 * float(once.attention_seconds), rel=0.1)


EIGHTFOLD = {"model": "llama-2-70b", "devices": 8, "tp": 8}
COPIED = {"model": "llama-2-70b", "devices": 16, "tp": 16}  # eight cached heads twice: four query heads to each copy


@pytest.mark.parametrize(
    ("policy", "changes", "shared"),
    [
        (WIDE_ALONE, {}, True), (WIDE_ALONE, {"kv_precision": "fp8"}, False),
        (BY_EIGHT, {}, False), (BY_EIGHT, EIGHTFOLD, True), (BY_EIGHT, COPIED, False), (EACH, EIGHTFOLD, False),
        (EACH, {"model": "llama-2-7b"}, True), (EACH, {"model": "deepseek-v3-671b"}, True),
    ],
)  # fmt: skip
def test_who_shares_a_cache(policy: ServingPolicy, changes: dict[str, object], shared: bool) -> None:
    once, found = total(under(SHARED, **changes), *HEADS), total(under(policy, **changes), *HEADS)
    assert (found == once) is shared


def test_narrow_weights_are_read_faster() -> None:
    wide = deployed(weight_precision="bf16")
    narrow = deployed(weight_precision="int4", activation_precision="bf16")
    assert total(narrow, 1.0, 100.0, 0.0, 100.0) < 0.55 * total(wide, 1.0, 100.0, 0.0, 100.0)
    # and at many rows both are bound by the same 16-bit products
    assert total(narrow, 0.0, 0.0, 8192.0, 8192.0) == pytest.approx(total(wide, 0.0, 0.0, 8192.0, 8192.0), rel=0.02)


@pytest.mark.parametrize("model", ["llama-3.1-8b", "mixtral-8x7b", "deepseek-v3-671b", "gpt-oss-120b", "t5-large"])
def test_arrays_give_the_same_digits_as_numbers(model: str) -> None:
    at = deployed(model=model, devices=8, tp=8)
    batches, prompts = np.array([0.0, 1.0, 64.0, 300.0]), np.array([512.0, 0.0, 2048.0, 0.0])
    together = iteration(at, batches, 700.0, prompts, 600.0).total
    alone = [total(at, float(b), 700.0, float(p), 600.0) for b, p in zip(batches, prompts, strict=True)]
    assert np.asarray(together).tolist() == pytest.approx(alone, rel=1e-12)


def test_parts_sum_to_the_iteration() -> None:
    found = iteration(deployed(devices=4, tp=4), 16.0, 700.0, 512.0, 600.0)
    assert sum(map(float, found.parts().values())) == pytest.approx(float(found.total))


def test_one_plan_never_imports_numpy() -> None:
    code = (
        "import sys; from llmplan.answer.resolve import plan_from;"
        "from llmplan.serving.estimate import estimate_serving;"
        "estimate_serving(plan_from({'workload': 'serve', 'model': 'mixtral-8x7b', 'hardware': 'h100', 'devices': 2,"
        "'load': 'open', 'request_rate': 2, 'max_ttft': 0.5})); assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
