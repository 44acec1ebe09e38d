"""A model as the formulas see it: groups of equal layers, each a list of matrices and what mixes tokens.

Every architecture, from GPT-2 to hybrids of linear attention and experts, is lowered to this
(`llmplan.model.lowering`), so that parameters, FLOPs, activations, cache and kernel shapes all
come from one description. Nothing here is a fact about a particular model.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal

from llmplan.model.layer import Group, Layer, Role
from llmplan.records import dataclass

if TYPE_CHECKING:
    from llmplan.model.sound_spec import SoundSpec
    from llmplan.model.vision_spec import VisionSpec

MLP_OUT: tuple[Role, ...] = ("mlp_out", "expert_out", "shared_out")


@dataclass(frozen=True, slots=True)
class Stored:
    """Weights outside the layers as a file holds them, in bytes a parameter, and what the whole file is.

    embedding, head: of the token table and of the output matrix; rest: of norms, positions, towers [bytes];
    label: types and mean width; total: of all weights [bytes].
    """

    embedding: float
    head: float
    rest: float
    label: str
    total: float


@dataclass(frozen=True, slots=True)
class Vision:
    """An encoder of images: its layers over patches, the way into the language model, and the rule that cuts images.

    layers: what patches pass, the first the matrix that makes them of pixels; projector: what tokens pass, of
    everything that is left of the encoder's parameters.
    """

    layers: tuple[Layer, ...]
    projector: Layer
    rule: VisionSpec


@dataclass(frozen=True, slots=True)
class Sound:
    """The same of sound; no layers and no projector where the model's own encoder reads it (Whisper)."""

    layers: tuple[Layer, ...]
    projector: Layer | None
    rule: SoundSpec


@dataclass(frozen=True)
class Model:
    """A whole model: embeddings, groups of layers in their order, head.

    embedding_parameters: token table; position_parameters: learned positions, token types and
        what else stands before the first layer; final_parameters: after the last (norm, pooler, ...).
    head_parameters: the output matrix, 0 where it is the token table (tied) or there is none.
    head: whether logits over the vocabulary are computed (an encoder under a task head has none).
    tower_parameters: encoders of images and sound; they are stored beside the language model and stay out of
        `parameters`, which are those that a token of text may pass.
    vision, sound: those of images and of sound in particular, where their rules are known.
    approximate: whether it was read by likeness to other families.
    weight_precision: of the released weights, where the config says it (fp8, nvfp4, ...); None = bf16.
    released: bytes of a parameter by module group, scales included, where the release says more than that [bytes].
    block_scaled: whether released 8-bit weights have a scale a block, not one a tensor or row.
    stored: exact bytes, where the files of the weights were read.
    """

    name: str
    family: str
    architecture: Literal["decoder", "encoder", "encoder-decoder"]
    hidden: int
    vocab: int
    layers: tuple[Layer, ...]
    embedding_parameters: int
    head_parameters: int
    position_parameters: int = 0
    final_parameters: int = 0
    tied_embeddings: bool = False
    head: bool = True
    max_context: int | None = None
    tower_parameters: int = 0
    vision: Vision | None = None
    sound: Sound | None = None
    approximate: bool = False
    weight_precision: str | None = None
    expert_precision: str | None = None
    kv_precision: str | None = None
    released: tuple[tuple[Group, float], ...] = ()
    block_scaled: bool = False
    warnings: tuple[str, ...] = ()
    stored: Stored | None = None

    def __hash__(self) -> int:
        return hash((self.name, self.hidden, self.vocab))  # of all, it would take as long as what is looked up by it

    @cached_property
    def layer_count(self) -> int:
        """Layers, all groups together [1]."""
        return sum(layer.count for layer in self.layers)

    @cached_property
    def kinds(self) -> frozenset[str]:
        """Kinds of layers that not every software was measured with: `dense`, `experts`, `recurrent`."""
        routed = any(linear.routed for layer in self.layers for linear in layer.linears)
        recurrent = any(core.kind != "softmax" for layer in self.layers for core in layer.cores)
        return frozenset({"dense", *(["experts"] if routed else []), *(["recurrent"] if recurrent else [])})

    @cached_property
    def parameters(self) -> int:
        """All parameters of the language model [1]."""
        ends = self.embedding_parameters + self.position_parameters + self.final_parameters + self.head_parameters
        return ends + sum(layer.copies * layer.parameters for layer in self.layers)

    @cached_property
    def active_parameters(self) -> int:
        """Parameters that one token passes: all but the experts it is not routed to [1]."""
        idle = sum(layer.copies * (layer.parameters - layer.active_parameters) for layer in self.layers)
        return self.parameters - idle
