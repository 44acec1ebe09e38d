"""One layer on one device: forward and backward, device work by part, and the host that launches it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmplan.formulas.numeric import where
from llmplan.model.layer import Layer
from llmplan.records import dataclass
from llmplan.work.attention import mixing_backward, mixing_forward
from llmplan.work.elementwise import ELEMENTWISE_BACKWARD, elementwise_seconds
from llmplan.work.flow import Flow
from llmplan.work.kernels import Kernels
from llmplan.work.products import products_seconds

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


@dataclass(frozen=True, slots=True)
class Parts:
    """Seconds of device work; every field a number or an array [s]."""

    matmul: Num = 0.0
    attention: Num = 0.0
    elementwise: Num = 0.0

    def __add__(self, other: Parts) -> Parts:
        return Parts(self.matmul + other.matmul, self.attention + other.attention, self.elementwise + other.elementwise)

    def __mul__(self, factor: Num) -> Parts:
        return Parts(self.matmul * factor, self.attention * factor, self.elementwise * factor)

    @property
    def total(self) -> Num:
        """All of them [s]."""
        return self.matmul + self.attention + self.elementwise


NOTHING = Parts()


def forward(layer: Layer, flow: Flow, layout: Any, kernels: Kernels, *, trained: bool = False) -> Parts:
    """One pass of a layer over the tokens of a flow, communication aside [s].

    trained: whether gradients of its weights follow, which need what is cast in both orders.
    """
    mixing: Num = 0.0
    for core in layer.cores:
        mixing = mixing + mixing_forward(core, flow, layout, kernels)
    products = products_seconds(layer, flow, layout, kernels, "forward", copies=2.0 if trained else 1.0)
    return Parts(products, mixing, elementwise_seconds(layer, flow, layout, kernels))


def backward(layer: Layer, flow: Flow, layout: Any, kernels: Kernels, *, trained: bool) -> Parts:
    """Gradients of a layer's inputs, and of its weights where they are trained (not under LoRA) [s]."""
    mixing: Num = 0.0
    for core in layer.cores:
        mixing = mixing + mixing_backward(core, flow, layout, kernels)
    products = products_seconds(layer, flow, layout, kernels, "input_gradient", copies=2.0 if trained else 1.0)
    if trained:
        products = products + products_seconds(layer, flow, layout, kernels, "weight_gradient")
    return Parts(products, mixing, ELEMENTWISE_BACKWARD * elementwise_seconds(layer, flow, layout, kernels))


def choose(condition: Any, a: Parts, b: Parts) -> Parts:
    """a where the condition holds, else b, part by part."""
    return Parts(
        where(condition, a.matmul, b.matmul), where(condition, a.attention, b.attention),
        where(condition, a.elementwise, b.elementwise),
    )  # fmt: skip
