"""Layers in host memory: what the device and the host hold, how long a step takes, what is refused."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from llmplan import Plan, estimate
from llmplan.answer.answer import Answer
from llmplan.answer.resolve import resolve
from llmplan.catalog.catalog import open_catalog
from llmplan.errors import InputError
from llmplan.launch.read import read_launch
from llmplan.launch.target import target
from llmplan.launch.write import launch
from llmplan.serving.estimate import ServingEstimate, estimate_serving
from llmplan.serving.plan import ServingPlan
from llmplan.setup.request import requests
from tests.serving.plans import answer, plan

LLAMA_70B: dict[str, Any] = {
    "model": "llama-3.1-70b", "hardware": "rtx-4090", "stack": "llama.cpp", "weight_precision": "int4", "batch": 1,
    "input_tokens": 290, "output_tokens": 290,
}  # fmt: skip
LAYERS = 80
OF_LAYER = 8192 * (8192 + 2 * 1024 + 8192) + 3 * 8192 * 28672
"""Parameters of one layer: queries, keys and values, output, and three of the MLP."""
BYTES = 0.52
"""Of a parameter in 4 bits, with its share of scales."""


def of(**words: Any) -> ServingEstimate:
    return answer(**(LLAMA_70B | words))


def test_all_layers_are_the_same_as_nothing_said() -> None:
    for words in ({"model": "llama-3.1-8b"}, {"model": "qwen3-30b-a3b", "batch": 8}):
        layers = plan(**(LLAMA_70B | words)).model.layer_count
        plain, said = of(**words), of(**words, gpu_layers=layers + 1)
        assert said.plan.host is None
        assert asdict(said.memory) == asdict(plain.memory)
        assert asdict(said.decode) == asdict(plain.decode)
        assert asdict(said.prefill) == asdict(plain.prefill)
        assert said.ttft == plain.ttft
        assert said.tpot == plain.tpot


def test_more_than_there_are_is_all_and_told() -> None:
    found = of(model="llama-3.1-8b", gpu_layers=99).plan
    assert found.workload.gpu_layers == 33
    assert any(text.startswith("gpu_layers 33: ") for text in found.assumptions)


def test_what_is_taken_of_the_host_is_told() -> None:
    told = [text for text in of(gpu_layers=41).plan.assumptions if text.startswith("host")]
    assert told[0].startswith("host: 89.6 GB/s and 1.15 TFLOP/s, as of workstation")
    assert told[1] == "host memory: not known of workstation; layers are taken to fit there"


def test_each_layer_moves_its_weights() -> None:
    more, fewer = of(gpu_layers=41), of(gpu_layers=31)
    vectors = 2 * 8192 * 2  # two norms
    moved = 10 * (OF_LAYER * BYTES + vectors)
    assert float(more.memory.weights_bytes) - float(fewer.memory.weights_bytes) == pytest.approx(moved)
    held = [float(one.memory.weights_bytes) + float(one.memory.host_bytes) for one in (more, fewer)]
    assert held[0] == pytest.approx(held[1], rel=0.01)  # but for the cache of one request


def test_output_layer_is_the_first_on_the_device() -> None:
    none, one, two = (of(gpu_layers=layers).memory.weights for layers in (0, 1, 2))
    assert (none.head_bytes, none.mlp_bytes) == (0.0, 0.0)
    assert float(one.head_bytes) == 128256 * 8192 * 2
    assert one.mlp_bytes == 0.0
    assert float(two.mlp_bytes) == pytest.approx(3 * 8192 * 28672 * BYTES)
    assert {float(held.embedding_bytes) for held in (none, one, two)} == {0.0}


def test_memory_falls_and_time_rises_with_fewer_layers() -> None:
    found = [of(gpu_layers=layers) for layers in (LAYERS + 1, 60, 40, 20, 1, 0)]
    needed = [one.needed.value for one in found]
    host = [float(one.memory.host_bytes) for one in found]
    steps = [float(one.decode.total) for one in found]
    assert needed == sorted(needed, reverse=True)
    assert len(set(needed)) == len(needed)
    assert host == sorted(host)
    assert host[0] == 0.0
    assert steps == sorted(steps)
    assert all(one.ttft.value > found[0].ttft.value for one in found[1:])


def test_a_step_reads_host_memory_once() -> None:
    found = of(gpu_layers=21)
    numbers = found.plan.coefficients.memory_efficiency
    read = 60 * OF_LAYER * BYTES / (2 * 8 * 5.6e9 * 0.75 * numbers)  # two channels of 8 bytes
    assert float(found.decode.host_layers_seconds) == pytest.approx(read, rel=0.03)  # caches, launches


def test_does_not_fit_names_the_most_layers_that_do() -> None:
    whole = of()
    (hint,) = (one for one in whole.warnings if one.code == "LP027")
    most = int(hint.message.split("gpu_layers ")[1].split()[0])
    assert not whole.fits
    assert of(gpu_layers=most).fits
    assert not of(gpu_layers=most + 1).fits
    assert not any(one.code == "LP027" for one in of(model="llama-3.1-8b").warnings)
    assert not any(one.code == "LP027" for one in of(stack="vllm").warnings)


def test_host_too_small() -> None:
    found = plan(**LLAMA_70B, gpu_layers=21)
    assert isinstance(found, ServingPlan)
    small = replace(found, cluster=replace(found.cluster, host_memory=16e9))
    large = replace(found, cluster=replace(found.cluster, host_memory=64e9))
    refused, kept = estimate_serving(small), estimate_serving(large)
    assert not refused.fits
    assert refused.verdict == "does-not-fit"
    assert any(one.code == "LP012" for one in refused.warnings)
    assert kept.fits
    assert kept.resident <= estimate_serving(found).resident


def test_what_the_host_does_is_its_share_of_a_step() -> None:
    result = estimate(Plan(**{"devices": 1, "workload": "serve"} | LLAMA_70B, gpu_layers=41))
    assert isinstance(result, Answer)
    found: Any = result.result
    for parts, whole in (
        (found.bottleneck.decode_seconds, found.time.decode_step_seconds),
        (found.bottleneck.prefill_seconds, found.time.prefill_seconds),
    ):
        assert sum(parts.values()) == pytest.approx(whole)
    assert found.bottleneck.resource == "host"
    assert "host" in result.why("decode_step_seconds").to_text()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ({"gpu_layers": -1}, "greater than or equal to 0"),
        ({"gpu_layers": 1.5}, "integer"),
        ({"stack": "vllm"}, "stack vllm leaves no layers to the host"),
        ({"hardware": "apple-m3-max"}, "have one memory"),
        ({"hardware": "xeon-8480"}, "have one memory"),
        ({"hardware": "h100"}, "cluster dgx-h100 has no host_bandwidth"),
        ({"devices": 2}, "planned on one device"),
        ({"model": "t5-11b"}, "planned for decoders"),
        ({"speculation": "eagle"}, "not planned with speculation"),
        ({"prefix_hit": 0.5}, "not planned with prefix_hit"),
    ],
)
def test_refused_with_one_fault(words: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError) as caught:
        plan(**(LLAMA_70B | {"gpu_layers": 20} | words))
    (fault,) = (fault for fault in caught.value.faults if "gpu" in str(fault))
    assert text in str(fault)


@pytest.mark.parametrize("rate", [0.06, 0.07, 0.1])
def test_a_rate_between_steps_on_the_host_and_steps_on_the_device(rate: float) -> None:
    """31 others in flight and the one that came: from 32 rows on weights are copied, and a step is shorter. A rate
    that is too high for the one and too low for the other keeps 31 in flight, for 31 / rate seconds (Little's law), and
    what comes while a prompt is read adds a little."""
    found = plan(
        **LLAMA_70B | {"load": "open", "batch": None, "request_rate": rate, "output_tokens": 100}, gpu_layers=30
    )
    here = estimate_serving(found)
    assert 31.0 <= here.sequences < 31.1
    assert here.tpot is not None
    assert 99 * here.tpot.value == pytest.approx(31.0 / rate, rel=0.02)
    memory = replace(found.device.memory, bandwidth=1.5 * found.device.memory.bandwidth)
    fast = estimate_serving(replace(found, device=replace(found.device, memory=memory)))
    assert fast.request.value <= here.request.value


def test_round_trip_of_plan_and_launch() -> None:
    catalog, llama = open_catalog(), target("llama.cpp")
    found = plan(**LLAMA_70B, gpu_layers=41)
    assert found.as_options()["gpu_layers"] == 41
    assert plan(**found.as_options()).as_options() == found.as_options()
    text = launch(found, llama, catalog).script
    assert "--n-gpu-layers 41" in text
    for name in ("--n-gpu-layers 41", "-ngl 41", "--gpu-layers 41", "-ngl all", "-ngl auto"):
        read = read_launch(llama, ["-"], {"hardware": "rtx-4090"}, f"llama-server -m llama-3.1-70b {name}")
        (again,) = requests([read.document], {"hardware": "rtx-4090", "weight_precision": "int4"})
        assert resolve(again, catalog).as_options().get("gpu_layers") == (41 if "41" in name else None)
        assert not read.unread
