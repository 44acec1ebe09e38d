"""Families beyond the stored configs: the shape of a public checkpoint reads to the size it is known by."""

from __future__ import annotations

import json

import pytest

from llmplan.plan.huggingface import spec_of_config
from llmplan.plan.huggingface_config import parse_config
from llmplan.plan.lowering import lower
from llmplan.plan.model import Model

TEXT = {"architectures": ["SomeForCausalLM"]}


def read(**config: object) -> Model:
    spec, warnings = spec_of_config(parse_config(json.dumps(TEXT | config), "config.json"))
    return lower(spec, warnings)


# (checkpoint, billions of parameters as its card or paper prints them, config with the keys it has)
CHECKPOINTS = [
    ("gpt2", 0.1244, {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024, "n_ctx": 1024, "vocab_size": 50257}),
    ("gpt-neo-2.7b", 2.651, {"model_type": "gpt_neo", "hidden_size": 2560, "num_layers": 32, "num_heads": 20, "max_position_embeddings": 2048, "vocab_size": 50257, "window_size": 256, "attention_types": [[["global", "local"], 16]], "intermediate_size": None}),
    ("gpt-j-6b", 6.051, {"model_type": "gptj", "n_embd": 4096, "n_layer": 28, "n_head": 16, "n_positions": 2048, "vocab_size": 50400, "tie_word_embeddings": False}),
    ("pythia-6.9b", 6.857, {"model_type": "gpt_neox", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "intermediate_size": 16384, "vocab_size": 50432, "max_position_embeddings": 2048}),
    ("opt-350m", 0.3312, {"model_type": "opt", "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "ffn_dim": 4096, "vocab_size": 50272, "max_position_embeddings": 2048, "word_embed_proj_dim": 512, "do_layer_norm_before": False}),
    ("bloom-7b1", 7.069, {"model_type": "bloom", "n_embed": 4096, "n_layer": 30, "num_attention_heads": 32, "vocab_size": 250880, "attention_softmax_in_fp32": True}),
    ("falcon-7b", 6.92, {"model_type": "RefinedWebModel", "hidden_size": 4544, "n_layer": 32, "n_head": 71, "multi_query": True, "parallel_attn": True, "bias": False, "alibi": False, "vocab_size": 65024}),
    ("falcon-40b", 41.3, {"model_type": "falcon", "hidden_size": 8192, "num_hidden_layers": 60, "num_attention_heads": 128, "num_kv_heads": 8, "new_decoder_architecture": True, "vocab_size": 65024}),
    ("mpt-7b", 6.65, {"model_type": "mpt", "d_model": 4096, "n_layers": 32, "n_heads": 32, "expansion_ratio": 4, "max_seq_len": 2048, "vocab_size": 50432, "no_bias": True, "attn_config": {"alibi": True, "attn_type": "multihead_attention"}}),
    ("gemma-3-4b", 3.88, {"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"], "text_config": {"model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34, "sliding_window": 1024}, "vision_config": {"hidden_size": 1152}}),
    ("phi-2", 2.78, {"model_type": "phi", "hidden_size": 2560, "num_hidden_layers": 32, "num_attention_heads": 32, "intermediate_size": 10240, "vocab_size": 51200, "max_position_embeddings": 2048}),
    ("phi-3.5-moe", 41.9, {"model_type": "phimoe", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 6400, "num_local_experts": 16, "num_experts_per_tok": 2, "vocab_size": 32064, "attention_bias": True, "lm_head_bias": True, "sliding_window": 131072, "max_position_embeddings": 131072}),
    ("starcoder2-15b", 15.96, {"model_type": "starcoder2", "hidden_size": 6144, "num_hidden_layers": 40, "num_attention_heads": 48, "num_key_value_heads": 4, "intermediate_size": 24576, "vocab_size": 49152, "sliding_window": 4096, "use_bias": True, "tie_word_embeddings": False}),
    ("starcoder", 15.5, {"model_type": "gpt_bigcode", "n_embd": 6144, "n_layer": 40, "n_head": 48, "n_inner": 24576, "n_positions": 8192, "multi_query": True, "vocab_size": 49152}),
    ("command-r", 35.0, {"model_type": "cohere", "hidden_size": 8192, "num_hidden_layers": 40, "num_attention_heads": 64, "num_key_value_heads": 64, "intermediate_size": 22528, "vocab_size": 256000, "use_qk_norm": False}),
    ("qwen-7b", 7.72, {"model_type": "qwen", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "intermediate_size": 22016, "kv_channels": 128, "vocab_size": 151936, "seq_length": 8192, "tie_word_embeddings": False}),
    ("qwen1.5-moe-a2.7b", 14.3, {"model_type": "qwen2_moe", "hidden_size": 2048, "num_hidden_layers": 24, "num_attention_heads": 16, "num_key_value_heads": 16, "intermediate_size": 5632, "moe_intermediate_size": 1408, "shared_expert_intermediate_size": 5632, "num_experts": 60, "num_experts_per_tok": 4, "decoder_sparse_step": 1, "vocab_size": 151936}),
    ("qwen3-next-80b", 79.7, {"model_type": "qwen3_next", "hidden_size": 2048, "num_hidden_layers": 48, "num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 256, "intermediate_size": 5120, "full_attention_interval": 4, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128, "linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_value_head_dim": 128, "moe_intermediate_size": 512, "num_experts": 512, "num_experts_per_tok": 10, "shared_expert_intermediate_size": 512, "mlp_only_layers": [], "decoder_sparse_step": 1, "vocab_size": 151936}),
    ("internlm2-7b", 7.74, {"model_type": "internlm2", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 92544, "bias": False}),
    ("chatglm3-6b", 6.24, {"model_type": "chatglm", "hidden_size": 4096, "num_layers": 28, "num_attention_heads": 32, "ffn_hidden_size": 13696, "kv_channels": 128, "multi_query_attention": True, "multi_query_group_num": 2, "padded_vocab_size": 65024, "add_qkv_bias": True, "add_bias_linear": False, "seq_length": 8192}),
    ("stablelm-2-1.6b", 1.64, {"model_type": "stablelm", "hidden_size": 2048, "num_hidden_layers": 24, "num_attention_heads": 32, "num_key_value_heads": 32, "intermediate_size": 5632, "vocab_size": 100352, "use_qkv_bias": True}),
    ("olmo-7b", 6.89, {"model_type": "olmo", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32, "intermediate_size": 11008, "vocab_size": 50304}),
    ("olmoe-1b-7b", 6.92, {"model_type": "olmoe", "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 16, "intermediate_size": 1024, "num_experts": 64, "num_experts_per_tok": 8, "vocab_size": 50304}),
    ("dbrx", 131.6, {"model_type": "dbrx", "d_model": 6144, "n_layers": 40, "n_heads": 48, "max_seq_len": 32768, "vocab_size": 100352, "attn_config": {"kv_n_heads": 8, "clip_qkv": 8}, "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4}}),
    ("deepseek-v2-lite", 15.7, {"model_type": "deepseek_v2", "hidden_size": 2048, "num_hidden_layers": 27, "num_attention_heads": 16, "num_key_value_heads": 16, "intermediate_size": 10944, "moe_intermediate_size": 1408, "n_routed_experts": 64, "n_shared_experts": 2, "num_experts_per_tok": 6, "first_k_dense_replace": 1, "moe_layer_freq": 1, "q_lora_rank": None, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "vocab_size": 102400}),
    ("glm-4-9b", 9.4, {"model_type": "glm", "hidden_size": 4096, "num_hidden_layers": 40, "num_attention_heads": 32, "num_key_value_heads": 2, "head_dim": 128, "intermediate_size": 13696, "vocab_size": 151552, "attention_bias": True}),
    ("glm-4.5-air", 106.9, {"model_type": "glm4_moe", "hidden_size": 4096, "num_hidden_layers": 46, "num_attention_heads": 96, "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 10944, "moe_intermediate_size": 1408, "n_routed_experts": 128, "n_shared_experts": 1, "num_experts_per_tok": 8, "first_k_dense_replace": 1, "attention_bias": True, "use_qk_norm": False, "num_nextn_predict_layers": 1, "vocab_size": 151552}),
    ("ernie-4.5-21b-a3b", 21.8, {"model_type": "ernie4_5_moe", "hidden_size": 2560, "num_hidden_layers": 28, "num_attention_heads": 20, "num_key_value_heads": 4, "intermediate_size": 12288, "moe_intermediate_size": 1536, "moe_num_experts": 64, "moe_k": 6, "moe_num_shared_experts": 2, "moe_layer_start_index": 1, "moe_layer_end_index": 27, "moe_layer_interval": 1, "vocab_size": 103424, "tie_word_embeddings": True}),
    ("llama-4-maverick", 400.7, {"model_type": "llama4_text", "hidden_size": 5120, "num_hidden_layers": 48, "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 8192, "intermediate_size_mlp": 16384, "interleave_moe_layer_step": 2, "num_local_experts": 128, "num_experts_per_tok": 1, "attention_chunk_size": 8192, "vocab_size": 202048}),
    ("minimax-text-01", 456.1, {"model_type": "minimax_text_01", "hidden_size": 6144, "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 9216, "num_local_experts": 32, "num_experts_per_tok": 2, "attn_type_list": ([0] * 7 + [1]) * 10, "shared_intermediate_size": 0, "vocab_size": 200064, "tie_word_embeddings": False}),
    ("bamba-9b", 9.78, {"model_type": "bamba", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336, "attn_layer_indices": [9, 18, 27], "mamba_n_heads": 128, "mamba_d_head": 64, "mamba_n_groups": 1, "mamba_d_state": 128, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_conv_bias": True, "vocab_size": 128256}),
    ("mamba2-2.7b", 2.70, {"model_type": "mamba2", "hidden_size": 2560, "num_hidden_layers": 64, "num_heads": 80, "head_dim": 64, "state_size": 128, "n_groups": 1, "conv_kernel": 4, "use_conv_bias": True, "vocab_size": 50288, "tie_word_embeddings": True}),
    ("distilbert", 0.0664, {"model_type": "distilbert", "architectures": ["DistilBertForMaskedLM"], "dim": 768, "n_layers": 6, "n_heads": 12, "hidden_dim": 3072, "max_position_embeddings": 512, "vocab_size": 30522}),
    ("bert-large", 0.3351, {"model_type": "bert", "architectures": ["BertForMaskedLM"], "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096, "max_position_embeddings": 512, "type_vocab_size": 2, "vocab_size": 30522}),
    ("t5-small", 0.0605, {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "d_model": 512, "d_ff": 2048, "d_kv": 64, "num_layers": 6, "num_heads": 8, "n_positions": 512, "relative_attention_num_buckets": 32, "vocab_size": 32128}),
    ("t5-v1.1-xxl", 11.135, {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "d_model": 4096, "d_ff": 10240, "d_kv": 64, "num_layers": 24, "num_decoder_layers": 24, "num_heads": 64, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "vocab_size": 32128}),
]  # fmt: skip


@pytest.mark.parametrize(("billions", "config"), [c[1:] for c in CHECKPOINTS], ids=[c[0] for c in CHECKPOINTS])
def test_config_reads_to_the_known_size(billions: float, config: dict[str, object]) -> None:
    assert read(**config).parameters / 1e9 == pytest.approx(billions, rel=0.01)
