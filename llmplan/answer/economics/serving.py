"""What a deployment costs, draws and emits by request and token, at its load; and against a list of prices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llmplan.answer.economics.cost import Cost, cost_of
from llmplan.answer.economics.energy import Power, assumed_power, grid_of, it_watts, missing_power, power_of
from llmplan.formulas.carbon import operational_carbon
from llmplan.formulas.cost import break_even_rate, cost_per_million
from llmplan.formulas.energy import energy_per_million, facility_energy
from llmplan.formulas.numeric import real
from llmplan.machine.facilities import EnergyTable
from llmplan.setup.codes import warning
from llmplan.software.band import Interval

if TYPE_CHECKING:
    from llmplan.catalog.catalog import Catalog
    from llmplan.machine.facilities import Grid
    from llmplan.serving.estimate import ServingEstimate
    from llmplan.serving.plan import ServingPlan

_HOUR = 3600.0
_AN_HOUR = Interval(_HOUR, _HOUR, _HOUR)
_MILLION = 1e6


@dataclass(frozen=True, slots=True)
class PerMillion:
    """A million requests, input or output tokens; usd [USD], joules [J], carbon [kg]; None where not known."""

    usd: Interval | None
    joules: Interval | None
    carbon: Interval | None


@dataclass(frozen=True, slots=True)
class Api:
    """Against an interface that is paid by the token.

    input_usd_per_million, output_usd_per_million: what it asks [USD]; usd_per_hour: that for what the deployment serves
    in an hour [USD/h]; break_even_requests_per_second: from which the deployment is cheaper [1/s]; break_even_load:
    that as a share of its capacity, above 1 = never [1]; own_is_cheaper: at its load. None: no price is known.
    """

    input_usd_per_million: float
    output_usd_per_million: float
    usd_per_hour: float
    break_even_requests_per_second: float | None
    break_even_load: float | None
    own_is_cheaper: bool | None


@dataclass(frozen=True, slots=True)
class ServingEconomics:
    """A deployment's money and energy.

    input_share: of a request's device time that its prompt takes [1]; request: requests of the plan's lengths, in all;
    input, output: their tokens, each with its share of that.
    """

    cost: Cost
    power: Power
    grid: Grid
    watts: float | None
    input_share: float
    request: PerMillion
    input: PerMillion
    output: PerMillion | None
    api: Api | None
    assumptions: tuple[str, ...]


def with_economics(answer: ServingEstimate, catalog: Catalog) -> ServingEstimate:
    """The estimate with what its tokens cost; raises InputError for an unknown grid."""
    plan = answer.plan
    table = catalog.table("energy", EnergyTable)
    cost, power, grid = cost_of(plan, _AN_HOUR, catalog), power_of(plan, table), grid_of(plan, table)
    watts = _watts(plan, power)
    share = input_share(answer)
    work = plan.workload
    usd = cost.headline.usd if cost.headline else None

    def million(part: float, each: float) -> PerMillion:
        return _per_million(answer.requests_per_second, each, part, usd, watts, grid.intensity)

    writes = work.output_tokens > 1.0
    found = ServingEconomics(
        cost, power, grid, watts, share, million(1.0, 1.0), million(share, work.input_tokens),
        million(1.0 - share, work.output_tokens) if writes else None, _api(answer, usd),
        () if watts is None else tuple(assumed_power(plan, power, grid, "; decoding draws less")),
    )  # fmt: skip
    assumed = replace(plan, assumptions=plan.assumptions + found.assumptions)
    warnings = answer.warnings + tuple(warning("LP042", message=text) for text in _unknown(plan, cost, power))
    return replace(answer, plan=assumed, warnings=warnings, economics=found)


def input_share(answer: ServingEstimate) -> float:
    """Share of a request's device time that its prompt takes [1]: a prefill against its part of decoding steps."""
    work = answer.plan.workload
    together = max(answer.together, 1.0)
    prefill = real(answer.prefill.total)
    decode = real(answer.decode.total) * max(work.output_tokens - 1.0, 0.0) / together
    return prefill / (prefill + decode) if prefill + decode > 0 else 1.0


def _per_million(
    requests: Interval, each: float, share: float, usd: float | None, watts: float | None, intensity: float
) -> PerMillion:
    """A million of what a request has `each` of, which take `share` of its time; the band is that of the requests."""
    rates = [max(rate, 1e-30) * each for rate in (requests.value, requests.high, requests.low)]
    money = None if usd is None else Interval(*(real(cost_per_million(usd * share, rate)) for rate in rates))
    if watts is None:
        return PerMillion(money, None, None)
    joules = Interval(*(real(energy_per_million(watts * share, rate)) for rate in rates))
    carbon = Interval(*(real(operational_carbon(one, intensity)) for one in (joules.value, joules.low, joules.high)))
    return PerMillion(money, joules, carbon)


def _watts(plan: ServingPlan, power: Power) -> float | None:
    """What the deployment draws with its share of hosts and building [W]."""
    machines = it_watts(plan, power)
    return None if machines is None else real(facility_energy(machines, power.pue))


def _api(answer: ServingEstimate, usd: float | None) -> Api | None:
    price, work = answer.plan.options.api_price, answer.plan.workload
    if price is None:
        return None
    a_request = (work.input_tokens * price[0] + work.output_tokens * price[1]) / _MILLION
    hourly = a_request * answer.requests_per_second.value * _HOUR
    if usd is None or a_request <= 0:
        return Api(price[0], price[1], hourly, None, None, None)
    tokens = work.input_tokens + work.output_tokens
    rate = real(break_even_rate(usd, a_request / tokens * _MILLION)) / tokens
    return Api(price[0], price[1], hourly, rate, rate / answer.capacity, usd < hourly)


def _unknown(plan: ServingPlan, cost: Cost, power: Power) -> Iterator[str]:
    if cost.headline is None:
        yield f"no price of {plan.device.id} on demand is in the catalogue (--price gives one)"
    yield from missing_power(plan, power)
