"""Tokens and positions of one sound, by the rule of its model's family."""

from __future__ import annotations

import math

from llmplan.formulas.sound import convolved, frames
from llmplan.model.encoder_input import EncoderInput
from llmplan.model.sound_spec import SoundSpec


def cut_sound(sound: SoundSpec, seconds: float) -> EncoderInput:
    """Tokens and positions of one sound [s]."""
    heard = convolved(max(1, frames(seconds, sound.frames_per_second) - sound.edge_frames), sound.stride, sound.chunk)
    windows, filled = 1, heard
    if sound.window_seconds is not None:
        windows = math.ceil(round(seconds / sound.window_seconds, 9))
        filled = windows * convolved(frames(sound.window_seconds, sound.frames_per_second), sound.stride, sound.chunk)
    return EncoderInput(_tokens(sound, filled if sound.filled_tokens else heard), windows, filled)


def _tokens(sound: SoundSpec, positions: int) -> int:
    if sound.tokens is not None:
        return sound.tokens
    return max(1, positions // sound.merge)
