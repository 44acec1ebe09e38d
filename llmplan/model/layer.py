"""A layer as matrices and a core between them: what every estimate counts."""

from __future__ import annotations

from typing import Literal

from llmplan.formulas.numeric import everywhere
from llmplan.records import dataclass

Split = Literal["column", "row", "none"]
CoreKind = Literal["softmax", "recurrent"]
Side = Literal["encoder", "decoder"]
Role = Literal[
    "attention_in", "attention_out", "cross_kv", "index", "recurrent_in", "recurrent_out",
    "mlp_in", "mlp_out", "expert_in", "expert_out", "shared_in", "shared_out", "shared_gate",
    "router", "hyper_connection", "projection", "head",
]  # fmt: skip
"""What a matrix is for. `in`: reads the layer's input (or what a low rank made of it); `out`: writes its output.

attention, recurrent: queries, keys, values and gates of what mixes tokens, and the way back.
cross_kv: keys and values of cross-attention, made of the encoder's tokens.
index: chooses the tokens that sparse attention looks at.
expert: routed, of which a token takes some; shared: an expert of all tokens, shared_gate its weight.
projection: any other, such as the way into and out of the narrow width of latent experts.
"""
Group = Literal["embedding", "head", "attention", "mlp", "experts", "shared", "router", "rest", "encoders"]
"""Parts of a model whose weights may be stored in precisions of their own."""
WIDE: tuple[Role, ...] = ("router", "hyper_connection")


@dataclass(frozen=True, slots=True)
class Linear:
    """A weight matrix, or a bank of equal ones (experts), that tokens are multiplied with.

    name: what people call it, unique in its layer: `q`, `kv`, `out`, `up`, `down`, `router`, ...
        LoRA targets and messages say it; formulas go by the role.
    role: what it is for.
    inputs, outputs: its shape [1]; a token costs 2 x inputs x outputs x active FLOPs.
    split: how tensor parallelism divides it: `column` its outputs, `row` its inputs, `none` copies it.
    split_limit: most parts it can be cut into (the kv heads of a kv projection); 0 = no limit.
    bias: outputs more parameters (divided with a column split, copied with a row split).
    experts: matrices held; active: how many of them one token passes. Both 1 outside a routed bank.
    saves_input: whether its input is kept for the backward pass; False where the input is
        the one of the matrix listed before it (q and kv, gate and up read one tensor).
    stored: bytes of a parameter as a file holds it, with its share of scales; None = by its precision [bytes].
    """

    name: str
    role: Role
    inputs: int
    outputs: int
    split: Split = "none"
    split_limit: int = 0
    bias: bool = False
    experts: int = 1
    active: int = 1
    saves_input: bool = True
    stored: float | None = None

    @property
    def wide(self) -> bool:
        """Whether it stays in 16 bits in a quantized model, as small matrices with much influence do (routers)."""
        return self.role in WIDE

    @property
    def shared(self) -> bool:
        """Whether it belongs to an expert that all tokens take beside the routed ones."""
        return self.role in ("shared_in", "shared_out", "shared_gate")

    @property
    def routed(self) -> bool:
        """Whether it is a bank of experts of which a token takes some."""
        return self.experts > 1

    @property
    def parameters(self) -> int:
        """Weights and biases held by all experts together [1]."""
        return self.experts * (self.inputs * self.outputs + self.bias * self.outputs)


_GROUPS: dict[str, Group] = {
    "mlp_in": "mlp", "mlp_out": "mlp", "expert_in": "experts", "expert_out": "experts", "shared_in": "shared",
    "shared_out": "shared", "shared_gate": "shared", "router": "router", "hyper_connection": "router", "head": "head",
}  # fmt: skip


def group_of(linear: Linear) -> Group:
    """The part of the model that a matrix belongs to."""
    return _GROUPS.get(linear.role, "attention")


