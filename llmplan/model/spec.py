"""Schema of a model as a file holds it: `hardware_catalog/models/<id>.yaml`, or a model file of the user.

A flat list of shapes in the vocabulary of the CSV columns. What differs from layer to layer is
written as a pattern (`llmplan.model.patterns`): `mixers: 5 x sliding, full`. `llmplan.model.lowering`
turns it into matrices; this module only says what may be written and refuses what cannot be.
"""

from dataclasses import field
from typing import Annotated, Literal

from llmplan.documents import Document
from llmplan.model.layer import Group
from llmplan.model.patterns import expand
from llmplan.model.sound_spec import SoundSpec
from llmplan.model.vision_spec import VisionSpec
from llmplan.rules import Within
from llmplan.schema import Source, Spec, check

# Limits catch a slip (a width in bytes, a vocabulary in characters) and keep counts exact:
# each is at least ten times what any published model has.
Layers = Annotated[int, Within(ge=0, le=10_000)]
Width = Annotated[int, Within(ge=1, le=10_000_000)]
Heads = Annotated[int, Within(ge=1, le=100_000)]
Rows = Annotated[int, Within(ge=0, le=100_000_000)]
Tokens = Annotated[int, Within(ge=1, le=10**10)]
Experts = Annotated[int, Within(ge=0, le=1_000_000)]
StoragePrecision = Literal["fp32", "fp16", "bf16", "fp8", "mxfp8", "int8", "int4", "nvfp4", "mxfp4", "nf4"]

MAX_PARAMETERS = 1e15  # a thousand times the largest published model: above it a number was mistyped


class Published(Spec):
    """A parameter count that somebody else printed, to check ours against."""

    value: Annotated[float, Within(gt=0)]
    source: str


