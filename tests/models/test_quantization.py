"""What each tool of quantization writes into a config: precisions, and bytes of a weight by module group."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmplan import plan_from
from llmplan.errors import InputError
from llmplan.machine.precision import STORED_BYTES
from llmplan.model.huggingface import spec_of_config
from llmplan.model.huggingface_config import parse_config
from llmplan.model.huggingface_quantization import group_of_name
from llmplan.model.quantization import STORED
from llmplan.model.spec import ModelSpec
from llmplan.serving.weights import weight_parts

LLAMA = {
    "model_type": "llama", "hidden_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 8, "vocab_size": 4096,
    "intermediate_size": 4096, "tie_word_embeddings": False,
}  # fmt: skip
MOE = {
    "model_type": "deepseek_v3", "hidden_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 8,
    "vocab_size": 4096, "intermediate_size": 4096, "moe_intermediate_size": 512, "n_routed_experts": 16,
    "n_shared_experts": 1, "num_experts_per_tok": 2, "first_k_dense_replace": 1, "q_lora_rank": 256,
    "kv_lora_rank": 128, "qk_nope_head_dim": 64, "qk_rope_head_dim": 32, "v_head_dim": 64,
}  # fmt: skip


def read(base: dict[str, Any], told_of_it: dict[str, Any], key: str = "quantization_config") -> ModelSpec:
    told = base | {key: told_of_it}
    return spec_of_config(parse_config(json.dumps(told), "config.json"))[0]


# tool, precision of kernels, bytes of a weight: bits / 8 + (scale + zero point) / group
ONE_WAY: list[tuple[str, dict[str, Any], str, float]] = [
    ("gptq", {"quant_method": "gptq", "bits": 4, "group_size": 128}, "int4", 0.5 + 2.5 / 128),
    ("gptq of 32", {"quant_method": "gptq", "bits": 4, "group_size": 32}, "int4", 0.5 + 2.5 / 32),
    ("gptq of rows", {"quant_method": "gptq", "bits": 4, "group_size": -1}, "int4", 0.5),
    ("gptq of 3 bits", {"quant_method": "gptq", "bits": 3, "group_size": 128}, "int4", 0.375 + 2.375 / 128),
    ("gptq of 8 bits", {"quant_method": "gptq_marlin", "bits": 8, "group_size": 128}, "int8", 1 + 3 / 128),
    ("awq", {"quant_method": "awq", "w_bit": 4, "q_group_size": 64}, "int4", 0.5 + 2.5 / 64),
    ("auto-round", {"quant_method": "auto-round", "bits": 2, "group_size": 64}, "int4", 0.25 + 2.25 / 64),
    ("hqq", {"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": 64}}},
     "int4", 0.5 + 4 / 64),
    ("nf4", {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "nf4", 0.5625),
    ("nf4 twice", {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4",
                   "bnb_4bit_use_double_quant": True}, "nf4", 0.5 + 1 / 64 + 4 / 64 / 256),
    ("llm.int8", {"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8", 1.0),
    ("fp8", {"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8", 1.0),
    ("fbgemm", {"quant_method": "fbgemm_fp8"}, "fp8", 1.0),
    ("mxfp4", {"quant_method": "mxfp4"}, "mxfp4", 0.53125),
    ("modelopt nvfp4", {"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16}, "nvfp4", 0.5625),
    ("modelopt awq", {"quant_method": "modelopt", "quant_algo": "W4A16_AWQ", "group_size": 64}, "int4", 0.5 + 2 / 64),
    ("quanto", {"quant_method": "quanto", "weights": "int4"}, "int4", 0.5 + 2 / 128),
    ("torchao of old", {"quant_method": "torchao", "quant_type": "int4_weight_only",
                        "quant_type_kwargs": {"group_size": 32}}, "int4", 0.5 + 4 / 32),
    ("torchao", {"quant_method": "torchao", "quant_type": {"default": {
        "_type": "Int4WeightOnlyConfig", "_version": 1, "_data": {"group_size": 128}}}}, "int4", 0.5 + 4 / 128),
    ("torchao fp8", {"quant_method": "torchao", "quant_type": {"default": {
        "_type": "Float8DynamicActivationFloat8WeightConfig", "_version": 1, "_data": {}}}}, "fp8", 1.0),
    ("torchao intx", {"quant_method": "torchao", "quant_type": {"default": {"_type": "IntxWeightOnlyConfig", "_data": {
        "weight_dtype": {"_type": "torch.dtype", "_data": "int3"},
        "granularity": {"_type": "PerGroup", "_data": {"group_size": 32}}}}}}, "int4", 0.375 + 3 / 32),
    ("quark fp8", {"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp8_e4m3"}}}, "fp8", 1.0),
    ("quark mxfp4", {"quant_method": "quark", "global_quant_config": {
        "weight": {"dtype": "fp4", "qscheme": "per_group", "group_size": 32}}}, "mxfp4", 0.53125),
    ("quark int4", {"quant_method": "quark", "global_quant_config": {
        "weight": {"dtype": "uint4", "qscheme": "per_group", "group_size": 128, "symmetric": False}}},
     "int4", 0.5 + 2.5 / 128),
    ("w4a16 of 32", {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"targets": ["Linear"],
        "weights": {"num_bits": 4, "type": "int", "group_size": 32, "strategy": "group", "symmetric": True}}}},
     "int4", 0.5625),
    ("w8a8", {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"targets": ["Linear"], "weights": {
        "num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True}}}}, "int8", 1.0),
    ("fp8 of groups", {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"targets": ["Linear"],
        "weights": {"num_bits": 8, "type": "float", "strategy": "channel"}}}}, "fp8", 1.0),
    ("nvfp4 of groups", {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"targets": ["Linear"],
        "weights": {"num_bits": 4, "type": "float", "group_size": 16, "strategy": "tensor_group"}}}}, "nvfp4", 0.5625),
    ("mxfp4 of groups", {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"targets": ["Linear"],
        "weights": {"num_bits": 4, "type": "float", "group_size": 32, "strategy": "group"}}}}, "mxfp4", 0.53125),
    ("exl2", {"quant_method": "exl2", "bits": 4.65, "head_bits": 6}, "int4", 4.65 / 8),
    ("exl3", {"quant_method": "exl3", "bits": 3.0, "head_bits": 6}, "int4", 0.375),
]  # fmt: skip


@pytest.mark.parametrize(("told", "precision", "held"), [one[1:] for one in ONE_WAY], ids=[one[0] for one in ONE_WAY])
def test_all_matrices_in_one_way(told: dict[str, Any], precision: str, held: float) -> None:
    spec = read(LLAMA, told)
    assert spec.weight_precision == precision
    assert spec.released["attention"] == spec.released["mlp"] == pytest.approx(held, rel=1e-12)


def test_formats_have_the_bytes_that_kernels_read() -> None:
    for name, held in STORED.items():
        assert held == pytest.approx(STORED_BYTES[name], rel=1e-6), name


class TestGroups:
    """What is left in 16 bits, and what is stored in another way."""

    def test_kimi_k2_5_keeps_all_but_its_experts(self) -> None:
        told = {
            "quant_method": "compressed-tensors", "format": "pack-quantized",
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": {
                "num_bits": 4, "type": "int", "group_size": 32, "strategy": "group", "symmetric": True}}},
            "ignore": ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*",
                       "re:.*mlp\\.(gate|up|gate_up|down)_proj.*", "re:vision_tower.*"],
        }  # fmt: skip
        spec = read(MOE, told)
        assert (spec.weight_precision, spec.expert_precision) == (None, "int4")
        assert spec.released == {"attention": 2.0, "mlp": 2.0, "shared": 2.0, "experts": 0.5625}

    def test_groups_of_two_precisions(self) -> None:
        fp8 = {"num_bits": 8, "type": "float", "strategy": "channel"}
        nvfp4 = {"num_bits": 4, "type": "float", "group_size": 16, "strategy": "tensor_group"}
        told = {"quant_method": "compressed-tensors", "ignore": ["lm_head"], "config_groups": {
            "group_0": {"targets": ["re:.*self_attn.*", "re:.*shared_experts.*"], "weights": fp8},
            "group_1": {"targets": ["re:.*mlp.experts.*", "re:.*mlp.(gate|up|down)_proj$"], "weights": nvfp4},
        }}  # fmt: skip
        spec = read(MOE, told)
        assert (spec.weight_precision, spec.expert_precision) == ("fp8", "nvfp4")
        assert spec.released == {"attention": 1.0, "mlp": 0.5625, "shared": 1.0, "experts": 0.5625}

    def test_fp8_with_experts_in_4_bits(self) -> None:
        spec = read(MOE | {"expert_dtype": "fp4"}, {"quant_method": "fp8", "weight_block_size": [128, 128]})
        assert (spec.weight_precision, spec.expert_precision) == ("fp8", "mxfp4")
        assert spec.released == {"attention": 1.0, "mlp": 1.0, "shared": 1.0, "experts": 0.53125}

    def test_modelopt_names_an_algorithm_for_each_layer(self) -> None:
        layers = {f"model.layers.{n}.self_attn.o_proj": {"quant_algo": "FP8"} for n in range(4)}
        layers |= {f"model.layers.{n}.mlp.experts": {"quant_algo": "NVFP4", "group_size": 16} for n in range(1, 4)}
        spec = read(MOE, {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": layers})
        assert spec.released == {"attention": 1.0, "mlp": 2.0, "shared": 2.0, "experts": 0.5625}

    def test_what_most_layers_have_holds(self) -> None:
        for skipped, held in ((1, 0.5625), (2, 2.0), (3, 2.0)):
            names = [f"model.layers.{n}.self_attn.{one}_proj" for n in range(skipped) for one in "qkvo"]
            told = {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head", *names]}
            assert read(LLAMA, told).released["attention"] == held

    def test_a_gptq_that_skips_and_one_that_has_more_bits_for_some(self) -> None:
        dynamic = {"-:.*attn.*": {}, "+:.*\\.down_proj.*": {"bits": 8, "group_size": 32}}
        spec = read(LLAMA, {"quant_method": "gptq", "bits": 4, "group_size": 128, "dynamic": dynamic, "lm_head": True})
        assert spec.released["attention"] == 2.0
        assert spec.released["head"] == 0.5 + 2.5 / 128

    def test_auto_round_leaves_layers_in_16_bits(self) -> None:
        extra = {f"model.layers.{n}.self_attn.{one}_proj": {"bits": 16} for n in range(4) for one in "qkvo"}
        spec = read(LLAMA, {"quant_method": "auto-round", "bits": 4, "group_size": 128, "extra_config": extra})
        assert spec.released == {"attention": 2.0, "mlp": 0.5 + 2.5 / 128, "shared": 0.5 + 2.5 / 128,
                                 "experts": 0.5 + 2.5 / 128}  # fmt: skip

    def test_torchao_by_name(self) -> None:
        names = {
            "_default": {"_type": "Int8WeightOnlyConfig", "_data": {}},
            "re:.*self_attn.*": {"_type": "Int4WeightOnlyConfig", "_data": {"group_size": 64}},
            "re:.*down_proj": None,
        }
        kind = {"default": {"_type": "FqnToConfig", "_data": {"fqn_to_config": names}}}
        spec = read(LLAMA, {"quant_method": "torchao", "quant_type": kind})
        assert spec.released["attention"] == 0.5 + 4 / 64

    def test_quark_excludes_and_overrides(self) -> None:
        told = {
            "quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp4", "group_size": 32}},
            "layer_quant_config": {"*self_attn*": {"weight": {"dtype": "fp8_e4m3"}}}, "exclude": ["lm_head"],
        }  # fmt: skip
        spec = read(LLAMA, told)
        assert (spec.weight_precision, spec.released["attention"]) == ("mxfp4", 1.0)

    def test_mlx_has_no_method_and_stores_table_and_head_too(self) -> None:
        spec = read(LLAMA, {"group_size": 64, "bits": 4}, "quantization")
        assert spec.weight_precision == "int4"
        assert spec.released == dict.fromkeys(("attention", "mlp", "shared", "experts", "embedding", "head"), 0.5625)
        other = {"group_size": 64, "bits": 4, "lm_head": {"group_size": 64, "bits": 6}, "model.embed_tokens": False}
        spec = read(LLAMA, other)
        assert spec.released["head"] == 0.75 + 4 / 64

    def test_exl2_has_bits_for_the_head(self) -> None:
        assert read(LLAMA, {"quant_method": "exl2", "bits": 4.0, "head_bits": 6}).released["head"] == 0.75


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("lm_head", "head"), ("model.embed_tokens", "embedding"), ("re:.*self_attn.*", "attention"),
        ("model.layers.3.self_attn.q_proj", "attention"), ("model.layers.3.self_attn.indexer*", None),
        ("model.layers.3.self_attn.kv_a_layernorm", None), ("model.layers.0.mlp.gate", "router"),
        ("model.layers.0.mlp.gate_proj", "mlp"), ("re:.*mlp.gate$", "router"), ("re:.*block_sparse_moe.gate", "router"),
        ("model.layers.0.mlp.experts.3.gate_proj", "experts"), ("*.ffn.shared_experts.*", "shared"),
        ("re:visual.*", "encoders"), ("backbone.layers.5.mixer.q_proj", "attention"),
        ("backbone.layers.5.mixer.up_proj", "mlp"), ("model.layers.7.input_layernorm", None), ("head", "head"),
    ],
)  # fmt: skip
def test_names_of_matrices(name: str, group: str | None) -> None:
    assert group_of_name(name) == group


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"quant_method": "aqlm", "in_group_size": 8}, "quantization 'aqlm' is not known"),
    ({"quant_method": "bitsandbytes"}, "says neither load_in_4bit nor load_in_8bit"),
    ({"quant_method": "torchao", "quant_type": {"default": {"_type": "FPXWeightOnlyConfig"}}}, "FPXWeightOnlyConfig"),
    ({"quant_method": "quanto", "weights": "qbits"}, "has weights 'qbits'"),
    ({"quant_method": "modelopt", "quant_algo": "W2A2"}, "quantization 'W2A2' is not known"),
    ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "bfp16"}}}, "has weights 'bfp16'"),
    ({"quant_method": "mlx", "mode": "ternary"}, "has the mode 'ternary'"),
    ({"quant_method": "compressed-tensors", "sparsity_config": {"format": "sparse-24-bitmask"}}, "sparse"),
    ({"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 6, "type": "float"}}}},
     "has weights of 6 bits as 'float'"),
    ({"bits": 4}, "quantization 'without a name' is not known"),
    ({"quant_method": "quark", "global_quant_config": {"weight": [3]}}, "has weights '3'"),
    ({"quant_method": "quark", "global_quant_config": {"weight": "int4"}}, "has weights 'int4'"),
    ({"quant_method": "hqq", "quant_config": []}, "does not say its bits"),
    ({"quant_method": "torchao", "quant_type": {"default": []}}, "has the type '[]'"),
    ({"quant_method": "torchao", "quant_type": {"_type": "IntxWeightOnlyConfig", "_data": {"granularity": {"_data": 1}}}
      }, "does not say its bits"),
    ({"quant_method": "gptq", "bits": 4, "sparsity_config": [1]}, "stores sparse matrices"),
    ({"quant_method": "gptq", "bits": 4, "dynamic": {"a.mlp": {"bits": "x"}}}, "has 'x' bits"),
]  # fmt: skip


@pytest.mark.parametrize(("told", "why"), REFUSED)
def test_what_is_not_read_is_refused_by_name(told: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError) as caught:
        read(LLAMA, told)
    assert why in str(caught.value)
    assert "config.json" in str(caught.value)


def test_a_deployment_holds_those_bytes(tmp_path: Any) -> None:
    """By hand: a token table and a head in 16 bits, attention in 16, the MLP in int4 of groups of 32."""
    told = {"quant_method": "compressed-tensors", "ignore": ["lm_head", "re:.*self_attn.*"], "config_groups": {
        "group_0": {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "group_size": 32,
                                                       "symmetric": True}}}}  # fmt: skip
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA | {"quantization_config": told}))
    words = {"model": str(path), "hardware": "h100", "workload": "serve"}
    plan = plan_from(words)
    parts = weight_parts(plan, plan.workload)
    h, f, layers, vocab = 1024, 4096, 4, 4096
    assert plan.workload.weight_precision == "int4"
    assert parts.attention_bytes == 2 * layers * 4 * h * h
    assert parts.mlp_bytes == 0.5625 * layers * 3 * h * f
    assert parts.embedding_bytes == parts.head_bytes == 2 * vocab * h
    other = plan_from(words | {"weight_precision": "fp8"})  # another precision than the release's holds for all
    assert weight_parts(other, other.workload).attention_bytes == layers * 4 * h * h
