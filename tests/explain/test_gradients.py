"""Derivatives of whole plans: what one pass backwards says is what slightly changed plans do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from llmplan.answer.named import named_machine
from llmplan.answer.resolve import plan_from
from llmplan.errors import InputError
from llmplan.formulas.traced import by_leaf
from llmplan.serving.iteration import replica
from llmplan.serving.loads import respond
from llmplan.training.memory import training_memory
from llmplan.training.step import training_time
from tests.planner.random_plans import options

NUDGE = 1e-6


def changed(thing: Any, keys: list[str], factor: float) -> Any:
    """The thing with the number at a path times a factor."""
    if not keys:
        return thing * factor
    if isinstance(thing, dict):
        return {**thing, keys[0]: changed(thing[keys[0]], keys[1:], factor)}
    part = {keys[0]: changed(getattr(thing, keys[0]), keys[1:], factor)}
    return replace(thing, **part)


def step(plan: Any) -> Any:
    return training_time(plan).step_seconds


def first_token(plan: Any) -> Any:
    return respond(replica(plan), plan.workload, plan.engine.policy, float(plan.layout.dp), 100.0).ttft


def compare(plan: Any, figure: Any, nudge: float = NUDGE) -> None:
    here = float(figure(plan))
    made = figure(named_machine(plan))
    assert float(made) == here
    for leaf, slope in by_leaf(made):
        keys = leaf.note.split(".")
        if leaf != 0 and "domain" not in keys and "compute_units" not in keys:
            more, less = (float(figure(changed(plan, keys, 1.0 + sign * nudge))) for sign in (1.0, -1.0))
            right, left = (more - here) / nudge, (here - less) / nudge
            if abs(right - left) < max(1e-3, 100 * nudge) * max(abs(right), abs(left)) + 1e-6 * here:  # no kink
                assert slope == pytest.approx((right + left) / 2, rel=1e-2 + 20 * nudge, abs=1e-5 * here), leaf.note


@given(options())
@settings(max_examples=25)
def test_of_the_step_of_any_training(words: dict[str, Any]) -> None:
    try:
        plan = plan_from(words)
    except InputError:
        return
    compare(plan, step)
    assert training_memory(named_machine(plan)) == training_memory(plan)  # type: ignore[arg-type]


@pytest.mark.parametrize("load", [{"batch": 16}, {"load": "static", "batch": 500}, {"load": "open", "request_rate": 2}])
@pytest.mark.parametrize("model", ["llama-3.1-8b", "mixtral-8x7b", "deepseek-v3-671b", "t5-large"])
def test_of_the_first_token_of_a_deployment(model: str, load: dict[str, Any]) -> None:
    plan = plan_from(
        {"model": model, "hardware": "h100", "devices": 16, "workload": "serve", "stack": "sglang", **load}
    )
    # the number in flight under an open load is found to a millionth of its range
    compare(plan, first_token, 1e-3 if "request_rate" in load else NUDGE)
