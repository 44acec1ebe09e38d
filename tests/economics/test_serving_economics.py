"""What a deployment's tokens cost, draw and emit, and from which load it is cheaper than an interface."""

from __future__ import annotations

from typing import Any

import pytest

from llmplan.answer.answer import answer_plan
from llmplan.answer.limits import limits_kept
from llmplan.answer.resolve import plan_from
from llmplan.catalog.catalog import open_catalog
from llmplan.errors import InputError
from llmplan.report.serving_economics import serving_economics_json, serving_economics_rows
from llmplan.search.request import Ask, Wishes
from llmplan.search.serving import serving_value
from llmplan.search.serving_request import serving_question
from llmplan.serving.estimate import ServingEstimate
from llmplan.setup.request import request

PLAN: dict[str, Any] = {
    "model": "llama-3.1-8b", "hardware": "h100-sxm-80gb", "devices": 8, "workload": "serve", "stack": "vllm",
    "batch": 64, "input_tokens": 1000, "output_tokens": 200, "price": "3 USD/h", "grid": "usa",
}  # fmt: skip
MILLION, HOUR = 1e6, 3600.0


def serve(**changes: Any) -> ServingEstimate:
    words = {name: value for name, value in {**PLAN, **changes}.items() if value is not None}
    answer = answer_plan(plan_from(words), open_catalog())
    assert isinstance(answer, ServingEstimate)
    return answer


def test_input_and_output_together_cost_what_the_devices_do() -> None:
    answer = serve()
    found, rate = answer.economics, answer.requests_per_second.value
    assert found is not None
    assert found.output is not None
    assert found.input.usd is not None
    assert found.output.usd is not None
    hourly = rate * HOUR * (1000 * found.input.usd.value + 200 * found.output.usd.value) / MILLION
    assert hourly == pytest.approx(8 * 3.0)
    assert found.request.usd is not None
    assert rate * HOUR * found.request.usd.value / MILLION == pytest.approx(8 * 3.0)
    assert found.request.usd.low < found.request.usd.value < found.request.usd.high


def test_a_limit_on_the_cost_of_output_holds_the_reading_of_prompts_too() -> None:
    """As `fit` counts it: what the devices cost over the tokens that are written."""
    answer = serve(limits={"max_cost_per_million": 1000})
    (kept,) = limits_kept(answer)
    written = answer.requests_per_second.value * 200 * HOUR / MILLION
    assert kept.value == pytest.approx(8 * 3.0 / written)
    question = serving_question(Ask(request(PLAN), {}, Wishes(objective="cost")), open_catalog())[0]
    assert serving_value(question, "cost", answer) == {"usd_per_million_output_tokens": pytest.approx(kept.value)}


def test_energy_and_carbon_sum_the_same_way() -> None:
    answer = serve(pue=1.3)
    found, rate = answer.economics, answer.requests_per_second.value
    assert found is not None
    assert found.output is not None
    assert found.input.joules is not None
    assert found.output.joules is not None
    assert found.output.carbon is not None
    watts = rate * (1000 * found.input.joules.value + 200 * found.output.joules.value) / MILLION
    assert watts == pytest.approx(1.3 * (8 * 700 + 1200)) == found.watts
    assert found.output.carbon.value == pytest.approx(found.output.joules.value * found.grid.intensity)
    assert found.request.joules is not None
    assert rate * found.request.joules.value / MILLION == pytest.approx(found.watts)


@pytest.mark.parametrize(("devices", "watts"), [(1, 700 + 150), (2, 1400 + 300), (12, 12 * 700 + 1800)])
def test_devices_of_a_node_share_its_host(devices: int, watts: float) -> None:
    found = serve(devices=devices, pue=1.0).economics
    assert found is not None
    assert found.watts == pytest.approx(watts)


def test_a_request_that_writes_nothing_costs_what_its_input_does() -> None:
    found = serve(model="bert-base-uncased", stack=None, input_tokens=400, output_tokens=None).economics
    assert found is not None
    assert found.output is None
    assert found.input.usd is not None
    assert found.request.usd is not None
    assert found.request.usd.value == pytest.approx(400 * found.input.usd.value)


def test_instances_that_hold_more_than_is_used_say_so() -> None:
    answer = serve(hardware="a100-sxm-80gb", devices=2, price=None)
    found = answer.economics
    assert found is not None
    assert found.cost.headline is not None
    assert (found.cost.headline.devices_used, found.cost.headline.devices_billed) == (2, 8)
    assert serving_economics_json(found)["cost"]["devices_billed"] == 8
    assert "1 x p4de.24xlarge, 8 devices of which 2 are used, AWS" in dict(serving_economics_rows(found))["cost"]
    whole = serve(hardware="a100-sxm-80gb", price=None).economics
    assert whole is not None
    assert "of which" not in dict(serving_economics_rows(whole))["cost"]


def test_output_tokens_cost_more_than_input_tokens() -> None:
    found = serve().economics
    assert found is not None
    assert found.output is not None
    assert found.input.usd is not None
    assert found.output.usd is not None
    assert found.output.usd.value > found.input.usd.value


def test_a_fuller_deployment_is_cheaper_by_the_token() -> None:
    few, many = serve(batch=8).economics, serve(batch=128).economics
    assert few is not None
    assert many is not None
    assert many.output.usd.value < few.output.usd.value  # type: ignore[union-attr]


def test_break_even_is_where_both_cost_the_same() -> None:
    answer = serve(api_price="0.05,0.1")
    found = answer.economics
    assert found is not None
    api = found.api
    assert api is not None
    assert api.break_even_requests_per_second is not None
    assert api.break_even_load is not None
    a_request = (1000 * 0.05 + 200 * 0.1) / MILLION
    assert api.break_even_requests_per_second * a_request * HOUR == pytest.approx(24.0)
    assert api.break_even_load == pytest.approx(api.break_even_requests_per_second / answer.capacity)
    assert api.own_is_cheaper == (answer.requests_per_second.value > api.break_even_requests_per_second)
    dear = serve(api_price=[5.0, 15.0]).economics
    assert dear is not None
    assert dear.api is not None
    assert dear.api.own_is_cheaper


def test_without_a_price_nothing_is_said_of_money() -> None:
    found = serve(hardware="mi325x", stack=None, price=None, api_price="1").economics
    assert found is not None
    assert found.input.usd is None
    assert found.input.joules is not None
    assert found.api is not None
    assert found.api.own_is_cheaper is None


@pytest.mark.parametrize("price", ["free", "1,2,3", "-1", [0, 0]])
def test_a_price_list_that_is_none_is_refused(price: Any) -> None:
    with pytest.raises(InputError):
        serve(api_price=price)


def test_it_goes_with_serving_alone() -> None:
    with pytest.raises(InputError, match="api_price goes with workload serve"):
        plan_from({"model": "llama-3.1-8b", "hardware": "h100", "devices": 8, "api_price": "1"})
