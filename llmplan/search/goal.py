"""What is wanted of a layout: an objective and limits, as numbers of which less is better."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import field
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from llmplan.answer.economics.run import run_tokens
from llmplan.answer.economics.summary import economics
from llmplan.errors import Fault, InputError
from llmplan.formulas.cost import cost_per_million
from llmplan.formulas.step import model_flops_utilization
from llmplan.machine.kernels import peak_flops
from llmplan.records import dataclass
from llmplan.search.terms import Market
from llmplan.setup.limits import Limits
from llmplan.si import DAY, HOUR
from llmplan.training.estimate import TrainingEstimate
from llmplan.training.flops import training_flops
from llmplan.training.flow import step_tokens

if TYPE_CHECKING:
    from llmplan.search.scores import Scores
    from llmplan.software.band import Interval
    from llmplan.training.plan import TrainingPlan

Objective = Literal["throughput", "time", "cost", "devices", "latency", "memory-headroom"]
OBJECTIVES: tuple[str, ...] = get_args(Objective)
OF_RUN = ("max_days", "max_cost")
KNOWN = (*OF_RUN, "max_step", "max_memory", "min_mfu", "min_tokens_per_second")
"""Limits that a search of trainings can keep."""
SURELY = "surely"


@dataclass(frozen=True, slots=True)
class Goal:
    """Objective and limits.

    surely: the whole memory band must fit, not only the prediction; market: prices and interruptions.
    """

    market: Market
    objective: str = "throughput"
    limits: Limits = field(default_factory=Limits)
    surely: bool = False
    others: tuple[str, ...] = ()
    """Other objectives that are asked about, for `check`."""

    def given(self) -> dict[str, Any]:
        """The limits that are set, by name."""
        found = self.limits.stated()
        return {**found, **({SURELY: True} if self.surely else {})}

    @property
    def counts_money(self) -> bool:
        """Whether prices are asked for."""
        return "cost" in (self.objective, *self.others) or self.limits.max_cost is not None

    def check(self, plan: TrainingPlan, devices: int) -> None:
        """Raises InputError where an objective or a limit lacks what it is made of, or cannot be searched by."""
        faults, given = [], self.given()
        for name in given:
            option = f"--{name.replace('_', '-')}"
            if name not in (*KNOWN, SURELY):
                faults.append(Fault(f"{option} cannot be searched by; there are {', '.join(KNOWN)}"))
            elif name in OF_RUN and run_tokens(plan) is None:
                faults.append(
                    Fault(f"{option} is about the whole run: say how long it is (--tokens, --steps, --epochs)")
                )
        if self.counts_money:
            try:
                self.market.check(plan, devices)
            except InputError as error:
                faults += error.faults
        if faults:
            raise InputError(faults)

    def value(self, objective: str, scores: Scores, devices: int, index: Any) -> Any:
        """An objective of the layouts at `index` as numbers of which less is better."""
        step = scores.step[index]
        if objective == "devices":
            return np.full(np.shape(step), float(devices))
        if objective == "memory-headroom":
            return scores.peak[index]
        if objective in ("cost", "time"):
            terms = self.market.terms(scores.plan, devices)
            rate = terms.usd_per_hour if objective == "cost" else 1.0
            return step * terms.stretch * (math.inf if rate is None else rate)
        return step

    def keys(self, scores: Scores, devices: int, index: Any) -> list[Any]:
        """What the layouts at `index` are ranked by: the objective, then the step time."""
        return [self.value(self.objective, scores, devices, index), scores.step[index]]

    def masks(self, scores: Scores, devices: int) -> Iterator[tuple[str, Any]]:
        """For each limit, its name and which layouts keep to it."""
        plan = scores.plan
        for name, seconds in self.longest_steps(plan, devices).items():
            yield name, scores.step <= seconds
        if self.limits.max_memory is not None:
            yield "max_memory", scores.peak <= self.limits.max_memory
        if self.surely:
            usable = plan.usable_bytes
            yield SURELY, scores.peak * plan.interval("peak_bytes", 1.0).high <= usable

    def longest_steps(self, plan: TrainingPlan, devices: int) -> dict[str, float]:
        """The longest step that each limit allows [s]."""
        limits, tokens = self.limits, step_tokens(plan)
        found: dict[str, float] = {}
        if limits.min_mfu is not None:
            top = peak_flops(plan.device, plan.workload.precision)
            found["min_mfu"] = (
                float(model_flops_utilization(training_flops(plan), 1.0, float(devices), top)) / limits.min_mfu
            )
        if limits.max_step is not None:
            found["max_step"] = limits.max_step
        if limits.min_tokens_per_second is not None:
            found["min_tokens_per_second"] = tokens / limits.min_tokens_per_second
        run = run_tokens(plan)
        if run is not None and (limits.max_days is not None or limits.max_cost is not None):
            terms = self.market.terms(plan, devices)
            steps = run / tokens * terms.stretch
            if limits.max_days is not None:
                found["max_days"] = limits.max_days * DAY / steps
            if limits.max_cost is not None:
                rate = math.inf if terms.usd_per_hour is None else terms.usd_per_hour
                found["max_cost"] = limits.max_cost / rate * HOUR / steps
        return found


def objective_value(goal: Goal, objective: str, one: TrainingEstimate) -> dict[str, float]:
    """An objective of one estimate, under a key with its unit."""
    if objective == "devices":
        return {"devices": float(one.plan.devices)}
    if objective == "memory-headroom":
        return {"headroom_bytes": one.usable_bytes - one.peak.value}
    if objective == "throughput":
        return {"tokens_per_second": one.tokens_per_second.value}
    run = economics(one, goal.market.catalog)
    if objective == "cost":
        return _cost(goal, one, run.cost.usd if run else None)
    if objective == "time" and run is not None:
        return {"run_seconds": run.run.wall_seconds.value}
    return {"step_seconds": one.step.value}


def _cost(goal: Goal, one: TrainingEstimate, run: Interval | None) -> dict[str, float]:
    """Of the run where its length was given, else of a million tokens."""
    if run is not None:
        return {"run_usd": run.value}
    rate = goal.market.hourly(one.plan, one.plan.devices)
    assert rate is not None  # `Goal.check` refuses it
    return {"usd_per_million_tokens": float(cost_per_million(rate, one.tokens_per_second.value))}
