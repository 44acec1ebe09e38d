"""The answer to a plan of serving: its fields are the keys of the JSON, the texts under them its documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from llmplan.answer.data import PartsOf
from llmplan.answer.limits import LimitAnswer
from llmplan.answer.serving_bottleneck import ServingBottleneck
from llmplan.answer.training import ModelAnswer
from llmplan.formatting import count, step_time
from llmplan.records import dataclass
from llmplan.serving.iteration import Step
from llmplan.serving.weights import WeightParts
from llmplan.software.band import Interval, Verdict
from llmplan.software.engine import CacheMeaning
from llmplan.vocabulary import Amount

if TYPE_CHECKING:
    from llmplan.answer.economics.serving import ServingCost, ServingEnergy


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingMemoryParts:
    """They sum to the peak."""

    weights_bytes: Amount
    kv_cache_bytes: Amount
    """Set aside by the engine, used or not."""
    activations_bytes: Amount
    overhead_bytes: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingMemoryAnswer:
    """Memory of the fullest device of a replica."""

    peak_bytes: Interval
    """With all of the cache that the engine sets aside."""
    needed_bytes: Interval
    """With one request of these lengths."""
    usable_bytes: Amount
    """What the engine may take."""
    capacity_bytes: Amount
    """What the driver reports."""
    parts: ServingMemoryParts
    weights: Annotated[dict[str, float], PartsOf(WeightParts)]
    """Those of `weights_bytes` by module group."""
    host_bytes: Amount | None = None
    """In host memory: layers that are not on the device, with their cache of one request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedCache:
    """What each replica of the engine prints when it starts, as its version means it."""

    tokens: Amount
    """The size of the key-value cache."""
    meaning: CacheMeaning
    """`blocks`: room over the bytes of a token that every layer keeps; `requests`: the most requests of `max_model_len`
    x that length."""
    requests: Amount
    """The most requests of `max_model_len` tokens at once (maximum concurrency)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheAnswer:
    """What the key-value caches of all replicas hold."""

    tokens: Interval
    """As the engine's version counts them."""
    bytes: Amount
    """That a device sets aside."""
    longest_tokens: Amount
    """Of one sequence."""
    max_model_len: Amount
    """Tokens of the longest request that the engine is started for."""
    requests: Amount
    """Of `max_model_len` tokens, at once."""
    precision: str
    printed: PrintedCache | None = None
    """Where the engine's version is known to print it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixAnswer:
    """What prompts find in a prefix cache."""

    hit_tokens: Amount
    """Of a prompt, read from the cache."""
    computed_tokens: Amount
    """Of a prompt, the rest."""
    room_tokens: Amount
    """That prefixes of requests to come may take in all caches, beside what is in flight, and in host memory."""
    host_tokens: Amount | None = None
    """That host memory holds, of all replicas."""
    host_hit_tokens: Amount | None = None
    """Of a prompt, brought from host memory."""
    host_load_seconds: Amount | None = None
    """Bringing them, each device its part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesAnswer:
    """Images of a request: what they add to its input, and what their encoder takes."""

    images: int
    """Of a request."""
    tokens_per_image: int
    """Of the language model; they are part of the input."""
    patches_per_image: int
    """That the encoder works on."""
    tiles_per_image: int
    """Pieces that it works on by themselves."""
    encoder_seconds: Amount
    """For all images and the sound of one request; part of its time to the first token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundAnswer:
    """Sound of a request: what it adds to its input, and what its encoder takes."""

    seconds: Amount
    tokens: int
    """Of the language model; they are part of the input. For Whisper: of its encoder."""
    positions: int
    """That the encoder works on, what fills its windows up among them."""
    windows: int
    """Pieces that it works on by themselves."""
    encoder_seconds: Amount | None = None
    """For all images and the sound of one request; part of its time to the first token. Absent where the model's own
    encoder reads the sound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingThroughputAnswer:
    """Of all devices."""

    output_tokens_per_second: Interval | None = None
    requests_per_second: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyAnswer:
    """Means over requests."""

    ttft_seconds: Interval
    """To the first token, when requests come steadily."""
    burst_ttft_seconds: Interval
    """The same when all requests come at once."""
    tpot_seconds: Interval | None = None
    """For each output token after the first."""
    request_seconds: Interval
    """A whole request, or the whole static batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadAnswer:
    """What the deployment takes of the load."""

    resident_sequences: Amount
    """Places for sequences of these lengths, all replicas."""
    sequences: Amount
    """In flight and resident."""
    queued: Amount
    """Waiting for a place; of two pools, waiting to be read: what is being read, and on the way, is in neither."""
    capacity_requests_per_second: Amount
    """With every place taken."""
    utilization: Amount
    """Of that capacity, or of the places."""
    stable: bool
    """Whether it keeps up."""
    replicas: int
    replica_devices: int
    replicas_needed: int | None = None
    """For the request rate and the targets; 0 where no number meets them."""
    missed: tuple[str, ...]
    """Targets that are not met: `ttft`, `tpot`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingTimeAnswer:
    """One decoding step and one prefill of a replica: of one request, or of all in flight where nothing is written."""

    decode_step_seconds: Amount
    decode_parts: Annotated[dict[str, float], PartsOf(Step)]
    prefill_seconds: Amount
    prefill_parts: Annotated[dict[str, float], PartsOf(Step)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingResult:
    """The answer to a plan of `serve`; figures of time and load are there even where it does not fit."""

    model: ModelAnswer
    engine_version: str
    """Of the stack, whose measurements were taken."""
    rules_version: str | None = None
    """The first version with the newest rule of memory that was followed."""
    fits: bool
    """Whether weights and one request of these lengths fit."""
    verdict: Verdict
    """`marginal` where the limit lies inside the band."""
    memory: ServingMemoryAnswer
    images: ImagesAnswer | None = None
    sound: SoundAnswer | None = None
    kv_cache: CacheAnswer | None = None
    prefix_cache: PrefixAnswer | None = None
    throughput: ServingThroughputAnswer
    latency: LatencyAnswer
    load: LoadAnswer
    time: ServingTimeAnswer
    bottleneck: ServingBottleneck
    cost: ServingCost
    energy: ServingEnergy
    limits: dict[str, LimitAnswer] | None = None
    """Limits of the plan, by name."""

    @property
    def is_yes(self) -> bool:
        """Whether it fits, keeps up and meets its targets."""
        return self.fits and self.load.stable and not self.load.missed

    def speed(self) -> str:
        """Time to the first token, time per token and tokens a second in one line."""
        tpot, rate = self.latency.tpot_seconds, self.throughput.output_tokens_per_second
        parts = [f"TTFT {step_time(self.latency.ttft_seconds.value)}"]
        parts += [f"TPOT {step_time(tpot.value)}"] if tpot else []
        parts += [f"{count(rate.value)} output tokens/s"] if rate else []
        return ", ".join(parts)
