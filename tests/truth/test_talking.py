"""What devices say to each other for a layer: how many collectives, how large, over which group; bytes by hand."""

from __future__ import annotations

from typing import Any

import pytest

from llmplan.machine.efficiency import CollectiveEfficiency
from llmplan.machine.links import all_reduce, gather, send
from llmplan.records import replace
from llmplan.work.communication import (
    expert_parallel_seconds,
    reductions,
    ring_of_keys_seconds,
    tensor_parallel_seconds,
)
from tests.truth.counting import EXPERTS, cluster, layer, layout, links, machine, micro_batch

TOKENS = 32.0
LINK = links(machine(link=1.0))
NETWORK = links(machine(domain=2), cluster(network=1.0))
"""Two devices of a domain that talk for nothing, and the network between."""


def collectives(**algorithms: dict[str, float]) -> dict[str, Any]:
    return {
        "collectives": {name: CollectiveEfficiency(**{"link_fraction": 1.0, **v}) for name, v in algorithms.items()}
    }


@pytest.mark.parametrize(
    ("changes", "degrees", "expected"),
    [
        ({}, {"tp": 2}, 2),  # after attention's output and after down
        ({"parallel_layers": True}, {"tp": 2}, 1),  # both into one residual addition
        (EXPERTS, {"tp": 2}, 2),
        ({**EXPERTS, "shared_experts": 1}, {"tp": 2}, 2),  # shared experts join the routed ones
        (EXPERTS, {"tp": 2, "ep": 2, "sequence_parallel": True}, 1),  # tokens come to whole experts by the exchange
        (EXPERTS, {"tp": 4, "ep": 2, "sequence_parallel": True}, 2),  # each expert is cut in two
        ({**EXPERTS, "shared_experts": 1}, {"tp": 2, "ep": 2, "sequence_parallel": True}, 2),
        (EXPERTS, {"tp": 2, "ep": 2}, 2),
    ],
)
def test_all_reduces_of_a_layer(changes: dict[str, Any], degrees: dict[str, Any], expected: float) -> None:
    assert reductions(layer(**changes), layout(**degrees)) == expected


def test_bytes_of_tensor_parallelism() -> None:
    # twice: each of four devices sends three quarters of 32 x 8 numbers of two bytes, twice over
    found = tensor_parallel_seconds(layer(), micro_batch(TOKENS), layout(tp=4), LINK)
    assert found == pytest.approx(2 * 2 * 3 / 4 * (2 * TOKENS * 8))
    assert tensor_parallel_seconds(layer(), micro_batch(TOKENS), layout(), LINK) == 0


def test_a_ring_of_keys_and_values() -> None:
    # a sequence of 64 tokens on two devices: keys and values of two heads of 3, of the other half once
    core = layer().cores[0]
    half = micro_batch(TOKENS, 64.0)
    assert ring_of_keys_seconds(core, half, layout(cp=2), LINK) == pytest.approx(2 * 2 * (3 + 3) * 64 / 2)
    assert ring_of_keys_seconds(core, half, layout(cp=2, tp=2), LINK) == pytest.approx(2 * (3 + 3) * 64 / 2)
    assert ring_of_keys_seconds(core, half, layout(cp=2, tp=4), LINK) == pytest.approx(2 * (3 + 3) * 64 / 2)


