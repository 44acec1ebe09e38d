"""Memory that a serving engine takes beside weights and cache, and how it shares its cache out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import ceil, maximum, minimum

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


def prefill_peak(tokens: Num, hidden: Num, vectors: Num, widest: Num, element: float = 2.0) -> Num:
    """Activations alive at the widest point of a layer that reads a prompt [bytes].

    element x tokens x (vectors x hidden + widest)
    tokens: read in one step [1]; hidden, widest: elements a token of the residual stream, and at the widest point
    inside a layer (of an MLP: what the first product writes and what the second one reads) [1]; vectors: hidden
    vectors alive beside them [1]; element [bytes]. Source: what each operation keeps; vLLM 0.6 logs 107 KiB a token of
    Llama 3.1 8B, which is 2 bytes x (3 x 14,336 + 3 x 4,096) (measurements/kv_cache.csv, v10517).

    >>> prefill_peak(1.0, 4096.0, 3.0, 3.0 * 14336)
    110592.0
    """
    return element * tokens * (vectors * hidden + widest)


def sampler_peak(sequences: Num, vocab: Num, copies: float) -> Num:
    """What choosing a token for the most sequences takes [bytes]: copies x 4 bytes x sequences x vocab.

    sequences [1]; vocab: logits of one sequence, on every device of a tensor-parallel group whole, as they are gathered
    before sampling [1]; copies: fp32 vectors alive at once (logits, sorted ones, indices of 8 bytes, probabilities)
    [1]. Source: the engine's trial run (vLLM, `_dummy_sampler_run`); copies from its logs.

    >>> round(sampler_peak(1024.0, 128256.0, 3.7) / 2**30, 3)
    1.81
    """
    logit = 4.0
    return copies * logit * sequences * vocab


def expert_workspace(tokens: Num, active: float, width: Num, hidden: Num, element: float = 2.0) -> Num:
    """Buffers of a fused kernel of gated experts [bytes], kept as long as the engine lives.

    element x tokens x active x (max(2 width, hidden) + max(width, hidden)): one buffer for what the first product
    writes and, later, the second; one for what lies between (vLLM, `fused_experts`).
    tokens [1]; active: experts a token passes [1]; width: of one expert on this device [1]; hidden [1].

    Qwen1.5-MoE-A2.7B reads 8,192 tokens:

    >>> expert_workspace(8192.0, 4, 1408.0, 2048.0) / 2**30
    0.296875
    """
    return element * tokens * active * (maximum(2.0 * width, hidden) + maximum(width, hidden))


def filled_width(width: Num, multiple: float) -> Num:
    """Width of a matrix that is filled up to a multiple [1]: ceil(width / multiple) x multiple.

    >>> filled_width(2880.0, 256.0)
    3072.0
    """
    return ceil(width / multiple) * multiple


def kept_back(
    tokens: Num, sequences: Num, devices: Num, fixed: float, each: tuple[float, float, float], least: Num
) -> Num:
    """What an engine leaves of a device by default for activations and graphs [bytes].

    max(fixed + tokens x each[0] + sequences x each[1] + devices x each[2], least)
    tokens: of a step that reads prompts [1]; sequences: of the largest captured graph [1]; devices: of a replica [1];
    fixed, each (a token, a sequence, a device), least [bytes]. Source: SGLang 0.5, `_handle_gpu_memory_settings`: 512,
    1.5 a token, 2 a sequence, 128 a device [MiB], and 10 GiB at least on devices above 60 GiB.

    >>> mib = 2.0**20
    >>> kept_back(8192.0, 256.0, 1.0, 512 * mib, (1.5 * mib, 2 * mib, 128 * mib), 10240 * mib) / mib
    13440.0
    """
    return maximum(fixed + tokens * each[0] + sequences * each[1] + devices * each[2], least)


def group_size(counts: tuple[int, ...], near: float) -> int:
    """Layers of one group of the cache, where layers keep different lengths [1].

    The fewest of any kind; the most of any kind where that is less than `near` times as many. Every kind is cut into
    groups of that size, the last one filled up (vLLM, `_get_kv_cache_groups_uniform_page_size`).
    counts: layers of each kind [1]; near [1].

    >>> group_size((10, 52), 1.25), group_size((12, 12), 1.25), group_size((20, 21), 1.25)
    (10, 12, 21)
    """
    fewest, most = min(counts), max(counts)
    return most if most < fewest * near else fewest


def filled_layers(layers: int, group: int) -> int:
    """Layers that a kind takes in the cache when its last group is filled up [1]: ceil(layers / group) x group.

    The 52 windows of Gemma 3 27B in groups of 10:

    >>> filled_layers(52, 10)
    60
    """
    return -(-layers // group) * group


def admitted_tokens(length: Num, window: Num, step: Num, block: Num) -> Num:
    """Tokens that a layer with a window must have room for before a request is let in [1].

    min(window - 1 + step, length) in whole blocks, and one block more (vLLM, `SlidingWindowSpec`).
    length: of the request, whole; window; step: tokens read in one step; block [tokens].

    >>> admitted_tokens(8192.0, 1024.0, 2048.0, 16.0), admitted_tokens(512.0, 1024.0, 2048.0, 16.0)
    (3088.0, 528.0)
    """
    return (ceil(minimum(window - 1.0 + step, length) / block) + 1.0) * block
