"""Adapters on a served model: words, and that they take room and time."""

from __future__ import annotations

from typing import Any

import pytest

from llmplan.errors import InputError
from tests.serving.plans import answer

LORA: dict[str, Any] = {"lora_adapters": 64, "lora_rank": 16}


def test_adapters_take_room_and_time() -> None:
    plain, few, many = answer(), answer(**{**LORA, "lora_adapters": 4}), answer(**LORA)
    assert plain.tpot is not None
    assert few.tpot is not None
    assert many.tpot is not None
    assert plain.tpot.value < few.tpot.value < many.tpot.value
    # Llama 3.1 8B: rank 16 on all linear matrices of a layer, 41,943,040 parameters in all (PEFT)
    assert float(many.memory.weights.adapters_bytes) == pytest.approx(64 * 41_943_040 * 2)
    assert many.needed.value > few.needed.value > plain.needed.value
    assert float(many.memory.kv_tokens) < float(plain.memory.kv_tokens)


def test_a_plan_with_adapters_is_the_same_when_it_is_given_back() -> None:
    first = answer(**LORA, lora_targets="q_proj,v_proj")
    assert answer(**first.plan.as_options()).tpot == first.tpot
    assert (
        "lora_targets all-linear: engines set room aside for adapters of every matrix"
        in answer(**LORA).plan.assumptions
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"lora_adapters": 4}, "lora_rank is missing"),
        ({"lora_rank": 16}, "lora_rank goes with workload lora"),
        ({**LORA, "lora_targets": "qq_proj"}, "has no matrix 'qq_proj'"),
    ],
)
def test_words_that_do_not_go_together(words: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        answer(**words)
