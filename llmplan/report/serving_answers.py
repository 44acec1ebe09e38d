"""Shapes of a serving answer, for the JSON Schema."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Literal

from pydantic import create_model

from llmplan.report.answers import Amount, GridAnswer, LimitAnswer, Part
from llmplan.serving.iteration import Step

_STEP_PARTS: dict[str, Any] = {field.name: (Amount | None, None) for field in fields(Step)}
StepParts: type[Part] = create_model("StepParts", __base__=Part, **_STEP_PARTS)


class ServingModelAnswer(Part):
    """The model that is served."""

    name: str
    parameters: int
    active_parameters: int
    """Parameters that one token passes."""


class ServingMemoryParts(Part):
    """They sum to the peak."""

    weights_bytes: Amount
    kv_cache_bytes: Amount
    """Set aside by the engine, used or not."""
    activations_bytes: Amount
    overhead_bytes: Amount


class ServingMemoryAnswer(Part):
    """Memory of the fullest device of a replica, in bytes."""

    peak_bytes: Amount
    """With all of the cache that the engine sets aside."""
    needed_bytes: Amount
    """With one request of these lengths."""
    low_bytes: Amount
    """Lower end of the 80 % band of needed_bytes."""
    high_bytes: Amount
    usable_bytes: Amount
    """What the engine may take."""
    capacity_bytes: Amount
    """What the driver reports."""
    parts: ServingMemoryParts


class CacheAnswer(Part):
    """What the key-value caches of all replicas hold."""

    tokens: Amount
    low_tokens: Amount
    high_tokens: Amount
    longest_tokens: Amount
    """Of one sequence."""
    precision: str


class ServingThroughputAnswer(Part):
    """Of all devices; `low` and `high` are the ends of the 80 % band."""

    output_tokens_per_second: Amount | None = None
    output_low: Amount | None = None
    output_high: Amount | None = None
    requests_per_second: Amount
    requests_low: Amount
    requests_high: Amount


class LatencyAnswer(Part):
    """Means, in seconds; `low` and `high` are the ends of the 80 % band."""

    ttft_seconds: Amount
    """To the first token, when requests come steadily."""
    ttft_low_seconds: Amount
    ttft_high_seconds: Amount
    burst_ttft_seconds: Amount
    """The same when all requests come at once."""
    p95_ttft_seconds: Amount
    tpot_seconds: Amount | None = None
    """For each output token after the first."""
    tpot_low_seconds: Amount | None = None
    tpot_high_seconds: Amount | None = None
    request_seconds: Amount
    """A whole request, or the whole static batch."""
    request_low_seconds: Amount
    request_high_seconds: Amount


class LoadAnswer(Part):
    """What the deployment takes of the load."""

    resident_sequences: Amount
    """Places for sequences of these lengths, all replicas."""
    sequences: Amount
    """In flight and resident."""
    queued: Amount
    """Waiting for a place."""
    capacity_requests_per_second: Amount
    """With every place taken."""
    utilization: Amount
    """Of that capacity, or of the places."""
    stable: bool
    """Whether it keeps up."""
    replicas: int
    replica_devices: int
    replicas_needed: int | None = None
    """For the request rate and the targets; 0 where no number meets them."""
    missed: list[Literal["ttft", "tpot"]]
    """Targets that are not met."""


class ServingTimeAnswer(Part):
    """One decoding step, and one prefill, of a replica, in seconds by part: of one request, or of all in flight where
    nothing is written."""

    decode_step_seconds: Amount
    decode_parts: StepParts
    prefill_seconds: Amount
    prefill_parts: StepParts


class ServingElasticityAnswer(Part):
    """Figures with 10 % more of a resource, over those of now."""

    requests: Amount
    """A second."""
    capacity: Amount
    """The most requests a second."""
    ttft: Amount
    tpot: Amount | None = None


class AdviceAnswer(Part):
    """What to do about it, with a code that `llmplan explain` has a paragraph about."""

    code: str
    message: str


class ServingBottleneckAnswer(Part):
    """What holds requests back."""

    resource: str
    """What a request waits for most, or `memory_capacity` where requests wait for places."""
    decode_parts: dict[str, Amount]
    """Seconds of a decoding step by resource; they sum to it."""
    prefill_parts: dict[str, Amount]
    """The same of one prefill."""
    elasticity: dict[str, ServingElasticityAnswer]
    """By resource."""
    advice: AdviceAnswer


class ApiAnswer(Part):
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


class ServingCostAnswer(Part):
    """Cost at the load that there is; left out where no price is known. `low` and `high`: by the band of the load."""

    input_share: Amount
    """Of a request's device time that its prompt takes: how cost and energy are divided."""
    usd_per_hour: Amount | None = None
    """Of all instances."""
    provider: str | None = None
    instance: str | None = None
    region: str | None = None
    kind: str | None = None
    date: str | None = None
    source: str | None = None
    instances: Amount | None = None
    devices_used: int | None = None
    """By the plan."""
    devices_billed: int | None = None
    """That the instances hold: more than are used where they are billed whole."""
    request_usd_per_million: Amount | None = None
    """A million requests of the plan's lengths, input and output together: what alternatives are ranked by."""
    request_usd_per_million_low: Amount | None = None
    request_usd_per_million_high: Amount | None = None
    input_usd_per_million: Amount | None = None
    """A million input tokens with their share alone, input_share of a request's cost."""
    input_usd_per_million_low: Amount | None = None
    input_usd_per_million_high: Amount | None = None
    output_usd_per_million: Amount | None = None
    """A million output tokens with the rest of it."""
    output_usd_per_million_low: Amount | None = None
    output_usd_per_million_high: Amount | None = None
    api: ApiAnswer | None = None


