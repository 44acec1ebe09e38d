"""A deployment as a plan: what is served under which load, how it is spread, by which version of an engine."""

from typing import Annotated, Any, Self

from llmplan.formulas.numeric import real
from llmplan.formulas.prefix import computed_tokens
from llmplan.machine.hardware import Device
from llmplan.model.encoder_input import EncoderInput
from llmplan.model.model import Model
from llmplan.records import dataclass, names, replace
from llmplan.rules import Within
from llmplan.serving.defaults import weight_precision
from llmplan.setup.layout import Layout
from llmplan.setup.options import MONEY_OPTIONS
from llmplan.setup.plan import Setup
from llmplan.software.distance import Traits, bits_of
from llmplan.software.engine import Engine
from llmplan.vocabulary import (
    Arrival,
    Count,
    Fraction,
    LengthSpread,
    Load,
    RequestTokens,
    Speculation,
    StoragePrecision,
    WorkloadKind,
)

DEGREES = ("tp", "pp", "cp", "ep", "dp")
"""Options of a layout that mean something in serving."""
NOTHING_TO_WRITE = "prompts on devices of their own go with answers of more than one token: the others write nothing"
PREFILL = "prefill_"
"""What options of the pool that reads prompts start with."""
PREFILL_DEGREES = ("tp", "cp", "ep", "dp")
"""Those of it."""
COPIES = "redundant_experts"
"""The option of either pool that is left out where there are none."""


@dataclass(frozen=True, kw_only=True)
class ServingWorkload:
    """Requests, how they come, and in which precision they are served."""

    load: Load = "closed"
    """`static`: `batch` sequences start together; `closed`: a loop keeps `batch` requests in flight;
    `saturated`: as many as memory holds; `open`: `request_rate` requests a second arrive."""
    batch: Count | None = None
    """Sequences in flight over all devices."""
    request_rate: Annotated[float, Within(ge=1e-9, le=1e9)] | None = None
    """Requests a second."""
    arrival: Arrival | None = None
    """How requests of an open load come: `poisson`, each by itself; `gamma`, in bursts or evenly by `arrival_cv`."""
    arrival_cv: Annotated[float, Within(gt=0, le=100)] | None = None
    """Standard deviation over mean of the times between arrivals: 1 is Poisson's, above 1 they come in bursts."""
    input_tokens: RequestTokens = 1024.0
    """Tokens of a prompt (mean), those of its images and its sound among them."""
    images: Count | None = None
    """Images in a prompt."""
    image_size: str | None = None
    """Width x height of one [px]."""
    audio_seconds: Annotated[float, Within(gt=0)] | None = None
    """Length of the sound in a prompt [s]."""
    output_tokens: RequestTokens = 256.0
    """Tokens of an answer (mean)."""
    lora_adapters: Count | None = None
    """Adapters that a replica holds, asked for alike."""
    lora_rank: Count | None = None
    lora_targets: tuple[str, ...] | None = None
    """Matrices that have one."""
    length_spread: LengthSpread = "dataset"
    """How lengths differ from request to request: `constant`: not at all; `uniform`: between 0.8 and 1.0 of
    the longest; `dataset`: as those of real text. Requests of one length may stay in step in a closed loop."""
    prefix_hit: Annotated[float, Within(ge=0, lt=1)] | None = None
    """Share of a prompt's tokens that are in the cache already; None: no prefix cache."""
    prefix_host_hit: Annotated[float, Within(ge=0, lt=1)] | None = None
    """Share of a prompt's tokens that are in host memory, among those of `prefix_hit`."""
    kv_offloading_size: Annotated[float, Within(gt=0)] | None = None
    """Host memory of a replica for prefixes [bytes]."""
    turns: Count | None = None
    """Turns of a conversation, whose prompts hold the turns before; `input_tokens` is the mean of all of them."""
    weight_precision: StoragePrecision = "bf16"
    activation_precision: StoragePrecision = "bf16"
    """Inputs of matrix products: with `fp8` both sides are, with `bf16` weights are widened on the fly."""
    kv_precision: StoragePrecision = "bf16"
    dcp: Count | None = None
    """Devices of tp over which the cache of a sequence is spread; None: those that have its heads hold all of it."""
    memory_fraction: Fraction | None = None
    """Share of device memory that the engine may take, as the stack means it; default: the stack's."""
    max_model_len: Count | None = None
    """Tokens of the longest request that the engine is started for, prompt and answer; default: the plan's lengths."""
    max_num_seqs: Count | None = None
    """Requests that a replica works on at once; default: the engine's for the device."""
    max_num_batched_tokens: Count | None = None
    """Tokens that one step reads of prompts; default: the engine's for the device."""
    batch_wait_iterations: Annotated[int, Within(ge=0, le=10_000)] | None = None
    """Steps that a prompt waits for others to be read with, while answers are written; default: none."""
    block_size: Count | None = None
    """Tokens of a block of the cache; default: the engine's."""
    enforce_eager: bool = False
    """No captured graphs."""
    gpu_layers: Annotated[int, Within(ge=0)] | None = None
    """Layers on the device, the output layer the first of them; the others are in host memory. Default: all."""
    speculation: Speculation = "none"
    """What drafts. `mtp`: a layer for multi-token prediction, as the model was released with; `eagle`: such a layer
    that was trained later; `medusa`: further heads; `draft-model`: a small model beside it."""
    draft_tokens: Count | None = None
    """Tokens drafted for a sequence in one step; default: the stack's."""
    acceptance: Annotated[float, Within(gt=0, lt=1)] | None = None
    """Share of drafted tokens that are right where those before them were; default: the stack's."""
    max_ttft: Annotated[float, Within(gt=0)] | None = None
    """Limit on the mean time to first token [s]."""
    max_ttft_p95: Annotated[float, Within(gt=0)] | None = None
    """Limit on the time to first token of 95 of 100 requests [s]."""
    max_ttft_p99: Annotated[float, Within(gt=0)] | None = None
    """Limit on the time to first token of 99 of 100 requests [s]."""
    max_tpot: Annotated[float, Within(gt=0)] | None = None
    """Limit on the time per output token [s]."""
    max_tpot_p95: Annotated[float, Within(gt=0)] | None = None
    """Limit on the time per output token of 95 of 100 requests [s]."""
    max_tpot_p99: Annotated[float, Within(gt=0)] | None = None
    """Limit on the time per output token of 99 of 100 requests [s]."""
    max_request: Annotated[float, Within(gt=0)] | None = None
    """Limit on the mean time of a whole request [s]."""
    max_request_p95: Annotated[float, Within(gt=0)] | None = None
    """Limit on the time of a whole request of 95 of 100 requests [s]."""
    max_request_p99: Annotated[float, Within(gt=0)] | None = None
    """Limit on the time of a whole request of 99 of 100 requests [s]."""

    @property
    def writes(self) -> bool:
        """Whether answers have more than one token: of many workloads in one, all have or none."""
        more: Any = self.output_tokens > 1.0
        return more if isinstance(more, bool) else bool(more.all())

    @property
    def computed_tokens(self) -> float:
        """Tokens of a prompt that are computed, beside those that hit [1]."""
        return real(computed_tokens(self.input_tokens, self.prefix_hit or 0.0))


