"""From the flat description of a model to groups of equal layers: `lower(spec) -> Model`.

Every count of parameters comes out of here, so the rules are those of the released checkpoints:
what a norm, a bias or a token table holds. What stands inside a layer is put together in
`lowering_attention`, `lowering_recurrent` and `lowering_mlp`; this module orders layers and ends.
"""

from __future__ import annotations

from llmplan.model.layer import Layer, Linear, Side
from llmplan.model.lowering_attention import attention, compressed, image_attention, latent_attention
from llmplan.model.lowering_encoders import lower_sound, lower_vision
from llmplan.model.lowering_mlp import dense, moe
from llmplan.model.lowering_parts import Part, norm_parameters, side_by_side
from llmplan.model.lowering_recurrent import conv, delta, kda, lightning, mamba, mamba2, rglru
from llmplan.model.model import Model, Vision
from llmplan.model.patterns import numbers_of
from llmplan.model.spec import ModelSpec
from llmplan.records import replace


def _parallel(spec: ModelSpec) -> Part:
    """Attention and Mamba-2 on the same input (Falcon-H1); each has a way out of its own."""
    state = mamba2(spec)
    linears = tuple(replace(one, name="mamba_out") if one.name == "out" else one for one in state.linears)
    return side_by_side(attention(spec, "full", causal=True), replace(state, linears=linears))


def _plain(spec: ModelSpec) -> Part:
    """A matrix where attention was (Nemotron-NAS)."""
    return Part("linear", (Linear("mixer", "projection", spec.hidden, spec.hidden, "none"),))


OTHERS = {
    "delta": delta, "kda": kda, "lightning": lightning, "mamba": mamba, "mamba2": mamba2, "conv": conv,
    "rglru": rglru, "parallel": _parallel, "image": image_attention, "linear": _plain,
}  # fmt: skip


def lower(spec: ModelSpec, warnings: tuple[str, ...] = ()) -> Model:
    """The model as the formulas see it.

    Equal layers become one group, in the order of their first appearance. MTP layers are left out.
    """
    groups: dict[tuple[str, str, Side], int] = {}
    for index, (mixer, mlp) in enumerate(zip(spec.mixer_of_layers(), spec.mlp_of_layers(), strict=True)):
        key = (mixer, mlp, _side(spec, index))
        groups[key] = groups.get(key, 0) + 1
    layers = tuple(_layer(spec, *key, count) for key, count in groups.items())
    if _dense_layers_lead(spec):
        layers = (replace(layers[0], leading=True), *layers[1:])
    return Model(
        name=spec.name or spec.id or spec.family or "model",
        family=spec.family,
        architecture=spec.architecture,
        hidden=spec.hidden,
        vocab=spec.vocab,
        layers=layers,
        embedding_parameters=spec.vocab * (spec.embedding_size or spec.hidden),
        head_parameters=_head_parameters(spec),
        position_parameters=_front_parameters(spec),
        final_parameters=_final_parameters(spec),
        tied_embeddings=spec.tied_embeddings,
        head=spec.head,
        max_context=spec.max_context,
        tower_parameters=spec.tower_parameters,
        vision=_vision(spec),
        sound=lower_sound(spec.sound, spec.hidden) if spec.sound is not None else None,
        approximate=spec.approximate,
        weight_precision=spec.weight_precision,
        expert_precision=spec.expert_precision,
        released=tuple(spec.released.items()),
        block_scaled=spec.block_scaled,
        kv_precision=spec.kv_precision,
        warnings=warnings,
    )


def _vision(spec: ModelSpec) -> Vision | None:
    """The encoder of images, of what the towers have beside that of sound."""
    if spec.vision is None:
        return None
    beside = spec.sound.parameters if spec.sound is not None else 0
    return lower_vision(spec.vision, spec.tower_parameters - beside, spec.hidden)


def _dense_layers_lead(spec: ModelSpec) -> bool:
    """Whether the first layers are dense and alike, and all others have experts."""
    words = list(zip(spec.mixer_of_layers(), spec.mlp_of_layers(), strict=True))
    alike = next((at for at, word in enumerate(words) if word != words[0]), len(words))
    rest = {mlp.partition(":")[0] for _, mlp in words[alike:]}
    return spec.architecture == "decoder" and words[0][1].partition(":")[0] == "dense" and rest == {"moe"}


def _side(spec: ModelSpec, index: int) -> Side:
    if spec.architecture == "decoder":
        return "decoder"
    return "encoder" if spec.architecture == "encoder" or index < spec.encoder_layers else "decoder"


