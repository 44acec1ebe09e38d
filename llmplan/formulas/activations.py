"""Activations kept for the backward pass, by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


def layer_activation_bytes(
    tokens: Num, copied_elements: Num, divided_elements: Num, mask_elements: Num, score_bytes: Num, tp: Num,
    sequence_parallel: Num, element: Num = 2.0,
) -> Num:  # fmt: skip
    """Activations that one layer keeps for one micro-batch [bytes].

    tokens x (element (copied / c + divided / tp) + masks / c) + score_bytes, with c = tp under
    sequence parallelism, else 1.

    tokens: of the micro-batch on this device [1]; copied_elements: a token's elements outside the
    tensor-parallel regions (inputs of norms and of column-split matrices) [1]; divided_elements: inside
    (queries, keys, values, non-linearity, inputs of row-split matrices) [1]; mask_elements: dropout
    masks outside, 1 byte each [1]; score_bytes: softmax and its dropout where no flash attention is
    used, already divided [bytes]; tp [1]; sequence_parallel: 0 or 1 [1]; element: bytes [bytes].

    With 4h copied, 12h divided, 2h masks and 5 a s^2 b score bytes it is Korthikanti et al. 2022
    (arXiv 2205.05198), equation 1: s b h (34 + 5 a s / h); with tp = t, equation 2:
    s b h (10 + 24 / t + 5 a s / (h t)); with sequence parallelism, equation 4: s b h / t (34 + 5 a s / h).

    >>> s, b, h, a = 2048.0, 1.0, 12288.0, 96.0
    >>> whole = layer_activation_bytes(s * b, 4 * h, 12 * h, 2 * h, 5 * a * s * s * b, 1.0, 0.0)
    >>> whole == s * b * h * (34 + 5 * a * s / h)
    True
    """
    copies = 1.0 + sequence_parallel * (tp - 1.0)
    return (
        tokens * (element * (copied_elements / copies + divided_elements / tp) + mask_elements / copies) + score_bytes
    )


def score_bytes(tokens: Num, attended: Num, heads: Num, tp: Num, bytes_per_score: Num) -> Num:
    """Scores kept for the backward pass without flash attention [bytes]: tokens x attended x heads / tp x bytes.

    bytes_per_score: 5 with dropout (softmax 2, mask 1, dropout's output 2), 2 without
    (Korthikanti et al. 2022, section 4.1). The full square is kept even where it is causal.
    tokens: of the micro-batch on this device [1]; attended: keys that each is compared with [1]; heads, tp [1];
    bytes_per_score: all copies [bytes].

    >>> score_bytes(2048.0, 2048.0, 96.0, 1.0, 5.0) / 1e9
    2.01326592
    """
    return tokens * attended * heads / tp * bytes_per_score


def logits_bytes(tokens: Num, vocab: Num, tp: Num, bytes_per_logit: Num) -> Num:
    """Logits, their softmax and their gradient on the last stage [bytes]: tokens x vocab / tp x bytes.

    Korthikanti et al. 2022, section 4.3, count 4 bytes (fp32 logits kept); copies made by a
    framework's loss add to it. tokens, vocab, tp [1]; bytes_per_logit [bytes].

    >>> logits_bytes(2048.0, 51200.0, 8.0, 4.0) / 1e6
    52.4288
    """
    return tokens * vocab / tp * bytes_per_logit
