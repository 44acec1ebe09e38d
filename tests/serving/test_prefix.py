"""Prefix caches: less to compute, as much to hold, and room for what is to hit."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from llmplan.answer.resolve import plan_from
from llmplan.catalog.catalog import open_catalog
from llmplan.errors import InputError
from llmplan.launch.target import target
from llmplan.launch.write import launch
from tests.serving.plans import answer, plan

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


class TestHostMemory:
    """Llama 3.1 70B on four H100: 80 layers x 2 x 8 heads x 128 x 2 bytes a token, a quarter on each device."""

    TOKEN = 80 * 2 * 8 * 128 * 2
    WORDS: ClassVar[dict[str, Any]] = {**CHAT, "model": "llama-3.1-70b", "devices": 4, "tp": 4, "request_rate": 2.0,
                                       "prefix_hit": 0.7, "kv_offloading_size": "512GB"}  # fmt: skip

    def test_what_hits_there_comes_over_the_host_link(self) -> None:
        """4,200 tokens, 344 MB of them for each device, at 63 GB/s."""
        seconds = 4200 * self.TOKEN / 4 / 63e9
        assert seconds == pytest.approx(5.46e-3, rel=1e-3)
        here, there = answer(**{**self.WORDS, "kv_offloading_size": None}), answer(**self.WORDS)
        waits = 2.0 * seconds**2 / 2 / (1 - 2.0 * seconds)
        assert there.ttft.value - here.ttft.value == pytest.approx(seconds + waits, rel=1e-6)
        assert there.tpot == here.tpot
        half = answer(**self.WORDS, prefix_host_hit=0.35)
        assert half.ttft.value - here.ttft.value == pytest.approx(seconds / 2, rel=0.01)
        assert any(line.startswith("prefix_host_hit 0.7: all that hits") for line in there.plan.assumptions)

    def test_layers_come_beside_those_before_them(self) -> None:
        """SGLang loads a layer while the one before computes: 5.5 ms pass beside a prefill of 1,800 tokens, and only
        the wait for others' loads is left."""
        here, there = (
            answer(**{**self.WORDS, "stack": "sglang"} | extra) for extra in ({"kv_offloading_size": None}, {})
        )
        seconds = 4200 * self.TOKEN / 4 / 63e9
        assert there.ttft.value - here.ttft.value == pytest.approx(2.0 * seconds**2 / 2 / (1 - 2.0 * seconds), rel=1e-6)

    def test_the_link_limits_the_rate(self) -> None:
        """A prompt of 100,000 tokens of which all but 100 hit brings 8.2 GB to each device: eight a second at most."""
        words = {**self.WORDS, "input_tokens": 100_000, "output_tokens": 1, "prefix_hit": 0.999}
        most = 63e9 / (99_900 * self.TOKEN / 4)
        assert answer(**words).capacity == pytest.approx(most, rel=1e-6)
        closed = answer(**{**words, "load": "closed", "batch": 32, "request_rate": None})
        assert closed.requests_per_second.value <= most * (1 + 1e-9)

    def test_the_room(self) -> None:
        """512 GB hold 1.56M tokens; vLLM copies what it computes there, TensorRT-LLM moves what has to leave."""
        held = 512e9 / self.TOKEN
        assert answer(**self.WORDS).prefix_room == pytest.approx(held)
        words = {**self.WORDS, "stack": "tensorrt-llm"}
        alone = answer(**{**words, "kv_offloading_size": None}).prefix_room
        assert alone is not None
        assert answer(**words).prefix_room == pytest.approx(alone + held, rel=1e-3)

    def test_a_host_has_to_have_it(self) -> None:
        found = answer(**{**self.WORDS, "kv_offloading_size": "4TB"})
        assert not found.fits
        assert "LP012" in [one.code for one in found.warnings]
        assert answer(**{**self.WORDS, "devices": 8}).memory.host_bytes == 1024e9  # two replicas on a node

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ({"stack": "lmdeploy"}, "stack lmdeploy keeps no prefixes in host memory"),
            ({"prefix_host_hit": 0.8}, "prefix_host_hit 0.8 is more than hits at all, 0.7"),
            ({"kv_offloading_size": None, "prefix_host_hit": 0.1}, "prefix_host_hit goes with kv_offloading_size"),
            ({"hardware": "gb10", "devices": 1, "tp": 1}, "one memory with its host"),
        ],
    )
    def test_what_does_not_go_together(self, words: dict[str, Any], said: str) -> None:
        with pytest.raises(InputError, match=said):
            answer(**{**self.WORDS, **words})

    @pytest.mark.parametrize(
        ("stack", "line"),
        [("vllm", "--kv-offloading-size 476.837"), ("sglang", "--hicache-size 128"),
         ("tensorrt-llm", "host_cache_size: 128000000000")],
    )  # fmt: skip
    def test_engines_are_started_with_it(self, stack: str, line: str) -> None:
        """GiB of a replica, whole GB of a device, bytes of a device."""
        found = plan(**{**self.WORDS, "model": "llama-3.3-70b", "stack": stack})
        assert plan_from(found.as_options()).as_options() == found.as_options()
        assert line in launch(found, target(stack), open_catalog()).script