def _layer(spec: ModelSpec, mixer: str, mlp: str, side: Side, count: int) -> Layer:
    """One group of equal layers."""
    made = (_mixer(spec, mixer, side), _cross(spec, side), _mlp(spec, mlp), _per_layer(spec))
    parts = [part for part in made if part is not None]
    sublayers = [part.name for part in parts if part.name]
    norms = _norms(spec, mixer, mlp, side)
    streams = spec.hyper_connections
    hyper = [_hyper_connection(spec, name) for name in sublayers] if streams > 1 else []
    copies = None if spec.unique_layers is None else max(1, count * spec.unique_layers // spec.layers)
    extra = sum(part.extra_parameters for part in parts) + norms * norm_parameters(spec, spec.hidden)
    # a hyper-connection has a bias a output and three scales beside its matrix (arXiv 2512.24880)
    extra += len(hyper) * (streams * (2 + streams) + 3) + spec.layer_extra_parameters
    return Layer(
        kind="+".join(name for name in sublayers if name != "cross") or "none",
        count=count,
        hidden=spec.hidden,
        linears=tuple(linear for part in parts for linear in part.linears) + tuple(hyper),
        cores=tuple(core for part in parts for core in part.cores),
        side=side,
        weight_copies=copies,
        extra_parameters=extra,
        norms=norms,
        activation_elements=sum(part.activation_elements for part in parts),
        residuals=(1 if spec.parallel_layers and len(sublayers) > 1 else len(sublayers)) * streams,
    )


def _mixer(spec: ModelSpec, word: str, side: Side) -> Part | None:
    kind, numbers = word.partition(":")[0], numbers_of(word)
    causal = side == "decoder"
    if kind == "none":
        return None
    if kind in OTHERS:
        return OTHERS[kind](spec)
    if kind == "compressed":
        return compressed(spec, *numbers)
    if spec.is_mla:
        return latent_attention(spec, kind, causal)
    return attention(spec, kind, causal, numbers)


def _cross(spec: ModelSpec, side: Side) -> Part | None:
    """The second attention of a decoder that reads an encoder."""
    if spec.architecture != "encoder-decoder" or side == "encoder":
        return None
    return attention(spec, "full", causal=False, cross=True)


def _per_layer(spec: ModelSpec) -> Part | None:
    """What a layer does beside attention and MLP: its own embedding (Gemma 3n, Gemma 4), a learned residual."""
    width, rank, hidden = spec.per_layer_width, spec.laurel_rank, spec.hidden
    linears: tuple[Linear, ...] = ()
    if width:
        linears += (Linear("layer_gate", "projection", hidden, width), Linear("layer_out", "projection", width, hidden))
    if rank:
        linears += (Linear("laurel_in", "projection", hidden, rank), Linear("laurel_out", "projection", rank, hidden))
    return Part("", linears, extra_parameters=len(linears) // 2 * hidden) if linears else None


def _mlp(spec: ModelSpec, word: str) -> Part | None:
    kind, _, number = word.partition(":")
    if kind == "none":
        return None
    if kind == "linear":
        return Part("linear", (Linear("mlp", "projection", spec.hidden, spec.hidden, "none"),))
    if kind == "moe":
        return moe(spec)
    return dense(spec, int(number) if number else spec.ffn_hidden or 0)


def _norms(spec: ModelSpec, mixer: str, mlp: str, side: Side) -> int:
    """Norms of a layer: half of them where it has only attention or only an MLP, half more with cross-attention."""
    sublayers = (mixer != "none") + (mlp != "none")
    norms = spec.norms_per_layer * sublayers // 2
    if sublayers == 1:
        norms = max(norms, 1)
    return norms + (spec.norms_per_layer // 2 if spec.architecture == "encoder-decoder" and side == "decoder" else 0)


def _hyper_connection(spec: ModelSpec, name: str) -> Linear:
    """Weights that collapse, expand and mix n residual streams, from all of them: n x hidden to n (n + 2)."""
    streams = spec.hyper_connections
    return Linear(f"hyper_{name}", "hyper_connection", streams * spec.hidden, streams * (2 + streams))


def _head_parameters(spec: ModelSpec) -> int:
    if not spec.head:
        return 0
    width = spec.embedding_size or spec.hidden
    return (0 if spec.tied_embeddings else spec.vocab * width) + (spec.vocab if spec.head_bias else 0)


def _front_parameters(spec: ModelSpec) -> int:
    """Positions, token types, embedding norm and projection, relative-position tables."""
    # ALBERT's and ELECTRA's tables all have the embedding's width; OPT-350m's positions have hidden
    width = (spec.embedding_size or spec.hidden) if spec.has_narrow_tables else spec.hidden
    total = (spec.position_rows + spec.token_types) * width
    total += norm_parameters(spec, width) if spec.embedding_norm else 0
    if spec.embedding_size is not None:
        total += spec.embedding_size * spec.hidden + (spec.hidden if spec.has_narrow_tables else 0)
    stacks = 2 if spec.architecture == "encoder-decoder" else 1
    if spec.per_layer_width:  # a table of all layers' rows, a projection of the embedding to them, its norm
        rows = (spec.per_layer_vocab or spec.vocab) + spec.hidden
        total += rows * spec.layers * spec.per_layer_width + spec.per_layer_width
    return total + stacks * spec.relative_position_rows * spec.heads + spec.extra_parameters


def _final_parameters(spec: ModelSpec) -> int:
    """The last norm of each stack, pooler, way out of a narrow embedding, collapse of the residual streams."""
    stacks = 2 if spec.architecture == "encoder-decoder" else 1
    total = stacks * norm_parameters(spec, spec.hidden) if spec.final_norm else 0
    total += spec.hidden * (spec.hidden + 1) if spec.pooler else 0
    if spec.embedding_size is not None and not spec.has_narrow_tables:
        total += spec.embedding_size * spec.hidden
    streams = spec.hyper_connections
    return total + (streams * streams * spec.hidden + streams + 1 if streams > 1 else 0)
