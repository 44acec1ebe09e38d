"""Weights as stored in files: tensors with shapes and bytes, checked against a model and counted in it exactly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import prod

from llmplan.errors import Fault, InputError
from llmplan.model.layer import Group, Layer, group_of
from llmplan.model.model import Model, Stored
from llmplan.model.quantization import INT4_BITS
from llmplan.records import dataclass, replace

PERMITTED = 1e-3
"""Share by which the parameters of files and of a description may differ."""
_BITS = 8.0
_INT8_BITS = 10.0  # a parameter, up to which kernels are those of 8 bits

# the first pattern that a tensor's name has decides; names of GGUF and of Hugging Face
_PATTERNS: tuple[tuple[Group, str], ...] = (
    ("embedding", r"(^|\.)(token_embd|embed_tokens|wte|word_embeddings|embed_in|tok_embeddings)\.weight"),
    ("head", r"^(output|lm_head|embed_out)\.weight|(^|\.)lm_head\.weight"),
    ("shared", r"_shexp\.|shared_experts?[._]|shared_mlp"),
    ("router", r"ffn_gate_inp\.|(mlp|block_sparse_moe|feed_forward)\.(gate|router)\.|(^|\.)router\."),
    ("experts", r"_exps\.|\.experts\.|\.experts?_"),
    ("attention", r"attn|attention|ssm_|mixer|linear_attn|mamba"),
    ("mlp", r"ffn_|mlp|feed_forward|fc[12in_out]*\.|dense_"),
)
_GROUPS = tuple((group, re.compile(pattern)) for group, pattern in _PATTERNS)
_BUFFER = re.compile(
    r"rope_freqs|rope_factors|inv_freq|rotary_emb|position_ids|masked_bias|attn\.bias$|"
    r"(weight_scale|scale_inv|scales|input_scale|k_scale|v_scale|qzeros|g_idx|zero_point|absmax|quant_map|quant_state)"
)
_FURTHER = re.compile(r"(^|\.)(mtp|nextn|eagle)\w*\.")
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|block)\.(\d+)\.")
_MATRIX = 2  # dimensions from which a tensor is one


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a file; kind: how its elements are stored; bytes: exact, scales included [bytes]."""

    name: str
    shape: tuple[int, ...]
    kind: str
    bytes: float

    @property
    def group(self) -> Group:
        """The part of a model that it belongs to."""
        if len([size for size in self.shape if size > 1]) < _MATRIX and not self.name.endswith("qweight"):
            return "rest"
        return next((group for group, pattern in _GROUPS if pattern.search(self.name)), "rest")

    @property
    def counts(self) -> bool:
        """Whether its elements are parameters, not buffers or the scales of others."""
        return _BUFFER.search(self.name) is None

    @property
    def parameters(self) -> int:
        """Elements [1]."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Weights:
    """All tensors of a model; file: where they stand; label: what people call the quantization."""

    tensors: tuple[Tensor, ...]
    file: str
    label: str = ""

    @property
    def bytes(self) -> float:
        """Of all tensors [bytes]."""
        return sum(tensor.bytes for tensor in self.tensors)

    @property
    def parameters(self) -> int:
        """Elements that are parameters [1]."""
        return sum(tensor.parameters for tensor in self.tensors if tensor.counts)

    def by_group(self) -> dict[Group, tuple[int, float]]:
        """Parameters [1] and bytes, scales and buffers among them [bytes], of each part."""
        found: dict[Group, tuple[int, float]] = {}
        for tensor in self.tensors:
            count, size = found.get(tensor.group, (0, 0.0))
            found[tensor.group] = count + tensor.parameters * tensor.counts, size + tensor.bytes
        return found

    def kinds(self) -> dict[str, float]:
        """Bytes by how elements are stored, the most first [bytes]."""
        found: dict[str, float] = {}
        for tensor in self.tensors:
            found[tensor.kind] = found.get(tensor.kind, 0.0) + tensor.bytes
        return dict(sorted(found.items(), key=lambda item: -item[1]))


def check_parameters(model: Model, weights: Weights, what: str) -> None:
    """An InputError where a description has other parameters than the files; what: the description's name."""
    ours, theirs = model.parameters + model.tower_parameters, weights.parameters
    if not theirs:
        raise InputError(Fault("holds no parameters", weights.file))
    if abs(ours - theirs) <= PERMITTED * theirs:
        return
    parts = ", ".join(f"{group} {count:,}" for group, (count, _) in weights.by_group().items() if count)
    text = f"{what} has {ours:,} parameters, the weights {theirs:,} ({ours / theirs - 1:+.2%}): {parts}"
    raise InputError(Fault(text.replace(",", " ").replace("  ", ", "), weights.file))


