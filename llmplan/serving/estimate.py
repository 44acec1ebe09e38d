"""One serving plan in, one estimate out: what fits, how fast it answers, how much load it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from llmplan.errors import Fault, InputError
from llmplan.formatting import binary
from llmplan.formulas.numeric import maximum, minimum, real
from llmplan.formulas.queueing import utilisation
from llmplan.records import dataclass, replace
from llmplan.serving.bounds import Bounds, above, below, bounds, flight_over
from llmplan.serving.copies import copies_needed
from llmplan.serving.drafts import widened
from llmplan.serving.encoders import encoders_seconds
from llmplan.serving.host_cache import room_with_host
from llmplan.serving.host_layers import host_of, why_not
from llmplan.serving.iteration import Step, replica
from llmplan.serving.loads import (
    BUSIEST,
    busy_replicas,
    capacity,
    decode_step,
    prefill_step,
    prefill_tokens,
    read_together,
    respond,
)
from llmplan.serving.memory import ServingMemory, serving_memory
from llmplan.serving.plan import ServingPlan
from llmplan.serving.pools import pools_of, split, split_capacity
from llmplan.serving.prefix import prefix_room
from llmplan.serving.remarks import plan_remarks
from llmplan.serving.targets import SHARES, figures, missed, wants_percentiles
from llmplan.setup.checks import marginal
from llmplan.setup.codes import warning
from llmplan.software.band import Interval, Verdict

if TYPE_CHECKING:
    from llmplan.serving.loads import Response
    from llmplan.serving.simulation import Sample
    from llmplan.setup.plan import PlanWarning

_NOTHING = 1e-12  # s
_RATE_ERROR = 0.01  # of a given request rate, and of lengths that are means


@dataclass(frozen=True, slots=True)
class ServingEstimate:
    """Answer for `serve`; SI base units; intervals are the 80 % bands.

    version: of the stack, whose numbers were taken; needed: bytes of the fullest device with one request of
    the plan's lengths; peak: the same with all of the cache that the engine sets aside [bytes];
    ttft: mean time to first token, steady; burst_ttft: mean when all requests come at once; p95_ttft; percentiles: of
    requests simulated one by one, as `tpot_p99` [s], None where they were not; tpot: per
    output token after the first; request: a whole request, or static batch [s]. tpot is None without output.
    output_tokens_per_second, requests_per_second: of all devices [1/s].
    capacity, most: requests a second of all devices, and of one replica, with every place taken [1/s]; load: share of
    it in use, by `request_rate` or by places [1]; stable: whether it keeps up with the load.
    replicas, replica_devices: copies that the plan has, and devices of each [1].
    sequences: in flight and resident; queued: waiting for a place, or of two pools to be read; resident: places; all
    devices [1].
    encoder: time to encode the images and the sound of one request, 0 without any [s].
    missed: targets that are not met, as (name, value, limit).
    """

    plan: ServingPlan
    version: str
    memory: ServingMemory
    needed: Interval
    usable_bytes: float
    capacity_bytes: float
    verdict: Verdict
    ttft: Interval
    burst_ttft: Interval
    p95_ttft: Interval
    percentiles: Mapping[str, float] | None
    tpot: Interval | None
    request: Interval
    output_tokens_per_second: Interval | None
    requests_per_second: Interval
    kv_tokens: Interval | None
    capacity: float
    most: float
    load: float
    stable: bool
    replicas: int
    replica_devices: int
    sequences: float
    queued: float
    resident: float
    decode: Step
    prefill: Step
    encoder: float
    missed: tuple[tuple[str, float, float], ...]

    @property
    def fits(self) -> bool:
        """Whether weights and one request of these lengths fit, on the host too."""
        return self.needed.value <= self.usable_bytes and self.plan.host_holds(self.memory.host_bytes)

    @property
    def warnings(self) -> tuple[PlanWarning, ...]:
        """What is allowed and should be known, of the plan and of the numbers."""
        return (*plan_remarks(self.plan), *_remarks(self))

    @property
    def replicas_needed(self) -> int | None:
        """For the request rate and the targets [1], None without a rate, 0 where no number reaches the targets; many
        may have to be tried."""
        enough = self.replicas if self.stable and not self.missed else None
        return copies_needed(self.plan, max(real(self.memory.resident), 1.0), self.most, enough)

    @property
    def together(self) -> float:
        """Sequences in flight in each replica that has any [1]."""
        work = self.plan.workload
        return self.sequences / real(busy_replicas(work, real(self.replicas)))

    @property
    def short_of_places(self) -> bool:
        """Whether requests wait for a place: those of two pools wait to be read."""
        return self.queued > 0 and self.plan.prefill is None

    @property
    def prefix_room(self) -> float | None:
        """Tokens of prefixes that stay in the caches beside what is in flight, and in host memory [1]; None without a
        prefix cache."""
        work = self.plan.workload
        if work.prefix_hit is None:
            return None
        return room_with_host(self.plan, prefix_room(work, real(self.memory.kv_tokens), self.sequences))

    def spread(self, figure: str, mean: Interval) -> Interval:
        """A mean with the percentiles of its requests, where they were simulated; figure: `ttft`, `tpot`, `request`."""
        if self.percentiles is None:
            return mean
        p50, p95, p99 = (self.percentiles[f"{figure}_p{share}"] for share in SHARES)
        return replace(mean, p50=p50, p95=p95, p99=p99)

    @property
    def answers(self) -> bool:
        """Whether it fits, keeps up and meets its targets."""
        return self.fits and self.stable and not self.missed


@dataclass(frozen=True, slots=True)
class ServingFigures:
    """What the formulas give of a plan, in numbers, or in arrays where it stands for many.

    Of `ServingEstimate`; answer: of one busy replica; most: requests a second of one replica with every place
    taken [1/s].
    """

    memory: ServingMemory
    needed: Interval
    answer: Response
    most: float
    ttft: Interval
    burst_ttft: Interval
    p95_ttft: Interval
    tpot: Interval
    request: Interval
    output_tokens_per_second: Interval
    requests_per_second: Interval
    kv_tokens: Interval
    decode: Step
    prefill: Step
    encoder: float
    percentiles: Mapping[str, float] | None


def estimate_serving(plan: ServingPlan, sample: Sample | None = None) -> ServingEstimate:
    """Estimates one deployment; raises InputError for a plan of training, and where its parts do not go together.

    sample: times of its requests, where they were simulated already.
    """
    if not isinstance(plan, ServingPlan):
        raise InputError(Fault("the workload is not serve: `estimate` estimates a training"))
    return estimate_of(plan, figures_of(plan, sample))


def figures_of(plan: ServingPlan, sample: Sample | None = None) -> ServingFigures:
    """Memory, times and rates of one deployment, or of every one that the plan stands for; sample: as in
    `estimate_serving`."""
    work, policy = plan.workload, plan.engine.policy
    memory = serving_memory(plan, policy)
    at, copies = replica(plan), real(plan.layout.dp)
    busy, places = real(busy_replicas(work, copies)), real(maximum(memory.resident, 1.0))
    pools = pools_of(plan, at)
    if pools is None:
        answer = respond(at, work, policy, copies, places)
        full = work.load == "saturated"
        most = real(answer.requests_per_second if full else capacity(at, work, policy, places))
        reads = at
    else:
        answer, most = split(pools, work, policy, places), real(split_capacity(pools, work, policy, places))
        reads = pools.prefill
    needed = real(memory.needed_bytes)
    if plan.prefill is not None:
        reads_need = serving_memory(plan.with_layout(plan.prefill), policy).needed_bytes
        needed = real(maximum(needed, reads_need))
    shares = None
    if work.request_rate is not None and wants_percentiles(work) and _keeps_up(plan, most):
        from llmplan.serving.percentiles import as_sampled, one_by_one

        if sample is None:
            sample = one_by_one(pools or at, work, policy, answer, work.request_rate / copies, most, places)
        answer, shares = as_sampled(answer, sample, work)
    least = bounds(plan, at)
    rate = plan.interval("output_tokens_per_second", real(answer.output_tokens_per_second) * busy)
    if plan.acceptance_spread:
        rate = _inverse(widened(_inverse(rate), plan, at.drafted))
    if work.request_rate is not None:
        rate = _delivered(plan, work.request_rate * work.output_tokens, most * copies * work.output_tokens)
    tpot = widened(plan.interval("tpot_seconds", real(answer.tpot)), plan, at.drafted)
    rate, request = below(rate, least.output), plan.interval("request_seconds", real(answer.request))
    if work.batch is not None and work.load in ("closed", "static"):  # what is in flight is known: the bands are one
        written = work.batch * work.output_tokens
        rate = below(rate, written / real(maximum(least.request(work.output_tokens), _NOTHING)))
        request = flight_over(rate, written, request.value)
    return ServingFigures(
        memory=memory, needed=plan.interval("serving_bytes", needed), answer=answer, most=most,
        ttft=_first(plan, least, real(answer.ttft)), burst_ttft=_first(plan, least, real(answer.burst_ttft)),
        p95_ttft=_first(plan, least, shares["ttft_p95"] if shares else real(answer.p95_ttft)),
        tpot=above(tpot, least.tpot), request=above(request, least.request(work.output_tokens)),
        output_tokens_per_second=rate, requests_per_second=rate * (1.0 / work.output_tokens),
        kv_tokens=plan.interval("kv_tokens", real(memory.kv_tokens)), decode=decode_step(at, work, answer.sequences),
        prefill=prefill_step(reads, work, prefill_tokens(work, policy, read_together(work, answer.sequences))),
        encoder=real(encoders_seconds(reads.encoders, 1.0, reads.launch)), percentiles=shares,
    )  # fmt: skip


def estimate_of(plan: ServingPlan, found: ServingFigures) -> ServingEstimate:
    """The estimate that figures in plain numbers make, with its verdict and what it misses."""
    work, most = plan.workload, found.most
    memory: Any = found.memory
    answer: Any = found.answer
    copies = plan.layout.dp
    busy, places = busy_replicas(work, real(copies)), max(memory.resident, 1.0)
    each = None if work.request_rate is None else work.request_rate / copies
    stable = _keeps_up(plan, most)
    judged: Any = figures(answer, work, found.percentiles)
    limits = tuple(missed(work, judged, stable=stable))
    return ServingEstimate(
        plan=plan, version=plan.engine.version, memory=memory, needed=found.needed, usable_bytes=memory.budget_bytes,
        capacity_bytes=plan.device.memory.capacity,
        verdict=plan.verdict(found.needed, memory.budget_bytes, memory.host_bytes),
        ttft=found.ttft, burst_ttft=found.burst_ttft, p95_ttft=found.p95_ttft, percentiles=found.percentiles,
        tpot=found.tpot if work.writes else None, request=found.request,
        output_tokens_per_second=found.output_tokens_per_second if work.writes else None,
        requests_per_second=found.requests_per_second, kv_tokens=found.kv_tokens if memory.kv_tokens > 0 else None,
        capacity=most * copies, most=most,
        load=real(utilisation(each, most)) if each is not None else answer.sequences * busy / (places * copies),
        stable=stable, replicas=copies, replica_devices=plan.layout.devices // copies,
        sequences=answer.sequences * busy,
        queued=answer.queued * busy, resident=memory.resident * copies, decode=found.decode, prefill=found.prefill,
        encoder=found.encoder, missed=limits,
    )  # fmt: skip


def _keeps_up(plan: ServingPlan, most: float) -> bool:
    """Whether a deployment of which a replica can do so many requests a second keeps up with its load."""
    rate = plan.workload.request_rate
    return rate is None or rate / plan.layout.dp < most


def _inverse(rate: Interval) -> Interval:
    """Of a rate its time, and back."""
    return Interval(1.0 / rate.value, 1.0 / rate.high, 1.0 / rate.low)


def _first(plan: ServingPlan, least: Bounds, seconds: float) -> Interval:
    """A time to first token with its band."""
    return above(plan.interval("ttft_seconds", seconds), least.ttft)


def _delivered(plan: ServingPlan, offered: float, capacity: float) -> Interval:
    """What is written where requests come at a rate: all that is asked for, or as much as can be; rates in tokens/s."""
    can = plan.interval("output_tokens_per_second", capacity)
    low, high = offered * (1.0 - _RATE_ERROR), offered * (1.0 + _RATE_ERROR)
    least = minimum(offered, can.value), minimum(low, can.low), minimum(high, can.high)
    return Interval(*map(real, least))


def _remarks(found: ServingEstimate) -> Iterator[PlanWarning]:
    """What the numbers say that should be known."""
    work = found.plan.workload
    yield from marginal(found.needed, found.usable_bytes)
    if not found.plan.host_holds(away := real(found.memory.host_bytes)):
        have = binary(found.plan.cluster.host_memory or 0.0, 3)
        yield warning("LP012", needed=binary(away, 3), cluster=found.plan.cluster.id, have=have)
    if not found.fits and (most := _most_layers(found)) is not None:
        yield warning("LP027", layers=most, of=found.plan.model.layer_count + 1)
    if found.fits and found.short_of_places:
        yield warning("LP020", resident=round(found.resident), queued=round(found.queued))
    if found.fits and not found.stable:
        yield warning("LP021", rate=f"{work.request_rate:g}", capacity=f"{found.capacity:.3g}")
    elif found.fits and work.request_rate is not None and found.load > BUSIEST:
        yield warning("LP022", load=f"{found.load:.0%}")
    for name, value, limit in found.missed:
        if value < float("inf"):  # else LP021 has said it
            yield warning("LP023", name=name, value=f"{value:.3g}", limit=f"{limit:g}")
    longest = real(found.memory.longest)
    if found.fits and work.input_tokens + work.output_tokens > longest:
        yield warning("LP024", longest=round(longest))
    context, wants_it = found.plan.model.max_context, found.plan.engine.policy.whole_context
    if found.fits and wants_it and work.max_model_len is None and context is not None and longest < context:
        yield warning("LP026", stack=found.plan.stack.name, context=context, longest=int(longest))
    yield from _prefix_remark(found)


def _prefix_remark(found: ServingEstimate) -> Iterator[PlanWarning]:
    """Whether the prefixes that are counted on have a place until they are asked for."""
    work, room = found.plan.workload, found.prefix_room
    if room is None or not found.fits:
        return
    each = work.input_tokens - work.computed_tokens
    wanted = found.sequences if work.turns is not None else 1.0
    if room < wanted * each:
        yield warning("LP025", room=f"{room:,.0f}", wanted=f"{wanted:,.0f}", each=f"{each:,.0f}")


def _most_layers(found: ServingEstimate) -> int | None:
    """The most layers on the device with which it fits where it does not; None where none are left to the host."""
    plan, policy = found.plan, found.plan.engine.policy
    host = host_of(plan.cluster)
    if host is None or why_not(plan.options, plan.model, plan.device, policy, plan.devices):
        return None

    def fits(layers: int) -> bool:
        fewer = replace(plan, host=host, workload=replace(plan.workload, gpu_layers=layers))
        memory = serving_memory(fewer, policy)
        return real(memory.needed_bytes) <= real(memory.budget_bytes) and fewer.host_holds(memory.host_bytes)

    return next((layers for layers in range(plan.model.layer_count, -1, -1) if fits(layers)), None)
