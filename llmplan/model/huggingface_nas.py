"""Models whose layers were chosen one by one (Nemotron-NAS): attention and MLP of each by themselves."""

from __future__ import annotations

from typing import Any

from llmplan.model.huggingface_config import Config
from llmplan.model.patterns import compact

Fields = dict[str, Any]


def nemotron_nas(config: Config, fields: Fields) -> Fields:
    """`block_configs`: attention and MLP of each layer by themselves, present, replaced by a matrix, or left out."""
    blocks = config.data.get("block_configs")
    config.used.add("block_configs")
    layers, hidden = fields.get("layers"), fields.get("hidden") or 0
    if not isinstance(blocks, list) or len(blocks) != layers or not all(isinstance(block, dict) for block in blocks):
        config.fault(f"block_configs must be a list with one block for each of {layers} layers", "block_configs")
        return fields
    mixers = [_nas_attention(config, _part(config, block, "attention"), fields.get("heads") or 1) for block in blocks]
    widths = [_nas_mlp(config, _part(config, block, "ffn"), hidden) for block in blocks]
    own = [word for word in mixers if ":" in word]
    usual = max(set(own), key=own.count) if own else f"full:{fields.get('heads') or 1}"
    words = ["full" if word == usual else word for word in mixers]
    return fields | {"mixers": compact(words), "mlps": compact(widths), "kv_heads": int(usual.partition(":")[2])}


def _part(config: Config, block: dict[str, Any], name: str) -> dict[str, Any]:
    """The attention or the MLP of a block; empty where there is none."""
    found = block.get(name) or {}
    if isinstance(found, dict):
        return found
    config.fault(f"block_configs: {name} must be an object", "block_configs")
    return {"no_op": True}


def _nas_attention(config: Config, block: dict[str, Any], heads: int) -> str:
    if block.get("no_op"):
        return "none"
    if block.get("replace_with_linear"):
        return "linear"
    for key in ("window_length", "sparsify", "num_sink_tokens"):
        if block.get(key):
            config.fault(f"block_configs: attention with {key} is not supported", "block_configs")
    group = block.get("n_heads_in_group")
    if not isinstance(group, int) or group < 1:
        config.fault("block_configs: n_heads_in_group is missing", "block_configs")
        return "full"
    return f"full:{max(1, heads // group)}"


MAX_MULTIPLE = 1000  # of the hidden width; real ones stay below 10


def _nas_mlp(config: Config, block: dict[str, Any], hidden: int) -> str:
    if block.get("no_op"):
        return "none"
    if block.get("replace_with_linear"):
        return "linear"
    multiple = block.get("ffn_mult")
    if isinstance(multiple, bool) or not isinstance(multiple, (int, float)) or not 0 < multiple < MAX_MULTIPLE:
        config.fault("block_configs: ffn_mult is missing", "block_configs")
        return "none"
    # a gated MLP: 2/3 of the multiple, rounded up to a multiple of 256, as in the model's own code
    width = int(2 * multiple * hidden / 3)
    return f"dense:{-(-width // 256) * 256}"
