"""Size of the key-value cache: bytes of a token, tokens that fit, sequences that are resident."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import ceil, floor, maximum, minimum

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


def cache_elements_gqa(kv_heads: Num, qk_dim: Num, v_dim: Num) -> Num:
    """Elements that one token caches in one layer of multi-head, grouped- or multi-query attention [1].

    kv_heads (qk_dim + v_dim): a key and a value (Shazeer 2019, arXiv 1911.02150; Ainslie et al. 2023,
    arXiv 2305.13245). kv_heads: as many as heads in multi-head attention, one in MQA; qk_dim, v_dim: of a head [1].

    Llama 3.1 8B in 16 bits, 32 layers of 8 heads of 128: 131,072 bytes a token.

    >>> 32 * cache_elements_gqa(8.0, 128.0, 128.0) * 2
    131072.0
    """
    return kv_heads * (qk_dim + v_dim)


def cache_elements_mla(kv_lora_rank: Num, qk_rope_head_dim: Num) -> Num:
    """Elements that one token caches in one layer of multi-head latent attention [1].

    kv_lora_rank + qk_rope_head_dim, whatever the heads (DeepSeek-V2, arXiv 2405.04434, table 1).
    kv_lora_rank, qk_rope_head_dim [1].

    >>> cache_elements_mla(512.0, 64.0)
    576.0
    """
    return kv_lora_rank + qk_rope_head_dim


def block_tokens(length: Num, block: Num) -> Num:
    """Tokens that paged memory reserves for a sequence: whole blocks [1] (Kwon et al. 2023, arXiv 2309.06180).

    length, block [tokens].

    >>> block_tokens(100.0, 16.0)
    112.0
    """
    return ceil(length / block) * block


def sequence_bytes(length: Num, growing: Num, windowed: Num, window: Num, state: Num) -> Num:
    """Cache of one sequence on one device [bytes].

    growing x length + windowed x min(length, window) + state
    growing, windowed: bytes a token of layers that keep all, or a window [bytes]; window [1];
    state: bytes of recurrent layers, whatever the length [bytes].
    length [tokens].

    >>> sequence_bytes(4096.0, 10.0, 50.0, 1024.0, 0.0)
    92160.0
    """
    return growing * length + windowed * minimum(length, window) + state


def resident_sequences(room: Num, each: Num) -> Num:
    """Whole sequences that fit into the cache at once [1]: floor(room / each), 0 where there is no room.

    room, each [bytes].

    >>> resident_sequences(10e9, 0.3e9), resident_sequences(-1.0, 0.3e9)
    (33.0, 0.0)
    """
    return maximum(0.0, floor(room / each))


def growing_length(room: Num, growing: Num, windowed: Num, window: Num, state: Num) -> Num:
    """Longest single sequence that fits [tokens]: the inverse of `sequence_bytes` (0 where there is no room).

    room [bytes]; the rest as there. Where nothing grows, a length without bound is cut at 1e12.
    growing, windowed, state [bytes]; window [tokens].

    >>> growing_length(92160.0, 10.0, 50.0, 1024.0, 0.0)
    4096.0
    """
    short = (room - state) / maximum(growing + windowed, 1e-12)
    long = (room - state - windowed * window) / maximum(growing, 1e-12)
    length = minimum(maximum(long, minimum(short, window)), 1e12)
    return maximum(0.0, floor(length))


def waves(batch: Num, resident: Num) -> Num:
    """Rounds in which a static batch runs when not all of it is resident [1]: ceil(batch / resident).

    batch, resident: sequences [1].

    >>> waves(64.0, 48.0), waves(64.0, 64.0)
    (2.0, 1.0)
    """
    return ceil(batch / maximum(resident, 1.0))
