"""Plans that several tests use."""

from __future__ import annotations

from typing import Any

from llmplan.answer.resolve import AnyPlan, plan_from
from llmplan.serving.estimate import ServingEstimate, estimate_serving

LLAMA = {
    "workload": "serve", "model": "llama-3.1-8b", "hardware": "h100-sxm-80gb", "devices": 1, "stack": "vllm",
    "load": "closed", "batch": 16, "input_tokens": 1024, "output_tokens": 256,
}  # fmt: skip


def plan(**changes: Any) -> AnyPlan:
    """Llama 3.1 8B on an H100 under vLLM, with changes; None takes a word away."""
    words = LLAMA | changes
    return plan_from({name: value for name, value in words.items() if value is not None})


def answer(**changes: Any) -> ServingEstimate:
    """The estimate of such a plan."""
    return estimate_serving(plan(**changes))