class ModelSpec(Spec):
    """A model in the words of the CSV columns; what is left out has the stated default."""

    id: str = ""
    name: str = ""
    family: str = ""
    aliases: tuple[str, ...] = ()
    architecture: Literal["decoder", "encoder", "encoder-decoder"] = "decoder"

    layers: Annotated[int, Within(ge=1, le=10_000)]
    """All layers, an encoder's and a decoder's together."""
    encoder_layers: Layers = 0
    """How many of them are the encoder's, for encoder-decoder models."""
    unique_layers: Annotated[int, Within(ge=1, le=10_000)] | None = None
    """Sets of weights that the layers share (ALBERT 1); default: each layer has its own."""
    mixers: str = "full"
    """What mixes tokens in each layer: `full`, `sliding`, `chunked`, `delta` (gated delta net), `kda` (Kimi's delta
    attention), `lightning`, `mamba` (Mamba-1), `mamba2`, `conv` (short convolution), `rglru` (RecurrentGemma),
    `parallel` (`full` and `mamba2` added together), `compressed:<ratio>`, `image` (cross-attention to an image),
    `linear` (a plain matrix) or `none`, as a pattern. `full_shared` and `sliding_shared` read the cache of a layer
    before; `shared_index` takes the tokens that the last index chose. `full:<n>` has n kv heads of its own,
    `full:<heads>/<kv heads>/<head_dim>` all three, 0 for the model's."""
    mlps: str | None = None
    """`dense`, `moe`, `linear` or `none`, as a pattern; `dense:<n>` has its own width. Default: `moe` after
    `dense_layers` dense ones where there are experts, else `dense`."""
    blocks: str | None = None
    """In place of both, where a layer is either a mixer or an MLP: `3 x (mamba2, dense), full`."""
    hidden: Width
    vocab: Width
    max_context: Tokens | None = None

    heads: Heads
    kv_heads: Heads
    head_dim: Width
    """Never derived: heads x head_dim need not be hidden."""
    sliding_heads: Heads | None = None
    """Query heads of sliding layers, where they differ."""
    sliding_kv_heads: Heads | None = None
    sliding_head_dim: Width | None = None
    sliding_v_head_dim: Width | None = None
    global_head_dim: Width | None = None
    """Head width of `full` layers where sliding ones have another (Gemma 4)."""
    global_kv_heads: Heads | None = None
    k_eq_v: bool = False
    """`full` layers project keys and values with one matrix (both are cached)."""
    qk_norm: Literal["none", "head", "layer", "layer-no-bias"] = "none"
    """Norm of queries and keys with weights of one head, or of all heads together; with biases where norms have them,
    but for `layer-no-bias`."""
    qkv_bias: bool = False
    key_bias: bool = True
    """False where queries and values have a bias and keys none (Whisper)."""
    attention_out_bias: bool = False
    attention_gate: Literal["none", "head", "element"] = "none"
    """A sigmoid gate on the attention output: one value a head, or one an element."""
    sinks: bool = False
    """A learned sink logit for each head."""
    sliding_sinks: bool = False
    """The same, of sliding layers alone."""
    sliding_window: Tokens | None = None
    chunk: Tokens | None = None
    """Tokens of a chunk of `chunked` layers."""
    relative_projection: bool = False
    """A further matrix projects relative positions (Transformer-XL: XLNet, Gopher, Chinchilla)."""
    relative_biases: Annotated[int, Within(ge=0, le=100)] = 0
    """Vectors of heads x head_dim beside it in each layer."""
    relative_position_rows: Rows = 0
    """Buckets of a learned bias for each head, one table a stack (T5)."""

    q_lora_rank: Width | None = None
    kv_lora_rank: Width | None = None
    """Given = multi-head latent attention."""
    qk_nope_head_dim: Width | None = None
    qk_rope_head_dim: Width | None = None
    v_head_dim: Width | None = None
    """Width of a value head; default: that of a query head."""
    index_heads: Heads | None = None
    """Heads of the index of sparse attention; given = `full` layers attend to `index_topk` tokens."""
    index_head_dim: Width | None = None
    index_topk: Tokens | None = None
    output_groups: Heads | None = None
    """Groups of the low-rank output projection of `compressed` layers."""
    output_lora_rank: Width | None = None
    hyper_connections: Annotated[int, Within(ge=1, le=64)] = 1
    """Residual streams (1 = the ordinary one)."""

    linear_key_heads: Heads | None = None
    linear_value_heads: Heads | None = None
    linear_key_head_dim: Width | None = None
    linear_value_head_dim: Width | None = None
    conv_kernel: Annotated[int, Within(ge=1, le=64)] = 4
    """Taps of the short convolution of `delta`, `kda`, `conv`, `mamba` and `mamba2` layers."""
    conv_bias: bool = False
    gate_rank: Width | None = None
    """Rank of the two gates of `kda` layers; default: full matrices."""
    recurrent_width: Width | None = None
    """Inner width of `mamba` and `rglru` layers."""
    mamba_dt_rank: Width | None = None
    mamba_state_norms: bool = False
    """Norms with weights of the step, B and C of `mamba` layers (Jamba)."""
    mamba_heads: Heads | None = None
    mamba_head_dim: Width | None = None
    mamba_groups: Heads | None = None
    mamba_state: Width | None = None
    mamba_norm: bool = True
    """A norm with weights after the gate of `mamba2` layers."""

    ffn_hidden: Width | None = None
    """Inner width of one dense MLP."""
    gated_mlp: bool
    mlp_bias: bool = False
    experts: Experts = 0
    experts_per_token: Experts = 0
    expert_ffn_hidden: Width | None = None
    expert_latent: Width | None = None
    """Experts work on a projection of the token to this width."""
    expert_bias: bool = False
    router_bias: bool = False
    """A value a routed expert beside the router's matrix, learned or balanced."""
    shared_experts: Experts = 0
    shared_expert_ffn_hidden: Width | None = None
    """Inner width of one shared expert; default `expert_ffn_hidden`."""
    shared_expert_gate: bool = False
    dense_layers: Layers = 0
    """First layers that have a dense MLP in a model with experts."""

    norm: Literal["rmsnorm", "layernorm", "layernorm-no-bias", "no-weight"] = "rmsnorm"
    norms_per_layer: Annotated[int, Within(ge=0, le=16)] = 2
    final_norm: bool = True
    embedding_norm: bool = False
    parallel_layers: bool = False
    """Attention and MLP read the same input and are added together."""

    tied_embeddings: bool = False
    head: bool = True
    """Whether logits over the vocabulary are computed."""
    head_bias: bool = False
    position_rows: Rows = 0
    """Rows of a table of learned positions."""
    token_types: Rows = 0
    pooler: bool = False
    embedding_size: Width | None = None
    """Width of the token table where it is not hidden: one matrix without bias leads to hidden and one back."""
    narrow_tables: bool | None = None
    """All tables and their norm have that width, and one matrix with a bias leads to hidden (ALBERT, ELECTRA);
    default: in encoders."""
    extra_parameters: Annotated[int, Within(ge=0, le=10**12)] = 0
    """Parameters outside the layers that none of the fields tells of."""
    layer_extra_parameters: Annotated[int, Within(ge=0, le=10**12)] = 0
    """The same, of each layer."""
    per_layer_width: Width | None = None
    """Width of a further embedding that each layer takes in by itself (Gemma 3n, Gemma 4)."""
    per_layer_vocab: Width | None = None
    laurel_rank: Width | None = None
    """Rank of a learned residual beside attention (Gemma 3n)."""
    tower_parameters: Annotated[int, Within(ge=0, le=10**12)] = 0
    """Encoders of images and sound and the way from them into the model."""
    vision: VisionSpec | None = None
    """Shape of the encoder of images, and the rule by which an image becomes tokens."""
    sound: SoundSpec | None = None
    """Shape of the encoder of sound, and the rule by which seconds become tokens."""
    approximate: bool = False
    """Read by likeness to other families: counts are within some percent."""
    mtp_layers: Layers = 0
    """Layers for multi-token prediction, which count neither among `layers` nor in the parameters."""

    weight_precision: StoragePrecision | None = None
    """Of the released weights; default bf16."""
    block_scaled: bool = False
    """Released 8-bit weights have a scale for each block, not one a tensor or row."""
    expert_precision: StoragePrecision | None = None
    released: dict[Group, Annotated[float, Within(gt=0, le=4)]] = field(default_factory=dict)
    """Bytes of a parameter by module group with its share of scales, where the precisions above do not say them."""
    kv_precision: StoragePrecision | None = None
    exact_parameters: Published | None = None
    """A published count to the last parameter, which ours must equal."""
    published_parameters: Published | None = None
    """A rounded one."""
    notes: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    date: str = ""

    def __post_init__(self) -> None:
        problems = [*_shape_problems(self), *_missing(self)]
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def is_mla(self) -> bool:
        """Whether keys and values come from a shared latent vector."""
        return self.kv_lora_rank is not None

    @property
    def has_narrow_tables(self) -> bool:
        """`narrow_tables`, or what an encoder has."""
        return self.architecture == "encoder" if self.narrow_tables is None else self.narrow_tables

    def mixer_of_layers(self) -> tuple[str, ...]:
        """The mixer of each layer, in order."""
        if self.blocks is not None:
            return tuple(word if _kind(word) in MIXERS else "none" for word in expand(self.blocks, self.layers))
        return expand(self.mixers, self.layers)

    def mlp_of_layers(self) -> tuple[str, ...]:
        """The MLP of each layer, in order."""
        if self.blocks is not None:
            return tuple(word if _kind(word) not in MIXERS else "none" for word in expand(self.blocks, self.layers))
        return expand(self.mlp_pattern, self.layers)

    @property
    def mlp_pattern(self) -> str:
        """`mlps`, or what follows from `experts` and `dense_layers`."""
        if self.mlps is not None:
            return self.mlps
        if not self.experts:
            return "dense"
        return f"{self.dense_layers} x dense, rest moe" if self.dense_layers else "moe"


