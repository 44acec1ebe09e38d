"""Prefill and decoding on devices of their own: what a client sees of two pools and the way between them.

Figures are of one replica of the decoding pool, as in `llmplan.serving.loads`; requests are spread evenly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import crossing, maximum, minimum, real
from llmplan.formulas.queueing import percentile_95, shared_step_wait, single_server_wait, step_found
from llmplan.machine.links import send
from llmplan.machine.precision import STORED_BYTES
from llmplan.records import dataclass, replace
from llmplan.serving.flight import FEWEST, TRIES
from llmplan.serving.iteration import Replica, replica
from llmplan.serving.loads import (
    BUSIEST,
    Response,
    busy_replicas,
    decode_step,
    decoding_steps,
    outside_seconds,
    prefill_step,
    prefill_tokens,
    seen,
)
from llmplan.serving.memory import cache_shape

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num
    from llmplan.serving.plan import ServingPlan, ServingWorkload
    from llmplan.software.engine import ServingPolicy

_SHARE_95 = 0.95


@dataclass(frozen=True, slots=True)
class Pools:
    """Two pools that serve one model; copies: replicas of each [1]."""

    prefill: Replica
    prefill_copies: Num
    decode: Replica
    copies: Num


def pools_of(plan: ServingPlan, decode: Replica) -> Pools | None:
    """The two pools of a plan; None where the same devices read and write."""
    if plan.prefill is None:
        return None
    reads = replace(replica(plan.with_layout(plan.prefill)), drafted=0.0, written=1.0, drafts="none", drafter=None)
    return Pools(reads, real(plan.prefill.dp), decode, real(plan.layout.dp))


def split(pools: Pools, work: ServingWorkload, policy: ServingPolicy, places: Num) -> Response:
    """What one busy decoding replica does under the workload's load; places: sequences that fit in one [1].

    A request is read by a replica of the first pool, its cache goes over the fabric, and it is written in the second,
    where no prefill comes between its tokens. Those that wait to be read are rate x wait (Little's law). In a closed
    loop the requests are where the time is spent, by the same law; the slower pool sets the rate, and before it they
    wait.
    """
    pools = replace(pools, copies=busy_replicas(work, pools.copies))  # the others have no request
    most = split_capacity(pools, work, policy, places)
    own, moved = read_alone(pools, work, policy), transfer_seconds(pools, work, policy)
    outside = outside_seconds(pools.prefill, work, policy)
    if work.load == "open" and work.request_rate is not None:
        offered = work.request_rate / pools.copies
        rate = minimum(offered, BUSIEST * most)
        here = crossing(lambda n: n / _writing(pools, work, seen(n, places)), rate, FEWEST, places, TRIES)
        wait = read_wait(pools, work, policy, rate * pools.copies / pools.prefill_copies)
        return _answer(pools, work, here, minimum(offered, most), outside, wait, own + moved, seen(here, places))
    if work.load == "static" and work.batch is not None:
        return _static(pools, work, policy, work.batch / pools.copies, places, outside + moved)
    flight = work.batch / pools.copies if work.batch is not None and work.load != "saturated" else 2.0 * places

    def written(n: Num) -> Num:
        return n / _writing(pools, work, maximum(n, 1.0))

    def in_flight(n: Num) -> Num:
        return n + written(n) * (outside + own + moved)

    here = minimum(crossing(in_flight, flight, FEWEST, flight, TRIES), places)
    rate = minimum(written(here), most)
    here = minimum(here, crossing(written, rate, FEWEST, places, TRIES))
    # time of a request that is neither writing, reading nor the way (Little's law)
    wait = maximum(flight / rate - here / rate - own - moved - outside, 0.0)
    found = _answer(pools, work, here, rate, outside, wait, own + moved, maximum(here, 1.0))
    rate = flight / found.request  # to the last digit, where `crossing` stops earlier
    tokens = rate * work.output_tokens
    return replace(found, requests_per_second=rate, output_tokens_per_second=tokens, queued=rate * wait)


def _static(
    pools: Pools, work: ServingWorkload, policy: ServingPolicy, batch: Num, places: Num, before: Num
) -> Response:
    """Requests that start together: they are read one after another, and written while others are read.

    All are there when the slower of the two pools has done its work and the other one its part of one request.
    batch: requests of one decoding replica [1]; before: what comes to the prefill of each [s].
    Ignored: that prompts wait in the first pool when the second is full.
    """
    at, alone = pools.decode, read_alone(pools, work, policy)
    read = maximum(alone, batch * read_seconds(pools, work, policy) * pools.copies / pools.prefill_copies)
    most = minimum(batch, places)
    last, full = _writing(pools, work, 1.0), batch / most * _writing(pools, work, most)
    request = before + maximum(read + last, alone + full)
    here = crossing(lambda n: n / _writing(pools, work, n), batch / maximum(read, full), FEWEST, most, TRIES)
    decode = decode_step(at, work, maximum(here, 1.0)).total
    ttft = before + (alone + read) / 2.0
    queued = minimum(batch / request * (read - alone) / 2.0, batch - here)  # in the mean, of those that do not write
    return Response(
        ttft=ttft, burst_ttft=ttft, p95_ttft=before + alone + _SHARE_95 * (read - alone), tpot=decode / at.written,
        request=request, requests_per_second=batch / request,
        output_tokens_per_second=batch * work.output_tokens / request,
        sequences=here, queued=queued, decode=decode, prefill=alone,
    )  # fmt: skip


def _answer(
    pools: Pools, work: ServingWorkload, here: Num, rate: Num, outside: Num, wait: Num, first: Num, together: Num
) -> Response:
    at = pools.decode
    decode = decode_step(at, work, together).total
    ttft = outside + wait + first
    request = ttft + decoding_steps(at, work) * decode
    return Response(
        ttft=ttft, burst_ttft=ttft, p95_ttft=outside + first + percentile_95(wait), tpot=decode / at.written,
        request=request, requests_per_second=rate, output_tokens_per_second=rate * work.output_tokens,
        sequences=here, queued=rate * wait, decode=decode, prefill=first,
    )  # fmt: skip


def split_capacity(pools: Pools, work: ServingWorkload, policy: ServingPolicy, places: Num) -> Num:
    """Requests a second of one decoding replica with all places taken, or of its share of the prefill pool [1/s]."""
    reads = pools.prefill_copies / read_seconds(pools, work, policy) / pools.copies
    return minimum(reads, places / _writing(pools, work, places))


def read_wait(pools: Pools, work: ServingWorkload, policy: ServingPolicy, rate: Num) -> Num:
    """Mean wait of a prompt for others in its pool [s]: those that a step reads together end together.

    rate: of requests at one replica of the pool [1/s]. A step with room for one prompt is a queue for one server.
    """
    each = read_seconds(pools, work, policy)
    if real(policy.max_batch_tokens) < 2.0 * work.computed_tokens:
        return single_server_wait(rate, each)
    busy = minimum(rate * each, 0.98)
    return shared_step_wait(step_found(busy / each, 0.0, 0.0, each, 1.0, mixed=False), busy)


def read_seconds(pools: Pools, work: ServingWorkload, policy: ServingPolicy) -> Num:
    """Prefill of one request in a full step [s]."""
    prompt = prefill_tokens(work, policy, real(policy.max_batch_tokens))
    return prefill_step(pools.prefill, work, prompt).total * work.computed_tokens / prompt


def read_alone(pools: Pools, work: ServingWorkload, policy: ServingPolicy) -> Num:
    """Prefill of one request by itself, in as many steps as its prompt needs [s]."""
    prompt = prefill_tokens(work, policy, 1.0)
    return prefill_step(pools.prefill, work, prompt).total * work.computed_tokens / prompt


def transfer_seconds(pools: Pools, work: ServingWorkload, policy: ServingPolicy) -> Num:
    """The cache of a prompt from one pool to the other, each device its part, over the fabric between nodes [s]."""
    at = pools.prefill
    cache = cache_shape(at.model, at.layout, STORED_BYTES[work.kv_precision], policy, work.input_tokens, at.seen)
    return send(at.links, cache.bytes(work.input_tokens), near=False)


def _writing(pools: Pools, work: ServingWorkload, together: Num) -> Num:
    """Time that an answer takes in the pool that writes, with so many in a step [s]."""
    return decoding_steps(pools.decode, work) * decode_step(pools.decode, work, together).total
