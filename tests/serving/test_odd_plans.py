"""Plans at the edges of what can be asked, which once were answered against physics."""

from __future__ import annotations

import pytest

import llmplan
from llmplan.errors import InputError
from llmplan.serving.estimate import ServingEstimate, estimate_serving
from llmplan.serving.plan import ServingPlan
from llmplan.training.estimate import TrainingEstimate, estimate
from llmplan.training.plan import TrainingPlan


def served(**options: object) -> ServingEstimate:
    plan = llmplan.plan_from({"workload": "serve", **options})
    assert isinstance(plan, ServingPlan)
    return estimate_serving(plan)


def trained(**options: object) -> TrainingEstimate:
    plan = llmplan.plan_from(options)
    assert isinstance(plan, TrainingPlan)
    return estimate(plan)


def test_an_answer_of_little_more_than_a_token_ends_after_its_first() -> None:
    found = served(model="smollm2-135m", hardware="tpu-v5p", devices=4, batch=8, output_tokens=1.17)
    assert found.tpot is not None
    assert 0 < found.tpot.low <= found.tpot.value <= found.tpot.high
    assert found.ttft.value < found.request.value


@pytest.mark.parametrize("batch", [512, 516, 519, 576, 640, 641])
def test_one_more_request_in_640_moves_first_tokens_little(batch: int) -> None:
    """Between none that waits for a place and one a replica there is no step."""
    common = {"model": "gpt2-large", "hardware": "rtx-3060-laptop", "devices": 128, "stack": "mlx"}
    common |= {"input_tokens": 9096, "kv_precision": "nvfp4", "memory_fraction": 0.63}
    more = served(**common, batch=batch + 1).ttft.value
    assert served(**common, batch=batch).ttft.value == pytest.approx(more, rel=0.02)


def test_attention_in_32_bits_is_no_faster_than_they_are_where_there_is_no_tf32() -> None:
    found = trained(model="albert-large-v2", hardware="quadro-rtx-8000", seq_len=32768, precision="tf32")
    assert 0 < found.mfu <= found.hfu <= 1


@pytest.mark.parametrize("rate", [5e-324, 1e-10])
def test_a_rate_of_less_than_one_in_thirty_years_is_refused(rate: float) -> None:
    with pytest.raises(InputError, match="request-rate"):
        llmplan.plan_from({"model": "ministral-8b", "hardware": "l40s", "workload": "serve", "request_rate": rate})


def test_places_that_cost_requests_need_not_be_given() -> None:
    """Of 128 requests at once, waves of 84 and 44 take longer than waves of 76 and 52."""
    wave = {"model": "llama-3.1-8b", "hardware": "apple-m2-pro", "devices": 8, "pp": 2, "load": "static", "batch": 512}
    wave |= {"output_tokens": 4387, "input_tokens": 30}
    found = llmplan.estimate({"workload": "serve", **wave}).to_dict()["result"]["bottleneck"]["elasticity"]
    assert found["memory_capacity"] == {"requests": 1.0, "capacity": 1.0, "ttft": 1.0, "tpot": 1.0}
