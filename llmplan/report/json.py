"""An estimate as JSON: stable keys, the unit in the key, SI base units, finite numbers only.

What does not apply is left out. `llmplan.report.schemas` describes the same keys.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from llmplan.answer.bottleneck import bottleneck
from llmplan.training.estimate import TrainingEstimate
from llmplan.version import __version__

if TYPE_CHECKING:
    from llmplan.answer.answer import Estimate
    from llmplan.answer.bottleneck import Bottleneck
    from llmplan.serving.estimate import ServingEstimate

ESTIMATE, ESTIMATES = "llmplan.estimate/1", "llmplan.estimates/1"


def estimate_json(answer: Estimate) -> dict[str, Any]:
    """One estimate as plain data, `llmplan.estimate/1`."""
    plan = answer.plan
    return {
        "schema": ESTIMATE,
        "llmplan_version": __version__,
        "inputs": plan.words(),
        "assumptions": list(plan.assumptions),
        "result": _training_result(answer) if isinstance(answer, TrainingEstimate) else _serving_result(answer),
        "warnings": [{"code": one.code, "message": one.message} for one in answer.warnings],
    }


def _serving_result(answer: ServingEstimate) -> dict[str, Any]:
    from llmplan.report.serving_json import serving_result

    return serving_result(answer)


def _training_result(answer: TrainingEstimate) -> dict[str, Any]:
    plan = answer.plan
    result = {
        "model": {
            "name": plan.model.name,
            "parameters": plan.model.parameters,
            "active_parameters": plan.model.active_parameters,
        },
        "fits": answer.fits,
        "verdict": answer.verdict,
        "memory": _memory(answer),
        "throughput": _throughput(answer),
        "time": _time(answer),
        "mfu": answer.mfu,
        "hfu": answer.hfu,
        "bottleneck": _bottleneck(bottleneck(answer)),
    }
    if answer.economics is not None:
        from llmplan.report.economics import economics_json

        result |= economics_json(answer.economics)
    if plan.options.limits is not None:
        from llmplan.answer.limits import limits_kept
        from llmplan.report.limits import limits_json

        result["limits"] = limits_json(limits_kept(answer))
    return result


def envelope(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Many estimates as one document, `llmplan.estimates/1`."""
    return {"schema": ESTIMATES, "llmplan_version": __version__, "results": results}


def dumps(data: Any, *, indent: int | None = 2) -> str:
    """JSON text in ASCII; ValueError for a number that is not finite, which would be a fault of ours."""
    return json.dumps(data, indent=indent, allow_nan=False)


def _memory(answer: TrainingEstimate) -> dict[str, Any]:
    peak = answer.peak
    memory: dict[str, Any] = {
        "peak_bytes": peak.value,
        "low_bytes": peak.low,
        "high_bytes": peak.high,
        "usable_bytes": answer.usable_bytes,
        "capacity_bytes": answer.capacity_bytes,
        "parts": _parts(answer.memory.parts()),
    }
    if answer.memory.host_bytes:
        memory["host_bytes_per_node"] = float(answer.memory.host_bytes)
    return memory


def _throughput(answer: TrainingEstimate) -> dict[str, float]:
    devices = float(answer.plan.devices)
    rate = answer.tokens_per_second
    return {
        "tokens_per_second": rate.value,
        "tokens_per_second_per_device": rate.value / devices,
        "low": rate.low,
        "high": rate.high,
        "flops_per_second_per_device": answer.model_flops / answer.step.value / devices,
    }


def _time(answer: TrainingEstimate) -> dict[str, Any]:
    step = answer.step
    parts = _parts(answer.time.parts())
    return {"step_seconds": step.value, "low_seconds": step.low, "high_seconds": step.high, "parts": parts}


def _bottleneck(found: Bottleneck) -> dict[str, Any]:
    """What most of the step waits for, the step by resource, and what 10 % more of each would change."""
    return {
        "resource": found.resource,
        "parts": {f"{name}_seconds": value for name, value in found.seconds.items() if value != 0.0},
        "utilization": dict(found.used),
        "elasticity": {
            name: {"step_seconds": one.step_seconds, "speedup": one.speedup, "fits": one.fits}
            for name, one in found.elasticity.items()
        },
        "advice": {"code": found.advice.code, "message": found.advice.message},
    }


def _parts(parts: dict[str, Any]) -> dict[str, float]:
    """Parts that are there; a part of nothing does not apply."""
    return {name: float(value) for name, value in parts.items() if float(value) != 0.0}
