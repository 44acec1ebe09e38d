"""The input of a vision or audio encoder, and its output for the language model."""

from __future__ import annotations

from llmplan.records import dataclass


@dataclass(frozen=True, slots=True)
class EncoderInput:
    """One image, or one sound.

    tokens: of the prompt, those that mark rows, tiles and ends among them [1];
    sequences: that the encoder works on by themselves: tiles of an image, windows of a sound, else 1 [1];
    patches: of all of them: patches of an image, positions of a sound [1];
    seen: tokens that only layers of cross-attention see, beside those of the prompt (Llama 3.2 Vision) [1].
    """

    tokens: int
    sequences: int
    patches: int
    seen: int = 0
