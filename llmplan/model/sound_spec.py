"""Schema of an encoder of sound: its shape, and the rule by which seconds become positions and tokens."""

from __future__ import annotations

from typing import Annotated

from llmplan.rules import Within
from llmplan.schema import Spec

Count = Annotated[int, Within(ge=1, le=10**6)]
Layers = Annotated[int, Within(ge=0, le=10_000)]
Seconds = Annotated[float, Within(gt=0, le=1e6)]


class SoundSpec(Spec):
    """An encoder of sound, a stack of layers over positions; what is left out has the stated default."""

    layers: Layers = 0
    """0: the model is an encoder-decoder whose own encoder reads the sound (Whisper)."""
    hidden: Count = 1
    heads: Count = 1
    ffn_hidden: Count = 1
    gated_mlp: bool = False
    conformer: bool = False
    """Layers have two MLPs and a convolution between them (Gulati et al. 2020, arXiv 2005.08100)."""
    attention_window: Count | None = None
    """Positions that one is compared with; default: all of its window."""
    parameters: Annotated[int, Within(ge=0, le=10**12)] = 0
    """Of this encoder and its way into the language model, among the model's `tower_parameters`."""

    frames_per_second: Annotated[float, Within(gt=0, le=1e5)] = 100.0
    edge_frames: Annotated[int, Within(ge=0, le=100)] = 0
    """That are missing where a frame must lie within the sound as a whole."""
    stride: Count = 1
    """Frames of a position."""
    chunk: Count | None = None
    """Frames that are convolved by themselves; default: all."""
    merge: Count = 1
    """Positions of a token of the language model; the last ones, where they are too few, give none."""
    window_seconds: Seconds | None = None
    """Sounds are cut into windows of this length, and the encoder sees the last one filled up."""
    filled_tokens: bool = False
    """What fills it up becomes tokens too."""
    tokens: Count | None = None
    """Of any sound, however long, in place of all rules."""
    max_seconds: Seconds | None = None
    """A longer sound is cut off."""

    def __post_init__(self) -> None:
        if self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of heads ({self.heads})")

    @property
    def inside(self) -> bool:
        """Whether the model's own encoder reads the sound."""
        return self.layers == 0
