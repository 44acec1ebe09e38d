"""Interruptions of a run: how often, how often to save, how much of the time is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.errors import Fault, InputError, did_you_mean
from llmplan.formulas.numeric import real
from llmplan.formulas.reliability import checkpoint_interval, device_interval, goodput, job_interval
from llmplan.machine.facilities import ReliabilityTable
from llmplan.records import dataclass, replace
from llmplan.units import parse_quantity
from llmplan.vocabulary import Amount

if TYPE_CHECKING:
    from llmplan.catalog.catalog import Catalog
    from llmplan.training.plan import TrainingPlan

_STANDSTILL = 1e-3  # share of progress below which a run that takes months takes centuries


LONGEST = 1e6 * 365.25 * 86400.0
"""Of a time between interruptions that means anything [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """How a run fares with interruptions."""

    rate: str
    """Which published run the rate is from."""
    source: str
    device_interval_seconds: Amount
    """Mean time between interruptions that one device causes."""
    interval_seconds: Amount
    """The same of the whole job."""
    restart_seconds: Amount
    """From an interruption until training goes on."""
    checkpoint_interval_seconds: Amount | None = None
    """Best time between checkpoints; left out where the time to write one is not known."""
    goodput: Amount | None = None
    """Share of the wall time that becomes progress; left out likewise."""

    @property
    def advances(self) -> bool:
        """Whether interruptions leave time between them in which the run gets on."""
        return self.goodput is None or self.goodput > _STANDSTILL


def reliability_of(plan: TrainingPlan, write_seconds: float | None, catalog: Catalog) -> Reliability:
    """Reliability of a plan whose checkpoints take `write_seconds`; InputError for an unknown `mtbf`."""
    table = catalog.table("reliability", ReliabilityTable)
    name, source, device = _rate(plan, table)
    job = real(job_interval(device, real(plan.devices)))
    known = Reliability(
        rate=name, source=source, device_interval_seconds=device, interval_seconds=job, restart_seconds=table.restart
    )
    if write_seconds is None:
        return known
    work = real(checkpoint_interval(write_seconds, job))
    share = real(goodput(work, write_seconds, table.restart, job)) if work > 0 else 1.0
    return replace(known, checkpoint_interval_seconds=work, goodput=share)


def _rate(plan: TrainingPlan, table: ReliabilityTable) -> tuple[str, str, float]:
    """Name, source and mean time between interruptions of one device [s]."""
    given = plan.options.mtbf
    wanted = given.strip().lower() if given else table.default
    if wanted in table.rates:
        rate = table.rates[wanted]
        return rate.name, rate.source, real(device_interval(rate.devices, rate.period, rate.interruptions))
    try:
        seconds = parse_quantity(wanted, "s")
        if seconds < 1:
            raise ValueError(f"{given!r} is less than a second")
        if seconds > LONGEST:
            raise ValueError(f"{given!r} is longer than a million years")
    except ValueError as error:
        known = ", ".join(table.rates)
        hint = did_you_mean(wanted, table.rates)
        raise InputError(Fault(f"mtbf: {error}, nor one of the rates {known}{hint}")) from None
    return "as given", "mtbf", seconds
