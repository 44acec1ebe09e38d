"""Capacity planner for large language models: does it fit, how fast, what holds it back.

    import llmplan
    answer = llmplan.estimate({"model": "llama-3.1-8b", "hardware": "h100", "devices": 8})
    answer.fits, answer.result.time.step_seconds.value, answer.to_dict(), answer.why("step_seconds")

The fields of an answer are the keys of its JSON (docs/python.md). Names are loaded when they are first used: importing
the package costs nothing.
"""

from __future__ import annotations

from llmplan.version import __version__

TYPE_CHECKING = False  # as `typing.TYPE_CHECKING`, which would be the first thing that a start waits for
if TYPE_CHECKING:
    from typing import Any

    from llmplan.answer.answer import Answer
    from llmplan.answer.resolve import plan_from
    from llmplan.answer.serving import ServingResult
    from llmplan.answer.summary import PlanSummary
    from llmplan.answer.training import TrainingResult
    from llmplan.answer.validate import Validation
    from llmplan.answer.why import Why
    from llmplan.api.calls import calibrate, compare, estimate, estimate_many, fit, to_columns, validate
    from llmplan.api.plans import Plan
    from llmplan.calibration.own import Calibration
    from llmplan.catalog.catalog import Catalog, open_catalog
    from llmplan.catalog.load_model import load_model
    from llmplan.errors import Fault, InputError
    from llmplan.search.answers import FitAnswer
    from llmplan.search.comparison import Comparison
    from llmplan.serving.plan import ServingPlan
    from llmplan.software.band import Interval
    from llmplan.training.plan import TrainingPlan

__all__ = [
    "Answer",
    "Calibration",
    "Catalog",
    "Comparison",
    "Fault",
    "FitAnswer",
    "InputError",
    "Interval",
    "Plan",
    "PlanSummary",
    "ServingPlan",
    "ServingResult",
    "TrainingPlan",
    "TrainingResult",
    "Validation",
    "Why",
    "__version__",
    "calibrate",
    "compare",
    "estimate",
    "estimate_many",
    "fit",
    "load_model",
    "open_catalog",
    "plan_from",
    "to_columns",
    "validate",
]

_HOMES = {
    "Answer": "llmplan.answer.answer",
    "Calibration": "llmplan.calibration.own",
    "Catalog": "llmplan.catalog.catalog",
    "Comparison": "llmplan.search.comparison",
    "Fault": "llmplan.errors",
    "FitAnswer": "llmplan.search.answers",
    "InputError": "llmplan.errors",
    "Interval": "llmplan.software.band",
    "Plan": "llmplan.api.plans",
    "PlanSummary": "llmplan.answer.summary",
    "ServingPlan": "llmplan.serving.plan",
    "ServingResult": "llmplan.answer.serving",
    "TrainingPlan": "llmplan.training.plan",
    "TrainingResult": "llmplan.answer.training",
    "Validation": "llmplan.answer.validate",
    "Why": "llmplan.answer.why",
    "calibrate": "llmplan.api.calls",
    "compare": "llmplan.api.calls",
    "estimate": "llmplan.api.calls",
    "estimate_many": "llmplan.api.calls",
    "fit": "llmplan.api.calls",
    "load_model": "llmplan.catalog.load_model",
    "open_catalog": "llmplan.catalog.catalog",
    "plan_from": "llmplan.answer.resolve",
    "to_columns": "llmplan.api.calls",
    "validate": "llmplan.api.calls",
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
