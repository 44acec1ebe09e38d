"""Devices that share prompts (cp) or a cache (dcp) in a search: figures as of `estimate`, and what is tried."""

from __future__ import annotations

from typing import Any

import pytest

from llmplan.api.calls import estimate, fit
from llmplan.errors import InputError
from llmplan.search.ask import Wishes
from llmplan.search.deployments import chunks
from llmplan.search.serving import search_serving
from llmplan.search.serving_goal import serving_value
from llmplan.search.serving_space import DeploymentSpace
from llmplan.search.shared import goes_with
from llmplan.search.split import SplitSpace
from llmplan.serving.estimate import estimate_serving
from tests.search.test_search_serving import asked

LONG: dict[str, Any] = {"hardware": "h200", "stack": "sglang", "input_tokens": 60_000, "output_tokens": 300}
DENSE, LATENT = LONG | {"model": "llama-3.1-70b"}, LONG | {"model": "deepseek-r1"}


@pytest.mark.parametrize(
    ("words", "degree", "space"),
    [
        (DENSE | {"load": "closed"}, {"cp": "2", "batch": "3"}, DeploymentSpace),
        (DENSE | {"request_rate": 0.1}, {"cp": "4"}, DeploymentSpace),
        (DENSE | {"request_rate": 0.1}, {"prefill_cp": "2", "tp": "4"}, SplitSpace),
        (LATENT | {"load": "closed"}, {"dcp": "4", "batch": "3"}, DeploymentSpace),
        (LATENT | {"request_rate": 0.1}, {"dcp": "2"}, DeploymentSpace),
    ],
)
def test_arrays_are_what_estimate_says(
    words: dict[str, Any], degree: dict[str, str], space: type[DeploymentSpace]
) -> None:
    question = asked(Wishes(objective="latency", top=1), {"devices": "8,16"} | degree, **words)
    best, seen = float("inf"), 0
    for base in question.bases:
        goes = goes_with(base, question.choices, split=space is SplitSpace)
        for many in chunks(space(base, question.devices, None, question.choices)) if goes else ():
            for index in range(len(many.rows)):
                plan, layout = many.make(index)
                alone = estimate_serving(plan.with_layout(layout))
                assert alone.plan.as_options()[next(iter(degree))] == int(next(iter(degree.values())))
                assert many.devices[index] == alone.plan.devices
                assert bool(many.fits[index]) == alone.fits
                assert many.capacity[index] == pytest.approx(alone.capacity, rel=1e-12)
                assert many.answer.ttft[index] == pytest.approx(alone.ttft.value, rel=1e-12)
                assert many.answer.request[index] == pytest.approx(alone.request.value, rel=1e-12)
                best = min(best, alone.request.value) if alone.answers and alone.stable else best
                seen += 1
    assert seen > 2
    (found,) = search_serving(question).best
    assert serving_value(question, "latency", found)["request_seconds"] == pytest.approx(best, rel=1e-12)


def test_degrees_are_tried_for_long_prompts_alone() -> None:
    """Of latent attention all devices hold copies; of eight heads none does up to tp 8."""

    def tried(**words: Any) -> list[tuple[int, int | None]]:
        question = asked(Wishes(top=1), {"devices": "8"}, **words)
        return [(base.layout.cp, base.workload.dcp) for base in question.bases]

    assert tried(**LATENT) == [(1, None), (1, 2), (1, 4), (1, 8), (2, None), (4, None), (8, None)]
    assert tried(**LATENT | {"stack": "vllm"}) == [(1, None), (1, 2), (1, 4), (1, 8)]
    assert tried(**LATENT | {"stack": "tensorrt-llm"}) == [(1, None)]
    assert tried(**LATENT | {"input_tokens": 4000}) == [(1, None)]


def test_an_answer_is_found_again() -> None:
    for words in (DENSE | {"tp": 4, "cp": 2}, LATENT | {"tp": 8, "dcp": 4}):
        first = estimate(words | {"workload": "serve", "devices": 8, "batch": 4})
        assert fit(first.inputs, top=1).results[0].to_dict()["result"] == first.to_dict()["result"]


@pytest.mark.parametrize(
    ("words", "given", "says"),
    [
        ({"stack": "vllm"}, {"cp": "2"}, "--cp: vLLM does not share a prompt"),
        ({"stack": "tensorrt-llm"}, {"dcp": "1,2"}, "--dcp: NVIDIA TensorRT-LLM does not spread a cache"),
        ({}, {"cp": "2", "dcp": "2"}, "--dcp goes without --cp"),
    ],
)
def test_what_cannot_be_shared(words: dict[str, Any], given: dict[str, str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        asked(Wishes(top=1), {"devices": "8"} | given, **LATENT | words)
