"""The result of a deployment from its estimate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.answer.data import present
from llmplan.answer.limits import limits_kept, serving_figures
from llmplan.answer.serving import (
    CacheAnswer,
    ImagesAnswer,
    LatencyAnswer,
    LoadAnswer,
    PrefixAnswer,
    PrintedCache,
    ServingMemoryAnswer,
    ServingMemoryParts,
    ServingResult,
    ServingThroughputAnswer,
    ServingTimeAnswer,
    SoundAnswer,
)
from llmplan.answer.training import ModelAnswer
from llmplan.records import replace
from llmplan.serving.host_cache import host_tokens, load_seconds
from llmplan.serving.iteration import replica
from llmplan.software.band import Interval

if TYPE_CHECKING:
    from llmplan.answer.economics.serving import ServingEconomics
    from llmplan.answer.serving_bottleneck import ServingBottleneck
    from llmplan.serving.estimate import ServingEstimate


def serving_result(found: ServingEstimate, economics: ServingEconomics, held: ServingBottleneck) -> ServingResult:
    """The result of an estimate, what its tokens cost, and what holds it back."""
    model, limits = found.plan.model, found.plan.options.limits
    return ServingResult(
        model=ModelAnswer(
            name=model.name, parameters=model.parameters, active_parameters=model.active_parameters,
            max_context=model.max_context, encoder_parameters=model.tower_parameters or None,
            approximate=model.approximate or None,
        ),
        engine_version=found.version, rules_version=found.plan.engine.rules or None,
        fits=found.fits, verdict=found.verdict, memory=_memory(found),
        images=_images(found), sound=_sound(found),
        kv_cache=_cache(found, found.kv_tokens) if found.kv_tokens else None,
        prefix_cache=_prefix(found),
        throughput=ServingThroughputAnswer(
            output_tokens_per_second=found.output_tokens_per_second, requests_per_second=found.requests_per_second
        ),
        latency=LatencyAnswer(
            ttft_seconds=found.spread("ttft", replace(found.ttft, p95=found.p95_ttft.value)),
            burst_ttft_seconds=found.burst_ttft,
            tpot_seconds=None if found.tpot is None else found.spread("tpot", found.tpot),
            request_seconds=found.spread("request", found.request),
        ),
        load=_load(found),
        time=ServingTimeAnswer(
            decode_step_seconds=float(found.decode.total), decode_parts=present(found.decode.parts()),
            prefill_seconds=float(found.prefill.total), prefill_parts=present(found.prefill.parts()),
        ),
        bottleneck=held, cost=economics.cost, energy=economics.energy,
        limits=limits_kept(limits, serving_figures(found, economics)) if limits else None,
    )  # fmt: skip


def _memory(found: ServingEstimate) -> ServingMemoryAnswer:
    """The engine fills what it may take and no more, so the band of the peak ends there; that of the need does not."""
    needed, peak = found.needed, float(found.memory.peak_bytes)
    low, high = peak * needed.low / needed.value, peak * needed.high / needed.value
    return ServingMemoryAnswer(
        peak_bytes=Interval(peak, low, max(peak, min(high, found.usable_bytes))), needed_bytes=needed,
        usable_bytes=found.usable_bytes, capacity_bytes=found.capacity_bytes,
        parts=ServingMemoryParts(**{name: float(value) for name, value in found.memory.parts().items()}),
        weights=present(found.memory.weights.parts()), host_bytes=float(found.memory.host_bytes) or None,
    )  # fmt: skip


def _images(found: ServingEstimate) -> ImagesAnswer | None:
    count, cut = found.plan.workload.images, found.plan.image
    if count is None or cut is None:
        return None
    return ImagesAnswer(
        images=count, tokens_per_image=cut.tokens, patches_per_image=cut.patches, tiles_per_image=cut.sequences,
        encoder_seconds=found.encoder,
    )  # fmt: skip


def _sound(found: ServingEstimate) -> SoundAnswer | None:
    seconds, heard, model = found.plan.workload.audio_seconds, found.plan.sound, found.plan.model
    if seconds is None or heard is None or model.sound is None:
        return None
    return SoundAnswer(
        seconds=seconds, tokens=heard.tokens, positions=heard.patches, windows=heard.sequences,
        encoder_seconds=None if model.sound.rule.inside else found.encoder,
    )  # fmt: skip


def _cache(found: ServingEstimate, tokens: Interval) -> CacheAnswer:
    memory, meaning, replicas = found.memory, found.plan.engine.policy.printed, found.replicas
    printed = PrintedCache(
        tokens=tokens.value / replicas, meaning=meaning, requests=float(memory.requests) / replicas
    ) if meaning != "lengths" else None  # fmt: skip
    return CacheAnswer(
        tokens=tokens, bytes=float(memory.kv_cache_bytes), longest_tokens=float(memory.longest),
        max_model_len=float(memory.longest_request), requests=float(memory.requests),
        precision=found.plan.workload.kv_precision, printed=printed,
    )  # fmt: skip


def _prefix(found: ServingEstimate) -> PrefixAnswer | None:
    work, room = found.plan.workload, found.prefix_room
    if room is None:
        return None
    hit = work.input_tokens - work.computed_tokens
    kept = host_tokens(found.plan)
    there: dict[str, float] = {}
    if kept is not None:
        plan = found.plan if found.plan.prefill is None else found.plan.with_layout(found.plan.prefill)
        there = {
            "host_tokens": kept, "host_hit_tokens": work.input_tokens * (work.prefix_host_hit or 0.0),
            "host_load_seconds": float(load_seconds(replica(plan), work, plan.engine.policy)),
        }  # fmt: skip
    return PrefixAnswer(hit_tokens=hit, computed_tokens=work.computed_tokens, room_tokens=room, **there)


def _load(found: ServingEstimate) -> LoadAnswer:
    return LoadAnswer(
        resident_sequences=found.resident, sequences=found.sequences, queued=found.queued,
        capacity_requests_per_second=found.capacity, utilization=found.load, stable=found.stable,
        replicas=found.replicas, replica_devices=found.replica_devices, replicas_needed=found.replicas_needed,
        missed=tuple(name for name, _, _ in found.missed),
    )  # fmt: skip
