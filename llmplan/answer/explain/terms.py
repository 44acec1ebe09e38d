"""The figures of an estimate that can be explained, and which calls each comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmplan.errors import Fault, InputError, did_you_mean

if TYPE_CHECKING:
    from llmplan.setup.plan import Plan
    from llmplan.training.estimate import TrainingEstimate

ALL = "all"


@dataclass(frozen=True, slots=True)
class Selector:
    """Calls of a function, whatever its leading underscore; target: only where the result gets that name."""

    function: str
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Term:
    """A figure: its unit, how to read it off an answer, the calls that make it, catalogue numbers that are it.

    within: what the call gave in which to look, where there are several alike; made: the figure in the variables of a
    function of the planner.
    """

    unit: str
    value: Callable[[Any], Any]
    calls: tuple[Selector, ...] = ()
    numbers: tuple[str, ...] = ()
    within: Callable[[Any], Any] | None = None
    made: Place | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """An expression in the variables of a function of the planner."""

    function: str
    expression: str


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
_LAYERS = S("stage_layers", "share")  # what is shown of a layer is done for each of the stage
_HELD = (S("layer_parameters", "held"), S("end_parameters"), S("state_bytes"))

TERMS: dict[str, Term] = {
    "weights_bytes": _memory("weights_bytes", S("divided", "weights"), *_HELD),
    "gradients_bytes": _memory("gradients_bytes", S("divided", "gradients_bytes"), *_HELD),
    "optimizer_states_bytes": _memory("optimizer_states_bytes", S("divided", "states"), *_HELD),
    "activations_bytes": _memory("activations_bytes", S("kept_activations"), S("micro_batches_in_flight")),
    "logits_bytes": _memory("logits_bytes", S("logits_bytes")),
    "gathered_bytes": _memory("gathered_bytes", S("gathered"), S("at_loading")),
    "workspace_bytes": _memory("workspace_bytes", numbers=("stack.memory.workspace",)),
    "overhead_bytes": _memory("overhead_bytes", numbers=("stack.memory.fragmentation",)),
    "context_bytes": _memory("context_bytes", numbers=("stack.memory.context",)),
    "matmul_seconds": _time("matmul_seconds", _LAYERS, S("linear_seconds")),
    "attention_seconds": _time("attention_seconds", _LAYERS, S("core_seconds")),
    "elementwise_seconds": _time("elementwise_seconds", _LAYERS, S("elementwise_seconds"), S("elementwise_bytes")),
    "recompute_seconds": _time(
        "recompute_seconds", _LAYERS, S("linear_seconds", "forward"), S("core_seconds"), S("elementwise_seconds")
    ),
    "host_seconds": _time(
        "host_seconds", _LAYERS, S("host_bound_seconds"), S("layer_operations"), numbers=("stack.fitted.step_seconds",)
    ),
    "tensor_parallel_seconds": _time("tensor_parallel_seconds", _LAYERS, S("tensor_parallel"), S("reduce", "sums")),
    "context_parallel_seconds": _time("context_parallel_seconds", _LAYERS, S("context_parallel")),
    "expert_parallel_seconds": _time("expert_parallel_seconds", _LAYERS, S("expert_parallel")),
    "pipeline_transfer_seconds": _time("pipeline_transfer_seconds", S("pipeline_transfer")),
    "pipeline_bubble_seconds": _time("pipeline_bubble_seconds", S("bubble_seconds")),
    "data_parallel_seconds": _time("data_parallel_seconds", S("data_parallel")),
    "optimizer_seconds": _time("optimizer_seconds", S("optimizer")),
    "straggler_seconds": _time("straggler_seconds", S("straggler_factor"), numbers=("stack.fitted.straggler_loss",)),
    "mfu": Term("1", lambda answer: answer.mfu, (S("model_flops_utilization"), S("model_flops"))),
    "checkpoint_bytes": _run(
        "bytes", lambda e: e.storage.checkpoint_bytes, "checkpoint_bytes", "storage_bandwidth", "transfer_seconds"
    ),
    "data_bandwidth": _run("bytes/s", lambda e: e.storage.data_bandwidth, "data_bandwidth"),
    "goodput": _run(
        "1", lambda e: e.reliability.goodput, "device_interval", "job_interval", "checkpoint_interval", "goodput"
    ),
    "cost": Term(
        "USD", lambda answer: _headline(answer).usd if _headline(answer) else None, (S("instances"), S("run_cost")),
        within=_headline,
    ),
    "energy": _run("J", lambda e: e.energy.joules, "it_energy", "facility_energy"),
    "carbon": _run("kg", lambda e: e.energy.carbon, "operational_carbon"),
    "embodied_carbon": _run("kg", lambda e: e.energy.embodied, "embodied_carbon"),
}  # fmt: skip
"""Every part of memory and time (a test holds it), and the figures of the whole run."""


def _served(unit: str, value: Callable[[Any], Any], expression: str, *functions: str) -> Term:
    """A figure of a deployment, as `estimate_serving` has it; functions: what is told beside it."""
    calls = tuple(Selector(name) for name in functions)
    return Term(unit, value, calls, made=Place("estimate_serving", expression))


def _step(which: str) -> Term:
    """One step of an engine; None for decoding where nothing is decoded."""
    return Term(
        "s", lambda answer: getattr(answer, which).total if which == "prefill" or answer.tpot else None,
        (Selector("step"),), within=lambda answer: getattr(answer, which),
    )  # fmt: skip


def _million(part: str, unit: str, figure: str, variable: str) -> Term:
    """A figure of a million input or output tokens; None where it is not known."""

    def tokens(answer: Any) -> Any:
        return getattr(answer.economics, part, None)

    def value(answer: Any) -> float | None:
        found = getattr(tokens(answer), figure, None)
        return None if found is None else float(found.value)

    made = Place("_per_million", f"{variable}.value")
    return Term(f"{unit} per million {part} tokens", value, within=tokens, made=made)


def _value(answer: Any, figure: str) -> float | None:
    """The middle of an interval of an answer; None where there is none."""
    found = getattr(answer, figure)
    return None if found is None else float(found.value)


SERVING_TERMS: dict[str, Term] = {
    "weights_bytes": _served("bytes", lambda answer: answer.memory.weights_bytes, "memory.weights_bytes"),
    "kv_cache_bytes": _served(
        "bytes", lambda answer: answer.memory.kv_cache_bytes, "memory.kv_cache_bytes",
        "cache_shape", "block_tokens", "sequence_bytes", "resident_sequences",
    ),
    "activations_bytes": _served("bytes", lambda answer: answer.memory.activations_bytes, "memory.activations_bytes"),
    "overhead_bytes": _served("bytes", lambda answer: answer.memory.overhead_bytes, "memory.overhead_bytes"),
    "decode_step_seconds": _step("decode"),
    "prefill_seconds": _step("prefill"),
    "ttft_seconds": _served("s", lambda answer: _value(answer, "ttft"), "answer.ttft"),
    "tpot_seconds": _served("s", lambda answer: _value(answer, "tpot"), "answer.tpot"),
    "request_seconds": _served("s", lambda answer: _value(answer, "request"), "answer.request"),
    "requests_per_second": _served(
        "1/s", lambda answer: _value(answer, "requests_per_second"), "rate.value * (1.0 / work.output_tokens)"
    ),
    "output_tokens_per_second": _served(
        "1/s", lambda answer: _value(answer, "output_tokens_per_second"), "rate.value"
    ),
    "input_cost": _million("input", "USD", "usd", "money"),
    "output_cost": _million("output", "USD", "usd", "money"),
    "output_energy": _million("output", "J", "joules", "joules"),
    "output_carbon": _million("output", "kg CO2e", "carbon", "carbon"),
}  # fmt: skip
"""The parts of a deployment's memory, its times, and what a million tokens take."""

