"""The layout that is taken where none is given, against the search of all of them."""

from __future__ import annotations

from typing import Any

import pytest

from llmplan import fit
from llmplan.answer.resolve import plan_from
from llmplan.records import replace
from llmplan.training.choose import ONE_BY_ONE, LayoutEvaluator, Rungs, degrees, fastest_that_fits
from llmplan.training.estimate import estimate
from llmplan.training.published import nearest_published

ASKED: list[dict[str, Any]] = [
    {
        "model": "llama-2-7b",
        "hardware": "rtx-4090",
        "devices": 8,
        "workload": "finetune",
        "global_batch": 32,
        "stack": "litgpt",
    },
    {"model": "llama-3.1-8b", "hardware": "h100", "devices": 8, "global_batch": 128},
    {"model": "llama-3.1-70b", "hardware": "h100", "devices": 128, "global_batch": 512},
    {"model": "mixtral-8x22b-v0.1", "hardware": "h100", "devices": 128, "global_batch": 512},
]


@pytest.mark.parametrize("words", ASKED, ids=lambda words: words["model"])
def test_the_default_is_near_what_a_search_finds(words: dict[str, Any]) -> None:
    """It surely fits, and takes at most a fifth longer than the best of all that surely do."""
    found = estimate(plan_from(words))
    best = fit({**words, "devices": str(words["devices"])}).results[0]
    assert found.verdict == best.result.verdict == "fits"
    least = best.result.time.step_seconds.value  # type: ignore[union-attr]
    assert least * (1 - 1e-12) <= found.step.value <= 1.2 * least


def test_room_for_all_activations_is_used() -> None:
    """Nothing is computed twice where a device has the memory to keep it."""
    layout = plan_from({"model": "llama-3.2-1b", "hardware": "h100", "devices": 8}).layout
    assert (layout.tp, layout.pp, layout.recompute) == (1, 1, "none")


def test_no_more_layers_are_computed_again_than_memory_asks_for() -> None:
    words = {"model": "llama-2-13b", "hardware": "a100-sxm-40gb", "devices": 8, "seq_len": 8192, "global_batch": 512,
             "stack": "megatron-core"}  # fmt: skip
    found = estimate(plan_from(words))
    layers = found.plan.layout.recompute_layers
    assert found.plan.layout.recompute == "full"
    assert layers is not None
    assert (found.verdict, 1 <= layers < 40) == ("fits", True)
    fewer = replace(found.plan.layout, recompute_layers=layers - 1)
    assert estimate(found.plan.with_layout(fewer)).verdict == "marginal"
    # neither where a stack computes all or nothing again, nor where it was said
    assert plan_from({**words, "stack": "deepspeed"}).layout.recompute_layers is None
    assert plan_from({**words, "recompute": "full"}).layout.recompute_layers is None


def test_what_is_given_is_kept() -> None:
    plan = plan_from(
        {"model": "llama-3.1-8b", "hardware": "h100", "devices": 8, "tp": 4, "recompute": "full", "zero": 1}
    )
    assert (plan.layout.tp, plan.layout.recompute, plan.layout.zero) == (4, "full", 1)


def test_degrees() -> None:
    assert list(degrees(12, 4, 6, None, None)) == [
        (1, 1), (1, 2), (1, 4), (2, 1), (2, 2), (3, 1), (3, 2), (3, 4), (4, 1), (6, 1), (6, 2),
    ]  # fmt: skip
    assert list(degrees(8, 8, 32, None, None, one=("tp", "pp"))) == [(1, 1)]
    assert list(degrees(8, 8, 32, 2, None)) == [(1, 2), (2, 2), (4, 2)]


def test_the_nearest_published_layout_is_named() -> None:
    """Megatron-LM of 2022 ran GPT-3 175B on 64 A100 with tp 8 and pp 8 (Korthikanti et al., table 4)."""
    model = plan_from({"model": "gpt3-175b", "hardware": "a100-sxm-80gb", "devices": 64}).model
    for devices in (48, 64, 80):
        assert "64 x a100-sxm-80gb with tp 8, pp 8" in nearest_published(model, "a100-sxm-80gb", devices)
    assert nearest_published(model, "no-such-device", 64) == ""
    said = plan_from({"model": "gpt3-175b", "hardware": "a100-sxm-80gb", "devices": 64}).assumptions
    assert any(sentence.startswith("published: ") for sentence in said)
    given = {"tp": 8, "pp": 8}
    said = plan_from({"model": "gpt3-175b", "hardware": "a100-sxm-80gb", "devices": 64, **given}).assumptions
    assert not any(sentence.startswith("published: ") for sentence in said)


@pytest.mark.parametrize(("simpler", "tp"), [(1.0199, 1), (1.0205, 2)])
def test_a_simpler_layout_is_taken_within_two_per_cent(simpler: float, tp: int) -> None:
    words = {"model": "llama-3.2-1b", "hardware": "h100", "devices": 2, "pp": 1, "global_batch": 8}
    plans = [Rungs(plan_from({**words, "tp": degree}), [("none", None)]) for degree in (1, 2)]  # type: ignore[arg-type]
    seconds = {1: simpler, 2: 1.0}
    by = LayoutEvaluator(ONE_BY_ONE.peak, lambda one, batch: seconds[one[0].plan.layout.tp])
    found, fits = fastest_that_fits(plans, 8, by)
    assert fits
    assert found.layout.tp == tp
