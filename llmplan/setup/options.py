"""The vocabulary: all that a plan may hold, as an option (`--seq-len`) and as a key (`seq_len`).

One field is one line: its type, its help, its panel. The command line's options, the keys of a plan
file and the JSON Schema (`llmplan schema plan`) all come from it. No field has a default other
than None, "not given": defaults are filled in, and listed as assumptions, by `resolve` of `training/` and `serving/`.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any

from llmplan.records import declared
from llmplan.rules import ReadBy, Within
from llmplan.schema import Spec
from llmplan.setup.limits import LimitsField
from llmplan.setup.written import amount, length, read_duration, read_image_size, read_precision, read_workload
from llmplan.units import Bytes, Seconds, UsdPerHour, Watts, parse_quantity
from llmplan.vocabulary import (
    Arrival,
    Generation,
    GradientPrecision,
    Guess,
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
    return field(default=None, metadata={"description": text, "panel": panel, "metavar": metavar, "also": also})


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
Workload = Annotated[WorkloadKind, ReadBy(read_workload)]
Computed = Annotated[TrainingPrecision, ReadBy(read_precision)]
Stored = Annotated[StoragePrecision, ReadBy(read_precision)]
FrozenBase = Annotated[QuantizedBase, ReadBy(read_precision)]
Layers = Annotated[int, Within(ge=0, le=100_000)]
Copies = Annotated[int, Within(ge=0, le=1_000_000)]
Wait = Annotated[int, Within(ge=0, le=10_000)]
Zero = Annotated[int, Within(ge=0, le=3)]
RunTokens = Annotated[float, Within(gt=0, le=1e18)]
Tokens = Annotated[RunTokens, amount(RunTokens)]
Names = Annotated[tuple[str, ...], ReadBy(_names, str | list[str])]
Guesses = Annotated[tuple[Guess, ...], ReadBy(_names, str | list[str])]
Prices = Annotated[tuple[float, float], ReadBy(read_api_price, str | float | list[float])]
Epochs = Annotated[float, Within(gt=0, le=1e6)]
Rate = Annotated[float, Within(ge=1e-9, le=1e9)]
Variation = Annotated[float, Within(gt=0, le=100)]
Hit = Annotated[float, Within(ge=0, lt=1)]
Share = Annotated[float, Within(gt=0, le=1)]
Acceptance = Annotated[float, Within(gt=0, lt=1)]
Target = Annotated[Seconds, Within(gt=0)]
TokenTime = Annotated[Seconds, Within(gt=0), ReadBy(read_duration, str | float)]
Memory = Annotated[Bytes, Within(gt=0)]
Price = Annotated[UsdPerHour, Within(gt=0)]
Pue = Annotated[float, Within(ge=1, le=3)]
Power = Annotated[Watts, Within(gt=0)]
ImageSize = Annotated[str, ReadBy(read_image_size, str)]
Text = Annotated[str, Within(min_length=1, max_length=4096)]


class PlanOptions(Spec):
    """One plan as the user gives it; None (an empty value) is the same as leaving an option out."""

    model: Text | dict[str, Any] | None = _option(
        "Catalogue id, Hugging Face id (owner/name), or path of a config.json (or its folder) or model file; in a plan "
        "file also the model itself, as a mapping.",
        SUBJECT, "ID|PATH",
    )  # fmt: skip
    download: bool | None = _option("Fetch the config of a Hugging Face id that is not cached.", SUBJECT)
    hardware: Text | None = _option(
        "Device: catalogue id or alias (h100, tpu-v5p), a vendor's name (NVIDIA H200), a cloud instance (p5.48xlarge), "
        "or local: what this machine has.",
        SUBJECT, "ID",
    )  # fmt: skip
    device_memory: Memory | None = _option("Memory of a device (64 GiB); default: the catalogue's.", SUBJECT, "BYTES")
    cluster: Text | None = _option("Node and network; default: the usual one of the device.", SUBJECT, "ID")
    devices: Degree | None = _option("Number of devices.", SUBJECT)
    devices_per_node: Degree | None = _option("Devices in a node; default: the cluster's.", SUBJECT)
    stack: Text | None = _option("Software stack; default: generic, with a wider error band.", SUBJECT, "ID")
    stack_version: Text | None = _option("Version of the stack; default: the newest.", SUBJECT, "TEXT")

    tp: Degree | None = _option("Tensor parallelism; default: that of the fastest layout that fits.", LAYOUT)
    pp: Degree | None = _option("Pipeline stages; default: the fewest that fit.", LAYOUT)
    vp: Degree | None = _option("Virtual stages on each device (interleaved schedule); default 1.", LAYOUT)
    cp: Degree | None = _option("Context parallelism; default 1.", LAYOUT)
    ep: Degree | None = _option("Expert parallelism, inside dp x cp x tp.", LAYOUT)
    dp: Degree | None = _option("Data parallelism = devices / (tp x pp x cp).", LAYOUT)
    zero: Zero | None = _option(
        "ZeRO stage: 0 off, 1 optimizer states, 2 and gradients, 3 and parameters (FSDP).", LAYOUT
    )
    sequence_parallel: bool | None = _option("Sequence parallelism: divides norms and residuals over tp.", LAYOUT)
    micro_batch: Count | None = _option("Sequences in a micro-batch.", LAYOUT)
    recompute: Recompute | None = _option("Activation recomputation (checkpointing).", LAYOUT)
    recompute_layers: Count | None = _option(
        "Layers of each virtual stage that --recompute full recomputes; the others keep their activations. Default: "
        "all.",
        LAYOUT,
    )  # fmt: skip
    offload_optimizer: bool | None = _option("Keep optimizer states in host memory.", LAYOUT)
    offload_activations: bool | None = _option(
        "Keep saved activations in host memory until the backward pass needs them.", LAYOUT
    )
    dp_replicate: Degree | None = _option(
        "Replicas of the sharded model (hybrid sharding, HSDP); default 1: shard over all of dp.", LAYOUT
    )
    offload_parameters: bool | None = _option(
        "Keep parameters, gradients and optimizer states in host memory (ZeRO 3).", LAYOUT
    )

    memory_reserve: Memory | None = _option("Memory of a device to leave free (4 GiB); default: none.", LAYOUT, "BYTES")

    guessed: Guesses | None = _option(
        "Options that are guesses, so that the bands of step time and memory are wider: recompute, zero, vp, "
        "flash_attention, optimizer, lora_targets; default: those not given, where tp and pp are.",
        TRAINING, "NAMES",
    )  # fmt: skip

    workload: Workload | None = _option("Workload; default: pretrain.", TRAINING)
    precision: Computed | None = _option("Precision of matrix products; default: the stack's.", TRAINING)
    seq_len: SequenceTokens | None = _option("Sequence length in tokens.", TRAINING)
    target_len: SequenceTokens | None = _option("Sequence length of the decoder in an encoder-decoder model.", TRAINING)
    global_batch: Count | None = _option("Sequences in an optimizer step, over all devices.", TRAINING)
    optimizer: Optimizer | None = _option("Optimizer.", TRAINING)
    optimizer_in_backward: bool | None = _option(
        "Update each layer during the backward pass, so that only its own gradients are kept.", TRAINING
    )
    flash_attention: bool | None = _option("Flash attention: attention scores are not stored.", TRAINING)
    gradient_precision: GradientPrecision | None = _option(
        "Precision in which gradients of 16-bit weights are accumulated and reduced; default: the stack's.", TRAINING
    )
    tp_comm_overlap: bool | None = _option(
        "Overlap tensor-parallel communication with matrix products; default: as in the stack's measured runs.",
        TRAINING,
    )

    load: Load | None = _option(
        "How requests arrive: static = one batch, closed = `batch` always in flight, saturated = as many as fit, "
        "open = at `request_rate`.",
        SERVING,
    )
    batch: Count | None = _option("Concurrent requests, over all devices.", SERVING)
    request_rate: Rate | None = _option("Requests per second, for an open load.", SERVING, "NUMBER")
    arrival: Arrival | None = _option(
        "Arrival process of an open load, simulated for percentiles; default: Poisson arrivals, means by formula.",
        SERVING,
    )
    arrival_cv: Variation | None = _option(
        "Coefficient of variation of the times between gamma arrivals: above 1 bursty, below 1 even.", SERVING,
        "NUMBER",
    )  # fmt: skip
    input_tokens: RequestTokens | None = _option("Mean prompt length in tokens.", SERVING, "NUMBER")
    images: Count | None = _option("Images in a prompt, in addition to its text.", SERVING)
    image_size: ImageSize | None = _option(
        "Image size in pixels: the side of a square, or WIDTHxHEIGHT (1280x720).", SERVING, "PIXELS"
    )
    audio_seconds: Target | None = _option("Length of the audio in a prompt, in addition to its text.", SERVING, "TIME")
    output_tokens: RequestTokens | None = _option("Mean output length in tokens.", SERVING, "NUMBER")
    lora_adapters: Count | None = _option("LoRA adapters resident in each replica; with --lora-rank.", SERVING)
    length_spread: LengthSpread | None = _option("Distribution of lengths over requests.", SERVING)
    prefix_hit: Hit | None = _option(
        "Share of a prompt's tokens found in the prefix cache; default: no prefix cache, or what `turns` implies.",
        SERVING, "NUMBER",
    )  # fmt: skip
    prefix_host_hit: Hit | None = _option(
        "Share of a prompt's tokens found in host memory alone; default: all of prefix_hit, with "
        "kv_offloading_size.", SERVING, "NUMBER",
    )  # fmt: skip
    kv_offloading_size: Memory | None = _option(
        "Host memory of a replica for prefixes evicted from its devices (256 GiB); default: none.", SERVING,
        "BYTES",
    )  # fmt: skip
    turns: Count | None = _option("Turns of a conversation: each prompt includes the turns before it.", SERVING)
    weight_precision: Stored | None = _option("Precision of the weights; default: as released.", SERVING)
    activation_precision: Stored | None = _option("Precision of the inputs of matrix products.", SERVING)
    kv_precision: Stored | None = _option("Precision of the key-value cache.", SERVING)
    memory_fraction: Share | None = _option(
        "Share of device memory, as the engine defines it.",
        SERVING,
        "NUMBER",
        ("gpu_memory_utilization", "mem_fraction_static", "free_gpu_memory_fraction"),
    )
    max_model_len: SequenceTokens | None = _option(
        "Longest request that the engine accepts, prompt and output; default: the plan's lengths.", SERVING
    )
    max_num_seqs: Count | None = _option(
        "Maximum concurrent requests of a replica; default: the engine's.", SERVING, "", ("max_running_requests",)
    )
    max_num_batched_tokens: Count | None = _option(
        "Prompt tokens in a step; default: the engine's.", SERVING, "", ("chunked_prefill_size", "max_num_tokens")
    )
    batch_wait_iterations: Wait | None = _option(
        "Steps that a prompt waits for others to be read with (TensorRT-LLM); default: none.", SERVING, "N",
        ("batch_wait_timeout_iters",),
    )  # fmt: skip
    redundant_experts: Copies | None = _option(
        "Copies of experts in each layer, in addition to the experts: ep divides both together; default: none.",
        SERVING, "N", ("ep_num_redundant_experts", "num_redundant_experts"),
    )  # fmt: skip
    block_size: Count | None = _option(
        "Tokens in a block of the cache; default: the engine's.", SERVING, "", ("page_size", "tokens_per_block")
    )
    enforce_eager: bool | None = _option("Run without CUDA graphs.", SERVING)
    gpu_layers: Layers | None = _option(
        "Layers on the device, the output layer first; the others stay in host memory (llama.cpp). Default: all.",
        SERVING, "N", ("n_gpu_layers",),
    )  # fmt: skip
    speculation: Speculation | None = _option("Speculative decoding method.", SERVING)
    draft_model: Text | None = _option("Draft model, for --speculation draft-model.", SERVING, "ID|PATH")
    draft_tokens: Count | None = _option("Draft tokens in a step; default: the stack's.", SERVING)
    acceptance: Acceptance | None = _option("Share of draft tokens accepted; default: the stack's.", SERVING, "NUMBER")
    prefill_devices: Degree | None = _option(
        "Devices, out of `devices`, that only prefill (disaggregated serving).", SERVING
    )
    decode_devices: Degree | None = _option("Devices that only decode; default: the rest.", SERVING)
    dcp: Degree | None = _option(
        "Devices of tp that share the tokens of one cache in decoding instead of holding copies; default 1.", SERVING
    )
    prefill_tp: Degree | None = _option(
        "Tensor parallelism of the prefill pool; default: the least that fits.", SERVING
    )
    prefill_cp: Degree | None = _option(
        "Context parallelism of the prefill pool: devices that share a prompt's tokens; default 1.", SERVING
    )
    prefill_ep: Degree | None = _option("Expert parallelism of the prefill pool; default 1.", SERVING)
    prefill_redundant_experts: Copies | None = _option(
        "Copies of experts in each layer of the prefill pool; default: none.", SERVING, "N"
    )
    prefill_dp: Degree | None = _option("Data parallelism of the prefill pool; default: what is left.", SERVING)
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

    tokens: Tokens | None = _option(
        "Tokens of the whole run (15e12), for days, cost, energy and storage.", RUN, "NUMBER"
    )
    steps: Count | None = _option("Optimizer steps of the whole run, instead of tokens.", RUN)
    epochs: Epochs | None = _option("Epochs over the data set, instead of tokens.", RUN, "NUMBER")
    dataset_tokens: Tokens | None = _option("Tokens of the data set; default: those of the run.", RUN, "NUMBER")
    price: Price | None = _option("Price of a device per hour (2.5 USD/h), instead of catalogue prices.", RUN, "USD/H")
    grid: Text | None = _option("Electricity grid: usa, fra, ..., or '57 gCO2e/kWh'.", RUN, "ID|AMOUNT")
    pue: Pue | None = _option(
        "Power usage effectiveness: energy of the data centre over that of its machines.", RUN, "NUMBER"
    )
    device_power: Power | None = _option("Power of a device under load; default: the catalogue's.", RUN, "WATTS")
    mtbf: Text | None = _option(
        "Mean time between interruptions of one device: '50000 h', or a published rate (llama-3).", RUN, "TIME|ID"
    )
    api_price: Prices | None = _option(
        "API price of a million input and output tokens to compare with (0.5,1.5 USD).",
        SERVING,
        "USD,USD",
    )
    limits: LimitsField | None = _option("Limits for --check: 'max_days=60, min_mfu=0.35'.", RUN, "LIST")

    lora_rank: Count | None = _option("Rank of the adapters.", FINE_TUNING)
    lora_targets: Names | None = _option(
        "Matrices with adapters: PEFT's names (q_proj,v_proj), ours (q,k,v,kv,out,gate,up,down), or all-linear, "
        "attention, mlp, default (PEFT's).",
        FINE_TUNING, "NAMES",
    )  # fmt: skip
    dora: bool | None = _option("DoRA: adapters with a trained magnitude for each output.", FINE_TUNING)
    quantized_base: FrozenBase | None = _option("Precision of the frozen base (QLoRA).", FINE_TUNING)
    method: Method | None = _option(
        "Method: sft, preference pairs (dpo, reward), or reinforcement learning on generated answers (grpo, ppo).",
        FINE_TUNING,
    )
    reference: bool | None = _option("Keep a frozen reference model; default: the method's.", FINE_TUNING)
    generation: Generation | None = _option(
        "Where grpo and ppo generate: in an engine on the training devices, or elsewhere.", FINE_TUNING
    )
    generation_fraction: Share | None = _option(
        "Share of a device's memory for the colocated engine; default 0.3.", FINE_TUNING, "NUMBER"
    )
    generation_tp: Degree | None = _option("Tensor parallelism of the colocated engine; default 1.", FINE_TUNING)
    packing: bool | None = _option("Pack samples into sequences of one length.", FINE_TUNING)


FLAGS = frozenset({
    "download", "sequence_parallel", "offload_optimizer", "offload_parameters",
    "offload_activations", "tp_comm_overlap", "optimizer_in_backward",
    "flash_attention", "packing", "reference", "enforce_eager", "dora",
})  # fmt: skip
"""Fields that are true or false (a test holds this to the annotations)."""
RUN_OPTIONS = ("steps", "epochs", "dataset_tokens", "price", "grid", "pue", "device_power", "mtbf")
"""Options about the whole run, which change no step: they stay as they were given."""
MONEY_OPTIONS = ("price", "grid", "pue", "device_power", "api_price")
"""Of those, what a deployment knows too, and its own."""
VOCABULARY: dict[str, Mapping[str, Any]] = {name: given.metadata for name, given in declared(PlanOptions).items()}
"""Every option, with what the command line says of it: `description`, `panel`, `metavar`, `also`."""
SERVING_OPTIONS = frozenset(name for name, about in VOCABULARY.items() if about["panel"] == SERVING)
"""Options that go with the workload `serve`."""
