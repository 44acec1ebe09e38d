"""How encoders cut a sound: frames of a spectrogram, positions after convolutions, tokens of the language model.

Whole numbers of one sound, never arrays: the rules round. They are those of the families' own feature extractors and
processors, which write lengths after a convolution as (n - 1) // stride + 1.
"""

from __future__ import annotations


def frames(seconds: float, per_second: float) -> int:
    """Frames [1] of a sound: seconds x frames a second, rounded.

    seconds: of the sound [s]; per_second: 100 with a hop of 160 samples at 16 kHz [1/s]. Result: [1].
    Ignored: the one frame more or less of the edges. Radford et al. 2022, arXiv 2212.04356, section 2.2.

    >>> frames(30.0, 100.0)
    3000
    """
    return max(1, round(seconds * per_second))


def convolved(count: int, stride: int, chunk: int | None = None) -> int:
    """Positions [1] after convolutions: ceil(count / stride), each chunk by itself where there are chunks.

    count: frames [1]; stride: of all convolutions together [1]; chunk: frames that are convolved by themselves [1].
    Result: [1]. Qwen3-Omni, `_get_feat_extract_output_lengths` (chunks of 100 frames give 13); Qwen2-Audio, the same
    without chunks.

    >>> convolved(3000, 2), convolved(250, 8, chunk=100)
    (1500, 33)
    """
    whole, rest = divmod(count, chunk) if chunk else (0, count)
    return whole * -(-(chunk or 0) // stride) + -(-rest // stride)
