"""Capacity planner for large language models: does it fit, how fast, what holds it back.

    import llmplan
    answer = llmplan.estimate({"model": "llama-3.1-8b", "hardware": "h100", "devices": 8})
    answer.fits, answer.result.time.step_seconds.value, answer.to_data()

The fields of an answer are the keys of its JSON; `fit` and `validate` give answers likewise.
Names are loaded when they are first used: importing the package costs nothing.
"""

from __future__ import annotations

from llmplan.version import __version__

TYPE_CHECKING = False  # as `typing.TYPE_CHECKING`, which would be the first thing that a start waits for
if TYPE_CHECKING:
    from typing import Any

    from llmplan.answer.answer import Answer
    from llmplan.answer.api import estimate, estimate_many, to_columns, validate
    from llmplan.answer.data import to_data
    from llmplan.answer.resolve import Plan, plan_from
    from llmplan.answer.serving import ServingResult
    from llmplan.answer.summary import PlanSummary
    from llmplan.answer.training import TrainingResult
    from llmplan.answer.validate import Validation
    from llmplan.catalog.load_model import load_model
    from llmplan.errors import Fault, InputError
    from llmplan.search.answers import FitAnswer
    from llmplan.search.api import fit
    from llmplan.setup.options import PlanOptions
    from llmplan.software.band import Interval

__all__ = [
    "Answer",
    "Fault",
    "FitAnswer",
    "InputError",
    "Interval",
    "Plan",
    "PlanOptions",
    "PlanSummary",
    "ServingResult",
    "TrainingResult",
    "Validation",
    "__version__",
    "estimate",
    "estimate_many",
    "fit",
    "load_model",
    "plan_from",
    "to_columns",
    "to_data",
    "validate",
]

_HOMES = {
    "Answer": "llmplan.answer.answer",
    "Fault": "llmplan.errors",
    "FitAnswer": "llmplan.search.answers",
    "InputError": "llmplan.errors",
    "Interval": "llmplan.software.band",
    "Plan": "llmplan.answer.resolve",
    "PlanOptions": "llmplan.setup.options",
    "ServingResult": "llmplan.answer.serving",
    "PlanSummary": "llmplan.answer.summary",
    "TrainingResult": "llmplan.answer.training",
    "Validation": "llmplan.answer.validate",
    "estimate": "llmplan.answer.api",
    "estimate_many": "llmplan.answer.api",
    "fit": "llmplan.search.api",
    "load_model": "llmplan.catalog.load_model",
    "plan_from": "llmplan.answer.resolve",
    "to_columns": "llmplan.answer.api",
    "to_data": "llmplan.answer.data",
    "validate": "llmplan.answer.api",
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
