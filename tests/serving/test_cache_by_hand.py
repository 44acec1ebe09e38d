"""Key-value cache of five models with the arithmetic written out."""

from __future__ import annotations

import pytest

from llmplan.catalog.load_model import load_model
from llmplan.serving.memory import cache_shape
from llmplan.setup.layout import Layout
from llmplan.software.engine import ServingPolicy

BF16 = 2.0
FREES, KEEPS = ServingPolicy(window_cache="window"), ServingPolicy(window_cache="full")
IGNORES = ServingPolicy(window_cache="ignored")


def test_llama_8b_has_grouped_queries() -> None:
    cache = cache_shape(load_model("llama-3.1-8b"), Layout(), BF16, FREES)
    # 32 layers x (keys and values) x 8 heads x 128 elements x 2 bytes
    assert cache.growing == 32 * 2 * 8 * 128 * 2 == 131072
    assert cache.windows == ()


def test_grouped_heads_are_divided_and_then_copied() -> None:
    model = load_model("llama-3.1-8b")
    assert cache_shape(model, Layout(tp=8), BF16, FREES).growing == 131072 / 8
    # 8 heads cannot be cut into 16 parts: each stands twice
    assert cache_shape(model, Layout(tp=16), BF16, FREES).growing == 131072 / 8


def test_deepseek_v3_keeps_latents() -> None:
    model = load_model("deepseek-v3-671b")
    cache = cache_shape(model, Layout(), 1.0, FREES)
    # 61 layers x (512 latent + 64 rotary) values, one byte each in fp8
    assert cache.growing == 61 * 576
    assert cache_shape(model, Layout(tp=8), 1.0, FREES).growing == 61 * 576  # the same on every device


def test_gemma_3_frees_what_leaves_its_windows() -> None:
    cache = cache_shape(load_model("gemma-3-27b"), Layout(), BF16, FREES)
    each = 2 * 16 * 128 * 2  # bytes a token and layer
    full = 62 // 6  # every sixth of 62 layers sees everything
    assert cache.growing == full * each
    assert cache.windows == ((52 * each, 1024.0),)
    assert cache.bytes(8192.0) == 10 * each * 8192 + 52 * each * 1024
    for policy in (KEEPS, IGNORES):
        assert cache_shape(load_model("gemma-3-27b"), Layout(), BF16, policy).bytes(8192.0) == 62 * each * 8192


def test_gpt_oss_alternates() -> None:
    cache = cache_shape(load_model("gpt-oss-120b"), Layout(), BF16, FREES)
    each = 2 * 8 * 64 * 2
    assert cache.growing == 18 * each
    assert cache.windows == ((18 * each, 128.0),)
    assert cache.bytes(100.0) == 36 * each * 100  # inside the window all layers are alike


def test_falcon_7b_has_one_head() -> None:
    cache = cache_shape(load_model("falcon-7b"), Layout(), BF16, FREES)
    assert cache.growing == 32 * 2 * 1 * 64 * 2 == 8192


def test_layers_with_a_state_do_not_grow() -> None:
    cache = cache_shape(load_model("nemotron-h-56b"), Layout(), BF16, FREES)
    assert cache.state > 0
    assert cache.bytes(2000.0) - cache.bytes(1000.0) == pytest.approx(1000 * cache.growing)


def test_pipeline_stages_divide_layers() -> None:
    whole = cache_shape(load_model("llama-3.1-8b"), Layout(), BF16, FREES)
    assert cache_shape(load_model("llama-3.1-8b"), Layout(pp=4), BF16, FREES).growing == whole.growing / 4
