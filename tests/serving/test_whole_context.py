"""vLLM wants room for a sequence of `max_model_len`, the model's whole context unless it is given."""

from __future__ import annotations

from typing import Any

import pytest

from llmplan.answer.resolve import plan_from
from llmplan.serving.estimate import estimate_serving
from llmplan.serving.plan import ServingPlan

SERVED = {"model": "llama-3.1-8b", "devices": 1, "workload": "serve", "stack": "vllm"}


@pytest.mark.parametrize(
    ("words", "warned"),
    [
        ({"hardware": "rtx-4090"}, True),  # 15 GiB of weights leave 24 GiB room for 38k tokens of 131k
        ({"hardware": "rtx-4090", "max_model_len": 8192}, False),
        ({"hardware": "h100"}, False),
        ({"hardware": "rtx-4090", "stack": "sglang"}, False),  # starts, and refuses longer requests
    ],
)
def test_a_context_that_has_no_room_is_a_warning(words: dict[str, Any], warned: bool) -> None:
    plan = plan_from({**SERVED, **words})
    assert isinstance(plan, ServingPlan)
    found = estimate_serving(plan)
    assert found.fits
    assert ("LP026" in {one.code for one in found.warnings}) is warned
