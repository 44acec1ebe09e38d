"""Prefix caches: what a prompt finds there, what reading it takes, and the room that is left for others' prefixes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmplan.formulas.numeric import maximum, minimum, real
from llmplan.formulas.prefix import conversation_hit
from llmplan.formulas.states import split_parts
from llmplan.work.attention import cache_window

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num
    from llmplan.model.layer import Layer
    from llmplan.model.model import Model
    from llmplan.serving.plan import ServingWorkload
    from llmplan.setup.draft import Draft
    from llmplan.work.kernels import Kernels

ROUNDED = 6  # digits of a message's length that are meant


def prefix_seconds(layer: Layer, prefix: Num, prompts: Num, layout: Any, kernels: Kernels) -> Num:
    """Reading what one layer has cached of so many prompts' prefixes, once for all tokens of a prompt [s]."""
    read: Num = 0.0
    for core in layer.cores:
        window = cache_window(core, kernels)
        seen = prefix if window is None else minimum(prefix, window)
        elements = core.cache_elements * core.cache_ratio * seen
        read = read + kernels.cache_bytes * elements / split_parts(layout.tp * 1.0, real(core.cache_heads))
    return prompts * read / kernels.decode.bandwidth


def hit_of(draft: Draft, model: Model, inputs: float, outputs: float) -> float | None:
    """Share of prompts that hits, as given or as the turns of a conversation leave it; faults where there is none."""
    options = draft.options
    if options.prefix_hit is None and options.turns is None:
        return None
    if model.architecture != "decoder":
        draft.fault(f"prefix_hit: {model.name} reads every prompt whole, it is no decoder", "prefix_hit", "turns")
        return None
    if options.turns is None:
        return options.prefix_hit
    hit = real(conversation_hit(inputs, outputs, real(options.turns)))
    message = inputs * (1.0 - hit)
    if round(message, ROUNDED) < 1.0 or hit < 0.0:
        least = (real(options.turns) - 1.0) / 2.0 * (outputs + 1.0) + 1.0
        draft.fault(
            f"turns {options.turns} with answers of {outputs:g} tokens have prompts of {least:g} tokens or more, on "
            f"average, and input_tokens is {inputs:g}: prompts hold the turns before them",
            "turns", "input_tokens",
        )  # fmt: skip
        return None
    if options.prefix_hit is None:
        draft.assume("prefix_hit", f"{hit:.3g}", f"what the turns before have left, messages of {message:.4g} tokens")
    return hit if options.prefix_hit is None else options.prefix_hit


def prefix_room(work: ServingWorkload, kv_tokens: float, sequences: float) -> float:
    """Tokens of the caches that no request in flight holds, where prefixes stay for those to come [1].

    Each request holds its own, half-way through its answer: a prefix that several share is held once by engines, and
    counted for each here. kv_tokens: that all caches hold; sequences: in flight [1].
    """
    return real(maximum(kv_tokens - sequences * (work.input_tokens + work.output_tokens / 2.0), 0.0))