@dataclass(frozen=True, slots=True)
class Core:
    """What mixes tokens: softmax attention of any kind, or a recurrent state (linear attention, Mamba).

    kind: `softmax` compares a token with its context; `recurrent` keeps a state of fixed size.
    heads: query heads [1]; kv_heads: heads with keys and values of their own.
    qk_dim, v_dim: width of a query/key and of a value head [1].
    causal: whether a token sees only the tokens before it (halves the work).
    context: most tokens that one token is compared with (sliding window, chunk, top-k); None = all.
    chunked: the context is the token's own fixed chunk (Llama 4), not a window that slides.
    cross: keys and values come from the encoder's output.
    cache_elements: elements cached for a token [1]: 2 x kv_heads x head_dim, or MLA's 576.
    cache_heads: parts that the cache can be cut into over tensor parallelism (1 for MLA: copied).
    cache_window: tokens after which cached ones may be dropped; None = all are kept.
    cache_ratio: cached entries a token (1; 1/4 where entries are compressed by 4).
    index_elements: those of `cache_elements` that are read for every token before, whatever `context`
        says: the keys of an index, compressed entries that are all attended to [1].
    state_elements: elements of the state of a sequence that does not grow [1].
    state_bytes: bytes of one of them; recurrences are kept in 32 bits.
    token_flops: FLOPs a token of a recurrent core, or of an index that selects the context, beside
        the products with keys and values [FLOP].
    pair_flops: FLOPs for each pair of a token and any token before it, whatever `context` says (the
        index of sparse attention scores every pair) [FLOP].
    saved_elements: elements a token kept for the backward pass beside inputs of matrices [1]:
        queries, keys, values (and the convolved inputs of recurrent cores).
    scores: whether a softmax over the context exists (it is kept where flash attention is off).
    """

    kind: CoreKind
    heads: int
    kv_heads: int
    qk_dim: int
    v_dim: int
    causal: bool = True
    context: int | None = None
    chunked: bool = False
    cross: bool = False
    cache_elements: float = 0.0
    cache_heads: int = 1
    cache_window: int | None = None
    cache_ratio: float = 1.0
    index_elements: float = 0.0
    state_elements: float = 0.0
    state_bytes: float = 4.0
    token_flops: float = 0.0
    pair_flops: float = 0.0
    saved_elements: float = 0.0
    scores: bool = True

    @property
    def latent(self) -> bool:
        """Whether all heads share one cached vector that is wider than a head: multi-head latent attention."""
        alone = (self.cache_heads == 1) & (self.kv_heads == self.heads) & (self.heads > 1)
        return self.kind == "softmax" and everywhere(alone)


@dataclass(frozen=True, slots=True)
class Layer:
    """`count` equal layers.

    kind: a short name for people, such as `attention+mlp`, `sliding+moe`, `mamba2`, `mlp`.
    weight_copies: how many sets of weights the `count` layers hold (1 where ALBERT shares one).
    linears: its matrices in the order of the computation; cores: what mixes tokens (T5's decoder has two).
    side: the stack it stands in, where a model has an encoder and a decoder.
    extra_parameters: norms, convolutions, router biases, ...: copied over tensor parallelism [1].
    norms: how many times the hidden vector is normalised (each reads and writes it).
    activation_elements: elements a token at the MLP's non-linearity, for all active experts
        together: 2 x width with a gate, 1 x without [1].
    mlp_split: whether those elements are divided by tensor parallelism.
    residuals: additions to the residual stream (2 for attention and MLP; 1 where they run in parallel).
    extra_stored: bytes of one of the extra parameters, where a file says them [bytes].
    leading: whether they are the dense layers that stand before all layers of experts (DeepSeek).
    """

    kind: str
    count: int
    hidden: int
    linears: tuple[Linear, ...]
    cores: tuple[Core, ...] = ()
    side: Side = "decoder"
    weight_copies: int | None = None
    extra_parameters: int = 0
    norms: int = 2
    activation_elements: float = 0.0
    residuals: int = 2
    extra_stored: float | None = None
    leading: bool = False

    def __hash__(self) -> int:
        return hash((self.kind, self.count, self.hidden, self.extra_parameters))  # as that of `Model`

    @property
    def copies(self) -> int:
        """Sets of weights held [1]."""
        return self.count if self.weight_copies is None else self.weight_copies

    @property
    def parameters(self) -> int:
        """Parameters of one layer [1]."""
        return self.extra_parameters + sum(linear.parameters for linear in self.linears)

    @property
    def active_parameters(self) -> int:
        """Parameters of one layer that a token passes [1]."""
        idle = sum(linear.parameters * (linear.experts - linear.active) // linear.experts for linear in self.linears)
        return self.parameters - idle
