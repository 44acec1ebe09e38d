"""Memory of vLLM by version against what it printed, part by part (hardware_catalog/measurements/kv_cache.csv)."""

from __future__ import annotations

import pytest

from llmplan.answer.resolve import plan_from
from llmplan.serving.memory import memory_fraction, overhead_bytes, serving_memory, workspace_bytes
from llmplan.serving.plan import ServingPlan
from llmplan.serving.weights import weight_bytes

GIB = 2**30


def served(**words: object) -> ServingPlan:
    said = {"workload": "serve", "stack": "vllm", "hardware": "h100", "devices": 1, "tp": 1, **words}
    plan = plan_from(said)
    assert isinstance(plan, ServingPlan)
    return plan


@pytest.mark.parametrize(
    ("model", "version", "tp", "length", "logged"),
    [
        ("llama-2-7b", "0.19", 1, 8192, 0.77),  # the prefill decides: a vocabulary of 32,000 (logged: CodeLlama 7B)
        ("llama-3.3-70b", "0.19", 2, 8192, 1.96),  # the sampler decides, and is not divided by tp
        ("gemma-2-27b", "0.19", 1, 8192, 3.66),
        ("qwen1.5-moe-a2.7b", "0.19", 1, 8192, 2.47),  # and buffers of fused experts stay
        ("gpt-oss-20b", "0.19", 1, 8192, 2.87),  # but not of experts in mxfp4
        ("qwen3-14b", "0.16", 1, 8192, 5.64),
        ("qwen3-14b", "0.17", 1, 8192, 2.23),
        ("llama-3.1-8b", "0.6.4", 1, 20000, 2.07),  # a prompt of 20,000 tokens is read in one step
    ],
)
def test_activation_peak(model: str, version: str, tp: int, length: int, logged: float) -> None:
    hardware = "rtx-3090" if version == "0.6.4" else "h100"
    plan = served(
        model=model, stack_version=version, devices=tp, tp=tp, hardware=hardware, max_model_len=length,
        weight_precision="bf16",
    )  # fmt: skip
    assert workspace_bytes(plan, plan.engine.policy) / GIB == pytest.approx(logged, rel=0.03)


def test_sampler_of_compiled_tensorrt_llm() -> None:
    """Six vectors of 128,256 fp32 logits for each of 2,048 sequences, on each device whole, beside the layers' last."""
    plan = served(stack="tensorrt-llm", stack_version="0.14.0", model="llama-3.1-70b", devices=2, tp=2)
    assert workspace_bytes(plan, plan.engine.policy) == pytest.approx(6 * 4 * 2048 * 128256 + 2 * 8192 * 8192)


def test_small_devices_have_smaller_steps() -> None:
    big, small = served(model="llama-3.1-8b").engine.policy, served(model="llama-3.1-8b", hardware="l4").engine.policy
    assert (big.max_sequences, big.max_batch_tokens) == (1024, 8192)
    assert (small.max_sequences, small.max_batch_tokens) == (256, 2048)
    a100 = served(model="llama-3.1-8b", hardware="a100-sxm-80gb").engine.policy
    assert (a100.max_sequences, a100.max_batch_tokens) == (256, 2048)


MIB = 2**20


@pytest.mark.parametrize(
    ("version", "tp", "fraction"),
    [("0.1.14", 1, 0.9), ("0.1.14", 4, 0.82), ("0.4.1", 1, 0.88), ("0.4.1", 2, 0.87), ("0.4.6", 4, 0.85),
     ("0.4.6", 8, 0.81)],
)  # fmt: skip
def test_fraction_of_sglang_by_devices(version: str, tp: int, fraction: float) -> None:
    plan = served(stack="sglang", stack_version=version, model="llama-3.1-8b", devices=tp, tp=tp)
    assert memory_fraction(plan, plan.engine.policy) == fraction
    given = served(stack="sglang", stack_version=version, model="llama-3.1-8b", memory_fraction=0.7)
    assert memory_fraction(given, given.engine.policy) == 0.7


@pytest.mark.parametrize(
    ("hardware", "tp", "kept"),
    [
        # 512 + 1.5 x tokens of a step + 2 x sequences of the largest graph + 128 x devices [MiB]
        ("h100", 1, 512 + 1.5 * 8192 + 2 * 256 + 128), ("h100", 8, 512 + 1.5 * 8192 + 2 * 512 + 8 * 128),
        ("rtx-4090", 4, 512 + 1.5 * 2048 + 2 * 80 + 4 * 128), ("l40s", 1, 512 + 1.5 * 4096 + 2 * 32 + 128),
        ("t4", 1, 512 + 1.5 * 2048 + 2 * 8 + 128), ("mi300x", 8, 512 + 1.5 * 16384 + 2 * 512 + 8 * 128),
    ],
)  # fmt: skip
def test_fraction_of_sglang_since_0_5_3(hardware: str, tp: int, kept: float) -> None:
    plan = served(stack="sglang", stack_version="0.5.8", model="llama-3.2-1b", hardware=hardware, devices=tp, tp=tp)
    capacity = plan.device.memory.capacity
    assert memory_fraction(plan, plan.engine.policy) == pytest.approx(1 - kept * MIB / capacity, rel=1e-12)


