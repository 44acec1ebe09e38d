"""How an engine serves: the `policy` of a stack, and one version of it as a plan has it."""

from typing import Annotated, Literal

from llmplan.records import dataclass
from llmplan.rules import Within
from llmplan.schema import Spec
from llmplan.units import Bytes
from llmplan.vocabulary import Count, Dispatch, Fraction, ReduceAlgorithm, StoragePrecision

CacheMeaning = Literal["lengths", "blocks", "requests"]
Producer = Literal["norm", "attention", "activation"]
CacheReads = Literal["shared", "shared_16_bit", "each"]


class DeviceSize(Spec):
    """What an engine takes by default on devices of a size."""

    below: Bytes | None = None
    """Devices with less memory than this; None: all that no entry before has."""
    also: tuple[str, ...] = ()
    """And those whose id begins so."""
    max_sequences: Count | None = None
    max_batch_tokens: Count | None = None
    graph_sequences: Count | None = None
    graph_sequences_tensor: Count | None = None


class OnDevices(Spec):
    """The share of memory that an engine takes by default on so many devices or more."""

    devices: Count
    memory_fraction: Fraction


class KeptBack(Spec):
    """What an engine leaves of a device for activations and graphs by default, where that decides its fraction."""

    fixed: Bytes
    each_token: Bytes
    """Of a step that reads prompts."""
    fewest_tokens: Count = 1
    each_sequence: Bytes
    """Of the largest captured graph."""
    each_device: Bytes
    """Of a replica."""
    large: Bytes
    """On devices with more memory than this it is `least` at least."""
    least: Bytes