_OF_OUTPUT = ("decode_step_seconds", "tpot_seconds", *(name for name in SERVING_TERMS if name.startswith("output_")))


def why_nothing(name: str, plan: Plan) -> str:
    """Why a term of a plan has no value."""
    work = plan.serving
    if work is None:
        return f"{name} of this plan is not known: it takes the run's length (--tokens), a price or a power"
    if name in _OF_OUTPUT and plan.model.architecture == "encoder":
        return f"{name} does not apply: {plan.model.name} is an encoder and writes no tokens"
    if name in _OF_OUTPUT and work.output_tokens <= 1:
        return f"{name} does not apply: answers of one token have none to decode (--output-tokens)"
    return f"{name} of this plan is not known: it takes a price (--price) or a power (--device-power)"


def terms_of(plan: Plan) -> dict[str, Term]:
    """The terms of a training, or of a deployment."""
    return TERMS if plan.serving is None else SERVING_TERMS


def terms_named(text: str, plan: Plan) -> list[str]:
    """The terms that a word means: `all`, a name, or a name without its unit. Raises InputError otherwise."""
    terms = terms_of(plan)
    wanted = text.strip().lower().replace("-", "_")
    if wanted == ALL:
        return list(terms)
    short = {name.rsplit("_", 1)[0]: name for name in terms if name.endswith(("_bytes", "_seconds"))}
    found = wanted if wanted in terms else short.get(wanted)
    if found is None:
        hint = did_you_mean(wanted, [*terms, *short])
        raise InputError(Fault(f"unknown term {text[:60]!r}{hint}; there are {', '.join([ALL, *terms])}"))
    return [found]
