"""Bytes of a weight that is stored in few bits with scales for groups of them."""

from __future__ import annotations

BYTE = 8.0  # bits
SCALE = 2.0  # bytes of a scale in 16 bits


def grouped_bytes(bits: float, group: float, scale: float = SCALE, zero: float = 0.0) -> float:
    """Bytes of a weight with its share of what its group has [bytes]: bits / 8 + (scale + zero) / group.

    bits: of one weight [1]; group: weights that share a scale, 0 = a whole row, of which nothing is left [1];
    scale, zero: bytes of a group's scale and of its zero point or bias [bytes].

    int4 in groups of 32 as in Kimi K2.5; GPTQ and AWQ in groups of 128 with zeros of 4 bits; MLX in groups of 64 with
    a bias in 16 bits; nvfp4 with 8-bit scales for 16 (OCP, NVIDIA); nf4 with 32-bit scales for 64 (bitsandbytes):

    >>> grouped_bytes(4.0, 32.0), grouped_bytes(4.0, 128.0, zero=0.5), grouped_bytes(4.0, 64.0, zero=2.0)
    (0.5625, 0.51953125, 0.5625)
    >>> grouped_bytes(4.0, 16.0, 1.0), grouped_bytes(4.0, 64.0, 4.0), grouped_bytes(8.0, 0.0)
    (0.5625, 0.5625, 1.0)
    """
    return bits / BYTE + ((scale + zero) / group if group > 0 else 0.0)
