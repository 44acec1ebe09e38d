"""What one device does for a token, as plain numbers: the products, caches and collectives of a deployment.

Built once a plan; steps of any batch and length are then arithmetic on it. All fields are numbers, or
arrays where the layout holds arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from llmplan.formulas.numeric import minimum, real
from llmplan.formulas.states import split_parts
from llmplan.model.model import Core, Layer, Linear, Model
from llmplan.work.kernels import ACTIVATION_PASSES, NORM_PASSES, RESIDUAL_PASSES, ROTARY_PASSES, local_shape

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

Phase = Literal["both", "prefill", "decode"]


@dataclass(frozen=True, slots=True)
class Product:
    """One matrix product of a layer on one device, or several that read the same input and run as one.

    n, k: outputs and inputs [1]; count: layers that have it [1]; rows: rows a token [1]; experts, active:
    of the whole bank, 1 where it is not routed; groups: experts on this device [1]; spread: how many
    times the replica's own tokens are routed to the group (attention-dp) [1]; wide: whether it stays in 16 bits.
    """

    n: Num
    k: Num
    count: float
    phase: Phase
    wide: bool = False
    rows: Num = 1.0
    experts: float = 1.0
    active: float = 1.0
    groups: Num = 1.0
    spread: Num = 1.0


@dataclass(frozen=True, slots=True)
class Mixer:
    """What mixes tokens in `count` layers, on one device.

    heads [1]; pair_width: qk_dim + v_dim of a head in prefill [1]; decode_width: the same in decoding,
    where latent attention works on the latents [1]; cache: elements a token read in decoding and within
    `window` [1]; sliding: whether that is a sliding window, which an engine may ignore; sharers: query heads of
    this device to each cached one [1]; index: elements a token read whatever the window [1];
    token_flops, pair_flops [FLOP];
    query_elements, key_elements: a token's, read or written by prefill [1]; state_bytes: read and written a step.
    """

    count: float
    phase: Phase
    recurrent: bool
    causal: bool
    cross: bool
    chunked: bool
    window: float | None
    sliding: bool
    heads: Num
    pair_width: float
    decode_width: float
    cache: Num
    sharers: Num
    index: Num
    token_flops: Num
    pair_flops: Num
    prefill_elements: Num
    state_bytes: Num


@dataclass(frozen=True, slots=True)
class Shapes:
    """All work of one replica's device for one step, by kind.

    moved: elements a token that elementwise kernels read and write in prefill and decode [1];
    kernels: small kernels a step [1]; reduces: all-reduces over tp a step [1]; exchanges: all-to-alls
    over ep a step [1]; exchange_copies: experts a token is sent to [1]; layers [1].
    The pairs are (prefill, decode), which differ for encoder-decoder models.
    """

    products: tuple[Product, ...]
    mixers: tuple[Mixer, ...]
    moved: tuple[Num, Num]
    kernels: tuple[float, float]
    reduces: tuple[float, float]
    exchanges: tuple[float, float]
    exchange_copies: float
    layers: tuple[float, float]
    hidden: float
    head_n: Num


def shapes(model: Model, layout: Any) -> Shapes:
    """The work of one device of a replica, pipeline stages together."""
    products: list[Product] = []
    mixers: list[Mixer] = []
    sums: dict[str, list[Any]] = {key: [0.0, 0.0] for key in ("moved", "kernels", "reduces", "exchanges", "layers")}
    exchanged = 0.0
    for layer in model.layers:
        phase = _phase(model, layer)
        products += _products(layer, layout, phase, model.architecture == "encoder-decoder")
        mixers += [_mixer(core, real(layer.count), layout, phase) for core in layer.cores]
        moved, kernels, reduces, exchanges = _small_work(layer, layout)
        for index in (0, 1):
            if phase in ("both", ("prefill", "decode")[index]):
                sums["moved"][index] += layer.count * moved
                sums["kernels"][index] += layer.count * kernels
                sums["reduces"][index] += layer.count * reduces
                sums["exchanges"][index] += layer.count * exchanges
                sums["layers"][index] += real(layer.count)
        exchanged = max(exchanged, max((real(x.active) for x in layer.linears if x.routed), default=0.0))
    pair = {key: (value[0], value[1]) for key, value in sums.items()}
    return Shapes(
        products=tuple(products), mixers=tuple(mixers), exchange_copies=exchanged, hidden=real(model.hidden),
        head_n=model.vocab / layout.tp if model.head else 0.0, **pair,
    )  # fmt: skip


def _phase(model: Model, layer: Layer) -> Phase:
    if model.architecture != "encoder-decoder":
        return "both"
    return "prefill" if layer.side == "encoder" else "decode"


def _products(layer: Layer, layout: Any, phase: Phase, has_encoder: bool) -> list[Product]:
    """The layer's products; matrices that read the same input as the one before are joined to it."""
    found: list[tuple[Linear, Product]] = []
    for linear in layer.linears:
        one = _product(linear, real(layer.count), layout, phase)
        if has_encoder and linear.role == "cross_kv":  # of the encoder's output, once a request
            found.append((linear, _product(linear, real(layer.count), layout, "prefill")))
            continue
        last = found[-1] if found else None
        joins = last is not None and not linear.saves_input and last[0].inputs == linear.inputs
        if (
            joins
            and last is not None
            and last[0].routed == linear.routed
            and last[1].phase == phase
            and "row" not in (linear.split, last[0].split)
        ):
            found[-1] = (last[0], _joined(last[1], one))
        else:
            found.append((linear, one))
    return [product for _, product in found]