class TestExchange:
    """Two experts for each token of 32, 8 wide: 1,024 bytes there in 16 bits and as many back."""

    MOE, SIZE = layer(**EXPERTS), 2 * TOKENS * 8

    def both_ways(self, at: Any, **degrees: Any) -> float:
        return float(expert_parallel_seconds(self.MOE, micro_batch(TOKENS), layout(**degrees), at, 2.0))

    def test_every_copy_that_leaves(self) -> None:
        assert self.both_ways(LINK, ep=4) == pytest.approx(2 * 2 * 3 / 4 * self.SIZE)

    def test_narrow_there_and_wide_back(self) -> None:
        found = expert_parallel_seconds(self.MOE, micro_batch(TOKENS), layout(ep=4), LINK, 1.0)
        assert found == pytest.approx((1 / 2 + 1) * 2 * 3 / 4 * self.SIZE)

    def test_tensor_parallel_devices_hold_the_same_tokens(self) -> None:
        assert self.both_ways(LINK, tp=4, ep=4) == 0
        # two pairs: the pair shares its tokens' way, and one of two copies leaves
        assert self.both_ways(LINK, tp=2, ep=4) == pytest.approx(2 * 2 * 1 / 2 * self.SIZE / 2)

    def test_under_sequence_parallelism_each_has_its_own(self) -> None:
        assert self.both_ways(LINK, tp=4, ep=4, sequence_parallel=True) == pytest.approx(2 * 2 * 3 / 4 * self.SIZE / 4)

    def test_a_dense_layer_exchanges_nothing(self) -> None:
        assert expert_parallel_seconds(layer(), micro_batch(TOKENS), layout(ep=4), LINK, 2.0) == 0

    def test_once_to_each_domain(self) -> None:
        # two domains of two: three of four tokens have an expert in the other one
        assert self.both_ways(NETWORK, ep=4) == pytest.approx(2 * 3 / 4 * self.SIZE)

    def test_every_copy_by_a_library(self) -> None:
        device = machine(link=1.0, domain=2)
        inside = links(device, dispatch="all_to_all")
        assert self.both_ways(inside, ep=4) == pytest.approx(2 * 2 * 1 / 4 * self.SIZE)  # to the one neighbour
        across = links(machine(domain=2), cluster(network=1.0), dispatch="all_to_all")
        assert self.both_ways(across, ep=4) == pytest.approx(2 * 2 * 1 / 2 * self.SIZE)

    def test_straight_to_its_rank(self) -> None:
        device = machine(link=1.0, efficiency=collectives(ring={}, direct={"link_fraction": 0.5, "base": 7.0}))
        assert self.both_ways(links(device, dispatch="direct"), ep=4) == pytest.approx(
            2 * (7 + 2 * 3 / 4 * self.SIZE / 0.5)
        )

    def test_all_tokens_to_all_ranks(self) -> None:
        # three of four parts of all tokens of four ranks
        assert self.both_ways(links(machine(link=1.0), dispatch="all_gather"), ep=4) == pytest.approx(2 * 3 * self.SIZE)


class TestAlgorithms:
    """All-reduces of 1,000 bytes at 1 byte/s."""

    ALL = collectives(
        ring={"base": 10.0, "step": 1.0}, switch={"base": 20.0}, one_shot={"base": 1.0}, two_shot={"base": 2.0},
    )  # fmt: skip

    def test_each(self) -> None:
        device = machine(link=1.0, efficiency=self.ALL)
        assert all_reduce(links(device), 1000.0, 4.0) == pytest.approx(10 + 2 * 3 + 2 * 3 / 4 * 1000)
        assert all_reduce(links(device, reduce_by=("switch",)), 1000.0, 4.0) == pytest.approx(20 + 5 / 4 * 1000)
        fast = machine(efficiency=self.ALL)
        assert all_reduce(links(fast, reduce_by=("one_shot",)), 1000.0, 4.0) == pytest.approx(1)
        assert all_reduce(links(fast, reduce_by=("two_shot",)), 1000.0, 4.0) == pytest.approx(2)
        assert all_reduce(links(fast, reduce_by=("one_shot", "two_shot")), 1000.0, 4.0) == pytest.approx(1)

    def test_a_switch_adds_up_from_four_devices_on(self) -> None:
        device = machine(link=1.0, efficiency=self.ALL)
        ring = 10 + 2 * 2 + 2 * 2 / 3 * 1000
        assert all_reduce(links(device, reduce_by=("switch",)), 1000.0, 3.0) == pytest.approx(ring)

    def test_algorithms_of_a_domain_stay_in_it(self) -> None:
        device = machine(domain=2, efficiency=self.ALL)
        across = links(device, cluster(network=1.0, latency=5.0), reduce_by=("one_shot", "switch"))
        # a port for each of two members of a domain: 2 bytes/s; a step inside, a doubling between
        assert all_reduce(across, 1000.0, 4.0) == pytest.approx(10 + 2 * (1 + 5) + 2 * 3 / 4 * 1000 / 2)

    def test_messages_one_after_another(self) -> None:
        device = machine(link=1.0, efficiency=self.ALL)
        assert gather(links(device), 1000.0, 4.0, 1.0, 5.0) == pytest.approx(5 * (10 + 3) + 3 / 4 * 1000)

    def test_packets_of_an_exchange(self) -> None:
        """NCCL turns from packets of low latency to bulk ones around 64 KiB, which costs its `protocol`."""
        device = machine(efficiency=collectives(ring={}, exchange={"protocol": 8.0}))
        from llmplan.machine.links import exchange

        assert exchange(links(device, dispatch="all_to_all"), 65536.0, 1.0, 4.0) == pytest.approx(4)


def test_a_message() -> None:
    at = links(machine(link=4.0), cluster(network=2.0, latency=5.0))
    assert send(at, 1000.0, near=True) == pytest.approx(250)
    assert send(at, 1000.0, near=False) == pytest.approx(505)


def test_devices_without_links_talk_through_their_host() -> None:
    device = machine(host=4.0)
    alone = replace(device, scale_up=replace(device.scale_up, topology="none"))
    # a transfer crosses the host's memory twice; the domain is the node
    assert gather(links(alone), 1000.0, 4.0, 1.0) == pytest.approx(3 / 4 * 1000 / 2)
