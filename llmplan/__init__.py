"""Capacity planner for large language models: does it fit, how fast, what holds it back.

    from llmplan import estimate, plan_from
    answer = estimate(plan_from({"model": "llama-3.1-8b", "hardware": "h100", "devices": 8}))
    answer.fits, answer.step.value, answer.mfu

and `estimate_serving` for a plan of the workload `serve`.
Names are loaded when they are first used: importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmplan.version import __version__

if TYPE_CHECKING:
    from llmplan.answer.resolve import Plan, plan_from
    from llmplan.catalog.load_model import load_model
    from llmplan.errors import Fault, InputError
    from llmplan.report.json import estimate_json
    from llmplan.serving.estimate import ServingEstimate, estimate_serving
    from llmplan.setup.options import PlanOptions
    from llmplan.training.estimate import TrainingEstimate, estimate

__all__ = [
    "Fault",
    "InputError",
    "Plan",
    "PlanOptions",
    "ServingEstimate",
    "TrainingEstimate",
    "__version__",
    "estimate",
    "estimate_json",
    "estimate_serving",
    "load_model",
    "plan_from",
]

_HOMES = {
    "Fault": "llmplan.errors",
    "InputError": "llmplan.errors",
    "Plan": "llmplan.answer.resolve",
    "PlanOptions": "llmplan.setup.options",
    "ServingEstimate": "llmplan.serving.estimate",
    "TrainingEstimate": "llmplan.training.estimate",
    "estimate": "llmplan.training.estimate",
    "estimate_json": "llmplan.report.json",
    "estimate_serving": "llmplan.serving.estimate",
    "load_model": "llmplan.catalog.load_model",
    "plan_from": "llmplan.answer.resolve",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'llmplan' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value  # the next use finds it without a detour
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
