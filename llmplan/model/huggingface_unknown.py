"""What no family reads: unknown model types, and keys that nobody has read.

An unknown type is read by likeness, and only where every key is understood; what is not is refused by name,
for a silent approximation would be a wrong answer.
"""

from __future__ import annotations

import re
from typing import Any

from llmplan.errors import InputError
from llmplan.model.huggingface_config import Config
from llmplan.model.huggingface_families import family, keys

ACTIVATION = ("hidden_act", "activation_function", "hidden_activation")
# SiLU has a gate in every published decoder; GELU beside an RMSNorm (Gemma), and none beside LayerNorms (GPT-2).
# Others tell nothing: ReLU squared has a gate in BitNet and none in Nemotron, Apertus has an activation of its own.
GATED = ("silu", "swish", "swiglu", "silu_and_mul")
GATED_WITH_RMSNORM = ("gelu", "gelu_new", "gelu_fast", "quick_gelu", "gelu_pytorch_tanh")
LATENT = ("kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")


def nearest(config: Config) -> dict[str, Any]:
    """The family whose keys an unknown decoder uses, with a warning; anything but a decoder is refused."""
    named = config.model_type or "(no model_type)"
    other = config.architecture and not re.search("CausalLM|LMHead|ConditionalGeneration", config.architecture)
    if config.data.get("is_encoder_decoder") is True or other:
        what = config.architecture or "an encoder-decoder"
        config.fault(f"model_type {named!r} ({what}) is not known and is no causal language model", "model_type")
        raise InputError(config.faults)
    kind, words = _likeness(config)
    config.warnings.append(f"model_type {named!r} is not known: read as {words}; check the parameter count")
    return family(kind)


def _likeness(config: Config) -> tuple[str, str]:
    """The family that an unknown decoder's keys are those of, and what to call it."""
    groups = keys()["groups"]
    moe = any(config.data.get(key) for key in groups["moe"]["experts"])
    plain = "with two RMSNorms a layer and without biases that the config does not name"
    if all(config.data.get(key) for key in LATENT):
        if moe and all(config.data.get(key) for listed in groups["index"].values() for key in listed):
            return "deepseek_v32", "DeepSeek-V3.2 (latent attention with an index, experts)"
        if moe:
            return "deepseek_v3", "DeepSeek-V3 (latent attention, experts)"
        return "latent", f"a dense decoder with latent attention, {plain}"
    if moe:
        own = any(config.data.get(key) for key in groups["moe"]["expert_ffn_hidden"])
        width = "" if own else " as wide as intermediate_size"
        return "generic_moe", f"a mixture of experts with gated MLPs{width}, {plain}"
    activation = _activation(config)
    rms = any("rms" in key for key in config.data)
    if activation in GATED_WITH_RMSNORM and not rms:
        return "generic_plain", f"a dense decoder with an MLP without gate ({activation}), as GPT-2, with LayerNorms"
    return "generic", f"a dense decoder with a gated MLP, as Llama, {plain}"


def _activation(config: Config) -> str:
    """The activation of an unknown decoder; a fault where it does not tell whether its MLP has a gate."""
    key = next((key for key in ACTIVATION if config.data.get(key)), None)
    activation = "" if key is None else str(config.data[key]).lower()
    if key is not None and activation not in (*GATED, *GATED_WITH_RMSNORM):
        named = config.model_type or "(no model_type)"
        config.fault(f"{key} {activation[:40]!r} does not tell whether the MLP of {named!r} has a gate", key)
    return activation


def refuse_unread(config: Config, entry: dict[str, Any], unknown: bool) -> None:
    """Faults for keys that nothing has read: those that change the architecture, for an unknown type all."""
    for key in entry.get("refuse", ()):
        if config.data.get(key):
            config.fault(f"{key} = {config.data[key]!r} is not supported for {config.model_type}", key)
    harmless = {*keys()["harmless"].split(), *entry.get("harmless", ())}
    suspicious, housekeeping = re.compile(keys()["suspicious"]), re.compile(keys()["housekeeping"])
    named = config.model_type or "(no model_type)"
    for key, value in config.data.items():
        if key in config.used or key in harmless or value in (None, False, 0, "", "none", [], {}):
            continue
        if unknown:
            if not housekeeping.search(key):
                config.fault(f"key {key!r} is not known for model_type {named!r}, which nobody has described", key)
        elif suspicious.search(key) and (value is True or value != 1):
            config.fault(f"key {key!r} is not known for model_type {named!r}, and it changes the architecture", key)
