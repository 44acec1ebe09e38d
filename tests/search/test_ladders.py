"""Limits on percentiles: what is ruled out without being simulated misses them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from llmplan.search import deployments
from llmplan.search.ask import Wishes
from llmplan.search.ladders import CLEARLY, Ladders
from llmplan.search.serving import FEWER, search_serving
from tests.search.test_search_serving import asked


@pytest.mark.parametrize("seed", range(5))
def test_what_keeps_is_found_in_whatever_order_it_is_wanted(seed: int) -> None:
    draw = np.random.default_rng(seed)
    rows = np.array([(tp, 1, 1, copies, 0, 0, 0, 0) for tp in (1, 2, 4, 8) for copies in range(1, 33)])
    least = draw.integers(1, 40, 4)[np.log2(rows[:, 0]).astype(int)]  # replicas with which a kind keeps its limit
    worst = least / rows[:, 3]
    keeps = worst <= 1.0
    ladders, order, found, tries = Ladders.of(rows, draw.random(len(rows)) < 0.5), draw.permutation(len(rows)), set(), 0
    while len(order):
        tried = ladders.next_of(order[:4])
        ladders.found(tried, keeps[tried], worst[tried])
        found |= set(tried[keeps[tried]].tolist())
        order = order[~np.isin(order, tried)]
        order, tries = order[ladders.may(order)], tries + len(tried)
    assert found == set(np.flatnonzero(keeps).tolist())
    nearly = np.count_nonzero(~keeps & (worst <= CLEARLY))
    assert tries <= np.count_nonzero(keeps) + nearly + 4 * 7  # halving 32 numbers of replicas, of four kinds


def test_a_limit_that_nothing_keeps_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """It took over 5 s: every deployment was simulated."""
    simulate, counted = deployments.simulate, []

    def count(*args: Any, **more: Any) -> Any:
        counted.append(len(args[3].rate))
        return simulate(*args, **more)

    monkeypatch.setattr(deployments, "simulate", count)
    words = {"model": "llama-3.1-8b", "hardware": "h100", "stack": "vllm", "load": "open", "request_rate": 20.0}
    question = asked(Wishes(max_devices=8, top=1, objective="devices"), {"tp": "1,2"}, **words, max_ttft_p95=0.055)
    found = search_serving(question)
    assert not found.best
    assert found.counts.removed[FEWER] > 0
    assert sum(counted) < found.counts.fitting / 2
