"""Shapes, caches and states of lowered models, worked by hand."""

from __future__ import annotations

import pytest

from llmplan.catalog.load_model import load_model
from llmplan.model.layer import Layer, Linear
from llmplan.model.lowering import lower
from llmplan.model.lowering_encoders import lower_vision
from llmplan.model.model import Model
from llmplan.model.spec import ModelSpec
from llmplan.model.vision_spec import VisionSpec
from llmplan.schema import validated
from llmplan.work.products import joined


def linears(layer: Layer) -> dict[str, Linear]:
    return {linear.name: linear for linear in layer.linears}


def cached(model: Model) -> list[tuple[float, int | None, int]]:
    """Elements a token, window and number of layers of each core that keeps a cache."""
    return [(core.cache_elements, core.cache_window, layer.count) for layer in model.layers for core in layer.cores]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llama-3.1-8b", [(2 * 8 * 128, None, 32)]),
        ("gpt2", [(2 * 12 * 64, None, 12)]),
        ("falcon-7b", [(2 * 64, None, 32)]),
        ("deepseek-v3", [(512 + 64, None, 3), (576, None, 58)]),
        ("deepseek-v3.2", [(576 + 128, None, 3), (704, None, 58)]),
        # 5 local layers, 1 global; 34 = 5 x 6 + 4 local ones more
        ("gemma-3-4b", [(2 * 4 * 256, 1024, 29), (2 * 4 * 256, None, 5)]),
        ("gpt-oss-20b", [(2 * 8 * 64, 128, 12), (2 * 8 * 64, None, 12)]),
        ("mistral-7b-v0.1", [(2 * 8 * 128, 4096, 32)]),
        # global layers: 2 kv heads of 512, keys and values both cached though one matrix makes them
        ("gemma-4-26b-a4b", [(2 * 8 * 256, 1024, 25), (2 * 2 * 512, None, 5)]),
        ("bert-large-uncased", [(0, None, 24)]),
    ],
)
def test_cache_of_a_token(name: str, expected: list[tuple[float, int | None, int]]) -> None:
    assert cached(load_model(name)) == expected


def test_latent_cache_is_copied_and_grouped_one_is_cut() -> None:
    assert {core.cache_heads for layer in load_model("deepseek-v3").layers for core in layer.cores} == {1}
    assert {core.cache_heads for layer in load_model("llama-3.1-8b").layers for core in layer.cores} == {8}


def test_matrices_of_a_llama_layer() -> None:
    (layer,) = load_model("llama-3.1-8b").layers
    assert [(x.name, x.inputs, x.outputs, x.split, x.split_limit, x.saves_input) for x in layer.linears] == [
        ("q", 4096, 4096, "column", 32, True),
        ("kv", 4096, 2048, "column", 8, False),
        ("out", 4096, 4096, "row", 32, True),
        ("gate", 4096, 14336, "column", 0, True),
        ("up", 4096, 14336, "column", 0, False),
        ("down", 14336, 4096, "row", 0, True),
    ]
    assert (layer.kind, layer.norms, layer.residuals, layer.activation_elements) == ("attention+mlp", 2, 2, 2 * 14336)


def test_parallel_layers_add_to_the_residual_once() -> None:
    (layer,) = load_model("falcon-7b").layers
    assert (layer.residuals, layer.norms) == (1, 1)


def test_experts_are_banks_of_which_some_are_active() -> None:
    dense, sparse = load_model("deepseek-v3").layers
    assert (dense.kind, sparse.kind) == ("attention+mlp", "attention+moe")
    bank = linears(sparse)["expert_up"]
    assert (bank.inputs, bank.outputs, bank.experts, bank.active) == (7168, 2048, 256, 8)
    assert linears(sparse)["shared_up"].outputs == 2048
    assert sparse.activation_elements == 2 * 2048 * (8 + 1)
    assert linears(sparse)["kv_a"].split == "none"
    assert [one.name for one in next(iter(joined(sparse)))] == ["q_a", "kv_a"]


def test_qwen2_moe_shared_expert_has_a_width_and_a_gate_of_its_own() -> None:
    (layer,) = load_model("qwen1.5-moe-a2.7b").layers
    assert linears(layer)["shared_up"].outputs == 5632
    assert linears(layer)["shared_router"].outputs == 1


def test_head_dim_is_never_derived() -> None:
    qwen = linears(load_model("qwen3-0.6b").layers[0])  # 16 heads of 128 = 2048, hidden 1024
    assert (qwen["q"].inputs, qwen["q"].outputs, qwen["out"].inputs) == (1024, 2048, 2048)


