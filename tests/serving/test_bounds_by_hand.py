"""What nature does not let a deployment pass, by hand."""

from __future__ import annotations

import pytest

from llmplan import ServingPlan, plan_from
from llmplan.serving.bounds import bounds
from llmplan.serving.iteration import replica

WORDS = {
    "model": "llama-3.1-8b", "hardware": "h100", "devices": 2, "workload": "serve", "stack": "vllm",
    "weight_precision": "bf16", "activation_precision": "bf16", "input_tokens": 1000, "output_tokens": 11, "batch": 1,
}  # fmt: skip
LAYERS = 32 * (4096 * (4096 + 2 * 1024) + 4096 * 4096 + 3 * 4096 * 14336)  # parameters of matrices
HEAD = 128256 * 4096
BANDWIDTH, PEAK = 3.35e12, 989.4e12


def test_one_reading_of_the_weights_and_the_peak() -> None:
    """Two devices as one replica: each reads half of 16-bit weights for a token, both multiply a prompt."""
    plan = plan_from({**WORDS, "tp": 2})
    assert isinstance(plan, ServingPlan)
    found = bounds(plan, replica(plan))
    assert found.tpot == pytest.approx(2 * (LAYERS + HEAD) / 2 / BANDWIDTH, rel=1e-3)  # norms are left out here
    assert found.ttft == pytest.approx(2 * LAYERS * 1000 / (2 * PEAK), rel=1e-3)
    assert found.request(11) == found.ttft + 10 * found.tpot
    assert found.output == pytest.approx(11 * 2 * PEAK / (2 * LAYERS * 1010), rel=1e-3)


def test_a_replica_has_its_own_devices_for_a_prompt() -> None:
    plan = plan_from({**WORDS, "tp": 1})
    assert isinstance(plan, ServingPlan)
    assert bounds(plan, replica(plan)).ttft == pytest.approx(2 * LAYERS * 1000 / PEAK, rel=1e-3)