@dataclass(frozen=True, kw_only=True)
class ServingPlan(Setup):
    """Everything that an estimate of a deployment needs.

    engine: the version of the stack that serves; prefill: layout of the devices that read prompts, where others than
    those of `layout` do; host: the processors that run layers in host memory, if any are; draft: the model that
    drafts, if one does; acceptance_spread: how far the share of its drafts that are right may be off [1];
    image, sound: what one image of a prompt, and its sound, is to the model.
    """

    workload: ServingWorkload
    engine: Engine
    prefill: Layout | None = None
    host: Device | None = None
    draft: Model | None = None
    acceptance_spread: float = 0.0
    image: EncoderInput | None = None
    sound: EncoderInput | None = None

    @property
    def encoded_tokens(self) -> int:
        """Tokens of all images and of the sound of a prompt [1]."""
        images = (self.workload.images or 0) * (0 if self.image is None else self.image.tokens)
        return images + (0 if self.sound is None else self.sound.tokens)

    @property
    def seen_tokens(self) -> int:
        """Tokens of all images that only cross-attention sees [1]."""
        return (self.workload.images or 0) * (0 if self.image is None else self.image.seen)

    @property
    def device_layers(self) -> float:
        """Share of the repeating layers that is on the device [1]; kinds of layers are taken to be spread evenly."""
        layers = self.workload.gpu_layers
        return 1.0 if layers is None else max(layers - 1, 0) / self.model.layer_count

    @property
    def devices(self) -> int:
        """Devices of all pools [1]."""
        return self.layout.devices + (self.prefill.devices if self.prefill is not None else 0)

    @property
    def as_released(self) -> bool:
        """Whether the weights are served in the precision that they were released in."""
        return self.workload.weight_precision == weight_precision(self.model, self.device)

    @property
    def kind(self) -> WorkloadKind:
        """What is run: `serve`."""
        return "serve"

    @property
    def traits(self) -> Traits:
        """What it is, as far as the width of bands goes."""
        version, bits = self.options.stack_version or "", bits_of(self.workload.activation_precision)
        rate = self.workload.request_rate is not None
        return Traits(self.device.id, version, bits, self.model.kinds, self.model.approximate, open_load=rate)

    def on_devices(self, count: int) -> Self:
        """The same plan on so many devices in all, however they are used."""
        return replace(self.with_layout(Layout(dp=count)), prefill=None)

    def as_options(self) -> dict[str, Any]:
        """The plan in the vocabulary, complete: given back as a plan file it is the same plan."""
        layout, work = self.layout, self.workload
        return self.in_order({
            **self.common_options(MONEY_OPTIONS), "workload": "serve",
            **{name: getattr(layout, name) for name in DEGREES}, COPIES: layout.redundant_experts or None,
            **self._pool_options(),
            **{name: getattr(work, name) for name in names(work)},
            "draft_model": self.options.draft_model,
            "acceptance": self.options.acceptance,  # one that nobody gave has a wider band than one that is known
            "input_tokens": (work.input_tokens - self.encoded_tokens) or None,  # of the text, as it was given
        })  # fmt: skip

    def _pool_options(self) -> dict[str, int | None]:
        """Options of the devices that read prompts, where they have a layout of their own."""
        if self.prefill is None:
            return {}
        found = {name: getattr(self.prefill, name) for name in PREFILL_DEGREES}
        found |= {"devices": self.prefill.devices, COPIES: self.prefill.redundant_experts or None}
        return {f"{PREFILL}{name}": value for name, value in found.items()}
