"""What the lowering of attention, recurrent layers and MLPs has in common."""

from __future__ import annotations

from llmplan.model.layer import Core, Linear
from llmplan.model.spec import ModelSpec
from llmplan.records import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """One sublayer: a name for people, its matrices, what mixes tokens, its other parameters."""

    name: str
    linears: tuple[Linear, ...]
    cores: tuple[Core, ...] = ()
    extra_parameters: int = 0
    activation_elements: float = 0.0


def side_by_side(first: Part, second: Part) -> Part:
    """Two sublayers that read the same input and are added together, as one."""
    return Part(
        f"{first.name}&{second.name}", first.linears + second.linears, first.cores + second.cores,
        first.extra_parameters + second.extra_parameters, first.activation_elements + second.activation_elements,
    )  # fmt: skip


def needed(*values: int | None) -> tuple[int, ...]:
    """Fields that the ModelSpec has checked to be there for this kind of layer, as plain numbers."""
    return tuple(value or 0 for value in values)


def norm_parameters(spec: ModelSpec, width: int) -> int:
    """Parameters of one norm of a vector of `width` elements: a weight, and a bias for LayerNorm [1]."""
    return width * {"rmsnorm": 1, "layernorm": 2, "layernorm-no-bias": 1, "no-weight": 0}[spec.norm]
