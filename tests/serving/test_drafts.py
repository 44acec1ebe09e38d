"""Words of drafts: what goes together, what stands in, and that a draft that is right saves time."""

from __future__ import annotations

import math
from typing import Any

import pytest

from llmplan.errors import InputError
from tests.serving.plans import answer

BIG: dict[str, Any] = {"model": "llama-3.1-70b", "devices": 4, "batch": 4}


@pytest.mark.parametrize(
    "words",
    [
        {"speculation": "eagle"},
        {"speculation": "medusa"},
        {"speculation": "draft-model", "draft_model": "llama-3.2-1b", "acceptance": 0.7},
    ],
)
def test_drafts_save_time_for_few_sequences(words: dict[str, Any]) -> None:
    plain, drafted = answer(**BIG), answer(**BIG, **words)
    assert plain.tpot is not None
    assert drafted.tpot is not None
    assert drafted.tpot.value < 0.9 * plain.tpot.value
    assert drafted.needed.value > plain.needed.value
    assert float(drafted.memory.kv_tokens) <= float(plain.memory.kv_tokens)


def test_a_step_that_only_reads_drafts_nothing() -> None:
    """At a rate near none a first token waits for no drafts: 95 of 100 came sooner than the mean by formula."""
    rare = {"load": "open", "request_rate": 0.01, "batch": None, "stack": "vllm"}
    plain = answer(**BIG | rare)
    words = {"speculation": "draft-model", "draft_model": "llama-3.2-1b", "acceptance": 0.7}
    drafted = answer(**BIG | rare, **words, arrival="poisson")
    assert drafted.percentiles is not None
    assert drafted.percentiles["ttft_p50"] == pytest.approx(drafted.ttft.value, rel=0.02)
    assert plain.ttft.value < drafted.ttft.value < 1.1 * plain.ttft.value  # the small model reads the prompt too


def test_what_stands_in_is_told() -> None:
    told = answer(**BIG, speculation="eagle").plan.assumptions
    assert any(line.startswith("acceptance 0.8: eagle's as published") for line in told)
    assert any(line.startswith("draft_tokens ") for line in told)
    assert answer(**BIG, speculation="medusa").plan.workload.acceptance == 0.6


def test_an_acceptance_that_nobody_said_widens_the_band() -> None:
    """Three drafts, 0.8 of them right: 2.952 tokens a step, 3.439 with 0.9 and 2.533 with 0.7."""
    told = answer(**BIG, speculation="eagle", draft_tokens=3, acceptance=0.8).tpot
    open_ = answer(**BIG, speculation="eagle", draft_tokens=3).tpot
    assert told is not None
    assert open_ is not None
    assert open_.value == told.value
    high = math.hypot(math.log(told.high / told.value), math.log(2.952 / 2.533))
    low = math.hypot(math.log(told.value / told.low), math.log(3.439 / 2.952))
    assert math.log(open_.high / open_.value) == pytest.approx(high, rel=1e-3)
    assert math.log(open_.value / open_.low) == pytest.approx(low, rel=1e-3)
    assert answer(**BIG).tpot == answer(**BIG, speculation="none").tpot


def test_a_plan_with_drafts_is_the_same_when_it_is_given_back() -> None:
    first = answer(**BIG, speculation="draft-model", draft_model="llama-3.2-1b", acceptance=0.7)
    words = {"batch": None, **first.plan.as_options()}
    assert answer(**words).tpot == first.tpot
    open_ = answer(**BIG, speculation="eagle")  # whose acceptance nobody said: the wider band comes back too
    assert answer(**open_.plan.as_options()).tpot == open_.tpot


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"speculation": "draft-model", "acceptance": 0.7}, "draft_model is missing"),
        ({"speculation": "draft-model", "draft_model": "llama-3.2-1b"}, "acceptance is missing"),
        ({"speculation": "eagle", "draft_model": "llama-3.2-1b"}, "draft_model goes with speculation draft-model"),
        ({"acceptance": 0.7}, "acceptance goes with speculation"),
        (
            {"speculation": "draft-model", "draft_model": "gpt2", "acceptance": 0.7},
            "gpt2 has 50257 tokens and llama-3.1-70b 128256",
        ),
    ],
)
def test_words_that_do_not_go_together(words: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        answer(**BIG, **words)
