"""The vocabulary: every word that a plan may hold, as an option (`--seq-len`) and as a key (`seq_len`).

One field is one line: its type, its help, its panel. The command line's options, the keys of a plan
file and the JSON Schema (`llmplan schema plan`) all come from it. No field has a default other
than None, "not said": what is filled in is decided, and told, by `llmplan.training.resolve`.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from llmplan.schema import Spec
from llmplan.setup.limits import LimitsField
from llmplan.setup.written import amount, length, read_duration, read_image_size, read_precision, read_workload
from llmplan.units import Bytes, Seconds, UsdPerHour, Watts, parse_quantity
from llmplan.vocabulary import (
    Arrival,
    Generation,
    GradientPrecision,
    LengthSpread,
    Load,
    Method,
    Optimizer,
    QuantizedBase,
    Recompute,
    Speculation,
    StoragePrecision,
    TrainingPrecision,
    WorkloadKind,
)
from llmplan.vocabulary import Count as AnyCount
from llmplan.vocabulary import Degree as AnyDegree
from llmplan.vocabulary import RequestTokens as AnyRequestTokens

SUBJECT, LAYOUT, TRAINING, FINE_TUNING = "Model and hardware", "Layout", "Training", "Fine-tuning"
RUN = "The whole run"
SERVING = "Serving"


def _option(text: str, panel: str, metavar: str = "", also: tuple[str, ...] = ()) -> Any:
    """A field that nobody has to give; `metavar` names its value in the help where the type does not; also: other names
    that engines have for it, which the command line takes too."""
    extra: dict[str, Any] = {"x-panel": panel, "x-metavar": metavar}
    return Field(default=None, description=text, json_schema_extra={**extra, "x-also": list(also)} if also else extra)


def _names(value: Any) -> Any:
    """`q,kv` as a list of two."""
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


def read_api_price(value: Any) -> Any:
    """`0.5,1.5` as prices of input and output; one price is both."""
    parts = value if isinstance(value, (list, tuple)) else str(value).split(",")
    prices = [parse_quantity(part.strip() if isinstance(part, str) else part, "USD") for part in parts]
    if len(prices) not in (1, 2) or min(prices) < 0 or max(prices) <= 0:
        raise ValueError(f"{str(value)[:60]!r} is not one or two prices of a million tokens, such as '0.5,1.5'")
    return prices[0], prices[-1]


Degree = Annotated[AnyDegree, amount(AnyDegree)]
Count = Annotated[AnyCount, amount(AnyCount)]
SequenceTokens = Annotated[AnyCount, length(AnyCount)]
RequestTokens = Annotated[AnyRequestTokens, length(AnyRequestTokens)]
Workload = Annotated[WorkloadKind, BeforeValidator(read_workload)]
Computed = Annotated[TrainingPrecision, BeforeValidator(read_precision)]
Stored = Annotated[StoragePrecision, BeforeValidator(read_precision)]
FrozenBase = Annotated[QuantizedBase, BeforeValidator(read_precision)]
Layers = Annotated[int, Field(ge=0, le=100_000)]
Zero = Annotated[int, Field(ge=0, le=3)]
RunTokens = Annotated[float, Field(gt=0, le=1e18)]
Tokens = Annotated[RunTokens, amount(RunTokens)]
Names = Annotated[tuple[str, ...], BeforeValidator(_names, json_schema_input_type=str | list[str])]
Prices = Annotated[
    tuple[float, float], BeforeValidator(read_api_price, json_schema_input_type=str | float | list[float])
]
Epochs = Annotated[float, Field(gt=0, le=1e6)]
Rate = Annotated[float, Field(gt=0, le=1e9)]
Variation = Annotated[float, Field(gt=0, le=100)]
Hit = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Acceptance = Annotated[float, Field(gt=0, lt=1)]
Target = Annotated[Seconds, Field(gt=0)]
TokenTime = Annotated[Seconds, Field(gt=0), BeforeValidator(read_duration, json_schema_input_type=str | float)]
Memory = Annotated[Bytes, Field(gt=0)]
Price = Annotated[UsdPerHour, Field(gt=0)]
Pue = Annotated[float, Field(ge=1, le=3)]
Power = Annotated[Watts, Field(gt=0)]
ImageSize = Annotated[str, BeforeValidator(read_image_size, json_schema_input_type=str)]
Text = Annotated[str, Field(min_length=1, max_length=4096)]


class PlanOptions(Spec):
    """One plan in the words of the user; None (an empty value) is the same as leaving a word out."""

    model: Text | dict[str, Any] | None = _option(
        "Catalogue id, id of the Hub (owner/name), path of a Hugging Face config.json (or its folder) or of a model "
        "file; in a plan file also the model itself, as a mapping.",
        SUBJECT, "ID|PATH",
    )  # fmt: skip
    download: bool | None = _option("Fetch the config of a model of the Hub that is not at hand.", SUBJECT)
    hardware: Text | None = _option(
        "Device: catalogue id or alias (h100, tpu-v5p), a vendor's name (NVIDIA H200), a cloud instance (p5.48xlarge), "
        "or local: what this machine has.",
        SUBJECT, "ID",
    )  # fmt: skip
    device_memory: Memory | None = _option("Memory of a device, if not the catalogue's (64 GiB).", SUBJECT, "BYTES")
    cluster: Text | None = _option("Node and fabric; default: the usual one of the device.", SUBJECT, "ID")
    devices: Degree | None = _option("Devices of the whole run.", SUBJECT)
    devices_per_node: Degree | None = _option("Devices in a node, instead of the cluster's.", SUBJECT)
    stack: Text | None = _option("Software that runs it; default: generic, with a wider band.", SUBJECT, "ID")
    stack_version: Text | None = _option("Its version, for the record.", SUBJECT, "TEXT")

    tp: Degree | None = _option("Tensor parallelism; default: of the fastest that fits.", LAYOUT)
    pp: Degree | None = _option("Pipeline stages; default: the fewest that fit.", LAYOUT)
    vp: Degree | None = _option("Virtual stages a device (interleaved schedule); default 1.", LAYOUT)
    cp: Degree | None = _option("Context parallelism; default 1.", LAYOUT)
    ep: Degree | None = _option("Expert parallelism: divides dp x cp x tp, takes no devices of its own.", LAYOUT)
    dp: Degree | None = _option("Data parallelism = devices / (tp x pp x cp).", LAYOUT)
    zero: Zero | None = _option(
        "Sharded over dp: 0 nothing, 1 optimizer states, 2 and gradients, 3 and parameters (FSDP).", LAYOUT
    )
    sequence_parallel: bool | None = _option("Norms and residuals divided over tp too.", LAYOUT)
    micro_batch: Count | None = _option("Sequences a micro-batch.", LAYOUT)
    recompute: Recompute | None = _option("Activations computed again in the backward pass.", LAYOUT)
    recompute_layers: Count | None = _option(
        "Layers of each virtual stage that recompute full runs again, the others keeping their activations; default "
        "all.",
        LAYOUT,
    )  # fmt: skip
    offload_optimizer: bool | None = _option("Optimizer states in host memory.", LAYOUT)
    offload_activations: bool | None = _option(
        "Kept activations in host memory until the backward pass needs them.", LAYOUT
    )
    dp_replicate: Degree | None = _option(
        "Groups of dp that each hold all shards (hybrid sharding, HSDP); default 1: shards over all of dp.", LAYOUT
    )
    offload_parameters: bool | None = _option("Parameters, gradients and states in host memory (zero 3).", LAYOUT)

    memory_reserve: Memory | None = _option(
        "Memory of a device that stays free, beside what its driver takes (4 GiB); default none.", LAYOUT, "BYTES"
    )

    workload: Workload | None = _option("What is run; default pretrain.", TRAINING)
    precision: Computed | None = _option("Of the matrix products.", TRAINING)
    seq_len: SequenceTokens | None = _option("Tokens a sequence.", TRAINING)
    target_len: SequenceTokens | None = _option("Tokens of a decoder's sequence, behind an encoder.", TRAINING)
    global_batch: Count | None = _option("Sequences a step, all devices.", TRAINING)
    optimizer: Optimizer | None = _option("Optimizer.", TRAINING)
    optimizer_in_backward: bool | None = _option(
        "Each layer updated as soon as its gradients are there: no others are kept.", TRAINING
    )
    flash_attention: bool | None = _option("Attention without stored scores.", TRAINING)
    gradient_precision: GradientPrecision | None = _option(
        "Of gradients as they are added up and reduced, beside 16-bit weights; default: the stack's.", TRAINING
    )
    tp_comm_overlap: bool | None = _option(
        "Tensor-parallel communication in pieces beside the products; default: as the stack's measured runs.", TRAINING
    )

    load: Load | None = _option(
        "How requests come: a batch at once, a closed loop of `batch`, as many as fit, or `request_rate` a second.",
        SERVING,
    )
    batch: Count | None = _option("Requests in flight, over all devices.", SERVING)
    request_rate: Rate | None = _option("Requests a second, for an open load.", SERVING, "NUMBER")
    arrival: Arrival | None = _option(
        "How requests of an open load come; percentiles are simulated then. Default: means by formula, as Poisson's.",
        SERVING,
    )
    arrival_cv: Variation | None = _option(
        "Standard deviation over mean of times between arrivals, of gamma: above 1 in bursts, below evenly.", SERVING,
        "NUMBER",
    )  # fmt: skip
    input_tokens: RequestTokens | None = _option("Tokens of a prompt, on average.", SERVING, "NUMBER")
    images: Count | None = _option("Images in a prompt, beside its tokens of text.", SERVING)
    image_size: ImageSize | None = _option(
        "Their size in pixels: of a side, or WIDTHxHEIGHT (1280x720).", SERVING, "PIXELS"
    )
    audio_seconds: Target | None = _option(
        "Length of the sound in a prompt, beside its tokens of text.", SERVING, "TIME"
    )
    output_tokens: RequestTokens | None = _option("Tokens of an answer, on average.", SERVING, "NUMBER")
    lora_adapters: Count | None = _option(
        "Adapters that a replica holds and any request may ask for; with --lora-rank.", SERVING
    )
    length_spread: LengthSpread | None = _option("How lengths differ from request to request.", SERVING)
    prefix_hit: Hit | None = _option(
        "Share of a prompt's tokens that a prefix cache has already; default: no such cache, or what `turns` leave.",
        SERVING, "NUMBER",
    )  # fmt: skip
    prefix_host_hit: Hit | None = _option(
        "Of a prompt's tokens, the share that hits in host memory alone; default: all of prefix_hit, with "
        "kv_offloading_size.", SERVING, "NUMBER",
    )  # fmt: skip
    kv_offloading_size: Memory | None = _option(
        "Host memory of a replica in which prefixes stay that leave its devices (256 GiB); default none.", SERVING,
        "BYTES",
    )  # fmt: skip
    turns: Count | None = _option("Turns of a conversation: prompts hold the turns before them.", SERVING)
    weight_precision: Stored | None = _option("Of the weights; default: as released.", SERVING)
    activation_precision: Stored | None = _option("Of the inputs of matrix products.", SERVING)
    kv_precision: Stored | None = _option("Of the key-value cache.", SERVING)
    memory_fraction: Share | None = _option(
        "Share of memory, in the stack's own meaning.",
        SERVING,
        "NUMBER",
        ("gpu_memory_utilization", "mem_fraction_static", "free_gpu_memory_fraction"),
    )
    max_model_len: SequenceTokens | None = _option(
        "Longest request that the engine is started for, prompt and answer; default: the plan's lengths.", SERVING
    )
    max_num_seqs: Count | None = _option(
        "Requests at once in a replica; default: the engine's.", SERVING, "", ("max_running_requests",)
    )
    max_num_batched_tokens: Count | None = _option(
        "Tokens of prompts a step; default: the engine's.", SERVING, "", ("chunked_prefill_size", "max_num_tokens")
    )
    block_size: Count | None = _option(
        "Tokens of a block of the cache; default: the engine's.", SERVING, "", ("page_size", "tokens_per_block")
    )
    enforce_eager: bool | None = _option("No captured graphs.", SERVING)
    gpu_layers: Layers | None = _option(
        "Layers on the device, the output layer first, the others in host memory (llama.cpp); default: all.", SERVING,
        "N", ("n_gpu_layers",),
    )  # fmt: skip
    speculation: Speculation | None = _option("Drafts that are checked together.", SERVING)
    draft_model: Text | None = _option("Model that drafts, with speculation draft-model.", SERVING, "ID|PATH")
    draft_tokens: Count | None = _option("Tokens drafted in a step; default: the stack's.", SERVING)
    acceptance: Acceptance | None = _option("Share of drafts that are right; default: the stack's.", SERVING, "NUMBER")
    prefill_devices: Degree | None = _option("Devices of `devices` that only read prompts.", SERVING)
    decode_devices: Degree | None = _option("Those that only write answers; default: the rest.", SERVING)
    prefill_tp: Degree | None = _option("Tensor parallelism where prompts are read; default: the least.", SERVING)
    prefill_ep: Degree | None = _option("Expert parallelism there; default 1.", SERVING)
    prefill_dp: Degree | None = _option("Data parallelism there; default: what is left.", SERVING)
    max_ttft: Target | None = _option("Target: mean time to first token, at most (0.5 s).", SERVING, "TIME")
    max_ttft_p95: Target | None = _option("Target: time to first token, 95 of 100 requests, at most.", SERVING, "TIME")
    max_ttft_p99: Target | None = _option("Target: time to first token, 99 of 100 requests, at most.", SERVING, "TIME")
    max_tpot: TokenTime | None = _option("Target: time per output token, at most (30 ms).", SERVING, "TIME")
    max_tpot_p95: TokenTime | None = _option(
        "Target: time per output token, 95 of 100 requests, at most.", SERVING, "TIME"
    )
    max_tpot_p99: TokenTime | None = _option(
        "Target: time per output token, 99 of 100 requests, at most.", SERVING, "TIME"
    )
    max_request: Target | None = _option("Target: mean time of a whole request, at most (10 s).", SERVING, "TIME")
    max_request_p95: Target | None = _option(
        "Target: time of a whole request, 95 of 100 requests, at most.", SERVING, "TIME"
    )
    max_request_p99: Target | None = _option(
        "Target: time of a whole request, 99 of 100 requests, at most.", SERVING, "TIME"
    )

    tokens: Tokens | None = _option("Tokens of the whole run: days, cost, energy, storage (15e12).", RUN, "NUMBER")
    steps: Count | None = _option("Steps of the whole run, instead of tokens.", RUN)
    epochs: Epochs | None = _option("Passes over the data set, instead of tokens.", RUN, "NUMBER")
    dataset_tokens: Tokens | None = _option("Tokens of the data set; default: those of the run.", RUN, "NUMBER")
    price: Price | None = _option("What a device costs an hour, instead of catalogue prices (2.5 USD/h).", RUN, "USD/H")
    grid: Text | None = _option("Where electricity comes from: usa, fra, ..., or '57 gCO2e/kWh'.", RUN, "ID|AMOUNT")
    pue: Pue | None = _option("Energy of the building over that of its machines.", RUN, "NUMBER")
    device_power: Power | None = _option("What a device draws under load, instead of the catalogue's.", RUN, "WATTS")
    mtbf: Text | None = _option(
        "Mean time between interruptions of one device: '50000 h', or a published rate (llama-3).", RUN, "TIME|ID"
    )
    api_price: Prices | None = _option(
        "What an interface asks for a million input and output tokens, to compare with (0.5,1.5 USD).",
        SERVING,
        "USD,USD",
    )
    limits: LimitsField | None = _option("Limits for --check: 'max_days=60, min_mfu=0.35'.", RUN, "LIST")

    lora_rank: Count | None = _option("Rank of the adapters.", FINE_TUNING)
    lora_targets: Names | None = _option(
        "Matrices with adapters, by the names that PEFT knows (q_proj,v_proj), by ours (q,k,v,kv,out,gate,up,down), or "
        "all-linear, attention, mlp, default (PEFT's).",
        FINE_TUNING, "NAMES",
    )  # fmt: skip
    dora: bool | None = _option("Adapters with a magnitude for each output (DoRA).", FINE_TUNING)
    quantized_base: FrozenBase | None = _option("Precision of the frozen base (QLoRA).", FINE_TUNING)
    method: Method | None = _option(
        "What is learned from: texts (sft), pairs of answers (dpo, reward), answers written meanwhile (grpo, ppo).",
        FINE_TUNING,
    )
    reference: bool | None = _option("A frozen copy of the model to compare with; default: the method's.", FINE_TUNING)
    generation: Generation | None = _option(
        "Where grpo and ppo write answers: an engine beside the training on each device, or elsewhere.", FINE_TUNING
    )
    generation_fraction: Share | None = _option(
        "Share of a device that an engine beside the training takes; default 0.3.", FINE_TUNING, "NUMBER"
    )
    generation_tp: Degree | None = _option("Devices that share one copy of its weights; default 1.", FINE_TUNING)
    packing: bool | None = _option("Samples packed, cut or filled to one length.", FINE_TUNING)

    def said(self) -> dict[str, Any]:
        """The options that were given."""
        return {name: value for name in self.model_fields_set if (value := getattr(self, name)) is not None}


FLAGS = frozenset({
    "download", "sequence_parallel", "offload_optimizer", "offload_parameters",
    "offload_activations", "tp_comm_overlap", "optimizer_in_backward",
    "flash_attention", "packing", "reference", "enforce_eager", "dora",
})  # fmt: skip
"""Fields that are true or false (a test holds this to the annotations)."""
RUN_WORDS = ("steps", "epochs", "dataset_tokens", "price", "grid", "pue", "device_power", "mtbf")
"""Words about the whole run, which change no step: they stay as they were said."""
MONEY_WORDS = ("price", "grid", "pue", "device_power", "api_price")
"""Of those, what a deployment knows too, and its own."""
SERVING_WORDS = tuple(
    name
    for name, field in PlanOptions.model_fields.items()
    if isinstance(field.json_schema_extra, dict) and field.json_schema_extra["x-panel"] == SERVING
)
"""Words that go with the workload `serve`."""
