"""Work, traffic and time of attention: how many tokens a token is compared with, and what that costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import minimum, soft_maximum

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


def attended_tokens(seq_len: Num, context: Num | None, *, causal: bool, chunked: bool = False) -> Num:
    """Tokens that one token is compared with, mean over a sequence [1].

    All: s, or s/2 where causal. A sliding window of w <= s: w - w^2 / (2 s). Chunks of w: w/2.
    (The diagonal's half token is ignored: 1/s.)

    seq_len: s [1]; context: w [1], None = unlimited; causal: only tokens before it.

    >>> attended_tokens(8192.0, None, causal=True)
    4096.0
    >>> attended_tokens(8192.0, 1024.0, causal=True)
    960.0
    """
    if context is None:
        return seq_len / 2.0 if causal else seq_len
    window = minimum(seq_len, context)
    if chunked:
        return window / 2.0 if causal else window
    return window - window * window / (2.0 * seq_len) if causal else window


def attention_flops(tokens: Num, attended: Num, heads: Num, qk_dim: Num, v_dim: Num) -> Num:
    """FLOPs of scores and weighted values, forward: 2 tokens attended heads (qk_dim + v_dim) [FLOP].

    tokens: queries [1]; attended: keys that each is compared with [1]; heads, qk_dim, v_dim [1].
    The softmax itself (a few FLOPs a score, on other units) is ignored.
    GPT-3 175B, one sequence of 2048, all 96 layers, uncausal: 96 x 4 x 2048^2 x 12288 = 1.98e13.

    >>> f"{96 * attention_flops(2048.0, 2048.0, 96.0, 128.0, 128.0):.3g}"
    '1.98e+13'
    """
    return 2.0 * tokens * attended * heads * (qk_dim + v_dim)


def attention_seconds(
    queries: Num, attended: Num, width: Num, extra: Num, traffic: Num, *, rate: Num, ramp: Num, tail: Num,
    bandwidth: Num, launch: Num,
) -> Num:  # fmt: skip
    """Time of one flash attention kernel, forward [s].

    launch + soft_maximum((2 width (queries + tail) (attended + ramp) + extra) / rate, traffic / bandwidth)

    queries: tokens x heads of this device [1]; attended: keys that each is compared with, on average [1];
    width: qk_dim + v_dim [1]; extra: FLOPs beside (an index of sparse attention, a recurrence) [FLOP]; traffic:
    bytes of queries, keys, values and output [bytes]; rate: of long sequences [FLOP/s];
    ramp: keys' worth of time lost in starting and ending a block of queries, masked keys of the diagonal among it [1];
    tail: queries' worth lost in the last wave of blocks [1]; bandwidth [bytes/s]; launch [s].
    Within 5 % in the median on A100, H100 and B200 (318 shapes each, batch 1 to 256, 128 to 16,384 tokens, vLLM).

    >>> t = attention_seconds(8192.0 * 64, 4096.0, 256.0, 0.0, 0.0, rate=7e14, ramp=378.0, tail=1e4, bandwidth=1e12,
    ...                       launch=0.0)
    >>> round(float(t) * 1e3, 3)
    1.748
    """
    work = 2.0 * width * (queries + tail) * (attended + ramp) + extra
    return launch + soft_maximum(work / rate, traffic / bandwidth)


def attention_traffic(tokens: Num, keys: Num, heads: Num, kv_heads: Num, qk_dim: Num, v_dim: Num, element: Num) -> Num:
    """Bytes that flash attention moves, forward: queries and output once, keys and values once [bytes].

    tokens: queries [1]; keys: distinct keys read [1]; element: bytes of one element [bytes].
    Exact where a head's keys stay in the cache between blocks of queries (Dao 2023, arXiv 2307.08691, 3.1).
    heads, kv_heads: on this device [1]; qk_dim, v_dim: of a head [1].

    >>> attention_traffic(10.0, 10.0, 4.0, 1.0, 8.0, 8.0, 2.0)
    1600.0
    """
    return element * (qk_dim + v_dim) * (tokens * heads + keys * kv_heads)


def score_traffic(tokens: Num, attended: Num, heads: Num, passes: Num) -> Num:
    """Bytes of scores where softmax(QK^T) is written to memory (no flash attention) [bytes].

    2 bytes x passes x tokens x attended x heads; passes: reads and writes of the score matrix [1]:
    QK^T writes, scale+mask+softmax read and write, dropout read and write, the product reads.
    tokens, attended, heads [1].

    >>> score_traffic(2.0, 2.0, 1.0, 6.0)
    48.0
    """
    return 2.0 * passes * tokens * attended * heads
