"""What the answer says of an engine's cache and of its weights: checked against the parts that it is made of."""

from __future__ import annotations

from typing import Any

import pytest

from llmplan import estimate
from llmplan.answer.serving import ServingResult

WORDS = {
    "model": "llama-3.1-8b", "hardware": "h100", "devices": 1, "workload": "serve", "stack": "vllm",
    "input_tokens": 1000, "output_tokens": 1000, "max_model_len": 8192,
}  # fmt: skip


def result(**words: Any) -> ServingResult:
    found = estimate(WORDS | words).result
    assert isinstance(found, ServingResult)
    return found


def token_of_llama() -> int:
    """Bytes in the cache: 32 layers x keys and values of 8 heads of 128 in 16 bits."""
    return 32 * 2 * 8 * 128 * 2


class TestPrinted:
    @pytest.mark.parametrize(("version", "meaning"), [("0.20", "blocks"), ("0.21", "requests")])
    def test_its_meaning_changed(self, version: str, meaning: str) -> None:
        """Where every layer keeps every token, both are the same but for a request's last block."""
        cache = result(stack_version=version).kv_cache
        assert cache is not None
        assert cache.printed is not None
        assert cache.printed.meaning == meaning
        assert cache.printed.tokens == pytest.approx(cache.bytes / token_of_llama(), rel=1e-9)
        assert cache.printed.requests == pytest.approx(cache.printed.tokens / 8192, rel=1e-9)

    def test_with_windows_the_meaning_changes_the_number(self) -> None:
        """A request of 65,536 tokens keeps 1,023 + 8,192 of them, one step more, in five layers of six."""
        words = {"model": "gemma-3-27b", "max_model_len": 65536}
        found = {name: result(**words, stack_version=name).kv_cache for name in ("0.20", "0.21")}
        tokens = {name: cache.printed.tokens / cache.bytes for name, cache in found.items()}
        assert tokens["0.21"] > 1.5 * tokens["0.20"]
        new = found["0.21"].printed
        assert new.tokens == pytest.approx(new.requests * 65536, rel=1e-9)

    def test_each_replica_prints_its_own(self) -> None:
        one, two = result(), result(devices=2, tp=1)
        assert two.load.replicas == 2
        assert two.kv_cache.printed.tokens == pytest.approx(one.kv_cache.printed.tokens, rel=1e-9)
        assert two.kv_cache.requests == pytest.approx(2 * one.kv_cache.requests, rel=1e-9)
        assert two.kv_cache.tokens.value == pytest.approx(2 * one.kv_cache.tokens.value, rel=1e-9)

    def test_an_engine_whose_words_are_not_known_has_requests_only(self) -> None:
        cache = result(stack="generic").kv_cache
        assert cache.printed is None
        assert cache.requests == pytest.approx(cache.bytes / token_of_llama() / 8192, rel=1e-9)
        assert cache.max_model_len == 8192


class TestWeights:
    @pytest.mark.parametrize("words", [{}, {"devices": 4, "tp": 2, "pp": 2}, {"model": "gpt-oss-20b"}])
    def test_groups_sum_to_the_weights(self, words: dict[str, Any]) -> None:
        memory = result(**words).memory
        assert sum(memory.weights.values()) == pytest.approx(memory.parts.weights_bytes, rel=1e-12)

    def test_llama_by_hand(self) -> None:
        weights = result().memory.weights
        assert weights["attention_bytes"] == 32 * 2 * (2 * 4096 * 4096 + 2 * 4096 * 1024)
        assert weights["mlp_bytes"] == 32 * 2 * 3 * 4096 * 14336
        assert weights["embedding_bytes"] == weights["head_bytes"] == 2 * 128256 * 4096
        assert set(weights) == {"attention_bytes", "mlp_bytes", "embedding_bytes", "head_bytes", "rest_bytes"}

    def test_encoders_are_told_and_not_divided(self) -> None:
        """Gemma 3 27B: a vision tower of 27 layers of 1152, 417M parameters, and 6M between it and the model."""
        one, four = result(model="gemma-3-27b"), result(model="gemma-3-27b", devices=4, tp=4)
        assert one.model.encoder_parameters == pytest.approx(423e6, rel=0.005)
        for found in (one, four):
            assert found.memory.weights["encoders_bytes"] == 2 * one.model.encoder_parameters
        assert result().model.encoder_parameters is None
