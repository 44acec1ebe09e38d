"""Layouts with some layers computed again: the fewest that fit, and never fewer."""

from __future__ import annotations

from typing import Any

import pytest
from asking import asked

from llmplan.errors import InputError
from llmplan.records import replace
from llmplan.search.ask import Wishes
from llmplan.search.training import Search, search
from llmplan.training.estimate import TrainingEstimate, estimate
from llmplan.training.recompute import chunk_layers

WORDS: dict[str, Any] = {
    "model": "llama-2-13b", "hardware": "a100-sxm-40gb", "devices": "8", "workload": "pretrain", "seq_len": 8192,
    "global_batch": 512, "stack": "megatron-core",
}  # fmt: skip


def question(wishes: Wishes | None = None, **changes: Any) -> Search:
    return asked(wishes or Wishes(top=20), **{**WORDS, **changes})


def with_layers(one: TrainingEstimate, layers: int | None) -> TrainingEstimate:
    plan = one.plan
    return estimate(plan.with_layout(replace(plan.layout, recompute_layers=layers)))


def test_the_fewest_layers_that_surely_fit() -> None:
    found = search(question()).best
    some = [one for one in found if one.plan.layout.recompute_layers is not None]
    assert some
    assert found[0] in some  # what all layers cost is more than what nothing else of the layout gains
    for one in some:
        layers = one.plan.layout.recompute_layers
        assert layers is not None
        assert one.verdict == "fits"
        assert 1 <= layers < chunk_layers(one.plan)
        assert with_layers(one, layers - 1 or None).verdict != "fits" or layers == 1
        assert with_layers(one, None).step.value > one.step.value


def test_what_is_asked_is_all_that_is_tried() -> None:
    for words in ({"recompute": "full"}, {"recompute": "none,full"}):
        assert all(one.plan.layout.recompute_layers is None for one in search(question(**words)).best)
    found = search(question(recompute_layers="12..20")).best
    assert {one.plan.layout.recompute for one in found} == {"full"}
    assert all(12 <= (one.plan.layout.recompute_layers or 0) <= 20 for one in found)


def test_a_stack_that_recomputes_all_or_nothing() -> None:
    assert all(one.plan.layout.recompute_layers is None for one in search(question(stack="hf-trainer")).best)


def test_a_limit_on_memory_asks_for_more_layers() -> None:
    from llmplan.setup.limits import Limits

    free = search(question()).best[0]
    limits = Limits(max_memory=free.peak.value - 2**30)
    tight = search(question(Wishes(top=20, limits=limits))).best
    same = [one for one in tight if replace(one.plan.layout, recompute_layers=None)
            == replace(free.plan.layout, recompute_layers=None)]  # fmt: skip
    assert all((one.plan.layout.recompute_layers or 99) > (free.plan.layout.recompute_layers or 0) for one in same)
    assert all(one.peak.value <= limits.max_memory for one in tight)  # type: ignore[operator]


def test_layers_of_no_recomputation_are_refused() -> None:
    with pytest.raises(InputError, match="goes with --recompute full"):
        question(recompute="none", recompute_layers="2")
