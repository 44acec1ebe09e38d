"""Configs that cannot be planned: every fault is named with file and line, and nothing is guessed."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmplan.catalog.load_model import load_model
from llmplan.errors import InputError
from llmplan.model.huggingface import spec_of_config
from llmplan.model.huggingface_config import parse_config
from llmplan.model.spec import ModelSpec

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 256,
    "num_attention_heads": 8,
    "num_hidden_layers": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
}


def read(**changes: Any) -> tuple[ModelSpec, tuple[str, ...]]:
    config = {key: value for key, value in (LLAMA | changes).items() if value != "absent"}
    return spec_of_config(parse_config(json.dumps(config, indent=1), "config.json"))


def faults(**changes: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(**changes)
    return str(caught.value)


def test_the_base_of_these_tests_is_fine() -> None:
    spec, warnings = read()
    assert (spec.layers, spec.head_dim, warnings) == (4, 8, ())


def test_all_faults_at_once_with_their_lines() -> None:
    text = faults(hidden_size="wide", num_hidden_layers=[4], vocab_size="absent")
    assert "config.json:6: hidden_size must be a whole number, got 'wide'" in text
    assert "num_hidden_layers must be a whole number, got [4]" in text
    assert "vocab_size" in text.splitlines()[-1] or "vocab" in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_size": -64}, "hidden_size must lie between"),
        ({"num_attention_heads": 0}, "heads"),
        ({"num_attention_heads": True}, "num_attention_heads must be a whole number"),
        ({"num_key_value_heads": 3}, "must be a multiple of kv_heads"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        (
            {
                "num_hidden_layers": 62 * 10**18,
                "quantization_config": {"quant_method": "fp8", "modules_to_not_convert": ["lm_head"]},
            },
            "num_hidden_layers must lie between",
        ),
        ({"per_layer_config": {"²": {"num_attention_heads": 4}}}, "attributes for the number of a layer"),
        ({"per_layer_config": {"9" * 5000: {"num_attention_heads": 4}}}, "attributes for the number of a layer"),
        ({"hidden_size": 10**12}, "hidden_size"),
        ({"hidden_size": 1e400}, "hidden_size must"),
        ({"hidden_size": 65}, "not a multiple of 8 heads"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings must be true or false"),
        ({"intermediate_size": "absent"}, "ffn_hidden is missing"),
        ({"num_experts": 8}, "'num_experts' is not known for model_type 'llama'"),
        ({"layer_types": ["full_attention", "retention"] * 2}, "'retention' is not a kind of layer known"),
        ({"layer_types": ["full_attention"]}, "layer_types has 1 entries for 4 layers"),
        ({"layer_types": "full_attention"}, "must be a list"),
        ({"layer_types": ["sliding_attention"] * 4}, "sliding_window is missing"),
        ({"kv_lora_rank": 512}, "'kv_lora_rank' is not known"),
        ({"ssm_state_size": 128}, "'ssm_state_size' is not known"),
        ({"model_type": "falcon_h1"}, "mamba_heads is missing"),
        ({"model_type": "granitemoehybrid", "num_local_experts": 0}, "layer_types is missing"),
        ({"model_type": "siglip_text_model"}, "an encoder of captions"),
        ({"model_type": "nobody", "num_key_value_heads": [8, 8, "4", 8]}, "must be a whole number, got [8, 8, '4', 8]"),
        ({"model_type": "nobody", "vocab_size": [8, 8, 4, 8]}, "must be a whole number, got [8, 8, 4, 8]"),
        ({"model_type": "nobody", "use_cla": True}, "use_cla"),
        (
            {"model_type": "bart", "encoder_attention_heads": 4, "decoder_attention_heads": 8, "architectures": ["A"]},
            "encoder_attention_heads",
        ),
        ({"model_type": "zamba"}, "shared attention blocks"),
        ({"text_config": 5}, "text_config must be an object, got 5"),
        ({"model_type": 7}, "model_type must be text"),
        ({"quantization_config": [1]}, "quantization_config must be an object"),
        ({"model_type": "mixtral"}, "num_local_experts"),
        ({"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 8}, "more than experts"),
        ({"model_type": "nemotron_h", "hybrid_override_pattern": "M*X-"}, "'X' is no kind of layer"),
        ({"model_type": "nemotron_h"}, "hybrid_override_pattern is missing"),
        ({"model_type": "nemotron-nas", "block_configs": [{}]}, "block_configs must be a list with one block"),
        (
            {"model_type": "nemotron-nas", "num_hidden_layers": 1, "block_configs": [{"attention": [1], "ffn": 2}]},
            "attention must be an object",
        ),
        ({"model_type": "deepseek_v3"}, "kv_lora_rank is missing"),
        (
            {"model_type": "minimax", "num_local_experts": 4, "num_experts_per_tok": 2, "attn_type_list": [0, 1, 2, 1]},
            "'2'",
        ),
        ({"model_type": "gemma4", "num_kv_shared_layers": 4}, "leaves none of 4 layers a cache"),
        ({"model_type": "nobody", "architectures": ["NobodyForMaskedLM"]}, "no causal language model"),
        ({"model_type": "nobody", "mamba_d_state": 16}, "mamba_d_state"),
        ({"model_type": "nobody", "moe_every": 2}, "moe_every"),
    ],
)
def test_fault_is_named(changes: dict[str, Any], said: str) -> None:
    assert said in faults(**changes)


def test_unknown_dense_decoder_is_read_like_llama_and_says_so() -> None:
    spec, warnings = read(model_type="brand_new")
    assert spec.gated_mlp
    assert "'brand_new' is not known" in warnings[0]


def test_unknown_mixture_is_read_with_the_usual_keys_and_says_so() -> None:
    spec, warnings = read(model_type="brand_new", num_experts=8, num_experts_per_tok=2, moe_intermediate_size=32)
    assert (spec.experts, spec.mlp_pattern) == (8, "moe")
    assert "mixture of experts" in warnings[0]


@pytest.mark.parametrize("method", ["magic", "aqlm", "vptq", "bitnet", "spqr", "higgs", "squeezellm"])
def test_unknown_quantization_is_refused_by_name(method: str) -> None:
    message = faults(quantization_config={"quant_method": method, "bits": 2})
    assert f"quantization '{method}' is not known" in message
    assert "gptq" in message


@pytest.mark.parametrize(
    ("config", "precision"),
    [
        ({"quant_method": "awq", "bits": 4}, "int4"),
        ({"quant_method": "gptq", "bits": 8}, "int8"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "nf4"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8"),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"g": {"weights": {"num_bits": 8, "type": "float"}}},
            },
            "fp8",
        ),
        (
            {"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 4, "type": "int"}}}},
            "int4",
        ),
    ],
)
def test_quantization_of_the_common_tools(config: dict[str, Any], precision: str) -> None:
    assert read(quantization_config=config)[0].weight_precision == precision


def test_given_head_dim_wins() -> None:
    assert read(head_dim=32)[0].head_dim == 32


def test_sliding_window_of_qwen_is_off_unless_used() -> None:
    qwen = {"model_type": "qwen2", "sliding_window": 128, "max_window_layers": 2, "max_position_embeddings": 4096}
    assert read(**qwen)[0].mixers == "full"
    assert read(**qwen, use_sliding_window=True)[0].mixers == "2 x full, 2 x sliding"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"model_type": "llama",\n "hidden_size": 64,', "config.json:2: is not valid JSON"),
        ("", "is not valid JSON"),
        ("[1, 2]", "expected a JSON object"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' + "[" * 60 + "]" * 60 + "}", "nested too deeply"),
        ('{"hidden_size": ' + "9" * 5000 + "}", "too many digits"),
        ('{"a": [' + "1," * 500_000 + "1]}", "more values than any"),
        ("{}", "key num_hidden_layers or n_layer is missing"),
    ],
)
def test_broken_file(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InputError, match=said.replace("(", r"\(")):
        load_model(str(path))


@pytest.mark.parametrize("name", ["no/such/config.json", "nothing-of-the-kind", "a\0b/config.json", "", "../..//"])
def test_nothing_there(name: str) -> None:
    with pytest.raises(InputError):
        load_model(name)


def test_a_folder_without_config_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.json"):
        load_model(f"{tmp_path}/")


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**18),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
FOLDER = Path(__file__).parent / "hf_configs"
REAL = [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*_config.json")) if path.stat().st_size < 4000]
REAL += [json.loads(line)["config"] for line in (FOLDER.parent / "model_types.jsonl").read_text().splitlines()]


@settings(max_examples=300)
@given(base=st.sampled_from(REAL), data=st.data())
def test_no_value_makes_anything_but_a_model_or_an_input_error(base: dict[str, Any], data: st.DataObject) -> None:
    """Real configs with two values replaced by anything."""
    config = json.loads(json.dumps(base))
    parts = [part for part in config.values() if isinstance(part, dict) and part]
    inner = data.draw(st.sampled_from([config, *parts]))
    for key in data.draw(st.lists(st.sampled_from(sorted(inner)), min_size=1, max_size=2)):
        inner[key] = data.draw(VALUES)
    with contextlib.suppress(InputError):
        assert spec_of_config(parse_config(json.dumps(config), "config.json"))[0].layers > 0


def test_unknown_type_with_latent_attention_is_read_like_deepseek() -> None:
    latent = {"q_lora_rank": None, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8}
    spec, warnings = read(model_type="brand_new", **latent)
    assert (spec.is_mla, spec.head_dim) == (True, 12)
    assert "latent attention" in warnings[0]
    moe = {"n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "first_k_dense_replace": 1}
    spec, warnings = read(model_type="brand_new", **latent, **moe)
    assert spec.mlp_of_layers() == ("dense", "moe", "moe", "moe")
    assert "DeepSeek-V3" in warnings[0]


def test_cross_attention_to_images_is_read_where_it_is_described() -> None:
    text = dict(LLAMA, model_type="mllama_text_model", cross_attention_layers=[1, 3])
    spec, _ = read(model_type="mllama", text_config=text, hidden_size="absent")
    assert spec.mixers == "full, image"
    assert "cross_attention_layers" in faults(model_type="nobody", cross_attention_layers=[1, 3])


def test_unknown_decoder_without_a_gate() -> None:
    spec, warnings = read(model_type="nobody", hidden_act="gelu")
    assert (spec.gated_mlp, spec.norm) == (False, "layernorm")
    assert "without gate (gelu)" in warnings[0]
    assert read(model_type="nobody", hidden_act="gelu", rms_norm_eps=1e-6)[0].gated_mlp


def test_an_activation_that_does_not_tell_of_a_gate_is_refused() -> None:
    """BitNet has a gate beside ReLU squared, Nemotron has none; nobody knows of an activation of its own."""
    for activation in ("relu2", "relu", "xielu"):
        assert "does not tell whether the MLP" in faults(model_type="nobody", hidden_act=activation)


def test_unknown_experts_without_a_width_of_their_own() -> None:
    spec, warnings = read(model_type="nobody", num_experts=8, num_experts_per_tok=2)
    assert spec.expert_ffn_hidden == spec.ffn_hidden
    assert "as wide as intermediate_size" in warnings[0]


def test_a_text_config_may_leave_out_what_its_class_says() -> None:
    text = {"model_type": "mistral", "hidden_size": 5120, "num_hidden_layers": 40, "head_dim": 128}
    spec, warnings = spec_of_config(
        parse_config(json.dumps({"model_type": "llava", "text_config": text}), "config.json")
    )
    assert (spec.hidden, spec.heads, spec.kv_heads, spec.ffn_hidden) == (5120, 32, 8, 14336)
    assert "heads 32" in warnings[0]
    with pytest.raises(InputError, match="num_attention_heads"):
        spec_of_config(parse_config(json.dumps(text), "config.json"))


def test_a_number_a_layer_that_is_always_the_same() -> None:
    assert read(model_type="nobody", num_key_value_heads=[4, 4, 4, 4])[0].kv_heads == 4


def test_a_number_a_layer_that_differs() -> None:
    spec = read(model_type="nobody", num_key_value_heads=[8, 8, 4, 8], intermediate_size=[256, 256, 256, 128])[0]
    assert (spec.kv_heads, spec.mixers) == (8, "2 x full, full:0/4/0")
    assert spec.mlps == "3 x dense:256, dense:128"


@pytest.mark.parametrize(
    ("quantization", "precision"),
    [
        ({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4}}}, "int4"),
        ({"quant_method": "gptq_marlin", "bits": 8}, "int8"),
        ({"quant_method": "auto-round", "bits": 4}, "int4"),
        ({"quant_method": "eetq", "weights": "int8"}, "int8"),
        ({"quant_method": "quanto", "weights": "float8"}, "fp8"),
        ({"quant_method": "torchao", "quant_type": "int4_weight_only"}, "int4"),
    ],
)
def test_words_of_quantization_tools(quantization: dict[str, Any], precision: str) -> None:
    spec, warnings = read(quantization_config=quantization)
    assert (spec.weight_precision, warnings) == (precision, ())


def test_bits_of_no_use_are_said() -> None:
    for bits in (0, "four", True, 16):
        message = faults(quantization_config={"quant_method": "gptq", "bits": bits})
        assert f"quantization 'gptq' has {str(bits)!r} bits" in message


def test_nemotron_h_in_words() -> None:
    mamba = {"mamba_num_heads": 4, "mamba_head_dim": 8, "n_groups": 2, "ssm_state_size": 16, "conv_kernel": 4}
    words = {"layers_block_type": ["mamba", "attention", "mlp", "mamba"]}
    assert read(model_type="nemotron_h", **mamba, **words)[0].mixer_of_layers() == ("mamba2", "full", "none", "mamba2")
    assert "'?'" in faults(model_type="nemotron_h", **mamba, layers_block_type=["mamba", "rwkv", "mlp", "mamba"])
