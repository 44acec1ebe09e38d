"""What must hold for every plan: parts add up, better hardware is no slower, more sharding holds no more."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from random_plans import arrays, catalog, changed, faster, legal, plan_of

from llmplan import plan_from
from llmplan.answer.resolve import AnyPlan
from llmplan.training.estimate import estimate
from llmplan.training.memory import Memory, training_memory
from llmplan.training.step import StepTime, training_time

ROUNDING = 1 + 1e-9
CHECKS = [HealthCheck.filter_too_much, HealthCheck.too_slow]
few = settings(max_examples=40, suppress_health_check=CHECKS)


def peak(plan: AnyPlan) -> float:
    return float(training_memory(plan).peak_bytes)


def states(plan: AnyPlan) -> float:
    memory = training_memory(plan)
    return float(memory.weights_bytes + memory.gradients_bytes + memory.optimizer_states_bytes)


@few
@given(legal())
def test_parts_add_up(words: dict[str, Any]) -> None:
    plan = plan_of(words)
    answer = estimate(plan)
    memory, time = answer.memory.parts(), answer.time.parts()
    assert all(float(value) >= 0 for value in (*memory.values(), *time.values())), (memory, time)
    assert sum(memory.values()) == pytest.approx(answer.peak.value, rel=1e-12)
    assert sum(time.values()) == pytest.approx(answer.step.value, rel=1e-12)
    assert len(memory) == len(fields(Memory)) - 1  # all but what stands in the host's memory
    assert len(time) == len(fields(StepTime))
    for interval in (answer.peak, answer.step, answer.tokens_per_second):
        assert 0 < interval.low <= interval.value <= interval.high
    assert answer.tokens_per_second.value * answer.step.value == pytest.approx(
        plan.workload.global_batch * plan.workload.seq_len, rel=1e-12
    )
    assert 0 < answer.mfu <= answer.hfu < 1


@few
@given(legal(), st.sampled_from(("memory", "peak", "scale_up", "host")), st.sampled_from((1.1, 2.0, 10.0)))
def test_a_better_device_is_no_slower(words: dict[str, Any], what: str, factor: float) -> None:
    plan = plan_of(words)
    better = replace(plan, device=faster(plan.device, what, factor))
    assert training_time(better).step_seconds <= training_time(plan).step_seconds * ROUNDING


def test_a_better_device_is_no_slower_where_the_host_is_the_limit() -> None:
    words = {
        "model": "llama-3.1-8b",
        "hardware": "h100",
        "devices": 4,
        "tp": 1,
        "pp": 1,
        "seq_len": 128,
        "micro_batch": 1,
    }
    plan = plan_of(words | {"global_batch": 4, "zero": 1, "recompute": "none"})
    better = replace(plan, device=faster(plan.device, "memory", 1.1))
    assert training_time(better).step_seconds <= training_time(plan).step_seconds * ROUNDING


@pytest.mark.parametrize(
    "words",
    [
        {"model": "albert-xlarge-v2", "hardware": "apple-m5", "tp": 2, "cp": 2},
        {"model": "apertus-8b", "hardware": "h200", "stack": "paxml", "tp": 8, "cp": 2, "micro_batch": 2,
         "seq_len": 1024},
        {"model": "gemma-3-4b", "hardware": "rtx-3070", "devices": 128, "tp": 8, "micro_batch": 4, "global_batch": 16,
         "seq_len": 256},
        {"model": "llama-3.1-8b", "hardware": "h100", "devices": 8, "pp": 1, "offload_activations": True},
        {"model": "llama-3-8b", "hardware": "v100s-pcie-32gb", "workload": "finetune", "tp": 4, "global_batch": 512,
         "seq_len": 512, "devices_per_node": 1, "method": "dpo"},
    ],
)  # fmt: skip
def test_a_better_device_is_no_slower_where_several_links_are_the_limit(words: dict[str, Any]) -> None:
    """A second of work that covered two communications, each in full, was missed twice when it got shorter."""
    plan = plan_of(words)
    for what in ("memory", "peak"):
        better = replace(plan, device=faster(plan.device, what, 1.5))
        assert training_time(better).step_seconds <= training_time(plan).step_seconds * ROUNDING


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_attention_in_32_bits_is_no_faster_than_products_in_them(precision: str) -> None:
    words = {"model": "gpt2-xl", "hardware": "b200", "seq_len": 65536, "precision": precision, "global_batch": 8}
    assert estimate(plan_of(words)).hfu < 1


@few
@given(legal(), st.sampled_from((1.1, 2.0, 10.0)))
def test_a_better_network_is_no_slower(words: dict[str, Any], factor: float) -> None:
    plan = plan_of(words)
    fabric = plan.cluster.fabric
    better = replace(fabric, bandwidth=fabric.bandwidth * factor, latency=fabric.latency / factor)
    other = replace(plan, cluster=replace(plan.cluster, fabric=better))
    assert training_time(other).step_seconds <= training_time(plan).step_seconds * ROUNDING


@few
@given(legal())
def test_tensor_parallelism_never_holds_more(words: dict[str, Any]) -> None:
    plan = plan_of(words)
    # ep is held: devices of a wider group may hold the same experts, never more of them
    found = [peak(changed(plan, tp=tp, sequence_parallel=tp > 1)) for tp in (1, 2, 4, 8)]
    assert found == sorted(found, reverse=True)


@few
@given(legal())
def test_pipeline_stages_never_hold_more_where_they_divide_the_layers(words: dict[str, Any]) -> None:
    plan = plan_of(words)
    # Not under the interleaved schedule, which holds 1 + (pp - 1) / (pp vp) of the layers (Korthikanti et al. 2022,
    # section 4.2.3), and not where a stage is left with a layer more than its share.
    found = [peak(changed(plan, pp=pp, vp=1)) for pp in (1, 2, 4, 8) if plan.model.layer_count % pp == 0]
    assert all(later <= earlier * ROUNDING for earlier, later in pairwise(found))


def test_interleaving_holds_more_than_plain_stages() -> None:
    # the counterexample that the property above leaves out
    plan = gpt3(pp=8, vp=3)
    assert peak(plan) > peak(changed(plan, vp=1))


@few
@given(legal())
def test_zero_never_holds_more_states(words: dict[str, Any]) -> None:
    plan = plan_of(words)
    found = [states(changed(plan, zero=stage)) for stage in range(4)]
    assert found == sorted(found, reverse=True)
    # Activations are untouched, so the peak follows, but for layers that stage 3 gathers to compute with.
    first, second, third = (peak(changed(plan, zero=stage)) for stage in range(3))
    assert first >= second >= third
    last = training_memory(changed(plan, zero=3))
    lost = (1 + plan.stack.memory.fragmentation) * float(last.gathered_bytes)
    assert last.peak_bytes - lost <= third * ROUNDING


@few
@given(legal(), st.integers(1, 3))
def test_data_parallelism_never_holds_more_under_zero(words: dict[str, Any], stage: int) -> None:
    plan = plan_of(words)
    rounds = plan.workload.global_batch // (plan.layout.dp * plan.layout.micro_batch)
    found = []
    for dp in (1, 2, 4, 32):
        batch = dp * plan.layout.micro_batch * rounds
        wider = changed(plan, dp=dp, zero=stage)
        found.append(peak(replace(wider, workload=replace(plan.workload, global_batch=batch))))
    assert found == sorted(found, reverse=True)


@few
@given(legal())
def test_recomputation_never_holds_more_where_a_stage_holds_layers_enough(words: dict[str, Any]) -> None:
    plan = plan_of(words)
    # A recomputed layer stands in memory whole while it is differentiated (some stacks hold its gradients beside it),
    # softmax included, so recomputing saves nothing where a stage holds about as few layers as that.
    assume(plan.model.layer_count >= 24)
    found = [peak(changed(plan, recompute=kind, pp=1, vp=1)) for kind in ("none", "selective", "full")]
    assert found[0] >= found[1] / ROUNDING
    assert found[0] >= found[2] / ROUNDING
    if plan.workload.flash_attention:
        assert found[1] >= found[2] / ROUNDING


@few
@given(legal())
def test_recomputation_is_never_faster(words: dict[str, Any]) -> None:
    plan = plan_of(words)
    found = [training_time(changed(plan, recompute=kind)).step_seconds for kind in ("none", "selective", "full")]
    assert all(later >= earlier / ROUNDING for earlier, later in pairwise(found))


@few
@given(legal(), st.sampled_from((2, 4)))
def test_longer_sequences_hold_more_and_take_longer(words: dict[str, Any], factor: int) -> None:
    plan = plan_of(words)
    workload = replace(plan.workload, seq_len=plan.workload.seq_len * factor, target_len=None)
    longer = replace(plan, workload=workload)
    shorter = replace(plan, workload=replace(plan.workload, target_len=None))
    assert peak(longer) >= peak(shorter)
    assert training_time(longer).step_seconds >= training_time(shorter).step_seconds


WORDS: dict[str, Any] = {
    "tp": (1, 2, 4, 8), "pp": (1, 2, 4), "vp": (1, 2), "cp": (1, 2), "dp": (1, 2, 16), "zero": (0, 1, 2, 3),
    "ep": (1, 2, 8),
    "sequence_parallel": (False, True), "micro_batch": (1, 2), "recompute": ("none", "selective", "full"),
    "offload_optimizer": (False, True), "recompute_layers": (None, 1, 3),
}  # fmt: skip


@settings(few, max_examples=15)
@given(
    legal(), st.lists(st.fixed_dictionaries({k: st.sampled_from(v) for k, v in WORDS.items()}), min_size=2, max_size=8)
)
def test_arrays_of_layouts_give_the_numbers_of_single_ones(words: dict[str, Any], drawn: list[dict[str, Any]]) -> None:
    plan = plan_of(words)
    workload = replace(plan.workload, global_batch=1024)
    layouts = [replace(plan.layout, **words) for words in drawn]
    together = replace(plan, workload=workload, layout=arrays(layouts))
    for compute in (training_memory, training_time):
        parts = compute(together).parts()
        singles = [compute(replace(plan, workload=workload, layout=layout)).parts() for layout in layouts]
        for name, values in parts.items():
            wanted = [float(single[name]) for single in singles]
            got = [float(values)] * len(layouts) if not getattr(values, "shape", ()) else [float(x) for x in values]
            assert got == pytest.approx(wanted, rel=1e-12, abs=1e-18), name


def test_one_plan_needs_no_numpy() -> None:
    code = (
        "import sys; from llmplan import estimate, plan_from; "
        "estimate(plan_from({'model': 'mixtral-8x7b', 'hardware': 'h100', 'devices': 64, 'tp': 2, 'pp': 4, 'vp': 2, "
        "'ep': 8, 'cp': 2, 'recompute': 'selective', 'global_batch': 64})); "
        "sys.exit('numpy' in sys.modules or 'scipy' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})


def gpt3(**layout: Any) -> AnyPlan:
    """GPT-3 175B on 64 A100."""
    words = {
        "model": "gpt3-175b", "hardware": "a100-sxm-80gb", "stack": "megatron-lm-2022", "devices": 64, "tp": 8,
        "seq_len": 2048, "micro_batch": 1, "global_batch": 64, "recompute": "selective",
    }  # fmt: skip
    return plan_from(words | layout, catalog=catalog())
