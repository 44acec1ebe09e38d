"""A whole run: time, cost, energy, carbon, storage, interruptions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llmplan.answer.economics.cost import RunCost, offers_of, old_price
from llmplan.answer.economics.energy import RunEnergy, assumed_power, missing_power, run_energy
from llmplan.answer.economics.reliability import Reliability, reliability_of
from llmplan.answer.economics.run import RunAnswer, run_of, run_tokens
from llmplan.answer.economics.storage import RunStorage, storage_of
from llmplan.formatting import decimal, duration
from llmplan.records import dataclass
from llmplan.setup.codes import warning
from llmplan.si import HOUR

if TYPE_CHECKING:
    from llmplan.catalog.catalog import Catalog
    from llmplan.setup.plan import PlanWarning
    from llmplan.training.estimate import TrainingEstimate
    from llmplan.training.plan import TrainingPlan

_MUCH = 0.05  # share of a run that checkpoints may take before it is worth a warning


@dataclass(frozen=True, slots=True)
class Economics:
    """A run, part by part, and what is worth knowing about it."""

    run: RunAnswer
    cost: RunCost
    energy: RunEnergy
    storage: RunStorage
    assumptions: tuple[str, ...]
    warnings: tuple[PlanWarning, ...]


def economics(found: TrainingEstimate, catalog: Catalog) -> Economics | None:
    """The run of an estimate's plan; None where its length was not given. Raises InputError for unknown options."""
    plan, tokens = found.plan, run_tokens(found.plan)
    if tokens is None:
        return None
    storage = storage_of(found, tokens)
    reliability = reliability_of(plan, storage.write_seconds, catalog)
    run = run_of(found, tokens, reliability, max(1.0, storage.load or 1.0))
    offer, offers = offers_of(plan, catalog, run.wall_seconds)
    cost = RunCost(offer=offer, offers=offers, usd=offer.usd if offer else None)
    energy = run_energy(plan, run.wall_seconds, catalog)
    warnings = tuple(_warnings(plan, storage, reliability, cost, energy))
    return Economics(run, cost, energy, storage, tuple(_assumptions(plan, reliability, energy)), warnings)


def _assumptions(plan: TrainingPlan, reliability: Reliability, energy: RunEnergy) -> Iterator[str]:
    """What was filled in for the run, a sentence each."""
    if plan.options.mtbf is None:
        hours = reliability.device_interval_seconds / HOUR
        yield f"mtbf {hours:.0f} h a device: as {reliability.rate}"
    if energy.power.device_watts is not None:
        yield from assumed_power(plan, energy.power, energy.grid)


def _warnings(
    plan: TrainingPlan, storage: RunStorage, reliability: Reliability, cost: RunCost, energy: RunEnergy
) -> Iterator[PlanWarning]:
    if storage.holds_back and storage.read_bytes_per_second is not None:
        needed, have = (
            decimal(storage.needed_bytes_per_second, "B/s", 3),
            decimal(storage.read_bytes_per_second, "B/s", 3),
        )
        yield warning("LP040", needed=needed, cluster=plan.cluster.id, have=have)
    if storage.write_seconds is None:
        message = (
            f"cluster {plan.cluster.id} has no storage entry: the run is counted without checkpoints and interruptions"
        )
        yield warning("LP042", message=message)
    elif not reliability.advances:
        every, restart = duration(reliability.interval_seconds), duration(reliability.restart_seconds)
        yield warning("LP043", every=every, restart=restart)
    elif reliability.checkpoint_interval_seconds is not None:
        share = storage.write_seconds / (storage.write_seconds + reliability.checkpoint_interval_seconds)
        if share > _MUCH:
            size, seconds = decimal(storage.checkpoint_bytes, "B", 3), duration(storage.write_seconds)
            yield warning("LP041", size=size, seconds=seconds, share=f"{share:.0%}")
    if cost.offer is None:
        other = f" on demand, only {len(cost.offers)} other" if cost.offers else ""
        yield warning("LP042", message=f"no price of {plan.device.id} is in the catalogue{other} (--price gives one)")
    if (old := old_price(cost.offer, cost.offers)) is not None:
        yield old
    for sentence in missing_power(plan, energy.power):
        yield warning("LP042", message=sentence)
