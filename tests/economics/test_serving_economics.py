"""What a deployment's tokens cost, draw and emit, and from which load it is cheaper than an interface."""

from __future__ import annotations

from typing import Any

import pytest

from llmplan.answer.answer import Answer, answer
from llmplan.answer.economics.serving import PerMillion
from llmplan.answer.resolve import plan_from
from llmplan.answer.serving import ServingResult
from llmplan.catalog.catalog import open_catalog
from llmplan.errors import InputError
from llmplan.report.economics import serving_lines
from llmplan.search.ask import Ask, Wishes
from llmplan.search.serving_goal import serving_value
from llmplan.search.serving_request import serving_question
from llmplan.serving.estimate import estimate_serving
from llmplan.serving.plan import ServingPlan
from llmplan.setup.request import request

PLAN: dict[str, Any] = {
    "model": "llama-3.1-8b", "hardware": "h100-sxm-80gb", "devices": 8, "workload": "serve", "stack": "vllm",
    "batch": 64, "input_tokens": 1000, "output_tokens": 200, "price": "3 USD/h", "grid": "usa",
}  # fmt: skip
MILLION, HOUR = 1e6, 3600.0


def answered(**changes: Any) -> Answer:
    words = {name: value for name, value in {**PLAN, **changes}.items() if value is not None}
    return answer(plan_from(words), open_catalog())


def serve(**changes: Any) -> ServingResult:
    result = answered(**changes).result
    assert isinstance(result, ServingResult)
    return result


def rate(result: ServingResult) -> float:
    return result.throughput.requests_per_second.value


def of(found: PerMillion | None) -> tuple[float, float, float]:
    """Of a million requests, input tokens and output tokens."""
    assert found is not None
    assert found.output_tokens is not None
    return found.requests.value, found.input_tokens.value, found.output_tokens.value


def test_input_and_output_together_cost_what_the_devices_do() -> None:
    result = serve()
    requests, read, written = of(result.cost.usd_per_million)
    assert rate(result) * HOUR * (1000 * read + 200 * written) / MILLION == pytest.approx(8 * 3.0)
    assert rate(result) * HOUR * requests / MILLION == pytest.approx(8 * 3.0)
    assert result.cost.usd_per_hour == pytest.approx(8 * 3.0)
    band = result.cost.usd_per_million.requests  # type: ignore[union-attr]
    assert band.low < band.value < band.high


def test_a_limit_on_the_cost_of_output_holds_the_reading_of_prompts_too() -> None:
    """As `fit` counts it: what the devices cost over the tokens that are written."""
    result = serve(limits={"max_cost_per_million": 1000})
    assert result.limits is not None
    kept = result.limits["max_cost_per_million"]
    assert kept.value == pytest.approx(8 * 3.0 / (rate(result) * 200 * HOUR / MILLION))
    question = serving_question(Ask(request(PLAN), {}, Wishes(objective="cost")), open_catalog())[0]
    plan = plan_from(PLAN)
    assert isinstance(plan, ServingPlan)
    value = serving_value(question, "cost", estimate_serving(plan))
    assert value == {"usd_per_million_output_tokens": pytest.approx(kept.value)}


def test_energy_and_carbon_sum_the_same_way() -> None:
    result = serve(pue=1.3)
    requests, read, written = of(result.energy.joules_per_million)
    watts = rate(result) * (1000 * read + 200 * written) / MILLION
    assert watts == pytest.approx(1.3 * (8 * 700 + 1200)) == result.energy.watts
    carbon = of(result.energy.co2e_kilograms_per_million)[2]
    assert carbon == pytest.approx(written * result.energy.grid.kilograms_per_joule)
    assert rate(result) * requests / MILLION == pytest.approx(result.energy.watts)


@pytest.mark.parametrize(("devices", "watts"), [(1, 700 + 150), (2, 1400 + 300), (12, 12 * 700 + 1800)])
def test_devices_of_a_node_share_its_host(devices: int, watts: float) -> None:
    assert serve(devices=devices, pue=1.0).energy.watts == pytest.approx(watts)


def test_a_request_that_writes_nothing_costs_what_its_input_does() -> None:
    usd = serve(model="bert-base-uncased", stack=None, input_tokens=400, output_tokens=None).cost.usd_per_million
    assert usd is not None
    assert usd.output_tokens is None
    assert usd.requests.value == pytest.approx(400 * usd.input_tokens.value)


def test_instances_that_hold_more_than_is_used_say_so() -> None:
    result = serve(hardware="mi300x", devices=2, price=None)
    offer = result.cost.offer
    assert offer is not None
    assert (offer.devices_used, offer.devices_billed) == (2, 8)
    lines = dict(serving_lines(result))
    assert ", 8 devices of which 2 are used, Azure" in lines["cost"]
    whole = serve(hardware="mi300x", price=None)
    assert "of which" not in dict(serving_lines(whole))["cost"]


def test_output_tokens_cost_more_than_input_tokens() -> None:
    _, read, written = of(serve().cost.usd_per_million)
    assert written > read


def test_a_prompt_that_many_steps_read_costs_all_of_them() -> None:
    """Four steps of 8192 tokens: input was charged for one of them."""
    one, four = (of(serve(input_tokens=tokens, batch=8).cost.usd_per_million)[1] for tokens in (8192, 4 * 8192))
    assert one < four < 2 * one  # attention grows with the prompt


def test_input_is_charged_for_the_devices_that_read() -> None:
    words = {"devices": 6, "tp": 1, "prefill_devices": 2, "prefill_tp": 1}
    assert serve(**words).cost.input_share == pytest.approx(1 / 3)


def test_a_fuller_deployment_is_cheaper_by_the_token() -> None:
    few, many = (of(serve(batch=batch).cost.usd_per_million)[2] for batch in (8, 128))
    assert many < few


def test_break_even_is_where_both_cost_the_same() -> None:
    result = serve(api_price="0.05,0.1")
    api = result.cost.api
    assert api is not None
    assert api.break_even_requests_per_second is not None
    a_request = (1000 * 0.05 + 200 * 0.1) / MILLION
    assert api.break_even_requests_per_second * a_request * HOUR == pytest.approx(24.0)
    assert api.usd_per_hour == pytest.approx(rate(result) * a_request * HOUR)
    capacity = result.load.capacity_requests_per_second
    assert api.break_even_load == pytest.approx(api.break_even_requests_per_second / capacity)
    assert api.own_is_cheaper == (rate(result) > api.break_even_requests_per_second)
    dear = serve(api_price=[5.0, 15.0]).cost.api
    assert dear is not None
    assert dear.own_is_cheaper


def test_without_a_price_nothing_is_said_of_money() -> None:
    result = serve(hardware="mi325x", stack=None, price=None, api_price="1")
    assert result.cost.usd_per_million is None
    assert result.energy.joules_per_million is not None
    assert result.cost.api is not None
    assert result.cost.api.own_is_cheaper is None


@pytest.mark.parametrize("price", ["free", "1,2,3", "-1", [0, 0]])
def test_a_price_list_that_is_none_is_refused(price: Any) -> None:
    with pytest.raises(InputError):
        serve(api_price=price)


def test_it_goes_with_serving_alone() -> None:
    with pytest.raises(InputError, match="api_price goes with workload serve"):
        plan_from({"model": "llama-3.1-8b", "hardware": "h100", "devices": 8, "api_price": "1"})
