"""An encoder of images as layers: patches pass the same formulas as tokens of a language model."""

from __future__ import annotations

from llmplan.model.model import Core, Layer, Linear, Vision
from llmplan.model.vision_spec import VisionSpec

CHANNELS = 3
"""Colours of a pixel."""


def lower_vision(spec: VisionSpec, parameters: int, hidden: int) -> Vision:
    """The encoder of a model; parameters: of all its towers [1]; hidden: width of the language model [1].

    Ignored: that second frames and tables of positions are counted as if merged patches were multiplied with them
    (1 to 4 % of an encoder), and what an encoder of sound beside it holds.
    """
    layers = [_patches(spec)]
    if spec.window is not None and spec.full_layers:
        layers.append(_layer(spec, spec.full_layers, None))
    rest = spec.layers - spec.full_layers if spec.window is not None else spec.layers
    if rest:
        layers.append(_layer(spec, rest, spec.window))
    inputs = spec.hidden * spec.merge**2
    left = parameters - sum(layer.count * layer.parameters for layer in layers)
    # at least the matrix that every way into the language model has
    matrix = Linear("projector", "projection", inputs, max(hidden, left // inputs))
    return Vision(spec, tuple(layers), Layer("projector", 1, hidden, (matrix,), norms=1, residuals=0))


def _patches(spec: VisionSpec) -> Layer:
    """The pixels of a patch as a vector."""
    matrix = Linear("patch", "projection", CHANNELS * spec.patch**2, spec.hidden)
    return Layer("patches", 1, spec.hidden, (matrix,), norms=0, residuals=1)


def _layer(spec: VisionSpec, count: int, window: int | None) -> Layer:
    """Attention of all patches of an image, tile or window with each other, and an MLP."""
    width, inner, halves = spec.hidden, spec.ffn_hidden, 2 if spec.gated_mlp else 1
    linears = (
        Linear("q", "attention_in", width, width, "column", spec.heads),
        Linear("kv", "attention_in", width, 2 * width, "column", spec.heads, saves_input=False),
        Linear("out", "attention_out", width, width, "row", spec.heads),
        Linear("up", "mlp_in", width, halves * inner, "column"),
        Linear("down", "mlp_out", inner, width, "row"),
    )
    head = width // spec.heads
    core = Core("softmax", spec.heads, spec.heads, head, head, causal=False, context=window, saved_elements=3.0 * width)
    return Layer(
        "attention+mlp", count, width, linears, (core,), extra_parameters=2 * width, activation_elements=halves * inner
    )
