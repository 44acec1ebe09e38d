"""The winner is the best of all layouts estimated one by one, and more of anything never makes it worse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from asking import asked
from hypothesis import given, settings
from hypothesis import strategies as st

from llmplan.answer.resolve import AnyPlan
from llmplan.errors import InputError
from llmplan.machine.hardware import Device
from llmplan.search.ask import Wishes
from llmplan.search.training import Search, search
from llmplan.search.winner import Spaces, winners
from llmplan.setup.layout import Layout
from llmplan.training.checks import problems_of
from llmplan.training.estimate import TrainingEstimate, estimate

# Small spaces, every dimension of them written out, so that the brute force below needs no knowledge of defaults.
SPACE: dict[str, Any] = {
    "tp": "1,2,3,4", "pp": "1,2,4", "vp": "1,2", "cp": "1,2", "ep": "1,2", "zero": "0,1,3", "micro_batch": "1,2,3",
    "recompute": "none,full", "sequence_parallel": False,
}  # fmt: skip


def brute_force(asked_for: Search) -> Iterator[TrainingEstimate]:
    """Every legal layout of the space, each through `estimate` alone."""
    (base,) = asked_for.bases
    lists = {name: asked_for.choices[name].values for name in SPACE}
    for devices in asked_for.devices:
        for values in product(*(values or () for values in lists.values())):
            words = dict(zip(lists, values, strict=True))
            dp, left_over = divmod(devices, words["tp"] * words["pp"] * words["cp"])
            if left_over:
                continue
            plan = base.with_layout(Layout(**words, dp=dp))
            if legal(plan):
                yield estimate(plan)


def legal(plan: AnyPlan) -> bool:
    layout = plan.layout
    micro_batches = plan.workload.global_batch // (layout.dp * layout.micro_batch)
    whole_rounds = layout.pp == 1 or layout.vp == 1 or micro_batches % layout.pp == 0
    return whole_rounds and not problems_of(plan.with_layout(layout))


def small(model: str, hardware: str, devices: str, batch: int, wishes: Wishes | None = None) -> Search:
    return asked(wishes, model=model, hardware=hardware, devices=devices, workload="pretrain", seq_len=2048,
                 global_batch=batch, **SPACE)  # fmt: skip


@settings(max_examples=20)
@given(
    model=st.sampled_from(["llama-3.1-8b", "mixtral-8x7b-v0.1", "gpt2-xl", "llama-2-13b"]),
    hardware=st.sampled_from(["h100", "a100-sxm-40gb", "h200-sxm-141gb"]),
    devices=st.sampled_from(["8", "12", "16,24", "32"]),
    batch=st.sampled_from([24, 48, 64]),
    objective=st.sampled_from(["throughput", "devices", "memory-headroom", "cost", "latency", "time"]),
)
def test_winner_equals_brute_force(model: str, hardware: str, devices: str, batch: int, objective: str) -> None:
    question = small(model, hardware, devices, batch, Wishes(objective=objective, top=3))
    found = search(replace(question))
    everything = list(brute_force(question))
    fitting = [one for one in everything if one.fits]
    if objective != "devices":  # which stops at the first size that does
        assert found.counts.legal == len(everything)
        assert found.counts.fitting == len(fitting)
    value = _value_of(question, objective)
    order = sorted(fitting, key=lambda one: (one.verdict != "fits", value(one)))
    expected = [value(one) for one in order[:3]]
    assert [value(one) for one in found.best] == pytest.approx(expected, rel=1e-12)


def _value_of(question: Search, objective: str) -> Any:
    hourly = {n: question.goal.market.terms(question.bases[0], n).usd_per_hour for n in question.devices}

    def value(one: TrainingEstimate) -> float:
        if objective == "devices":
            return one.plan.devices * 1e6 + one.step.value
        if objective == "memory-headroom":
            return one.peak.value
        return one.step.value * (hourly[one.plan.devices] or 0.0 if objective == "cost" else 1.0)

    return value


def best_step(question: Search) -> float:
    found = search(question).best
    return found[0].step.value if found else float("inf")


@settings(max_examples=40)
@given(
    model=st.sampled_from(["llama-3.1-70b", "mixtral-8x22b-v0.1", "gpt3-175b", "llama-3.1-8b"]),
    hardware=st.sampled_from(["h100", "a100-sxm-40gb", "a100-sxm-80gb", "gb200"]),
    devices=st.sampled_from([16, 64, 96, 128]),
    what=st.sampled_from(["memory", "bandwidth", "scale_up", "fabric", "peak", "devices"]),
    factor=st.sampled_from([1.1, 1.7, 4.0]),
)
def test_more_is_never_worse(model: str, hardware: str, devices: int, what: str, factor: float) -> None:
    words: dict[str, Any] = {
        "model": model,
        "hardware": hardware,
        "workload": "pretrain",
        "seq_len": 4096,
        "global_batch": 384,
    }
    before = asked(**words, devices=str(devices))
    if what == "devices":  # a list that holds the smaller number
        after = asked(**words, devices=f"{devices},{round(devices * factor)}")
    else:
        after = replace(before, bases=tuple(_with_more(base, what, factor) for base in before.bases))
    assert best_step(after) <= best_step(before) * (1 + 1e-12)


def _with_more(plan: AnyPlan, what: str, factor: float) -> AnyPlan:
    device, cluster = plan.device, plan.cluster
    memory, up = device.memory, device.scale_up
    if what == "memory":
        memory = replace(memory, capacity=memory.capacity * factor)
    elif what == "bandwidth":
        memory = replace(memory, bandwidth=memory.bandwidth * factor)
    elif what == "scale_up":
        up = replace(up, bandwidth=up.bandwidth * factor)
    elif what == "fabric":
        fabric = replace(cluster.fabric, bandwidth=cluster.fabric.bandwidth * factor)
        cluster = replace(cluster, fabric=fabric)
    peak = {name: value * factor for name, value in device.peak.items()} if what == "peak" else device.peak
    device = replace(device, memory=memory, scale_up=up, peak=peak)
    return replace(plan, device=device, cluster=cluster)


@pytest.mark.parametrize(
    ("model", "devices"), [("llama-3.1-8b", "16"), ("llama-2-13b", "16,24"), ("llama-2-13b", "24")]
)
def test_simplest_is_the_least_parallel_of_those_near_the_best(model: str, devices: str) -> None:
    wanted = small(model, "h100", devices, 24, Wishes(top=1))
    fitting = [one for one in brute_force(wanted) if one.verdict == "fits"]
    best = max(one.tokens_per_second.value for one in fitting)
    # Ranked by the time that a token takes: 2 % more of it.
    near = [one for one in fitting if 1 / one.tokens_per_second.value <= 1.02 / best]
    found = search(wanted)
    least = min(parallel(one) for one in near)
    if found.simple is None:
        assert parallel(found.best[0]) == least
    else:
        assert parallel(found.simple) == least < parallel(found.best[0])
        alike = [one for one in near if parallel(one) == least]
        assert found.simple.tokens_per_second.value == max(one.tokens_per_second.value for one in alike)


def parallel(one: TrainingEstimate) -> int:
    layout = one.plan.layout
    return layout.tp * layout.pp * layout.cp


def test_no_simplest_of_the_fewest_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any layout of as many devices is near by that objective, however slow it is."""
    monkeypatch.setattr("llmplan.search.training.NEAR", 1.0)  # a layout within twice the best is near, whatever the fit
    for objective, shown in (("throughput", True), ("devices", False)):
        wanted = small("llama-2-13b", "h100", "24", 24, Wishes(objective=objective, top=1))
        assert (search(wanted).simple is not None) is shown, objective