def test_sparse_index_scores_every_pair_and_attention_only_the_chosen() -> None:
    core = load_model("deepseek-v3.2").layers[0].cores[0]
    assert core.context == 2048
    assert core.pair_flops == 64 * (2 * 128 + 3)
    assert core.index_elements == 128


def test_compressed_attention_has_a_window_and_compressed_entries() -> None:
    model = load_model("deepseek-v4-flash")
    assert [(layer.kind, layer.count) for layer in model.layers] == [
        ("sliding+moe", 2), ("compressed4+moe", 21), ("compressed128+moe", 20),
    ]  # fmt: skip
    window, entries = model.layers[1].cores
    assert (window.cache_elements, window.cache_window) == (512, 128)
    assert (entries.cache_elements, entries.cache_ratio, entries.context) == (512 + 128, 1 / 4, 512)


def test_gated_delta_net_keeps_a_state_instead_of_a_cache() -> None:
    delta, full = load_model("qwen3.5-27b").layers
    assert (delta.kind, delta.count, full.count) == ("delta+mlp", 48, 16)
    core = delta.cores[0]
    assert core.cache_elements == 0
    # 48 value heads x 128 x 128, and 3 past tokens of 2 x 16 x 128 + 48 x 128 convolved channels
    assert core.state_elements == 48 * 128 * 128 + 3 * (2 * 2048 + 6144)
    assert core.token_flops == 7 * 48 * 128 * 128 + 2 * 4 * (2 * 2048 + 6144)
    assert linears(full)["attention_gate"].outputs == 24 * 256


def test_mamba2_state_and_projections() -> None:
    layers = {layer.kind: layer for layer in load_model("nemotron-h-56b").layers}
    assert {kind: layer.count for kind, layer in layers.items()} == {"mamba2": 54, "mlp": 54, "attention": 10}
    inner, convolved = 256 * 64, 256 * 64 + 2 * 8 * 256
    assert linears(layers["mamba2"])["mamba_in"].outputs == inner + convolved + 256
    assert layers["mamba2"].cores[0].state_elements == inner * 256 + 3 * convolved
    assert {layer.norms for layer in layers.values()} == {1}


def test_lightning_attention_state() -> None:
    lightning, full = load_model("minimax-text-01").layers
    assert (lightning.count, full.count) == (70, 10)
    assert lightning.cores[0].state_elements == 64 * 128 * 128


def test_shared_layers_hold_one_set_of_weights_and_do_the_work_of_all() -> None:
    (layer,) = load_model("albert-base-v2").layers
    assert (layer.count, layer.copies) == (12, 1)


def test_encoder_decoder_has_cross_attention_in_the_decoder() -> None:
    encoder, decoder = load_model("t5-small").layers
    assert (encoder.side, decoder.side) == ("encoder", "decoder")
    assert [core.causal for core in encoder.cores] == [False]
    assert [(core.causal, core.cross) for core in decoder.cores] == [(True, False), (False, True)]
    assert (encoder.norms, decoder.norms) == (2, 3)


def test_left_out_attention_and_mlps_are_layers_too() -> None:
    model = load_model("llama-3.3-nemotron-super-49b")
    assert model.layer_count == 80
    assert sum(layer.count for layer in model.layers if not layer.cores) == 31


def test_llama4_attends_within_chunks() -> None:
    chunked, full = load_model("llama-4-scout").layers
    assert (chunked.count, chunked.cores[0].context, chunked.cores[0].chunked) == (36, 8192, True)
    assert (full.count, full.cores[0].context) == (12, None)


def test_hyper_connections_widen_the_residual_stream() -> None:
    layer = load_model("deepseek-v4-flash").layers[0]
    hyper = [linear for linear in layer.linears if linear.role == "hyper_connection"]
    assert [(linear.inputs, linear.outputs) for linear in hyper] == [(4 * 4096, 24)] * 2


def test_tied_table_is_counted_once() -> None:
    fields = {"layers": 1, "hidden": 8, "heads": 2, "kv_heads": 2, "head_dim": 4, "ffn_hidden": 16, "vocab": 10}
    tied = lower(ModelSpec(**fields, gated_mlp=False, tied_embeddings=True))  # type: ignore[arg-type]
    free = lower(ModelSpec(**fields, gated_mlp=False, tied_embeddings=False))  # type: ignore[arg-type]
    assert free.parameters - tied.parameters == 10 * 8
    # q, kv, out, up, down and two norms, by hand; a last norm; the table
    assert tied.parameters == (8 * 8 + 8 * 16 + 8 * 8 + 2 * 8 * 16 + 2 * 8) + 8 + 80