def without_extras(weights: Weights, model: Model) -> Weights:
    """Without what a description does not count: layers that predict further tokens, a tied head that is stored."""
    counted = [
        tensor for tensor in weights.tensors
        if not _FURTHER.search(tensor.name) and not (model.tied_embeddings and tensor.group == "head")
        and not any(int(number) >= model.layer_count for number in _LAYER.findall(tensor.name)[:1])
    ]  # fmt: skip
    return replace(weights, tensors=tuple(counted))


def with_bytes(model: Model, weights: Weights) -> Model:
    """The model with the exact bytes of its weights; kernels are those of the nearest width of a parameter."""
    groups = weights.by_group()
    count, size = weights.parameters, weights.bytes
    mean = size / count
    rate = {group: held / parameters for group, (parameters, held) in groups.items() if parameters}
    embedding = rate.get("embedding", mean)
    ends = Stored(embedding, rate.get("head", embedding), rate.get("rest", mean), weights.label, size)
    layers = tuple(_layer(layer, rate, mean) for layer in model.layers)
    drawn = replace(model, layers=layers, stored=ends)
    factor = size / stored_bytes(drawn)  # tensors that no matrix of ours is (scales of norms, buffers)
    layers = tuple(_scaled(layer, factor) for layer in layers)
    ends = replace(ends, embedding=ends.embedding * factor, head=ends.head * factor, rest=ends.rest * factor)
    inner = [size for group, (_, size) in groups.items() if group not in ("embedding", "head", "rest")]
    within = [parameters for group, (parameters, _) in groups.items() if group not in ("embedding", "head", "rest")]
    bits = _BITS * (sum(inner) / sum(within) if sum(within) else mean)
    kind = "int4" if bits <= INT4_BITS else "int8" if bits <= _INT8_BITS else "bf16"
    return replace(model, layers=layers, stored=ends, weight_precision=kind, expert_precision=None)


def stored_bytes(model: Model) -> float:
    """All weights of a model whose bytes are known [bytes]."""
    if model.stored is None:
        raise ValueError(f"the bytes of {model.name} are not known")
    ends = model.embedding_parameters * model.stored.embedding + model.head_parameters * model.stored.head
    rest = model.position_parameters + model.final_parameters + model.tower_parameters
    return ends + rest * model.stored.rest + sum(layer.copies * layer_bytes(layer) for layer in model.layers)


def layer_bytes(layer: Layer) -> float:
    """One layer of such a model [bytes]."""
    matrices = sum(linear.parameters * (linear.stored or 0.0) for linear in layer.linears)
    return matrices + layer.extra_parameters * (layer.extra_stored or 0.0)


def _layer(layer: Layer, rate: Mapping[Group, float], mean: float) -> Layer:
    linears = tuple(replace(linear, stored=rate.get(group_of(linear), mean)) for linear in layer.linears)
    return replace(layer, linears=linears, extra_stored=rate.get("rest", mean))


def _scaled(layer: Layer, factor: float) -> Layer:
    linears = tuple(replace(linear, stored=(linear.stored or 0.0) * factor) for linear in layer.linears)
    return replace(layer, linears=linears, extra_stored=(layer.extra_stored or 0.0) * factor)
