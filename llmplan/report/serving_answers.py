"""Shapes of a serving answer, for the JSON Schema."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Literal

from pydantic import create_model

from llmplan.planner.serving_step import Step
from llmplan.report.answers import Amount, Part

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
    """One decoding step, and one prefill of a request, of a replica, in seconds by part."""

    decode_step_seconds: Amount
    decode_parts: StepParts  # type: ignore[valid-type]
    prefill_seconds: Amount
    prefill_parts: StepParts  # type: ignore[valid-type]


class ServingBottleneckAnswer(Part):
    """What holds requests back."""

    resource: str
    """Of which a tenth more would help most, or `memory_capacity` where requests wait for places."""


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
    bottleneck: ServingBottleneckAnswer
