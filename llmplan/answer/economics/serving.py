"""What a deployment costs, draws and emits by request and token, at its load; and against a list of prices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from llmplan.answer.economics.cost import Cost, Offer, offers_of, old_price
from llmplan.answer.economics.energy import (
    Energy,
    PowerDraw,
    assumed_power,
    carbon_of,
    grid_of,
    it_watts,
    missing_power,
    power_of,
)
from llmplan.formulas.cost import break_even_rate, cost_per_million
from llmplan.formulas.energy import energy_per_million, facility_energy
from llmplan.formulas.numeric import real
from llmplan.machine.facilities import EnergyTable
from llmplan.records import dataclass
from llmplan.serving.loads import prefill_tokens
from llmplan.setup.codes import warning
from llmplan.si import HOUR
from llmplan.software.band import Interval
from llmplan.vocabulary import Amount

if TYPE_CHECKING:
    from llmplan.catalog.catalog import Catalog
    from llmplan.formulas.numeric import Num
    from llmplan.serving.estimate import ServingEstimate
    from llmplan.serving.plan import ServingPlan
    from llmplan.setup.plan import PlanWarning

_MILLION = 1e6
_LEAST = 1e-30  # requests a second


@dataclass(frozen=True, slots=True, kw_only=True)
class PerMillion:
    """Of a million requests, and of a million tokens of each kind with its share of a request's device time."""

    requests: Interval
    """Of the plan's lengths, input and output together: what alternatives are ranked by."""
    input_tokens: Interval
    output_tokens: Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Against an interface that is paid by the token."""

    input_usd_per_million: Amount
    output_usd_per_million: Amount
    usd_per_hour: Amount
    """For the tokens that the deployment serves in an hour."""
    break_even_requests_per_second: Amount | None = None
    """From which the deployment is cheaper."""
    break_even_load: Amount | None = None
    """That as a share of its capacity; above 1 it never is."""
    own_is_cheaper: bool | None = None
    """At the load that there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingCost(Cost):
    """Cost at the load that there is."""

    usd_per_hour: Amount | None = None
    """Of all instances, at the offer; left out where no price is known."""
    input_share: Amount
    """Of a request's device time that its prompt takes: how cost and energy are divided."""
    usd_per_million: PerMillion | None = None
    api: Api | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingEnergy(Energy):
    """Energy and carbon at the load that there is; no figures where the power of the device is not known."""

    watts: Amount | None = None
    """Of all devices with their share of hosts and building."""
    joules_per_million: PerMillion | None = None
    co2e_kilograms_per_million: PerMillion | None = None


@dataclass(frozen=True, slots=True)
class ServingEconomics:
    """A deployment's money and energy, and what is worth knowing about them."""

    cost: ServingCost
    energy: ServingEnergy
    assumptions: tuple[str, ...]
    warnings: tuple[PlanWarning, ...]


def serving_economics(found: ServingEstimate, catalog: Catalog) -> ServingEconomics:
    """What a deployment's tokens cost and draw; raises InputError for an unknown grid."""
    plan, share, (offer, offers) = found.plan, input_share(found), offers_of(found.plan, catalog)
    cost = _cost(found, share, offer, offers)
    energy = _energy(found, share, catalog)
    assumed = () if energy.watts is None else assumed_power(plan, energy.power, energy.grid, "; decoding draws less")
    unknown = _unknown(plan, offer, energy.power)
    warned = [warning("LP042", message=text) for text in unknown]
    if (old := old_price(offer, offers)) is not None:
        warned.append(old)
    return ServingEconomics(cost, energy, tuple(assumed), tuple(warned))


def usd_per_million_requests(found: ServingEstimate, catalog: Catalog) -> Interval | None:
    """What a million requests cost, alone; None where no price is known."""
    offer, _ = offers_of(found.plan, catalog)
    return None if offer is None else _million(found, lambda rate: cost_per_million(offer.usd_per_hour, rate))


