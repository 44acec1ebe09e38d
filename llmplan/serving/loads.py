"""From steps to what a client sees: static batches, closed loops, saturation, open arrivals.

All figures are of one replica with `sequences` in flight there, until `Response` puts replicas together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.kv_cache import waves
from llmplan.formulas.numeric import beyond, everywhere, is_zero, maximum, minimum, real, sqrt, where
from llmplan.formulas.queueing import (
    between_reads,
    decaying,
    gathered,
    percentile_95,
    place_wait,
    shared_step_wait,
    single_server_wait,
    step_found,
)
from llmplan.records import dataclass, replace
from llmplan.serving.flight import FEWEST, in_flight, when_full
from llmplan.serving.host_cache import load_seconds
from llmplan.serving.iteration import Replica, Step, iteration

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num
    from llmplan.serving.plan import ServingWorkload
    from llmplan.software.engine import ServingPolicy

BUSIEST = 0.93
"""Share of the capacity up to which the planner tells waiting times [1]: what 27 MLPerf v4.1 servers were run at, in
the median, of what the same machines wrote offline (hardware_catalog/measurements/serving.csv)."""
_NO_TIME = 1e-12  # s
_SLOWEST = 1e-300  # requests a second
_CONVERGED = 1e-6  # of a time at which it is one that was looked for
_NO_LIMIT = 1e30  # s, of a step without an end: finite, so that none of them take no time


@dataclass(frozen=True, slots=True)
class Response:
    """What one replica does under a load.

    ttft: mean time to first token [s], steady; burst_ttft: mean when all requests start at once [s];
    p95_ttft [s]; tpot: time per output token after the first [s]; request: whole request, or the whole static
    batch [s]; requests_per_second, output_tokens_per_second: of this replica; sequences: in flight and
    resident [1]; queued: wanted but not resident [1]; decode, prefill: one decode step, and prefill of one
    request [s]; for_room: of the time to first token under arrivals, what waits for a place and for room in a step [s].
    """

    ttft: Num
    burst_ttft: Num
    p95_ttft: Num
    tpot: Num
    request: Num
    requests_per_second: Num
    output_tokens_per_second: Num
    sequences: Num
    queued: Num
    decode: Num
    prefill: Num
    for_room: Num = 0.0


@dataclass(frozen=True, slots=True)
class _Pace:
    """Times with so many sequences in flight [s].

    decode: a step that only decodes; prefill: what reading one request's prompt adds; own: from the start of a
    request's prefill to its first token; together: requests that are read in one step [1]; shared: decoding steps in
    `own` [1]; writing: requests that write in the step of a prompt [1]; longest: a step with a prompt, or with as much
    of one as it takes [s].
    """

    decode: Num
    prefill: Num
    own: Num
    together: Num
    shared: Num
    writing: Num
    longest: Num

    def resident(self, steps: Num, sequences: Num) -> Num:
        """Time that a request has its place [s]: its own steps, and what reading the others adds to them."""
        return steps * self.decode + self.own + maximum(sequences - self.together, 0.0) * self.prefill

    def read_in(self, seconds: Num, steps: Num, sequences: Num) -> _Pace:
        """The pace at which a request has its place for no more than so many seconds, where all places are taken:
        prompts that wait for one are read together, more than come while others are read."""
        others = maximum(sequences - self.together, 0.0)
        left = maximum(seconds - steps * self.decode - self.own, 0.0)
        each = where(others > 0.0, left / where(others > 0.0, others, 1.0), self.prefill)
        return replace(self, prefill=minimum(self.prefill, each))

    def lasting(self, seconds: Num, steps: Num, sequences: Num) -> _Pace:
        """The pace at which a request has its place for so many seconds (Little's law), where steps that only decode
        jump with the sequences in them: a replica that is between the two has steps of both kinds."""
        took, counted = self.resident(steps, sequences), steps + self.shared
        off = seconds / took - 1.0
        jumps = (maximum(off, -off) > _CONVERGED) & (counted > 0.0)
        longer = where(jumps, (seconds - took) / where(counted > 0.0, counted, 1.0), 0.0)
        return replace(self, decode=self.decode + longer, own=self.own + self.shared * longer)


def decode_step(at: Replica, work: ServingWorkload, sequences: Num) -> Step:
    """A step that only decodes, half-way through the answers."""
    context = work.input_tokens + work.output_tokens / 2.0
    return iteration(at, sequences, context, 0.0, work.computed_tokens)


def prefill_step(at: Replica, work: ServingWorkload, prompt: Num) -> Step:
    """A step that only reads `prompt` tokens of prompts."""
    return iteration(at, 0.0, 0.0, prompt, work.computed_tokens)


def prefill_tokens(work: ServingWorkload, policy: ServingPolicy, requests: Num) -> Num:
    """Tokens of prompts in one step when so many requests wait: as many as the engine takes, whole prompts at least
    where steps are not mixed."""
    most: Num = real(policy.max_batch_tokens)
    if not policy.mixed_steps:
        most = maximum(most, work.computed_tokens)
    return minimum(most, work.computed_tokens * maximum(requests, 1.0))


def decoding_steps(at: Replica, work: ServingWorkload) -> Num:
    """Steps that write an answer after its first token [1]: fewer where several tokens are written at once."""
    return maximum(work.output_tokens - 1.0, 0.0) / at.written


def read_together(work: ServingWorkload, sequences: Num) -> Num:
    """Requests whose prompts are read at once [1]: all in flight where nothing is written, else one at a time."""
    return 1.0 if work.writes else maximum(sequences, 1.0)


def pace(at: Replica, work: ServingWorkload, policy: ServingPolicy, sequences: Num, *, replaced: bool = True) -> _Pace:
    """Times in continuous batching: requests that end in one step are replaced in the next, or (replaced: false) come
    whenever they come, in steps that read too where those do not write.

    A prefill that shares a step costs what it adds to it. Where prompts need more steps than an answer has tokens, as
    long prompts with short answers do, every step reads, and only so many write at a time as are read in the steps of
    an answer; the others wait for their prefill. The prefill of a request that is alone has steps of its own.
    """
    arriving = sequences  # requests of one length stay in step
    if work.length_spread != "constant" or policy.mixed_steps:
        waits = 1.0 + (work.batch_wait_iterations or 0)
        arriving = waits * sequences * at.written / maximum(work.output_tokens, 1.0)
        arriving = gathered(arriving if replaced or policy.mixed_steps else between_reads(arriving))
    prompt = prefill_tokens(work, policy, arriving)
    chunks, share, beside = work.computed_tokens / prompt, 1.0 + 0.0 * sequences, 0.0 * sequences
    if policy.mixed_steps and work.writes:
        beside = minimum(1.0, maximum(sequences - 1.0, 0.0))  # whether any other writes
        share = 1.0 - beside * (1.0 - minimum(1.0, decoding_steps(at, work) / (sequences * chunks)))
    decode = decode_step(at, work, share * sequences).total
    once, longest = 0.0 * decode, 0.0 * decode + _NO_LIMIT
    if not everywhere(beside >= 1.0):
        once = (1.0 - beside) * prefill_step(at, work, prompt).total
    if policy.mixed_steps and work.writes:
        context = work.input_tokens + work.output_tokens / 2.0
        both = iteration(at, share * sequences, context, prompt, work.computed_tokens).total
        once, longest = once + beside * (both - share * decode), maximum(both, decode)
    shared = beside * share * maximum(1.0, chunks)
    own = once * maximum(1.0, chunks) + shared * decode
    writing = beside * share * sequences
    return _Pace(decode, once * chunks, own, maximum(1.0, 1.0 / chunks), shared, writing, longest)


def static_batch(at: Replica, work: ServingWorkload, policy: ServingPolicy, batch: Num, resident: Num) -> Response:
    """`batch` sequences start together; what is not resident waits for a place.

    Sequences of one length end together, so the batch runs in waves, the last of what is left over.
    """
    here = minimum(batch, resident)
    full = waves(batch, here) - 1.0
    rest = batch - full * here
    first, decode = _wave(at, work, policy, here)
    last_first, last_decode = _wave(at, work, policy, rest)
    steps = decoding_steps(at, work)
    once = first + steps * decode
    request = full * once + last_first + steps * last_decode
    # wave i waits for i waves; the shares of sequences in full waves and in the last one weigh the mean
    last = rest / batch
    ttft = (1.0 - last) * (first + maximum(full - 1.0, 0.0) * once / 2.0) + last * (last_first + full * once)
    return Response(
        ttft=ttft, burst_ttft=ttft, p95_ttft=maximum(first, full * once + last_first), tpot=decode / at.written,
        request=request,
        requests_per_second=batch / request, output_tokens_per_second=batch * work.output_tokens / request,
        sequences=here, queued=batch - here, decode=decode, prefill=first / here,
    )  # fmt: skip


def _wave(at: Replica, work: ServingWorkload, policy: ServingPolicy, sequences: Num) -> tuple[Num, Num]:
    """Prefill of so many sequences, and one decoding step of them [s]."""
    prompt = prefill_tokens(work, policy, sequences)
    steps = maximum(sequences * work.computed_tokens / prompt, 1.0)
    return prefill_step(at, work, prompt).total * steps, decode_step(at, work, sequences).total


def closed_loop(
    at: Replica, work: ServingWorkload, policy: ServingPolicy, batch: Num, resident: Num, *,
    full: bool = False,
) -> Response:  # fmt: skip
    """`batch` requests are kept in flight, wherever they are: before the engine, waiting for a place, or resident.

    While a request is resident every other one is read once. Requests that end one by one are replaced one by one: a
    prefill falls between the tokens of the others, but for those that a new request waits for: what is left of the step
    that it finds, and prompts that are read in its own. Requests of one length in an engine that reads prompts before
    it writes stay in step: all are read before any is written, and half of that follows a first token.
    request = ttft + (output_tokens - 1) tpot, and batch = requests_per_second x request (Little's law).
    full: every place is taken, whatever is outside.
    """
    here, more = minimum(batch, resident), maximum(work.output_tokens - 1.0, 0.0)
    now = pace(at, work, policy, here)
    steps = decoding_steps(at, work)
    cycle = now.resident(steps, here)
    others = cycle - now.own - steps * now.decode
    residual: Num = 0.0
    first: Num = now.own + others / 2.0
    least: Num = 0.0  # the same for one that waits for a place, which it gets between two steps
    if full and (work.length_spread != "constant" or policy.mixed_steps):
        first = now.own  # behind the wait for a place, which it gets between two steps
    elif work.length_spread != "constant" or policy.mixed_steps:
        coming = maximum(here - now.together, 0.0) / cycle
        alone, fixed, each = _prompt_costs(at, work, policy, now, now.writing)
        found = step_found(coming, now.decode, fixed, each, now.together, mixed=policy.mixed_steps)
        wait = shared_step_wait(found, coming * each)
        shared = minimum(wait + alone, now.decode / 2.0 + now.own + others / 2.0)
        shared = where(here > 1, shared, now.own)
        steady = 1.0 - minimum(maximum(batch - resident, 0.0), 1.0)  # share of those that need not wait for a place
        first, least = steady * shared + (1.0 - steady) * now.own, where(steady > 0.0, 0.0, shared)
        residual = where(here > 1, steady * now.decode / 2.0, 0.0)  # a new one finds a step half done
        if policy.mixed_steps and work.writes:  # which is of no matter to those that wait for their prompt to be read
            residual = residual * now.writing / maximum(here, 1.0)
    cycle = maximum(cycle + residual, here * load_seconds(at, work, policy))  # prefixes from the host, one by one
    outside = outside_seconds(at, work, policy) + batch_wait(work, now, here)
    request = maximum(outside + cycle, batch / here * cycle)
    before = request - cycle  # outside the engine, and waiting for a place
    # what writes nothing answers when its batch is done
    read_by = request - steps * now.longest  # at the least: what a step has no room for is not between tokens
    ttft = maximum(maximum(before + first, least), read_by)
    ttft = where(more > 0, minimum(ttft, request - steps * now.decode), request)  # the rest takes that at the least
    burst = where(more > 0, maximum(before + now.own + others / 2.0, read_by), request)
    rate = here / cycle if full else batch / request
    return Response(
        ttft=ttft, burst_ttft=burst, p95_ttft=maximum(ttft, minimum(before + now.own + others, request)),
        tpot=where(more > 0, (request - ttft) / maximum(more, 1.0), now.decode / at.written),
        request=request, requests_per_second=rate, output_tokens_per_second=rate * work.output_tokens,
        sequences=here, queued=batch - here, decode=now.decode, prefill=now.prefill,
    )  # fmt: skip


def capacity(at: Replica, work: ServingWorkload, policy: ServingPolicy, resident: Num) -> Num:
    """Requests a second of a replica with every place taken [1/s]."""
    return closed_loop(at, work, policy, resident, resident, full=True).requests_per_second


def open_arrivals(at: Replica, work: ServingWorkload, policy: ServingPolicy, rate: Num, resident: Num) -> Response:
    """Requests arrive at `rate` a second at this replica, independently of each other.

    The number in flight is the one at which a replica that is kept full completes just as many (Little's
    law on both sides). A new request waits for the step that runs, for prefills before it, and for a place
    where nearly all are taken. Near the capacity the wait hangs on a few percent of it, which no prediction
    has, and beyond it the queue grows without end: from `BUSIEST` of the capacity on, the times are those
    at `BUSIEST` and the least that are to be expected.
    """

    def rate_of(some: Replica, sequences: Num, places: Num) -> Num:
        return _rate(some, work, policy, sequences, places)

    def full_rate_of(some: Replica, sequences: Num, places: Num) -> Num:
        return _rate(some, work, policy, sequences, places, replaced=True)

    load = load_seconds(at, work, policy)
    most = when_full(full_rate_of, at, resident)
    if not is_zero(load):
        most = minimum(most, 1.0 / load)
    arriving, rate = rate, minimum(rate, BUSIEST * most)
    here = in_flight(rate_of, at, rate, resident)
    steps, together = decoding_steps(at, work), seen(here, resident)
    now = pace(at, work, policy, together, replaced=False)
    seconds = where(here > FEWEST, here / maximum(rate, _SLOWEST), now.resident(steps, together))
    if not policy.mixed_steps:
        now = now.read_in(seconds, steps, together)
    now = now.lasting(seconds, steps, together)
    more = maximum(work.output_tokens - 1.0, 0.0)
    coming = rate * (0.98 / maximum(rate * now.prefill, 0.98))
    busy = coming * now.prefill
    first = _first_step(at, work, policy, here, now, coming, rate)
    own, shared = first.own, shared_step_wait(first.found, coming * first.each)
    wait = place_wait(rate, most, here, resident)
    late = _late(work, policy, steps, now, coming, first)
    tpot = now.decode / at.written / (1.0 - busy) + late / maximum(more, 1.0)
    # where nothing is written, all that waits is read in the next batch: no queue of single prefills
    own = where(more > 0, own, maximum(here, 1.0) * now.prefill)
    shared = where(more > 0, shared, minimum(here, 1.0) * own / 2.0)
    wait = where(more > 0, first.room + wait, wait)
    here = minimum(here + rate * where(more > 0, late, 0.0), resident)
    outside = outside_seconds(at, work, policy) + batch_wait(work, now, seen(here, resident))
    ttft = outside + single_server_wait(rate, load) + shared + own + wait
    done = minimum(arriving, most)
    return Response(
        ttft=ttft, burst_ttft=ttft, p95_ttft=_within(ttft, shared, wait, now.decode), tpot=tpot,
        request=ttft + more * tpot, requests_per_second=done, output_tokens_per_second=done * work.output_tokens,
        sequences=here, queued=0.0 * here, decode=now.decode, prefill=now.prefill, for_room=wait,
    )  # fmt: skip


def _within(ttft: Num, shared: Num, wait: Num, decode: Num) -> Num:
    """What 95 of 100 first tokens stay within [s]: what is left of a step that only decodes is anything up to all of
    it, and what is left of others, and other waits, have exponential tails."""
    even = minimum(shared, decode / 2.0)
    return ttft + even + percentile_95(shared - even + wait) - (shared - even) - wait


@dataclass(frozen=True, slots=True)
class _First:
    """Of a request that arrives [s]: own: steps that read it; found: the step that it finds; each, fixed: what one more
    prompt adds to a step, and what prompts add however many they are; room: the wait for room in a step."""

    own: Num
    found: Num
    each: Num
    fixed: Num
    room: Num


def _first_step(
    at: Replica, work: ServingWorkload, policy: ServingPolicy, here: Num, now: _Pace, coming: Num, rate: Num
) -> _First:
    """Up to its first token.

    coming: requests a second of which prompts leave the steps some time; rate: of all [1/s].
    What a step pays once for all prompts in it follows from what each of them adds by a second prompt beside the first;
    a request that is alone is read in steps that write nothing.
    """
    mixed = policy.mixed_steps
    own, fixed, each = _prompt_costs(at, work, policy, now, maximum(here, 1.0) if mixed else 0.0 * here)
    if mixed and not everywhere(here >= 1.0):
        alone = _reading(at, work, policy, 1.0, 0.0 * here)
        own = alone + minimum(here, 1.0) * (own - alone)
    running = here / sqrt(1.0 + here * here)  # whether any request is there: 1 - exp(-here) within 0.08
    found = step_found(coming, running * now.decode, fixed, each, now.together, mixed=mixed)
    if not mixed:
        return _First(own, found, each, fixed, 0.0 * here)
    # a prompt fills so much of a step, and what steps take besides is shared by as many as fill one
    share = minimum(work.computed_tokens / real(policy.max_batch_tokens), 1.0)
    limited = single_server_wait(rate, each + share * (own - each)) - single_server_wait(rate, each)
    return _First(own, found, each, fixed, limited)


def _late(work: ServingWorkload, policy: ServingPolicy, steps: Num, now: _Pace, coming: Num, first: _First) -> Num:
    """How much longer an answer takes than as many steps at any time, for the prompts that came while its own was read
    [s].

    Those are read in the steps that write its first tokens, and what comes during those in the next: b of the time of a
    step comes back in the one after it. A step has room for so many prompts, which bounds what is late in it. Where
    steps that read do not write, all of it passes before the second token.
    """
    busy, room = coming * now.prefill, real(policy.max_batch_tokens) / work.computed_tokens
    filled = minimum(1.0 / room, 1.0)  # by one prompt: whatever came since its arrival is read after it
    behind = first.own + coming * first.each * first.found + filled * (first.found / 2.0 + first.room)
    if not policy.mixed_steps:
        return busy / (1.0 - busy) * maximum(behind - now.decode, 0.0)
    usual = now.decode / (1.0 - busy)
    again = coming * (first.each + first.fixed / (now.together * now.together))
    late = decaying(maximum(behind - usual, 0.0), again, steps)
    longest = first.own * minimum(room, 1.0) + maximum(room - 1.0, 0.0) * first.each
    most = steps * maximum(longest - usual, 0.0)
    return late * most / maximum(late + most, _NO_TIME)


def _prompt_costs(
    at: Replica, work: ServingWorkload, policy: ServingPolicy, now: _Pace, beside: Num
) -> tuple[Num, Num, Num]:
    """Steps that read one prompt while `beside` requests write [s]; of what prompts add to a step, what it pays once
    for all in it, and what each of them adds [s]."""
    own = _reading(at, work, policy, 1.0, beside)
    each = minimum(now.prefill, _reading(at, work, policy, 2.0, beside) - own)
    return own, (now.prefill - each) * now.together, each


def _reading(at: Replica, work: ServingWorkload, policy: ServingPolicy, requests: float, beside: Num) -> Num:
    """Steps that read so many prompts together while `beside` requests write [s]."""
    context, prompt = work.input_tokens + work.output_tokens / 2.0, prefill_tokens(work, policy, requests)
    steps = maximum(1.0, requests * work.computed_tokens / prompt)
    return iteration(at, beside, context, prompt, work.computed_tokens).total * steps


def outside_seconds(at: Replica, work: ServingWorkload, policy: ServingPolicy) -> Num:
    """Time of a request before its prefill: a server, which makes tokens of its prompt, and prefixes from host memory,
    as far as they do not come beside the prefill [s]."""
    load = load_seconds(at, work, policy)
    if not is_zero(load) and policy.host_cache_beside:
        load = beyond(load, prefill_step(at, work, prefill_tokens(work, policy, 1.0)).total)
    if not policy.server:
        return load
    return at.numbers.request_seconds + at.numbers.prompt_token_seconds * work.input_tokens + load


def batch_wait(work: ServingWorkload, now: _Pace, sequences: Num) -> Num:
    """Time that a prompt waits for others to be read with, in steps that write answers [s]; nothing where none does.

    Ignored: that the wait ends when nearly as many tokens have come as one step reads.
    """
    if not work.batch_wait_iterations:
        return 0.0
    return work.batch_wait_iterations * now.decode * minimum(1.0, maximum(sequences - 1.0, 0.0))


def _rate(
    at: Replica, work: ServingWorkload, policy: ServingPolicy, sequences: Num, resident: Num, *, replaced: bool = False
) -> Num:
    """Requests a second that so many in flight on average complete [1/s]."""
    together = seen(sequences, resident)
    now = pace(at, work, policy, together, replaced=replaced)
    return sequences / now.resident(decoding_steps(at, work), together)


def seen(sequences: Num, resident: Num) -> Num:
    """Sequences in a step as a request sees them, with so many in flight on average: itself and the others [1].

    What comes independently finds as many others as there are at any time (Wolff 1982); resident: the most there can be
    [1].
    """
    return minimum(sequences + 1.0, resident)


def busy_replicas(work: ServingWorkload, copies: Num) -> Num:
    """How many of so many replicas have a request at all [1]: a batch of fewer leaves the rest idle."""
    return copies if work.batch is None else minimum(copies, work.batch)


def respond(at: Replica, work: ServingWorkload, policy: ServingPolicy, copies: Num, resident: Num) -> Response:
    """What one busy of so many replicas does under the workload's load; resident: sequences that fit in one [1].

    `batch` and `request_rate` are those of all replicas together and divided evenly.
    """
    places, busy = maximum(resident, 1.0), busy_replicas(work, copies)
    if work.load == "open" and work.request_rate is not None:
        return open_arrivals(at, work, policy, work.request_rate / busy, places)
    batch = places if work.load == "saturated" or work.batch is None else work.batch / busy
    if work.load == "static":
        return static_batch(at, work, policy, batch, places)
    return closed_loop(at, work, policy, batch, places, full=work.load == "saturated")
