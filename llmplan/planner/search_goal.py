"""What is wanted of a layout: objectives and limits, as numbers of which less is better."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import numpy as np

from llmplan.errors import Fault, InputError
from llmplan.formulas.cost import cost_per_million, run_cost
from llmplan.formulas.step import model_flops_utilization
from llmplan.plan.plan import Plan
from llmplan.planner import rates as reach
from llmplan.planner.estimate import TrainingEstimate, interval, training_flops
from llmplan.planner.search_scores import Scores

Objective = Literal["throughput", "time", "cost", "devices", "latency", "memory-headroom"]
OBJECTIVES: tuple[str, ...] = get_args(Objective)
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a layout must keep to; None = no limit.

    max_cost: of the run [USD]; max_hours: of the run [h]; min_mfu [1]; max_step_seconds [s];
    min_tokens_per_second: of all devices [1/s]; surely: the whole memory band fits, not only the prediction.
    """

    max_cost: float | None = None
    max_hours: float | None = None
    min_mfu: float | None = None
    max_step_seconds: float | None = None
    min_tokens_per_second: float | None = None
    surely: bool = False

    def given(self) -> dict[str, Any]:
        """The limits that are set."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) not in (None, False)}


@dataclass(frozen=True, slots=True)
class Goal:
    """Objective and limits.

    hourly: price of so many devices [USD/h], None where no price is known.
    """

    objective: str = "throughput"
    limits: Limits = Limits()
    hourly: Callable[[int], float] | None = None

    def check(self, plan: Plan) -> None:
        """Raises InputError where an objective or a limit lacks what it is made of."""
        faults = []
        limits = self.limits.given()
        for name in ("max_cost", "max_hours"):
            if name in limits and plan.workload.tokens is None:
                faults.append(Fault(f"--{name.replace('_', '-')} is about the whole run: say how many --tokens it has"))
        if self.hourly is None and (self.objective == "cost" or "max_cost" in limits):
            faults.append(Fault(f"no price is known for {plan.device.id}: its cost cannot be told (--price sets one)"))
        if faults:
            raise InputError(faults)

    def value(self, objective: str, plan: Plan, devices: int, step: Any, peak: Any) -> Any:
        """An objective as a number of which less is better, for arrays of step time [s] and peak [bytes]."""
        if objective == "devices":
            return np.full(np.shape(step), float(devices))
        if objective == "memory-headroom":
            return peak
        if objective == "cost":
            assert self.hourly is not None  # `check` refuses it
            return step * self.hourly(devices)
        return step

    def keys(self, scores: Scores, devices: int, index: Any) -> list[Any]:
        """The objective, then the step time, of the layouts at `index`."""
        step, peak = scores.step[index], scores.peak[index]
        first = self.value(self.objective, scores.plan, devices, step, peak)
        return [first] if first is step else [first, step]

    def masks(self, scores: Scores, devices: int) -> Iterator[tuple[str, Any]]:
        """For each limit, its name and which layouts keep to it."""
        plan, step, limits = scores.plan, scores.step, self.limits
        most = self.longest_steps(plan, devices)
        for name, seconds in most.items():
            yield name, step <= seconds
        if limits.surely:
            usable = plan.device.memory.capacity - plan.device.memory.reserved
            yield "surely", scores.peak * interval(1.0, plan, "peak_bytes").high <= usable

    def longest_steps(self, plan: Plan, devices: int) -> dict[str, float]:
        """The longest step that each limit allows [s]."""
        limits, work = self.limits, plan.workload
        tokens = float(work.global_batch) * work.seq_len
        found: dict[str, float] = {}
        if limits.min_mfu is not None:
            top = reach.peak_flops(plan.device, work.precision)
            found["min_mfu"] = float(model_flops_utilization(training_flops(plan), 1.0, float(devices), top)) / limits.min_mfu
        if limits.max_step_seconds is not None:
            found["max_step_seconds"] = limits.max_step_seconds
        if limits.min_tokens_per_second is not None:
            found["min_tokens_per_second"] = tokens / limits.min_tokens_per_second
        if limits.max_hours is not None and work.tokens is not None:
            found["max_hours"] = limits.max_hours * HOUR * tokens / work.tokens
        if limits.max_cost is not None and work.tokens is not None and self.hourly is not None:
            found["max_cost"] = limits.max_cost / self.hourly(devices) * HOUR * tokens / work.tokens
        return found


def objective_value(goal: Goal, objective: str, one: TrainingEstimate) -> dict[str, float]:
    """An objective of one estimate, under a key with its unit."""
    if objective == "devices":
        return {"devices": float(one.plan.devices)}
    if objective == "memory-headroom":
        return {"headroom_bytes": one.usable_bytes - one.peak.value}
    if objective == "throughput":
        return {"tokens_per_second": one.tokens_per_second.value}
    run = one.plan.workload.tokens
    seconds = one.step.value if run is None or objective == "latency" else run / one.tokens_per_second.value
    if objective == "cost":
        assert goal.hourly is not None  # `Goal.check` refuses it
        rate = goal.hourly(one.plan.devices)
        if run is not None:
            return {"run_usd": run_cost(seconds, 1.0, rate)}
        return {"usd_per_million_tokens": cost_per_million(rate, one.tokens_per_second.value)}
    return {"step_seconds": seconds} if run is None or objective == "latency" else {"run_seconds": seconds}
