"""Encoders of images and of sound as layers: patches and positions pass the formulas of a language model's tokens."""

from __future__ import annotations

from llmplan.model.layer import Core, Layer, Linear
from llmplan.model.model import Sound, Vision
from llmplan.model.sound_spec import SoundSpec
from llmplan.model.vision_spec import VisionSpec
from llmplan.records import replace

CHANNELS = 3
"""Colours of a pixel."""


def lower_vision(spec: VisionSpec, parameters: int, hidden: int) -> Vision:
    """The encoder of images; parameters: of it and its way into the model [1]; hidden: width of the language model [1].

    Ignored: that second frames and tables of positions are counted as if merged patches were multiplied with them
    (1 to 4 % of an encoder; 9 % of Llama 3.2's).
    """
    layers = [_patches(spec)]
    if spec.window is not None and spec.full_layers:
        layers.append(_layer(spec, spec.full_layers, None))
    rest = spec.layers - spec.full_layers if spec.window is not None else spec.layers
    if rest:
        layers.append(_layer(spec, rest, spec.window))
    return Vision(tuple(layers), _projector(spec.hidden * spec.merge**2, layers, parameters, hidden), spec)


def lower_sound(spec: SoundSpec, hidden: int) -> Sound:
    """The encoder of sound; hidden: width of the language model [1].

    Ignored: that convolutions and tables of positions are counted as if merged positions were multiplied with them
    (1 % of a Whisper encoder).
    """
    if spec.inside:
        return Sound((), None, spec)
    layers = [_layer(spec, spec.layers, spec.attention_window)]
    if spec.conformer:
        layers = [_conformer(layers[0], spec)]
    return Sound(tuple(layers), _projector(spec.hidden * spec.merge, layers, spec.parameters, hidden), spec)


def _projector(inputs: int, layers: list[Layer], parameters: int, hidden: int) -> Layer:
    """What is left of an encoder's parameters as one matrix that tokens pass."""
    left = parameters - sum(layer.count * layer.parameters for layer in layers)
    # at least the matrix that every way into the language model has
    matrix = Linear("projector", "projection", inputs, max(hidden, left // inputs))
    return Layer("projector", 1, hidden, (matrix,), norms=1, residuals=0)


def _patches(spec: VisionSpec) -> Layer:
    """The pixels of a patch as a vector."""
    matrix = Linear("patch", "projection", CHANNELS * spec.patch**2, spec.hidden)
    return Layer("patches", 1, spec.hidden, (matrix,), norms=0, residuals=1)


def _layer(spec: VisionSpec | SoundSpec, count: int, window: int | None) -> Layer:
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


def _conformer(layer: Layer, spec: SoundSpec) -> Layer:
    """The same with a second MLP, and a convolution between a gated matrix and one more (arXiv 2005.08100, 2)."""
    width, inner = spec.hidden, spec.ffn_hidden
    more = (
        Linear("up_2", "mlp_in", width, (2 if spec.gated_mlp else 1) * inner, "column"),
        Linear("down_2", "mlp_out", inner, width, "row"),
        Linear("conv_in", "projection", width, 2 * width),
        Linear("conv_out", "projection", width, width),
    )
    return replace(
        layer, kind="conformer", linears=layer.linears + more, norms=5, residuals=4,
        activation_elements=2 * layer.activation_elements + 2 * width,
    )  # fmt: skip
