"""The formulas on arrays of layouts give what they give for each layout alone."""

from __future__ import annotations

from dataclasses import fields
from itertools import islice
from typing import Any

import numpy as np
import pytest
from asking import asked
from hypothesis import given, settings
from hypothesis import strategies as st

from llmplan.search.scores import evaluate
from llmplan.search.space import CHUNK, Space
from llmplan.training.checks import problems_of
from llmplan.training.estimate import estimate
from llmplan.training.memory import training_memory
from llmplan.training.step import training_time

CLOSE = 1e-12
MODELS = ["llama-3.1-8b", "gpt3-175b", "mixtral-8x22b-v0.1", "deepseek-v3-671b", "gemma-2-27b", "bert-large-uncased",
          "albert-xxlarge-v2", "gpt2-xl"]  # fmt: skip
STACKS = ["generic", "megatron-core", "torchtitan", "megatron-lm-2021", "deepspeed", "litgpt", "maxtext"]


def questions() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "model": st.sampled_from(MODELS),
            "hardware": st.sampled_from(["h100", "a100-sxm-40gb", "v100-sxm-32gb", "gb200", "tpu-v5p"]),
            "stack": st.sampled_from(STACKS),
            "devices": st.sampled_from(["1", "8", "48", "96", "256"]),
            "seq_len": st.sampled_from([512, 2048, 6144]),
            "global_batch": st.sampled_from([64, 96, 768]),
            "flash_attention": st.booleans(),
            "workload": st.sampled_from(["pretrain", "finetune", "lora"]),
        },
        optional={"offload_optimizer": st.just(True), "micro_batch": st.just("1,3"), "recompute": st.just("full")},
    )


@settings(max_examples=50)
@given(words=questions(), seed=st.integers(0, 2**32 - 1))
def test_array_path_equals_scalar_path(words: dict[str, Any], seed: int) -> None:
    adapters = {"lora_targets": "out"} if words["workload"] == "lora" else {}
    search = asked(**words, **adapters)
    (base,) = search.bases
    space = Space(base, search.devices[0], search.choices)
    random = np.random.default_rng(seed)
    for layouts in islice(space.chunks(), 3):
        scores, many = evaluate(base, layouts), base.with_layout(layouts)
        memory, time = training_memory(many), training_time(many)
        size = scores.step.size
        for index in random.integers(0, size, min(size, 12)).tolist():
            layout = layouts.at(index)
            assert not problems_of(base.with_layout(layout))
            plan = base.with_layout(layout)
            _same(memory, training_memory(plan), layouts.shape, index)
            _same(time, training_time(plan), layouts.shape, index)
            alone = estimate(plan)
            assert scores.peak[index] == pytest.approx(alone.peak.value, rel=CLOSE, abs=0)
            assert scores.step[index] == pytest.approx(alone.step.value, rel=CLOSE, abs=0)
            assert bool(scores.fits[index]) == alone.fits


def _same(many: Any, one: Any, shape: tuple[int, ...], index: int) -> None:
    for field in fields(one):
        value = np.broadcast_to(getattr(many, field.name), shape).reshape(-1)[index]
        assert value == pytest.approx(float(getattr(one, field.name)), rel=CLOSE, abs=1e-18), field.name


def test_a_space_hands_out_every_layout_once() -> None:
    search = asked(model="mixtral-8x22b-v0.1", hardware="h100", devices="48", global_batch=96, workload="pretrain")
    space = Space(search.bases[0], 48, search.choices)
    seen = [layouts.at(index) for layouts in space.chunks() for index in range(0, int(np.prod(layouts.shape)), 7)]
    assert len(seen) == len(set(seen))
    again = Space(search.bases[0], 48, search.choices)
    assert sum(int(np.prod(layouts.shape)) for layouts in again.chunks()) == again.legal == space.legal


def test_chunks_bound_the_memory() -> None:
    search = asked(model="deepseek-v3-671b", hardware="h100", devices="1536", global_batch=4608, workload="pretrain")
    space = Space(search.bases[0], 1536, search.choices)
    largest = max(int(np.prod(layouts.shape)) for layouts in space.chunks())
    assert largest < 2 * CHUNK
    assert space.legal > 10 * CHUNK