MIXERS = {
    "full", "sliding", "chunked", "full_shared", "sliding_shared", "shared_index", "image", "compressed",
    "delta", "kda", "lightning", "mamba", "mamba2", "conv", "rglru", "parallel", "linear", "none",
}  # fmt: skip
MLPS = {"dense", "moe", "linear", "none"}

# what a kind of layer cannot do without
_NEEDS = {
    "sliding": ("sliding_window",),
    "chunked": ("chunk",),
    "delta": ("linear_key_heads", "linear_value_heads", "linear_key_head_dim", "linear_value_head_dim"),
    "sliding_shared": ("sliding_window",),
    "shared_index": ("index_heads",),
    "kda": ("linear_key_heads", "linear_key_head_dim"),
    "mamba": ("recurrent_width", "mamba_state", "mamba_dt_rank"),
    "rglru": ("recurrent_width",),
    "mamba2": ("mamba_heads", "mamba_head_dim", "mamba_groups", "mamba_state"),
    "parallel": ("mamba_heads", "mamba_head_dim", "mamba_groups", "mamba_state"),
    "compressed": (
        "sliding_window", "q_lora_rank", "output_groups", "output_lora_rank", "index_heads", "index_head_dim",
        "index_topk",
    ),
    "moe": ("experts", "experts_per_token", "expert_ffn_hidden"),
}  # fmt: skip


