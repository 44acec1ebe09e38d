"""Time of one step of an engine: so many sequences decode one token, so many tokens of prompts are read.

Everything is arithmetic on `Shapes`, so batch, context and lengths may be numbers or arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from llmplan.formulas.attention import attended_tokens, attention_flops, attention_seconds
from llmplan.formulas.collectives import (
    all_reduce_seconds,
    bus_bandwidth,
    dispatch_seconds,
    members_in_domain,
    send_seconds,
)
from llmplan.formulas.decode import (
    decode_attention_seconds,
    reduce_latency,
    repeated_reads_bandwidth,
    touched_experts,
    weighted_traffic,
)
from llmplan.formulas.matmul import matmul_seconds
from llmplan.formulas.numeric import log2, maximum, minimum, where
from llmplan.machine import rates as reach
from llmplan.serving.precision import LOW, WEIGHT_BYTES, expert_bytes
from llmplan.serving.shapes import Mixer, Product, Shapes, shapes

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Bool, Num
    from llmplan.serving.plan import ServingPlan
    from llmplan.software.coefficients import Coefficients
    from llmplan.software.engine import ServingPolicy

_SMALL_TILE = 8.0  # rows: half of the 16-row tile that grouped products take where each expert has few rows
_LARGE_TILE = 64.0  # rows: half of the 128-row tile that they take where each has many
GROUPED_SHARE = 0.75
"""Rate of large grouped products over plain ones [1]: median of 400 measured mixture-of-experts layers of 1,024
tokens and more on A100, H100, H200 and B200 (vLLM's fused kernels, ai-dynamo/aiconfigurator systems/data)."""
DECODE_ATTENTION_SHARE = 0.5  # of the rate of prefill: queries of one token fill matrix tiles badly
_EXCHANGE_BYTES = 1.5  # of an element sent to experts in 8 bits and back in 16, on average


@dataclass(frozen=True, slots=True)
class Deployment:
    """One replica as the step formula needs it: shapes, rates and links, fitted numbers applied."""

    shapes: Shapes
    low: reach.MatmulRate
    wide: reach.MatmulRate
    weight_bytes: float
    expert_bytes: float
    input_bytes: float
    kv_bytes: float
    attention: float  # [FLOP/s], prefill
    stream: float  # [bytes/s]
    cache_bandwidth: float  # [bytes/s]
    cache_latency: float  # [s]
    shares_reads: bool  # whether all query heads of a group share one reading of the cache
    shared_groups: tuple[float, ...]  # if not: sizes of groups that do [1]
    windows: bool  # whether layers with a sliding window attend to no more than it
    on_chip_bandwidth: float  # [bytes/s]
    links: reach.Links
    reduce_latency: float  # [s], eight devices
    tp: Num
    pp: Num
    ep: Num
    numbers: Coefficients


@dataclass(frozen=True, slots=True)
class Step:
    """Seconds of one step by part; they sum to `total` [s]."""

    matmul_seconds: Num
    attention_seconds: Num
    elementwise_seconds: Num
    tensor_parallel_seconds: Num
    expert_parallel_seconds: Num
    pipeline_transfer_seconds: Num
    host_seconds: Num

    @property
    def total(self) -> Num:
        """The whole step."""
        return (
            self.matmul_seconds + self.attention_seconds + self.elementwise_seconds + self.tensor_parallel_seconds
            + self.expert_parallel_seconds + self.pipeline_transfer_seconds + self.host_seconds
        )  # fmt: skip

    def parts(self) -> dict[str, Num]:
        """Every part by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def deployment(
    plan: ServingPlan, policy: ServingPolicy, numbers: Coefficients, built: Shapes | None = None
) -> Deployment:
    """The replica of a plan under a variant's policy and numbers; built: its shapes, where they are at hand."""
    work = plan.workload
    device = plan.device
    compute = work.activation_precision  # narrower weights are widened on the fly
    low = compute in LOW
    steady = numbers.matmul_efficiency * device.efficiency.sustained_fraction
    share = steady * (numbers.low_precision_efficiency if low else 1.0)
    wide = "fp32" if compute == "fp32" else "bf16"
    measured = device.efficiency
    fraction = measured.decode_attention_fraction or measured.memory_fraction or 1.0
    links = reach.links(device, plan.cluster)
    narrow = WEIGHT_BYTES[work.kv_precision] < reach.ELEMENT_BYTES["bf16"]
    return Deployment(
        shapes=built or shapes(plan.model, plan.layout),
        low=reach.matmul_rate(device, compute, share),
        wide=reach.matmul_rate(device, wide, steady),
        weight_bytes=WEIGHT_BYTES[work.weight_precision],
        expert_bytes=expert_bytes(plan.model, work),
        input_bytes=reach.ELEMENT_BYTES[compute],
        kv_bytes=WEIGHT_BYTES[work.kv_precision],
        attention=reach.attention_rate(device, numbers.attention_efficiency * device.efficiency.sustained_fraction),
        stream=reach.stream_bandwidth(device),
        cache_bandwidth=device.memory.bandwidth * fraction * numbers.memory_efficiency,
        cache_latency=measured.decode_attention_latency or 0.0,
        shares_reads=policy.cache_reads == "shared" or (policy.cache_reads == "shared_16_bit" and not narrow),
        shared_groups=policy.shared_groups, windows=policy.window_cache != "ignored",
        on_chip_bandwidth=measured.repeated_read_bandwidth or 0.0,  # unknown: every reader reads memory
        links=links,
        reduce_latency=measured.small_reduce_latency or links.scale_up_latency,
        tp=plan.layout.tp * 1.0, pp=plan.layout.pp * 1.0, ep=plan.layout.ep * 1.0, numbers=numbers,
    )  # fmt: skip


def step(at: Deployment, decoding: Num, context: Num, prompt: Num, length: Num) -> Step:
    """One step of one replica.

    decoding: sequences that get one token more [1]; context: tokens that each of them has, on average [1];
    prompt: tokens of prompts read in this step [1]; length: of one prompt [1]. Either may be 0.
    Under pipeline parallelism: a round in which every stage sees every pp-th part of the batch once.
    """
    pp = at.pp
    decoding, prompt = decoding / pp, prompt / pp
    has_decode, has_prompt = _some(decoding), _some(prompt)
    finishing = prompt / maximum(length, 1.0)
    matmul: Num = 0.0
    for product in at.shapes.products:
        tokens = (0.0 if product.phase == "prefill" else decoding) + (0.0 if product.phase == "decode" else prompt)
        matmul = matmul + where(_some(tokens), product.count * _product_seconds(at, product, tokens), 0.0)
    matmul = matmul + _head_seconds(at, decoding + finishing)
    attention: Num = 0.0
    for mixer in at.shapes.mixers:
        if mixer.phase != "decode":
            attention = attention + where(has_prompt, mixer.count * _prefill_attention(at, mixer, prompt, length), 0.0)
        if mixer.phase != "prefill":
            once = _decode_attention(at, mixer, decoding, context, length)
            attention = attention + where(has_decode, mixer.count * once, 0.0)
    elementwise, tensor, expert = _small(at, decoding, prompt, has_decode, has_prompt)
    size = 2.0 * (decoding + prompt) * at.shapes.hidden
    transfer = where(pp > 1, pp * send_seconds(size, at.links.scale_up, at.links.scale_up_latency), 0.0)
    numbers = at.numbers
    layers = _longer(at.shapes.layers, has_decode, has_prompt)
    host = numbers.decode_layer_seconds * layers + numbers.iteration_seconds + numbers.sequence_seconds * decoding * pp
    # every stage holds 1/pp of the layers and sees pp parts in a round: the sums over all layers stay as they are
    return Step(matmul, attention, elementwise, tensor, expert, transfer, host)


def _longer(pair: tuple[Num, Num], has_decode: Bool, has_prompt: Bool) -> Num:
    """The larger of a pair (prefill, decode), of those that are in the step."""
    return maximum(where(has_prompt, pair[0], 0.0), where(has_decode, pair[1], 0.0))


def _some(tokens: Num) -> Bool:
    """Whether there are any."""
    return tokens > 0


def _product_seconds(at: Deployment, product: Product, tokens: Num) -> Num:
    rate = at.wide if product.wide else at.low
    bandwidth = rate.bandwidth * at.numbers.memory_efficiency
    if product.experts == 1.0:
        weight = at.wide.element if product.wide else at.weight_bytes
        traffic = weighted_traffic(tokens, product.n, product.k, weight, at.input_bytes)
        return matmul_seconds(
            tokens, product.n, product.k, rate=rate.rate, ramp_k=rate.ramp_k, tail=rate.tail, traffic=traffic,
            bandwidth=bandwidth, launch=rate.launch,
        )  # fmt: skip
    rows = tokens * product.rows
    share = touched_experts(product.experts, product.active, tokens * product.spread) / product.experts
    groups = maximum(product.groups * share, minimum(1.0, rows))
    pad = minimum(_LARGE_TILE, _SMALL_TILE + rows / groups / 2.0)
    traffic = weighted_traffic(rows, product.n, product.k, at.expert_bytes, at.input_bytes, groups)
    return matmul_seconds(
        rows + groups * pad, product.n, product.k, rate=rate.rate * GROUPED_SHARE, ramp_k=rate.ramp_k, tail=rate.tail,
        traffic=traffic, bandwidth=bandwidth, launch=rate.launch,
    )  # fmt: skip


def _head_seconds(at: Deployment, rows: Num) -> Num:
    """Logits of the sequences that get a token, in 16 bits."""
    n, k, rate = at.shapes.head_n, at.shapes.hidden, at.wide
    if isinstance(n, float) and n == 0.0:
        return 0.0
    traffic = weighted_traffic(rows, n, k, rate.element, rate.element)
    return matmul_seconds(
        rows, n, k, rate=rate.rate, ramp_k=rate.ramp_k, tail=rate.tail, traffic=traffic,
        bandwidth=rate.bandwidth * at.numbers.memory_efficiency, launch=rate.launch,
    )  # fmt: skip


def _prefill_attention(at: Deployment, mixer: Mixer, prompt: Num, length: Num) -> Num:
    extra = prompt * (mixer.token_flops + mixer.pair_flops * length / 2.0)
    work = extra
    if not mixer.recurrent:
        attended = attended_tokens(length, _window(at, mixer), causal=mixer.causal, chunked=mixer.chunked)
        work = extra + attention_flops(prompt, attended, mixer.heads, mixer.pair_width, 0.0)
    traffic = 2.0 * prompt * mixer.prefill_elements
    return attention_seconds(
        work, traffic, rate=at.attention, bandwidth=at.stream, launch=at.wide.launch, ramp=reach.ATTENTION_RAMP
    )


def _decode_attention(at: Deployment, mixer: Mixer, decoding: Num, context: Num, length: Num) -> Num:
    """One new token a sequence against its cache; cross-attention reads the prompt's, self-attention of an
    encoder-decoder only what was written."""
    seen = _seen(mixer, context, length)
    window = _window(at, mixer)
    attended = seen if window is None else minimum(seen, window)
    traffic = decoding * (at.kv_bytes * (mixer.cache * attended + mixer.index * seen) + mixer.state_bytes)
    flops = decoding * (2.0 * attended * mixer.heads * mixer.decode_width + mixer.token_flops + mixer.pair_flops * seen)
    return decode_attention_seconds(
        traffic,
        flops,
        bandwidth=_cache_bandwidth(at, mixer),
        rate=at.attention * DECODE_ATTENTION_SHARE,
        latency=at.cache_latency,
    )


def _cache_bandwidth(at: Deployment, mixer: Mixer) -> Num:
    """Rate at which the cache is read, where not all query heads of a group share one reading [bytes/s]."""
    if at.shares_reads:
        return at.cache_bandwidth
    apart = repeated_reads_bandwidth(mixer.sharers, at.cache_bandwidth, at.on_chip_bandwidth)
    for group in at.shared_groups:
        apart = where(mixer.sharers == group, at.cache_bandwidth, apart)
    return apart


def _window(at: Deployment, mixer: Mixer) -> float | None:
    """Tokens that the layer attends to at most, under an engine that may ignore sliding windows [1]."""
    return None if mixer.sliding and not at.windows else mixer.window


def _seen(mixer: Mixer, context: Num, length: Num) -> Num:
    if mixer.cross:
        return length
    return maximum(context - length, 1.0) if mixer.phase == "decode" else context


def _small(at: Deployment, decoding: Num, prompt: Num, has_decode: Bool, has_prompt: Bool) -> tuple[Num, Num, Num]:
    """Elementwise kernels, all-reduces over tp, exchanges over ep."""
    here = at.shapes
    moved = prompt * here.moved[0] + decoding * here.moved[1]
    kernels = _longer(at.shapes.kernels, has_decode, has_prompt)
    elementwise = 2.0 * moved / at.stream + kernels * at.wide.launch
    tokens = decoding + prompt
    factor = at.numbers.communication_factor
    members = members_in_domain(at.tp, 1.0, at.links.domain)
    bandwidth = bus_bandwidth(at.tp, members, at.links.scale_up, at.links.scale_out)
    far = where(at.tp > members, at.links.scale_out_latency * log2(maximum(at.tp / members, 1.0)), 0.0)
    latency = reduce_latency(at.tp, at.reduce_latency) + far
    size = 2.0 * tokens * here.hidden
    reduces = _longer(at.shapes.reduces, has_decode, has_prompt)
    once = all_reduce_seconds(size, at.tp, bandwidth, latency)
    tensor = where(at.tp > 1, factor * reduces * once, 0.0)
    if here.exchange_copies == 0.0:
        return elementwise, tensor, 0.0
    exchanges = _longer(at.shapes.exchanges, has_decode, has_prompt)
    inside = members_in_domain(at.ep, 1.0, at.links.domain)
    sent = _EXCHANGE_BYTES * tokens / at.tp * here.hidden
    exchange = dispatch_seconds(
        sent, here.exchange_copies, at.ep, inside, at.links.scale_up, at.links.scale_out, at.links.scale_up_latency
    )
    return elementwise, tensor, where(at.ep > at.tp, factor * exchanges * exchange, 0.0)
