"""What every answer must keep: order, sums, physics, and that all ways to ask give the same figures."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import llmplan
from llmplan.answer.answer import estimated
from llmplan.answer.resolve import AnyPlan
from llmplan.serving.estimate import ServingEstimate
from llmplan.serving.loads import BUSIEST
from llmplan.serving.plan import ServingPlan
from llmplan.setup.checks import ends_in_whole_rounds
from llmplan.training.estimate import TrainingEstimate
from llmplan.training.states import PAGED

ROUND = 1 + 1e-9
SAME = 0.03  # of rates of loads that are worked out in different ways: a batch at once, a loop, arrivals
SCALED = 1.5
TRADED = 1e-2  # of the rate of a deployment whose memory holds more at once, in steps that are longer
BATCHED = 1.002  # of first tokens: on a faster device a prompt is read more often in steps that write nothing
SAMPLED = 1.02  # of times of requests that were simulated, of which other ones are looked at when fewer are in flight
SUMS = (
    ("memory", "peak_bytes", "parts"), ("time", "step_seconds", "parts"),
    ("time", "decode_step_seconds", "decode_parts"), ("time", "prefill_seconds", "prefill_parts"),
)  # fmt: skip


def of(found: Any) -> float:
    """The figure of an interval, or a number as it is."""
    return float(found["value"] if isinstance(found, dict) else found)


def near(one: float, other: float, rel: float = 1e-6) -> bool:
    return math.isclose(one, other, rel_tol=rel)


def judge(data: Any) -> Iterator[str]:
    """Rules that an answer breaks by itself, wherever it stands in the JSON."""
    waiting = [data]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            waiting += [inner for key, inner in one.items() if key != "inputs"]
            if {"value", "low", "high"} <= set(one) and not one["low"] <= one["value"] * ROUND <= one[
                "high"
            ] * ROUND**2:
                yield "low <= value <= high"
            if "inputs" in one and "result" in one:
                yield from of_result(one["result"], one["inputs"])
        elif isinstance(one, float) and not math.isfinite(one):
            yield "finite numbers"


def of_result(result: dict[str, Any], said: dict[str, Any]) -> Iterator[str]:
    """Rules of the result of one plan."""
    for group, total, parts in SUMS:
        if parts in result.get(group, {}):
            amounts = result[group][parts].values()
            if min(amounts) < 0:
                yield f"no part of {total} below zero"
            if result["fits"] and not near(sum(amounts), of(result[group][total])):
                yield f"parts of {total} sum to it"
    memory, fits = result["memory"], result["fits"]
    on_host = {"host_bytes", "host_bytes_per_node"} & {*memory}  # whose memory may be what is missing
    need = memory.get("needed_bytes", memory["peak_bytes"])
    if fits != (need["value"] <= memory["usable_bytes"]) and not on_host:
        yield "fits where what is needed is within what is usable"
    marginal = need["low"] <= memory["usable_bytes"] < need["high"]
    if (result["verdict"] == "marginal") != marginal and not on_host:
        yield "marginal where the limit lies in the band"
    if memory["usable_bytes"] > memory["capacity_bytes"] * ROUND:
        yield "usable memory within the capacity"
    for group in ("memory", "throughput", "latency", "load", "cost", "energy"):
        if any(of(one) < 0 for one in result.get(group, {}).values() if isinstance(one, (int, float))):
            yield f"nothing of {group} below zero"
    yield from of_bottleneck(result["bottleneck"], said)
    yield from of_deployment(result, said["load"]) if "latency" in result else of_training(result)


def of_bottleneck(found: dict[str, Any], said: dict[str, Any]) -> Iterator[str]:
    """More of a resource is never slower, unless that is told as a trade."""
    for name, share in found.get("utilization", {}).items():
        if not 0 <= share <= ROUND and name != "memory_capacity":
            yield f"utilization of {name} within 0 and 1"
    for name, felt in found["elasticity"].items():
        # told as a trade, or by the load: as many as fit are more, and each of them waits longer
        traded = "traded_tpot" in felt or (name == "memory_capacity" and said.get("load") == "saturated")
        faster = min(felt.get("speedup", 1.0), felt.get("capacity", 1.0), felt.get("requests", 1.0))
        faster += TRADED if name == "memory_capacity" else 0.0
        if traded and said.get("load") == "static":  # larger waves are slower, the last is left smaller
            faster *= felt.get("traded_tpot", 1.0)
        slower = max(1.0 if traded else felt.get("ttft", 1.0), felt.get("tpot", 1.0))
        if faster < 1 - 1e-6 or slower > 1 + 1e-6:
            yield f"more {name} is no slower"


def of_training(result: dict[str, Any]) -> Iterator[str]:
    if not 0 <= result["mfu"] <= result["hfu"] * ROUND <= ROUND**2:
        yield "0 <= mfu <= hfu <= 1"


def of_deployment(result: dict[str, Any], load: str) -> Iterator[str]:
    latency, rate = result["latency"], result["throughput"]["requests_per_second"]["value"]
    most = result["load"]["capacity_requests_per_second"]  # of a loop that is kept full: a batch at once is none
    if load != "static" and most < rate * (1 - SAME):
        yield "no more requests than the capacity"
    if latency["ttft_seconds"]["value"] > latency["request_seconds"]["value"] * ROUND:
        yield "the first token is not after the last"
    first = latency["ttft_seconds"]  # of which one in a hundred may wait so long that the mean is above the other 95
    if max(first.get("p95", math.inf), first.get("p99", 0.0)) < first["value"] * (1 - SAME):
        yield "95 of 100 first tokens come no sooner than the mean"


def of_ways(words: dict[str, Any], answered: dict[str, Any]) -> Iterator[str]:
    """The same plan asked in other ways has the same answer."""
    found = llmplan.estimate(words)
    result = answered["result"]
    if json.loads(json.dumps(found.to_dict())) != answered:
        yield "the command line and Python agree"
    if llmplan.estimate(found.inputs).to_dict()["result"] != found.to_dict()["result"]:
        yield "the plan given back gives the same figures"
    for other in llmplan.estimate_many([words]):
        if isinstance(other, llmplan.InputError) or not same(result, json.loads(json.dumps(other.to_dict()))["result"]):
            yield "JSON lines and estimate agree"
    if json.loads(json.dumps(llmplan.compare(words).results[0].to_dict()))["result"] != result:
        yield "compare and estimate agree"
    yield from of_search(found)


def of_physics(words: dict[str, Any], answered: dict[str, Any]) -> Iterator[str]:
    """More of a resource is no slower, more sharding holds no more, and nothing is faster than memory or the peak."""
    plan = llmplan.plan_from(words)
    estimate = estimated(plan)
    yield from of_machine(plan, estimate)
    if isinstance(estimate, ServingEstimate):
        yield from of_requests(estimate)
    else:
        yield from of_sharding(plan, estimate)


def same(one: Any, other: Any, rel: float = 1e-9) -> bool:
    """Whether two results hold the same figures, but for rounding."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key], rel) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, (int, float)):
        return near(one, other, rel) or abs(one - other) < 1e-18
    return bool(one == other)


