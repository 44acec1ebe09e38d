"""Prefix caches: less to compute, as much to hold, and room for what is to hit."""

from __future__ import annotations

import pytest

from llmplan.errors import InputError
from tests.serving.plans import answer

CHAT = {"load": "open", "batch": None, "request_rate": 4.0, "input_tokens": 6000, "output_tokens": 300}


def test_what_hits_is_not_computed() -> None:
    """A quarter of the tokens takes a quarter of the products and more of the attention."""
    cold, warm = answer(**CHAT), answer(**CHAT, prefix_hit=0.75)
    assert 0.25 < float(warm.prefill.total) / float(cold.prefill.total) < 0.4
    assert warm.ttft.value < cold.ttft.value
    assert warm.capacity > cold.capacity
    assert warm.needed == cold.needed
    assert float(warm.memory.resident) == float(cold.memory.resident)
    assert cold.prefix_room is None


def test_no_hit_is_no_cache() -> None:
    assert answer(**CHAT, prefix_hit=0.0).ttft == answer(**CHAT).ttft


def test_the_room_is_what_requests_in_flight_leave() -> None:
    found = answer(**CHAT, prefix_hit=0.75)
    held = float(found.memory.kv_tokens) - found.sequences * (6000 + 150)
    assert found.prefix_room == pytest.approx(held)


def test_a_conversation_says_how_much_hits() -> None:
    """Five turns: 2,000 tokens a prompt with answers of 300 are messages of (2000 - 2 x 300) / 3 tokens."""
    words = {**CHAT, "input_tokens": 2000}
    found = answer(**words, turns=5)
    message = (2000 - 2 * 300) / 3
    assert found.plan.workload.prefix_hit == pytest.approx(1 - message / 2000)
    assert found.plan.workload.computed_tokens == pytest.approx(message)
    assert any(line.startswith("prefix_hit 0.767: ") for line in found.plan.assumptions)
    assert answer(**words, turns=1).plan.workload.prefix_hit == 0.0


def test_a_conversation_that_does_not_add_up() -> None:
    with pytest.raises(InputError, match="turns 5 with answers of 300 tokens have prompts of 603 tokens or more"):
        answer(**{**CHAT, "input_tokens": 500}, turns=5)
    assert answer(**{**CHAT, "input_tokens": 603}, turns=5).plan.workload.computed_tokens == pytest.approx(1.0)


def test_prefixes_without_room_are_told() -> None:
    full = answer(**{**CHAT, "request_rate": 9.0}, prefix_hit=0.9, turns=9)
    assert ("LP025" in [one.code for one in full.warnings]) == (full.prefix_room < full.sequences * 5400)  # type: ignore[operator]
    assert "LP025" not in [one.code for one in answer(**{**CHAT, "request_rate": 0.1}, turns=9).warnings]
    crowded = answer(**{**CHAT, "load": "saturated", "request_rate": None}, turns=9)
    assert "LP025" in [one.code for one in crowded.warnings]


def test_an_encoder_has_no_prefix_cache() -> None:
    with pytest.raises(InputError, match="is no decoder"):
        answer(model="bert-large-uncased", output_tokens=1, prefix_hit=0.5)