SMALL = {"layers": 4, "hidden": 64, "vocab": 100, "heads": 4, "kv_heads": 2, "head_dim": 16, "ffn_hidden": 128}


def small(**fields: object) -> Model:
    return lower(validated(SMALL | {"gated_mlp": True} | fields, ModelSpec))


@pytest.mark.parametrize(
    ("fields", "state", "flops"),
    [
        # Mamba-1 (arXiv 2312.00752): 128 channels x 8, and 3 inputs of the convolution over 4 tokens. An element of a
        # state takes 5 FLOPs a token: decay, outer product and its addition, product with the query and its sum
        (
            {"mixers": "mamba", "recurrent_width": 128, "mamba_state": 8, "mamba_dt_rank": 4},
            128 * 8 + 3 * 128,
            5 * 128 * 8 + 2 * 4 * 128,
        ),
        # Kimi delta attention (arXiv 2510.26692): 4 heads of 16 x 16, and 3 inputs of q, k and v; the delta rule takes
        # one more product with the key
        (
            {"mixers": "kda", "linear_key_heads": 4, "linear_key_head_dim": 16},
            4 * 16 * 16 + 3 * 3 * 64,
            7 * 4 * 16 * 16 + 2 * 4 * 3 * 64,
        ),
        # LFM2: 2 inputs of a convolution over 3 tokens
        ({"mixers": "conv", "conv_kernel": 3}, 2 * 64, None),
        # Griffin (arXiv 2402.19427): a state a channel, and 3 inputs
        ({"mixers": "rglru", "recurrent_width": 64}, 64 + 3 * 64, (5 + 2 * 4) * 64),
    ],
)
def test_state_of_a_recurrent_layer(fields: dict[str, object], state: int, flops: int | None) -> None:
    (layer,) = small(**fields).layers
    (core,) = layer.cores
    assert (core.kind, core.cache_elements, core.state_elements) == ("recurrent", 0.0, state)
    assert flops is None or core.token_flops == flops
    assert {linear.role for linear in layer.linears} >= {"recurrent_in", "recurrent_out"}


def test_layers_that_share_a_cache_have_no_keys_of_their_own() -> None:
    own, shared = small(mixers="2 x full, 2 x full_shared").layers
    assert ("kv" in linears(own), "kv" in linears(shared)) == (True, False)
    assert (own.cores[0].cache_elements, shared.cores[0].cache_elements) == (2 * 2 * 16, 0)
    assert own.parameters - shared.parameters == 64 * 2 * 2 * 16


def test_a_layer_may_have_heads_of_its_own() -> None:
    usual, other = small(mixers="3 x full, full:8/1/32").layers
    assert (usual.cores[0].heads, usual.cores[0].kv_heads, usual.cores[0].qk_dim) == (4, 2, 16)
    assert (other.cores[0].heads, other.cores[0].kv_heads, other.cores[0].qk_dim) == (8, 1, 32)
    assert linears(other)["out"].inputs == 8 * 32


def test_values_may_be_narrower_than_keys() -> None:
    (layer,) = small(v_head_dim=8).layers
    assert (linears(layer)["kv"].outputs, linears(layer)["out"].inputs) == (2 * (16 + 8), 4 * 8)
    assert layer.cores[0].cache_elements == 2 * (16 + 8)


def test_a_shared_index_caches_no_keys_of_its_own() -> None:
    latent = {"q_lora_rank": 32, "kv_lora_rank": 16, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16}
    index = {"index_heads": 2, "index_head_dim": 8, "index_topk": 4}
    own, shared = small(mixers="full, 3 x shared_index", **latent, **index).layers
    assert (own.cores[0].cache_elements, shared.cores[0].cache_elements) == (16 + 8 + 8, 16 + 8)
    assert (own.cores[0].context, shared.cores[0].context) == (4, 4)
    assert {x.role for x in own.linears} - {x.role for x in shared.linears} == {"index"}


def test_a_patch_is_a_vector_of_its_pixels_in_three_colours() -> None:
    words = {"rule": "native", "layers": 2, "hidden": 32, "heads": 4, "ffn_hidden": 64, "patch": 14}
    spec = validated(words | {"min_pixels": 56**2, "max_pixels": 1024**2}, VisionSpec)
    (matrix,) = lower_vision(spec, 10**6, 64).layers[0].linears
    assert (matrix.inputs, matrix.outputs) == (3 * 14 * 14, 32)
