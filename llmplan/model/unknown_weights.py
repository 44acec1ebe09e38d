"""A model of a family that nobody described, planned by its weights: parameters and bytes exact, the rest by likeness.

Layers, widths and heads come from plain keys; what tensors hold beyond an ordinary decoder of those shapes is added as
parameters that every token passes. Ignored: windows, recurrent states and whatever else the keys do not say, which
hurts the cache and the time of models that are no ordinary decoders. `approximate` says so.
"""

from __future__ import annotations

from typing import Any

from llmplan.documents import Document
from llmplan.errors import Fault, InputError
from llmplan.model.huggingface import spec_of_config
from llmplan.model.lowering import lower
from llmplan.model.spec import ModelSpec
from llmplan.model.weights import Weights
from llmplan.records import replace

PLAIN = (
    "num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim",
    "max_position_embeddings", "vocab_size", "num_experts_per_tok", "tie_word_embeddings",
)  # fmt: skip
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
WIDTHS = ("moe_intermediate_size", "intermediate_size")
TOO_MUCH = 0.02
"""Share of parameters that an ordinary decoder of these shapes may have more than the tensors do."""


def spec_by_weights(
    data: dict[str, Any], weights: Weights, name: str, family: str
) -> tuple[ModelSpec, tuple[str, ...]]:
    """The nearest ordinary decoder with the parameters of the tensors; an InputError where its shapes do not fit."""
    plain = {key: data[key] for key in PLAIN if data.get(key) is not None}
    experts = next((data[key] for key in EXPERTS if data.get(key)), None)
    kind = "llama"
    if experts:
        kind = "mixtral"
        plain |= {"num_local_experts": experts, "intermediate_size": next(data[key] for key in WIDTHS if data.get(key))}
    spec, _ = spec_of_config(Document({**plain, "model_type": kind}, weights.file, {(): 1}), None, name)
    gated = any("gate" in tensor.name for tensor in weights.tensors if tensor.group in ("mlp", "experts", "shared"))
    spec = replace(spec, gated_mlp=gated, approximate=True, family=family)
    missing = weights.parameters - lower(spec).parameters
    if missing < -TOO_MUCH * weights.parameters:
        text = f"{family!r} is not known, and its tensors are not those of an ordinary decoder of its shapes"
        raise InputError(Fault(text, weights.file))
    warning = f"family {family!r} is not known: read as an ordinary decoder with the parameters of its tensors"
    return replace(spec, extra_parameters=max(0, missing)), (warning,)
