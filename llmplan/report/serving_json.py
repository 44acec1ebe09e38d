"""A serving estimate as plain data; `llmplan.report.serving_answers` describes the same keys."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from llmplan.answer.serving_bottleneck import serving_bottleneck
from llmplan.report.economics import known

if TYPE_CHECKING:
    from llmplan.answer.serving_bottleneck import ServingBottleneck
    from llmplan.serving.estimate import ServingEstimate
    from llmplan.serving.iteration import Step


def serving_result(answer: ServingEstimate) -> dict[str, Any]:
    """The `result` of a serving estimate; figures of time and load are there even where it does not fit."""
    model = answer.plan.model
    result: dict[str, Any] = {
        "model": {"name": model.name, "parameters": model.parameters, "active_parameters": model.active_parameters},
        "fits": answer.fits,
        "verdict": answer.verdict,
        "memory": {
            "peak_bytes": float(answer.memory.peak_bytes),
            "needed_bytes": answer.needed.value,
            "low_bytes": answer.needed.low,
            "high_bytes": answer.needed.high,
            "usable_bytes": answer.usable_bytes,
            "capacity_bytes": answer.capacity_bytes,
            "parts": {name: float(value) for name, value in answer.memory.parts().items()},
        },
        "throughput": _throughput(answer),
        "latency": _latency(answer),
        "load": _load(answer),
        "time": {
            "decode_step_seconds": float(answer.decode.total),
            "decode_parts": _parts(answer.decode),
            "prefill_seconds": float(answer.prefill.total),
            "prefill_parts": _parts(answer.prefill),
        },
        "bottleneck": _bottleneck(serving_bottleneck(answer)),
    }
    if answer.kv_tokens is not None and answer.plan.workload is not None:
        result["kv_cache"] = {
            "tokens": answer.kv_tokens.value, "low_tokens": answer.kv_tokens.low, "high_tokens": answer.kv_tokens.high,
            "longest_tokens": float(answer.memory.longest), "precision": answer.plan.workload.kv_precision,
        }  # fmt: skip
    if answer.plan.options.limits is not None:
        from llmplan.answer.limits import limits_kept
        from llmplan.report.limits import limits_json

        result["limits"] = limits_json(limits_kept(answer))
    if answer.economics is not None:
        from llmplan.report.serving_economics import serving_economics_json

        result |= serving_economics_json(answer.economics)
    return result


def _bottleneck(found: ServingBottleneck) -> dict[str, Any]:
    return {
        "resource": found.resource,
        "decode_parts": {f"{name}_seconds": value for name, value in found.decode.items()},
        "prefill_parts": {f"{name}_seconds": value for name, value in found.prefill.items()},
        "elasticity": {name: known(asdict(one)) for name, one in found.elasticity.items()},
        "advice": {"code": found.advice.code, "message": found.advice.message},
    }


def _throughput(answer: ServingEstimate) -> dict[str, float]:
    requests, output = answer.requests_per_second, answer.output_tokens_per_second
    found = {}
    if output is not None:
        found = {"output_tokens_per_second": output.value, "output_low": output.low, "output_high": output.high}
    return found | {
        "requests_per_second": requests.value, "requests_low": requests.low, "requests_high": requests.high,
    }  # fmt: skip


def _latency(answer: ServingEstimate) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in (("ttft", answer.ttft), ("tpot", answer.tpot), ("request", answer.request)):
        if value is not None:
            found[f"{name}_seconds"] = value.value
            found[f"{name}_low_seconds"], found[f"{name}_high_seconds"] = value.low, value.high
    return found | {"burst_ttft_seconds": answer.burst_ttft.value, "p95_ttft_seconds": answer.p95_ttft.value}


def _load(answer: ServingEstimate) -> dict[str, Any]:
    found: dict[str, Any] = {
        "resident_sequences": answer.resident,
        "sequences": answer.sequences,
        "queued": answer.queued,
        "capacity_requests_per_second": answer.capacity,
        "utilization": answer.load,
        "stable": answer.stable,
        "replicas": answer.replicas,
        "replica_devices": answer.replica_devices,
        "missed": [name for name, _, _ in answer.missed],
    }
    if answer.replicas_needed is not None:
        found["replicas_needed"] = answer.replicas_needed
    return found


def _parts(step: Step) -> dict[str, float]:
    """Parts that are there."""
    return {name: float(value) for name, value in step.parts().items() if float(value) != 0.0}