def _missing(spec: ModelSpec) -> list[str]:
    """Fields that the kinds of layers need and that are not there; kinds that nobody knows."""
    problems = []
    try:
        if spec.blocks is not None:
            kinds = _kinds(spec.blocks, spec.layers, MIXERS | MLPS, "blocks")
        else:
            kinds = _kinds(spec.mixers, spec.layers, MIXERS, "mixers")
            kinds |= _kinds(spec.mlp_pattern, spec.layers, MLPS, "mlps")
    except ValueError as error:
        return [str(error)]
    needed = {field: kind for kind in sorted(kinds) for field in _NEEDS.get(kind, ())}
    if "dense" in spec.mlp_of_layers():
        needed["ffn_hidden"] = "dense"
    if spec.is_mla:
        needed |= dict.fromkeys(("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"), "latent-attention")
    if spec.index_heads is not None:
        needed |= dict.fromkeys(("q_lora_rank", "index_head_dim", "index_topk"), "sparse-attention")
    for name, kind in needed.items():
        if not getattr(spec, name):
            problems.append(f"{name} is missing: {kind} layers need it")
    return problems


def _kind(word: str) -> str:
    return word.partition(":")[0]


def _kinds(pattern: str, layers: int, known: set[str], field: str) -> set[str]:
    kinds = {_kind(word) for word in expand(pattern, layers)}
    if unknown := sorted(kinds - known):
        raise ValueError(
            f"{field}: {', '.join(unknown)} is no kind of layer that is known ({', '.join(sorted(known))})"
        )
    return kinds


def _shape_problems(spec: ModelSpec) -> list[str]:
    """What contradicts itself in the numbers."""
    problems = []
    if spec.heads % spec.kv_heads:
        problems.append(f"heads ({spec.heads}) must be a multiple of kv_heads ({spec.kv_heads})")
    if spec.experts_per_token > spec.experts:
        problems.append(f"experts_per_token ({spec.experts_per_token}) is more than experts ({spec.experts})")
    if spec.dense_layers > spec.layers:
        problems.append(f"dense_layers ({spec.dense_layers}) is more than layers ({spec.layers})")
    if (spec.encoder_layers > 0) != (spec.architecture == "encoder-decoder"):
        problems.append("encoder_layers goes with architecture encoder-decoder, and it with encoder_layers")
    if spec.encoder_layers and spec.encoder_layers >= spec.layers:
        problems.append(f"encoder_layers ({spec.encoder_layers}) must be less than layers ({spec.layers})")
    if spec.unique_layers is not None and spec.layers % spec.unique_layers:
        problems.append(f"layers ({spec.layers}) must be a multiple of unique_layers ({spec.unique_layers})")
    if spec.linear_value_heads and spec.linear_key_heads and spec.linear_value_heads % spec.linear_key_heads:
        problems.append("linear_value_heads must be a multiple of linear_key_heads")
    if spec.output_groups and spec.heads % spec.output_groups:
        problems.append(f"heads ({spec.heads}) must be a multiple of output_groups ({spec.output_groups})")
    rough = (
        3.0 * spec.layers * spec.hidden * max(spec.experts, 1) * max(spec.expert_ffn_hidden or 0, spec.ffn_hidden or 0)
    )
    if rough > MAX_PARAMETERS:
        problems.append(
            f"the model would have about {rough:.0e} parameters; no model has more than {MAX_PARAMETERS:.0e}"
        )
    return problems


def model_spec(document: Document) -> ModelSpec:
    """A parsed catalogue entry or model file as a ModelSpec; an InputError with all of its faults."""
    return check(document, ModelSpec)