def _has_whole_rounds(said: dict[str, Any]) -> bool:
    """Whether no step of virtual stages ends in part of a round of micro-batches."""
    micro_batches = said["global_batch"] // (said["dp"] * said["micro_batch"])
    return ends_in_whole_rounds(micro_batches, said["pp"], said["vp"])


def of_search(found: Any) -> Iterator[str]:
    """The layout of an answer is found by a search that has no other, with the same figures."""
    if "limits" in found.inputs or not found.is_yes:  # not all limits can be searched by; looking for remedies is long
        return
    if "prefill_devices" in found.inputs and found.inputs["pp"] > 1:  # which fit refuses
        return
    if found.inputs.get("vp", 1) > 1 and not _has_whole_rounds(found.inputs):  # which fit never offers
        return
    searched = llmplan.fit(found.inputs, top=1)
    if not searched.results:
        yield "fit finds a plan that is a yes"
    for best in searched.results:
        if best.inputs != found.inputs or best.to_dict()["result"] != found.to_dict()["result"]:
            yield "fit and estimate agree"


def better(plan: AnyPlan, what: str) -> AnyPlan:
    """The plan on hardware that has more of one thing."""
    device, fabric = plan.device, plan.cluster.fabric
    if what in ("bandwidth", "capacity"):
        memory = replace(device.memory, **{what: getattr(device.memory, what) * SCALED})
        return replace(plan, device=replace(device, memory=memory))
    if what == "peak":
        peak = {name: value * SCALED for name, value in device.peak.items()}
        return replace(plan, device=replace(device, peak=peak))
    if what == "scale_up" and device.scale_up is not None:
        link = replace(device.scale_up, bandwidth=device.scale_up.bandwidth * SCALED)
        return replace(plan, device=replace(device, scale_up=link))
    if what == "fabric" and fabric is not None:
        wider = replace(fabric, bandwidth=fabric.bandwidth * SCALED, latency=fabric.latency / SCALED)
        return replace(plan, cluster=replace(plan.cluster, fabric=wider))
    return plan