def input_share(found: ServingEstimate) -> float:
    """Share of a request's device time that its prompt takes [1]: its prefill against its part of decoding steps; the
    devices that read, where others do."""
    plan, work = found.plan, found.plan.workload
    if plan.prefill is not None:
        return plan.prefill.devices / plan.devices
    together = max(found.together, 1.0)
    steps = work.computed_tokens / real(prefill_tokens(work, plan.engine.policy, 1.0))  # that its prompt is read in
    prefill = real(found.prefill.total) * max(steps, 1.0)
    decode = real(found.decode.total) * max(work.output_tokens - 1.0, 0.0) / together
    return prefill / (prefill + decode) if prefill + decode > 0 else 1.0


def _cost(found: ServingEstimate, share: float, offer: Offer | None, offers: tuple[Offer, ...]) -> ServingCost:
    if offer is None:
        return ServingCost(offers=offers, input_share=share, api=_api(found, None))
    usd = offer.usd_per_hour
    million = _per_million(found, share, lambda part, rate: cost_per_million(usd * part, rate))
    return ServingCost(
        offer=offer, offers=offers, usd_per_hour=usd, input_share=share, usd_per_million=million, api=_api(found, usd)
    )


def _energy(found: ServingEstimate, share: float, catalog: Catalog) -> ServingEnergy:
    plan, table = found.plan, catalog.table("energy", EnergyTable)
    power, grid = power_of(plan, table), grid_of(plan, table)
    machines = it_watts(plan, power)
    if machines is None:
        return ServingEnergy(power=power, grid=grid)
    watts = real(facility_energy(machines, power.pue))
    joules = _per_million(found, share, lambda part, rate: energy_per_million(watts * part, rate))
    carbon = PerMillion(
        requests=carbon_of(joules.requests, grid), input_tokens=carbon_of(joules.input_tokens, grid),
        output_tokens=carbon_of(joules.output_tokens, grid) if joules.output_tokens else None,
    )  # fmt: skip
    return ServingEnergy(
        power=power, grid=grid, watts=watts, joules_per_million=joules, co2e_kilograms_per_million=carbon
    )


def _per_million(found: ServingEstimate, share: float, price: Callable[[float, float], Num]) -> PerMillion:
    """What a million of each takes; share: of the input [1]; price: of a share of the time [1] at a rate [1/s]."""
    work = found.plan.workload

    def million(part: float, each: float) -> Interval:
        return _million(found, lambda rate: price(part, rate), each)

    return PerMillion(
        requests=million(1.0, 1.0), input_tokens=million(share, work.input_tokens),
        output_tokens=million(1.0 - share, work.output_tokens) if work.writes else None,
    )  # fmt: skip


def _million(found: ServingEstimate, price: Callable[[float], Num], each: float = 1.0) -> Interval:
    """Of a million of what a request has so many of [1]; price: at a rate [1/s]."""
    requests = found.requests_per_second
    value, high, low = max(requests.value, _LEAST), max(requests.high, _LEAST), max(requests.low, _LEAST)
    return Interval(real(price(value * each)), real(price(high * each)), real(price(low * each)))


def _api(found: ServingEstimate, usd: float | None) -> Api | None:
    price, work = found.plan.options.api_price, found.plan.workload
    if price is None:
        return None
    a_request = (work.input_tokens * price[0] + work.output_tokens * price[1]) / _MILLION
    hourly = a_request * found.requests_per_second.value * HOUR
    if usd is None or a_request <= 0:
        return Api(input_usd_per_million=price[0], output_usd_per_million=price[1], usd_per_hour=hourly)
    tokens = work.input_tokens + work.output_tokens
    rate = real(break_even_rate(usd, a_request / tokens * _MILLION)) / tokens
    return Api(
        input_usd_per_million=price[0], output_usd_per_million=price[1], usd_per_hour=hourly,
        break_even_requests_per_second=rate, break_even_load=rate / found.capacity, own_is_cheaper=usd < hourly,
    )  # fmt: skip


def _unknown(plan: ServingPlan, offer: Offer | None, power: PowerDraw) -> Iterator[str]:
    """What is not known, in sentences."""
    if offer is None:
        yield f"no price of {plan.device.id} on demand is in the catalogue (--price gives one)"
    yield from missing_power(plan, power)