def test_a_smaller_chunk_leaves_more_cache() -> None:
    """SGLang keeps back 1.5 MiB a token of it, but 10 GiB at least on a device of 80, of what is free at first."""
    words = {"stack": "sglang", "model": "llama-3.1-8b"}
    plans = [served(**words), *(served(**words, max_num_batched_tokens=tokens) for tokens in (7168, 2048))]
    whole, half, least = (serving_memory(plan, plan.engine.policy).kv_cache_bytes for plan in plans)
    free = (plans[0].usable_bytes - plans[0].stack.memory.context) / plans[0].device.memory.capacity
    assert half - whole == pytest.approx(1024 * 1.5 * MIB * free, rel=1e-6)
    assert least - whole == pytest.approx((13440 - 10240) * MIB * free, rel=1e-6)


@pytest.mark.parametrize(("version", "fraction"), [("0.5.0", 0.85), ("0.8.0", 0.85), ("0.14", 0.9), ("1.0", 0.9)])
def test_share_of_free_memory_of_tensorrt_llm(version: str, fraction: float) -> None:
    plan = served(stack="tensorrt-llm", stack_version=version, model="llama-3.1-8b")
    memory = serving_memory(plan, plan.engine.policy)
    free = plan.usable_bytes - (memory.weights_bytes + memory.activations_bytes + memory.overhead_bytes)
    assert memory.kv_cache_bytes == pytest.approx(fraction * free, rel=1e-9)


def test_options_of_the_engine_win() -> None:
    plan = served(model="llama-3.1-8b", max_num_seqs=16, max_num_batched_tokens=1024, block_size=32, enforce_eager=True)
    policy = plan.engine.policy
    assert (policy.max_sequences, policy.max_batch_tokens, policy.block_tokens, policy.graph_bytes) == (16, 1024, 32, 0)


def test_graphs_are_taken_off_the_fraction_since_0_21() -> None:
    before, since = (
        served(model="llama-3.1-8b", stack_version="0.20"),
        served(model="llama-3.1-8b", stack_version="0.21"),
    )
    inside = [overhead_bytes(plan, plan.engine.policy)[0] / GIB for plan in (before, since)]
    assert inside == pytest.approx([0.25, 1.25])


@pytest.mark.parametrize(
    ("model", "tp", "layers", "token", "logged"),
    [
        # layers counted whole, bytes of a token in one of them on one device, tokens a GiB of cache holds
        ("gemma-3-27b", 1, 70, 2 * 16 * 128 * 2, 36560 / 19.53),  # 10 + 52 layers: 7 groups of 10
        ("gemma-2-27b", 1, 46, 2 * 16 * 128 * 2, 58672 / 20.59),
        ("gpt-oss-20b", 1, 24, 2 * 8 * 64 * 2, 1277184 / 58.47),
        ("llama-4-scout", 4, 48, 2 * 2 * 128 * 2, 365968 / 16.75),
    ],
)
def test_printed_size_counts_every_layer_whole(model: str, tp: int, layers: int, token: int, logged: float) -> None:
    plan = served(model=model, stack_version="0.19", devices=tp, tp=tp, memory_fraction=0.95, max_model_len=8192)
    memory = serving_memory(plan, plan.engine.policy)
    per_gib = memory.kv_tokens / (memory.kv_cache_bytes / GIB)
    assert per_gib == pytest.approx(GIB / (layers * token))
    assert per_gib == pytest.approx(logged, rel=0.001)


def test_experts_in_mxfp4_are_filled_up() -> None:
    """2,880 wide experts are held as 3,072: a fifteenth more."""
    plain = served(model="gpt-oss-20b", stack_version="0.10")
    filled = served(model="gpt-oss-20b", stack_version="0.11")
    routed = ((layer.count, one) for layer in plain.model.layers for one in layer.linears if one.routed)
    experts = sum(count * one.parameters for count, one in routed)
    more = weight_bytes(filled, filled.workload) - weight_bytes(plain, plain.workload)
    assert more == pytest.approx(experts * 0.53125 / 15, rel=0.01)


@pytest.mark.parametrize(
    ("words", "starts"),
    [
        ({"model": "gpt-oss-120b", "stack_version": "0.11"}, False),
        ({"model": "gpt-oss-120b", "stack_version": "0.11", "max_num_seqs": 64}, True),
        ({"model": "qwen3-30b-a3b", "hardware": "rtx-5090", "weight_precision": "fp8", "memory_fraction": 0.95,
          "max_model_len": 16384}, False),
        ({"model": "mistral-7b-v0.3", "hardware": "rtx-3090", "stack_version": "0.5", "max_model_len": 32768}, False),
    ],
)  # fmt: skip
def test_what_starts(words: dict[str, object], starts: bool) -> None:
    plan = served(**words)
    memory = serving_memory(plan, plan.engine.policy)
    assert (memory.needed_bytes <= memory.budget_bytes) is starts