def of_machine(plan: AnyPlan, now: TrainingEstimate | ServingEstimate) -> Iterator[str]:
    """More bandwidth, capacity, peak or network: nothing slower, and what fits still does."""
    for what in ("bandwidth", "capacity", "peak", "scale_up", "fabric"):
        if (other := better(plan, what)) is plan:
            continue
        then = estimated(other)
        if now.fits and not then.fits:
            yield f"more {what} still fits"
        if isinstance(then, TrainingEstimate) and isinstance(now, TrainingEstimate):
            slower = then.step.value / now.step.value
        elif isinstance(then, ServingEstimate) and isinstance(now, ServingEstimate):
            slower = slowdown(now, then) - (TRADED if what == "capacity" else 0.0)
        if slower > 1 + 1e-6:
            yield f"more {what} is no slower"


def slowdown(now: ServingEstimate, then: ServingEstimate) -> float:
    """The worst of rates and times of a deployment over those before, where no more requests share its steps."""
    found = [now.capacity / then.capacity, now.requests_per_second.value / then.requests_per_second.value]
    if now.plan.workload.load == "static" and then.resident > now.resident and now.tpot and then.tpot:
        # the same batch in larger waves, each of which is slower, and the last of which may be a small one
        return then.request.value / now.request.value / max(then.tpot.value / now.tpot.value, 1.0)
    busiest = now.plan.workload.load == "open" and now.load > BUSIEST  # times are bounds, of as much as is counted on
    if busiest or then.resident > now.resident:
        return max(found)
    found.append(then.request.value / now.request.value)
    if now.plan.workload.load in ("static", "open"):  # in a loop more prompts come before each
        found.append(then.ttft.value / now.ttft.value / BATCHED)
    return max(found) / (SAMPLED if now.percentiles else 1.0)


def of_sharding(plan: AnyPlan, now: TrainingEstimate) -> Iterator[str]:
    """More sharding never holds more, but for what stage 3 gathers and a stage that gets a layer more."""
    layout, memory = plan.layout, now.memory
    states = float(memory.weights_bytes + memory.gradients_bytes + memory.optimizer_states_bytes)
    if layout.zero < 3 and plan.workload.optimizer not in PAGED:  # which keep what there is room for
        further = estimated(plan.with_layout(replace(layout, zero=layout.zero + 1))).memory
        held = float(further.weights_bytes + further.gradients_bytes + further.optimizer_states_bytes)
        if held > states * ROUND:
            yield "a further stage of sharding holds no more"
    wider = replace(layout, tp=layout.tp * 2, sequence_parallel=layout.sequence_parallel or layout.tp == 1)
    if estimated(plan.with_layout(wider)).peak.value > now.peak.value * ROUND:
        yield "twice the tensor parallelism holds no more"


def of_requests(found: ServingEstimate) -> Iterator[str]:
    """Little's law, the sum of a request, and the bounds of memory and of the peak."""
    plan, rate = found.plan, found.requests_per_second.value
    assert isinstance(plan, ServingPlan)
    work, layout, model = plan.workload, plan.layout, plan.model
    if work.load == "closed" and work.batch and not near(rate * found.request.value, work.batch, SAME):
        yield "Little's law: rate x time is what is in flight"
    if work.load == "open" and found.stable and not near(rate, work.request_rate or 0.0, SAME):
        yield "what keeps up serves what comes"
    if found.tpot is not None and work.load != "static":
        whole = found.ttft.value + found.tpot.value * (work.output_tokens - 1)
        if work.output_tokens >= 2 and not near(whole, found.request.value, 1e-3):
            yield "a request is its first token and the rest"
    written = found.output_tokens_per_second
    if written is not None and not near(written.value, rate * work.output_tokens):
        yield "output tokens are requests x their answers"
    decoder = model.architecture == "decoder" and plan.host is None
    dense = decoder and not any(linear.routed for layer in model.layers for linear in layer.linears)
    if dense and work.output_tokens >= 2 and work.speculation == "none" and found.tpot is not None:
        held, alike = found.memory.weights, model.layer_count % layout.pp == 0
        read = float(held.attention_bytes + held.mlp_bytes) * (layout.pp if alike else 1) / plan.device.memory.bandwidth
        if min(found.tpot.value, found.tpot.low) < 0.98 * read:
            yield "no token sooner than one reading of the weights"
    if decoder and plan.prefill is None:
        active = model.active_parameters - model.embedding_parameters - model.position_parameters
        peak = max(plan.device.peak.values())
        if 2 * active * work.computed_tokens > found.ttft.value * found.replica_devices * peak * ROUND:
            yield "no prompt sooner than at the peak"
        tokens = work.computed_tokens + work.output_tokens
        if 2 * active * tokens * rate > plan.devices * peak * ROUND:
            yield "no more tokens than at the peak"