class ServingPolicy(Spec):
    """How an engine uses memory and puts batches together."""

    memory_fraction: Fraction = 0.9
    memory_fraction_of: Literal["total", "static", "free"] = "total"
    """What the fraction is of. `total`: all that the engine takes, of the device's memory (vLLM's
    gpu_memory_utilization). `static`: weights and cache together, of the device's memory (SGLang's
    mem_fraction_static). `free`: the cache alone, of what weights and workspace leave (TensorRT-LLM's
    free_gpu_memory_fraction)."""
    fraction_on: tuple[OnDevices, ...] = ()
    """Other defaults of it by the devices of a replica, the fewest first."""
    kept_back: KeptBack | None = None
    """What the default is made from instead."""
    graph_bytes: Bytes = 0.0
    """Captured graphs and their pools."""
    captured: bool = True
    """Whether steps that only decode run as captured graphs; without, the host launches their operations one by one."""
    captured_prompts: bool = False
    """Whether steps that read prompts run as captured pieces, with attention launched between them."""
    captured_prompts_on: tuple[str, ...] = ()
    """Vendors of devices on which they do; none: on all."""
    compiled: bool = False
    """Whether a compiled program launches what is not captured (an engine of TensorRT, C++), not Python."""
    graphs_in_fraction: bool = True
    """Whether they are taken off what the fraction gives, or live in what it leaves."""
    library_bytes: Bytes | None = None
    """What libraries take inside the fraction on one device; None: all of the stack's context is inside it. Given, the
    context lives in what the fraction leaves."""
    library_bytes_tensor: Bytes = 0.0
    """The same where tensor parallelism has communicators and buffers of its own."""
    library_bytes_switch: Bytes = 0.0
    """More of it where a switch joins the devices: buffers for adding up in the switch."""
    library_bytes_pipeline: Bytes = 0.0
    """The same with pipeline stages alone."""
    max_batch_tokens: Count = 8192
    """Tokens that one step may prefill."""
    max_sequences: Count = 256
    """Sequences that one replica works on at once."""
    usual_requests: Count = 32
    """In flight in a closed loop or a static batch, where a plan does not say: 1 of engines for one user."""
    graph_sequences: Count = 256
    """Sequences of the largest captured graph."""
    graph_sequences_tensor: Count = 512
    """The same where tensor parallelism has four devices or more."""
    device_sizes: tuple[DeviceSize, ...] = ()
    """Other defaults of these four by the size of a device, the smallest first."""
    whole_prompts: Annotated[int, Within(ge=0)] = 0
    """Where the longest request has no more tokens than this, one step reads a prompt, whatever `max_batch_tokens`."""
    hidden_vectors: Annotated[float, Within(ge=1, le=16)] = 4.0
    """Hidden vectors alive at the widest point of a layer."""
    sampler_copies: Annotated[float, Within(ge=0, le=16)] = 1.0
    """fp32 vectors over the vocabulary that choosing a token takes for each sequence, at the peak."""
    logits_whole: bool = False
    """Every device of a tensor-parallel group holds the logits of the whole vocabulary."""
    expert_buffers: bool = False
    """Buffers of fused experts stay from the trial run on, beside other activations."""
    mxfp4_multiple: Count = 1
    """Width of an expert in mxfp4 on one device, filled up to a multiple of this [1]."""
    group_layers: Annotated[float, Within(ge=1, le=2)] | None = None
    """Layers that keep different lengths are cut into groups of equal number, which is the most of a kind where that
    is less than so many times the fewest, else the fewest; None: each kind takes what it needs."""
    whole_context: bool = False
    """Whether it does not start where the cache has no room for one sequence of `max_model_len` tokens, which is the
    model's whole context unless it is given."""
    printed: CacheMeaning = "lengths"
    """What the engine prints as the size of its cache [tokens]. `lengths`: tokens at the lengths of the load; `blocks`:
    room over the bytes of a token that every layer keeps; `requests`: longest requests that fit x their length."""
    block_tokens: Count = 16
    """Tokens of a block of paged cache."""
    window_cache: Literal["ignored", "full", "window"] = "window"
    """What layers with a sliding window do. `window`: they keep the tokens inside it; `full`: they keep all and
    attend to those inside it; `ignored`: they keep all and attend to all, as if the model had none."""
    reserve: Literal["whole", "mean"] = "mean"
    """Whether a sequence is let in when its whole length fits, or grows into what is free: then the
    mean length over its life counts."""
    host_rows: Count | None = None
    """Rows of a step from which on the device multiplies with weights that are in host memory; below, the host does.
    None: it leaves no layers to the host."""
    decode_context_parallel: bool = False
    """Whether devices that would hold copies of a sequence's cache can share its tokens instead (`dcp`)."""
    context_parallel: bool = False
    """Whether devices can share the tokens of a prompt (`cp`). Each has all weights and, once keys and values are
    gathered, the whole cache; decoding is the same on all of them."""
    host_cache: Literal["none", "kept", "evicted"] = "none"
    """Whether prefixes stay in host memory where asked for (`kv_offloading_size`). `kept`: all that is computed is
    copied there; `evicted`: what has to leave the device goes there."""
    host_cache_beside: bool = False
    """Whether they come back layer by layer while the layers before compute, not before all of them."""
    cache_reads: CacheReads = "shared"
    """How often decoding attention reads a cached element that several query heads of a device share. `shared`: once
    for all of them; `shared_16_bit`: once, but a cache of 8 bits once for each; `each`: once for each, as
    kernels do that were made for one key and value head a query head."""
    shared_groups: tuple[Annotated[float, Within(ge=1)], ...] = ()
    """With `each`: numbers of query heads to a cached one for which there are kernels that read once, counted on one
    device after tensor parallelism."""
    server: bool = True
    """Whether requests come as text through a server, not from a harness in the engine's process, as MLPerf's does."""
    mixed_steps: bool = True
    """Whether prefill shares a step with decoding (chunked prefill, in-flight batching)."""
    overlapped_host: bool = False
    """Whether the host prepares the next iteration while the device runs this one (vLLM's asynchronous scheduling, the
    overlap schedulers of SGLang and TensorRT-LLM)."""
    fused_norms: bool = False
    """Whether an all-reduce and the norm behind it are one kernel (`lamport`, where it is not TensorRT-LLM's own)."""
    fused_norms_on: tuple[str, ...] = ()
    """Beginnings of the architectures of devices on which they are; none: on all."""
    fused_norms_for: Literal["all", "experts"] = "all"
    """Models for which they are: all, or those with routed experts."""
    early_start: bool = False
    """Whether kernels start while those before them end (programmatic dependent launch)."""
    early_start_on: tuple[str, ...] = ()
    """Beginnings of the architectures of devices on which they do; none: on all."""
    narrow_latent: bool = False
    """Whether decoding latent attention multiplies in 8 bits where the cache has them."""
    narrow_latent_on: tuple[str, ...] = ()
    """Beginnings of the architectures of devices on which it does; none: on all."""
    fused_casts: tuple[Producer, ...] = ()
    """Operations that cast what they make where a product in 8 bits or fewer reads it, for which there is a kernel of
    its own otherwise; inputs with scales of blocks of 128 are always cast apart."""
    experts_beside: bool = False
    """Whether shared experts run beside the routed ones, on a stream of their own or as one more of them."""
    experts_apart: tuple[str, ...] = ()
    """Kinds of products (`fp8_block`) for which a layer of experts is one kernel after another (counts, sorts, copies,
    casts, products, sums), each with a gap before it, and not the few that were measured together."""
    all_reduce: tuple[ReduceAlgorithm, ...] = ("ring", "switch", "one_shot", "two_shot")
    """Algorithms of an all-reduce that the engine has, of which the fastest runs."""
    dispatch: Dispatch = "domain"
    """How tokens go to their experts, where attention is data parallel."""
    narrow_dispatch: bool = True
    """Tokens go to their experts in the precision of the products' inputs, not in 16 bits."""
    kernels: Literal["library", "engine"] = "library"
    """Whose products run: the best library's (cuBLAS, DeepGEMM), or the engine's own where a device's entry has them
    apart (`engine_matmul`: those of vLLM)."""
    fused_experts: bool = True
    """Experts run in fused kernels, whose rate was measured, not in grouped products of a library."""
    routing_spread: Annotated[float, Within(ge=0, le=4)] = 0.8
    """How unevenly tokens go to experts: standard deviation over mean of their rows [1]; 0.8 is what measured layers
    were routed with (aiconfigurator, power law 1.01)."""
    draft_tokens: Count = 3
    """Tokens drafted for a sequence in a step where speculation is asked for and nothing given."""
    draft_tokens_spread: Count | None = None
    """The same where attention is data parallel and devices hold experts for each other; None: as many."""
    acceptance: Annotated[float, Within(gt=0, lt=1)] = 0.8
    """Share of drafted tokens that are right where those before them were."""
    low_precision_kv: StoragePrecision | None = None
    """Precision of the cache where weights and activations have 8 bits or fewer and nothing is given."""
    low_precision_kv_on: tuple[str, ...] = ()
    """Beginnings of the architectures of devices on which it is; none: on all."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One version of a serving engine and how it works; rules: the version of the last rule that it follows."""

    version: str
    date: str
    policy: ServingPolicy
    rules: str = ""