class ServingEnergyAnswer(Part):
    """Energy and carbon for a million requests or tokens, shared as the cost is; left out where no power is known."""

    watts: Amount | None = None
    """Of all devices with their share of hosts and building."""
    device_watts: Amount | None = None
    device_watts_source: str
    node_watts: Amount | None = None
    """Of a whole node beside its devices, which share it: a plan takes devices / devices_per_node of it."""
    node_watts_source: str
    pue: Amount
    pue_source: str
    grid: GridAnswer
    request_joules_per_million: Amount | None = None
    request_joules_per_million_low: Amount | None = None
    request_joules_per_million_high: Amount | None = None
    input_joules_per_million: Amount | None = None
    input_joules_per_million_low: Amount | None = None
    input_joules_per_million_high: Amount | None = None
    output_joules_per_million: Amount | None = None
    output_joules_per_million_low: Amount | None = None
    output_joules_per_million_high: Amount | None = None
    request_co2e_kilograms_per_million: Amount | None = None
    """Location based."""
    request_co2e_kilograms_per_million_low: Amount | None = None
    request_co2e_kilograms_per_million_high: Amount | None = None
    input_co2e_kilograms_per_million: Amount | None = None
    """Location based."""
    input_co2e_kilograms_per_million_low: Amount | None = None
    input_co2e_kilograms_per_million_high: Amount | None = None
    output_co2e_kilograms_per_million: Amount | None = None
    output_co2e_kilograms_per_million_low: Amount | None = None
    output_co2e_kilograms_per_million_high: Amount | None = None


class ServingResult(Part):
    """The answer to a serving plan."""

    model: ServingModelAnswer
    fits: bool
    """Whether weights and one request of these lengths fit."""
    verdict: Literal["fits", "marginal", "does-not-fit"]
    memory: ServingMemoryAnswer
    kv_cache: CacheAnswer | None = None
    throughput: ServingThroughputAnswer
    latency: LatencyAnswer
    load: LoadAnswer
    time: ServingTimeAnswer
    cost: ServingCostAnswer | None = None
    energy: ServingEnergyAnswer | None = None
    limits: dict[str, LimitAnswer] | None = None
    """Limits of the plan, by name."""
    bottleneck: ServingBottleneckAnswer
