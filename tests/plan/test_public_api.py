"""`from llmplan import ...`: what notebooks and services use."""

from __future__ import annotations

import pytest

import llmplan
from llmplan import InputError, Plan, PlanOptions, estimate, estimate_json, estimate_serving, plan_from


def test_every_public_name_is_there() -> None:
    assert all(getattr(llmplan, name) is not None for name in llmplan.__all__)
    assert set(llmplan.__all__) <= set(dir(llmplan))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        llmplan.nothing  # noqa: B018


def test_a_plan_and_its_estimate() -> None:
    plan = plan_from(PlanOptions(model="llama-3.1-8b", hardware="h100", devices=8))
    assert isinstance(plan, Plan)
    answer = estimate(plan)
    assert answer.fits
    assert estimate_json(answer)["inputs"]["hardware"] == "h100-sxm-80gb"


def test_a_deployment_and_its_estimate() -> None:
    words = {"model": "llama-3.1-8b", "hardware": "h100", "devices": 1}
    plan = plan_from(PlanOptions(**words, workload="serve"))
    answer = estimate_serving(plan)
    assert answer.fits
    assert estimate_json(answer)["inputs"]["workload"] == "serve"
    with pytest.raises(InputError, match="estimate_serving"):
        estimate(plan)
    with pytest.raises(InputError, match="`estimate`"):
        estimate_serving(plan_from(PlanOptions(**words)))


def test_bad_input_is_one_exception_with_all_faults() -> None:
    with pytest.raises(InputError) as caught:
        plan_from({"model": "nothing-like-it", "hardware": "nor-this"})
    assert len(caught.value.faults) == 2