def _joined(a: Product, b: Product) -> Product:
    return Product(a.n + b.n, a.k, a.count, a.phase, a.wide, a.rows, a.experts, a.active, a.groups, a.spread)


def _product(linear: Linear, count: float, layout: Any, phase: Phase) -> Product:
    n, k = local_shape(linear, layout.tp, layout.ep)
    if not linear.routed:
        return Product(n, k, count, phase, wide=linear.wide)
    shared = minimum(layout.tp, layout.ep) * 1.0
    return Product(
        n, k, count, phase, rows=linear.active / shared, experts=real(linear.experts), active=real(linear.active),
        groups=linear.experts / layout.ep, spread=layout.ep / shared,
    )  # fmt: skip


def _mixer(core: Core, count: float, layout: Any, phase: Phase) -> Mixer:
    parts = split_parts(layout.tp * 1.0, real(core.cache_heads))
    latent = core.kind == "softmax" and core.cache_heads == 1 and core.kv_heads == core.heads > 1
    growing = core.cache_elements - core.index_elements
    window = core.context if core.cache_window is None else core.cache_window
    heads = core.heads / layout.tp
    return Mixer(
        count=count, phase=phase, recurrent=core.kind == "recurrent", causal=core.causal, cross=core.cross,
        chunked=core.chunked, window=None if window is None else real(window),
        sliding=core.cache_window is not None and not core.chunked, heads=heads,
        pair_width=real(core.qk_dim + core.v_dim),
        decode_width=2.0 * growing if latent else real(core.qk_dim + core.v_dim),
        cache=growing / parts, sharers=1.0 if latent else heads * parts / max(core.cache_heads, 1),
        index=core.index_elements * core.cache_ratio / parts,
        token_flops=core.token_flops / layout.tp, pair_flops=core.pair_flops / layout.tp,
        prefill_elements=(2.0 * core.heads * core.qk_dim + core.kv_heads * (core.qk_dim + core.v_dim)) / layout.tp,
        state_bytes=2.0 * core.state_elements * core.state_bytes / parts,
    )  # fmt: skip


def _small_work(layer: Layer, layout: Any) -> tuple[Num, float, float, float]:
    """Elements moved by elementwise kernels a token, small kernels, all-reduces and exchanges of one layer."""
    outside = (NORM_PASSES * layer.norms + RESIDUAL_PASSES * layer.residuals) * layer.hidden
    inside = ACTIVATION_PASSES * layer.activation_elements + ROTARY_PASSES * sum(x.saved_elements for x in layer.cores)
    routed = sum(x.inputs * x.active for x in layer.linears if x.routed and x.saves_input)
    moved = outside + (inside + 2.0 * routed) / layout.tp
    has_bank = any(x.routed for x in layer.linears)
    # a norm each, rotation with the write into the cache, the non-linearity, choice and permutation of experts
    kernels = real(layer.norms + len(layer.cores) + layer.has_mlp + 2 * has_bank)
    sublayers = min(real(max(layer.residuals, 1)), real(len(layer.cores) + layer.has_mlp))
    return moved, kernels, sublayers, 2.0 * has_bank