@pytest.mark.parametrize("words", [
    {"model": "llama-3.1-8b"}, {"model": "mixtral-8x7b-v0.1", "seq_len": 2048}, {"model": "llama-3.1-70b"},
    {"model": "llama-3.1-8b", "tp": 2, "recompute": "full", "stack": "megatron-core"},
    {"model": "llama-3.1-8b", "workload": "lora"}, {"model": "llama-3.1-405b"},
], ids=str)  # fmt: skip
def test_the_winner_alone_is_what_the_whole_search_puts_first(words: dict[str, Any]) -> None:
    """Where it fits surely, marginally and not at all, on several devices of several kinds at once."""
    wishes, spaces = Wishes(objective="throughput", top=1), Spaces({})
    questions = [
        asked(wishes, hardware=hardware, devices=16, global_batch=64, **words)
        for hardware in ("h100", "l4", "a100-sxm-80gb", "b200", "tpu-v5p")
        if hardware != "tpu-v5p" or "stack" not in words
    ]
    found = [search(question) for question in questions]
    first = [(one.best or one.misses)[0].plan for one in found]
    assert winners(questions, spaces) == first
    assert winners(questions[1:2], spaces) == first[1:2]
    assert len(spaces.kept) == 1


def test_what_cannot_be_searched_for_leaves_the_others() -> None:
    wishes, words = Wishes(objective="throughput", top=1), {"model": "llama-3.1-8b", "devices": 8, "global_batch": 64}
    whole, none = (asked(wishes, hardware="h100", **words, **more) for more in ({}, {"tp": "16"}))
    cut = replace(whole, bases=tuple(replace(one, device=_unmeasured(one)) for one in whole.bases))
    one, nothing, error = winners([whole, none, cut], Spaces({}))
    assert one == search(whole).best[0].plan
    assert nothing is None
    assert isinstance(error, InputError)


def _unmeasured(plan: AnyPlan) -> Device:
    efficiency = replace(plan.device.efficiency, attention={})
    return replace(plan.device, efficiency=efficiency)
