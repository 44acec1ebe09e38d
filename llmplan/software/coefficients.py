"""Fitted coefficients: what a stack makes of the hardware, in numbers that `hardware_catalog/numbers.yaml` explains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from llmplan.records import dataclass, names, replace
from llmplan.rules import Within
from llmplan.schema import Spec

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


@dataclass(frozen=True, slots=True)
class Coefficients:
    """All fitted numbers of one version of a stack, for training and serving; units as in `numbers.yaml`."""

    matmul_efficiency: float
    low_precision_efficiency: float
    attention_efficiency: float
    memory_efficiency: float
    elementwise_passes: float
    operation_host_seconds: float
    micro_batch_seconds: float
    exposed_tensor_parallel: float
    exposed_expert_parallel: float
    exposed_context_parallel: float
    exposed_data_parallel: float
    scale_out_efficiency: float
    straggler_loss: float
    step_seconds: float
    operation_gap_seconds: float
    iteration_seconds: float
    sequence_seconds: float
    communication_factor: float
    request_seconds: float
    prompt_token_seconds: float

    @classmethod
    def of(cls, fitted: Mapping[str, float]) -> Coefficients:
        """From the complete numbers of an entry; a KeyError where one is missing."""
        return cls(**{name: fitted[name] for name in NAMES})


NAMES = tuple(names(Coefficients))
RATES = tuple(name for name in NAMES if name.endswith("_efficiency"))
"""Those that times are divided by."""
HOST_TIMES = (
    "operation_host_seconds", "micro_batch_seconds", "step_seconds", "operation_gap_seconds",
    "iteration_seconds", "sequence_seconds", "request_seconds", "prompt_token_seconds",
)  # fmt: skip
"""Times that the host takes: a faster one shortens them."""
_OF_THE_PROCESSOR = tuple(name for name in HOST_TIMES if name != "operation_gap_seconds")
NEUTRAL = Coefficients(**{name: 0.0 if name in HOST_TIMES or name == "straggler_loss" else 1.0 for name in NAMES})
"""Kernels and links as measured alone, nothing hidden, no time of the host: what fitted numbers are relative to."""


def on_host(numbers: Coefficients, ratio: Num) -> Coefficients:
    """The numbers on a host that takes so many times as long for its work [1]; gaps on the device stay."""
    if isinstance(ratio, float) and ratio == 1.0:
        return numbers
    return replace(numbers, **{name: getattr(numbers, name) * ratio for name in _OF_THE_PROCESSOR})


class Number(Spec):
    """What a coefficient means: an item of `hardware_catalog/numbers.yaml`."""

    unit: str
    meaning: str
    prior: Annotated[float, Within(gt=0)]
    """What it is where nothing was measured."""
    spread: Annotated[float, Within(gt=0)]
    """Standard deviation of its natural logarithm from stack to stack: 0.3 is a factor of 1.35 either way."""
    ceiling: Annotated[float, Within(gt=0)]
    """What nature or its meaning does not allow to pass."""
    floor: Annotated[float, Within(ge=0)] = 0.0
