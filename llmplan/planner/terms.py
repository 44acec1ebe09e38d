"""The figures of an estimate that can be explained, and which calls each comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmplan.errors import Fault, InputError, did_you_mean

if TYPE_CHECKING:
    from llmplan.planner.estimate import TrainingEstimate

ALL = "all"


@dataclass(frozen=True, slots=True)
class Selector:
    """Calls of a function, whatever its leading underscore; target: only where the result gets that name."""

    function: str
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Term:
    """A figure: its unit, how to read it off an answer, the calls that make it, catalogue numbers that are it.

    within: what the call gave in which to look, where there are several alike.
    """

    unit: str
    value: Callable[[TrainingEstimate], Any]
    calls: tuple[Selector, ...] = ()
    numbers: tuple[str, ...] = ()
    within: Callable[[TrainingEstimate], Any] | None = None


def _memory(part: str, *calls: Selector, numbers: tuple[str, ...] = ()) -> Term:
    return Term("bytes", lambda answer: getattr(answer.memory, part), calls, numbers)


def _time(part: str, *calls: Selector, numbers: tuple[str, ...] = ()) -> Term:
    return Term("s", lambda answer: getattr(answer.time, part), calls, numbers)


def _run(unit: str, value: Callable[[Any], Any], *functions: str) -> Term:
    """A figure of the whole run; None where its length was not said."""
    calls = tuple(Selector(name) for name in functions)
    return Term(unit, lambda answer: None if answer.economics is None else value(answer.economics), calls)


def _headline(answer: TrainingEstimate) -> Any:
    return answer.economics.cost.headline if answer.economics else None


S = Selector
_HELD = (S("layer_parameters", "held"), S("end_parameters"), S("state_bytes"))

TERMS: dict[str, Term] = {
    "weights_bytes": _memory("weights_bytes", S("divided", "weights"), *_HELD),
    "gradients_bytes": _memory("gradients_bytes", S("divided", "gradients_bytes"), *_HELD),
    "optimizer_states_bytes": _memory("optimizer_states_bytes", S("divided", "states"), *_HELD),
    "activations_bytes": _memory("activations_bytes", S("activations"), S("micro_batches_in_flight")),
    "logits_bytes": _memory("logits_bytes", S("logits_bytes")),
    "gathered_bytes": _memory("gathered_bytes", S("gathered"), S("at_loading")),
    "workspace_bytes": _memory("workspace_bytes", numbers=("stack.memory.workspace",)),
    "overhead_bytes": _memory("overhead_bytes", numbers=("stack.memory.fragmentation",)),
    "context_bytes": _memory("context_bytes", numbers=("stack.memory.context",)),
    "matmul_seconds": _time("matmul_seconds", S("linear_seconds")),
    "attention_seconds": _time("attention_seconds", S("core_seconds")),
    "elementwise_seconds": _time("elementwise_seconds", S("elementwise_seconds"), S("elementwise_bytes")),
    "recompute_seconds": _time(
        "recompute_seconds", S("linear_seconds", "forward"), S("core_seconds"), S("elementwise_seconds")
    ),
    "host_seconds": _time(
        "host_seconds", S("host_bound_seconds"), S("layer_operations"), numbers=("stack.fitted.step_seconds",)
    ),
    "tensor_parallel_seconds": _time("tensor_parallel_seconds", S("tensor_parallel"), S("reduce", "joined")),
    "context_parallel_seconds": _time("context_parallel_seconds", S("context_parallel")),
    "expert_parallel_seconds": _time("expert_parallel_seconds", S("expert_parallel")),
    "pipeline_transfer_seconds": _time("pipeline_transfer_seconds", S("pipeline_transfer")),
    "pipeline_bubble_seconds": _time("pipeline_bubble_seconds", S("bubble_seconds")),
    "data_parallel_seconds": _time("data_parallel_seconds", S("data_parallel")),
    "optimizer_seconds": _time("optimizer_seconds", S("optimizer")),
    "straggler_seconds": _time("straggler_seconds", S("straggler_factor"), numbers=("stack.fitted.straggler_loss",)),
    "mfu": Term("1", lambda answer: answer.mfu, (S("model_flops_utilization"), S("model_flops"))),
    "checkpoint_bytes": _run("bytes", lambda e: e.storage.checkpoint_bytes, "checkpoint_bytes", "storage_bandwidth", "transfer_seconds"),
    "data_bandwidth": _run("bytes/s", lambda e: e.storage.data_bandwidth, "data_bandwidth"),
    "goodput": _run("1", lambda e: e.reliability.goodput, "device_interval", "job_interval", "checkpoint_interval", "goodput"),
    "cost": Term(
        "USD", lambda answer: _headline(answer).usd if _headline(answer) else None, (S("instances"), S("run_cost")),
        within=lambda answer: _headline(answer),
    ),
    "energy": _run("J", lambda e: e.energy.joules, "it_energy", "facility_energy"),
    "carbon": _run("kg", lambda e: e.energy.carbon, "operational_carbon"),
    "embodied_carbon": _run("kg", lambda e: e.energy.embodied, "embodied_carbon"),
}  # fmt: skip
"""Every part of memory and time (a test holds it), and the figures of the whole run."""


def terms_named(text: str) -> list[str]:
    """The terms that a word means: `all`, a name, or a name without its unit. Raises InputError otherwise."""
    wanted = text.strip().lower().replace("-", "_")
    if wanted == ALL:
        return list(TERMS)
    short = {name.rsplit("_", 1)[0]: name for name in TERMS if name.endswith(("_bytes", "_seconds"))}
    found = wanted if wanted in TERMS else short.get(wanted)
    if found is None:
        hint = did_you_mean(wanted, [*TERMS, *short])
        raise InputError(Fault(f"unknown term {text[:60]!r}{hint}; there are {', '.join([ALL, *TERMS])}"))
    return [found]
