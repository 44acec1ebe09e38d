"""Words that a run does not say: guesses that widen the band of its time, options whose other choice is told."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import pytest

import llmplan
from llmplan.answer.answer import answer
from llmplan.answer.resolve import plan_from
from llmplan.catalog.catalog import open_catalog
from llmplan.errors import InputError
from llmplan.training.estimate import TrainingEstimate, estimate
from llmplan.training.plan import TrainingPlan
from llmplan.training.unstated import TELLING, unstated_options

RUN: dict[str, Any] = {
    "model": "llama-3.1-8b", "hardware": "a100-sxm-80gb", "devices": 16, "tp": 2, "pp": 1, "vp": 1, "seq_len": 4096,
    "micro_batch": 1, "global_batch": 64, "workload": "pretrain", "zero": 1, "optimizer": "adam",
    "flash_attention": True, "sequence_parallel": True,
}  # fmt: skip
FULL: dict[str, Any] = RUN | {"recompute": "full"}


def planned(words: dict[str, Any], unstated: dict[str, dict[str, float]] | None = None) -> TrainingPlan:
    """The plan, under a stack whose measured runs all said these words."""
    plan = plan_from(words)
    assert isinstance(plan, TrainingPlan)
    return replace(plan, stack=replace(plan.stack, unstated=unstated or {}))


def half_widths(found: TrainingEstimate) -> tuple[float, float]:
    """Of the band of the step's time on a logarithmic scale, down and up."""
    return math.log(found.step.value / found.step.low), math.log(found.step.high / found.step.value)


def test_squares_of_what_is_guessed_add_up() -> None:
    assert planned(FULL).guessed == ()
    silent = {name: value for name, value in FULL.items() if name not in ("recompute", "optimizer")}
    plan = planned(silent, {"training": {"recompute": 0.3, "optimizer": 0.4, "zero": 0.9}})
    assert set(plan.guessed) == {"recompute", "optimizer"}
    known, wide = half_widths(estimate(planned(silent))), half_widths(estimate(plan))
    assert wide == pytest.approx([math.sqrt(one**2 + 0.5**2) for one in known])
    assert estimate(plan).peak == estimate(planned(silent)).peak  # memory has words of its own


def test_what_is_guessed_widens_memory_until_it_may_not_fit() -> None:
    silent = {name: value for name, value in FULL.items() if name != "zero"}
    known, wide = (estimate(planned(silent, {"memory": {"zero": width}})) for width in (0.0, 2.0))
    up, more = (math.log(found.peak.high / found.peak.value) for found in (known, wide))
    assert more == pytest.approx(math.hypot(up, 2.0))
    assert wide.step == known.step
    assert (known.verdict, wide.verdict) == ("fits", "marginal")


def test_nothing_is_guessed_where_the_plan_is_advice() -> None:
    open_layout = {name: value for name, value in RUN.items() if name not in ("tp", "pp", "sequence_parallel")}
    assert planned(open_layout).guessed == ()


def test_guesses_come_back_with_the_inputs() -> None:
    stack = next(
        one
        for name in open_catalog().ids("stacks")
        if "recompute" in (one := open_catalog().stack(name)).unstated.get("training", {})
    )
    first = answer(plan_from(RUN | {"stack": stack.id}), open_catalog())
    assert first.inputs["guessed"]
    assert any(one.startswith("not stated: recompute (") for one in first.assumptions)
    again = answer(plan_from(first.inputs), open_catalog())
    assert again.result == first.result
    assert again.inputs == first.inputs
    said = answer(plan_from({**first.inputs, "guessed": None}), open_catalog())
    step, wide = said.result.time.step_seconds, first.result.time.step_seconds
    assert (wide.low, wide.high) < (step.low, wide.high)
    assert step.value == wide.value


def test_a_word_that_cannot_be_guessed_is_refused() -> None:
    with pytest.raises(InputError, match="guessed"):
        plan_from(FULL | {"guessed": ["micro_batch"]})


def test_options_whose_other_choice_matters_are_told() -> None:
    wide = FULL | {"tp": 8}
    found = estimate(planned(wide))
    told = {one.partition(":")[0]: one for one in unstated_options(found)}
    assert "tp_comm_overlap" in told
    change = re.search(r"([+-]\d+)% if off", told["tp_comm_overlap"])
    assert change is not None
    off = estimate(planned(wide | {"tp_comm_overlap": False})).step.value / found.step.value - 1.0
    assert off > TELLING
    assert float(change[1]) / 100 == pytest.approx(off, abs=0.005)
    said = wide | {"tp_comm_overlap": True, "gradient_precision": "bf16"}
    assert unstated_options(estimate(planned(said))) == ()
    alone = FULL | {"tp": 1, "devices": 1, "sequence_parallel": None, "zero": 0}
    assert unstated_options(estimate(planned(alone))) == ()  # nothing is exchanged


def test_a_search_keeps_what_is_guessed() -> None:
    """The inputs of an answer, given to `fit`, bring the same band."""
    words = {"model": "pythia-2.8b", "hardware": "rtx-a6000", "devices": 2, "stack": "megatron-core", "tp": 1, "pp": 1}
    answer = llmplan.estimate(words)
    assert answer.inputs["guessed"]
    found = llmplan.fit(answer.inputs, top=1).results[0]
    assert (found.inputs, found.result) == (answer.inputs, answer.result)
