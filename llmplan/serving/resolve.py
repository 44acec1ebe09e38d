"""The serving part of a plan: load, lengths, precisions, layout and the stack's variant, with every default noted."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from llmplan.catalog.catalog import Catalog
from llmplan.errors import Fault, InputError
from llmplan.machine.hardware import Device
from llmplan.machine.kernels import has_precision
from llmplan.model.model import Model
from llmplan.records import replace
from llmplan.serving.defaults import (
    LOW_PRECISIONS,
    activation_precision,
    first_with_room,
    has_room,
    kv_precision,
    layouts,
    lengths,
    weight_precision,
)
from llmplan.serving.drafts import draft_options, draft_problems, spread_of
from llmplan.serving.encoders import image_options, sound_options
from llmplan.serving.host_cache import host_cache_options
from llmplan.serving.host_layers import host_options
from llmplan.serving.lora import adapter_options
from llmplan.serving.plan import (
    COPIES,
    DEGREES,
    NOTHING_TO_WRITE,
    PREFILL,
    PREFILL_DEGREES,
    ServingPlan,
    ServingWorkload,
)
from llmplan.serving.prefix import hit_of
from llmplan.serving.targets import TARGETS
from llmplan.setup.checks import fewest_redundant, layout_problems
from llmplan.setup.draft import Draft
from llmplan.setup.layout import Layout
from llmplan.setup.option_checks import check_options, count_devices
from llmplan.setup.options import PlanOptions
from llmplan.setup.subject import MOST_KEPT, is_lasting, subject_of
from llmplan.software.engine import Engine, ServingPolicy

NOT_FOR_SERVING = frozenset((
    "precision", "seq_len", "target_len", "global_batch", "optimizer", "flash_attention", "zero", "vp", "micro_batch",
    "recompute", "recompute_layers", "sequence_parallel", "offload_optimizer", "offload_parameters",
    "offload_activations", "dp_replicate", "gradient_precision", "tp_comm_overlap",
    "optimizer_in_backward", "packing", "dora", "guessed",
    "method", "reference", "generation", "generation_fraction", "generation_tp",
    "memory_reserve",
    "tokens",
    "steps", "epochs", "dataset_tokens",
))  # fmt: skip
"""Options of training."""
POLICY_OPTIONS = {
    "max_sequences": "max_num_seqs",
    "max_batch_tokens": "max_num_batched_tokens",
    "block_tokens": "block_size",
}
"""Fields of an engine's policy, and the options that set them."""


VARIED = ("input_tokens", "output_tokens", "batch", "request_rate")
"""Options that deployments of one kind differ in."""
_PLAIN = frozenset((
    *VARIED, "model", "hardware", "device_memory", "cluster", "devices_per_node", "devices", "stack", "stack_version",
    "workload", "load", "length_spread", "tp", "pp", "cp", "dp", "ep", "weight_precision", "activation_precision",
    "kv_precision", "memory_fraction", "max_num_seqs", "max_num_batched_tokens", "block_size", "enforce_eager", "price",
    "grid", "pue", "device_power", "api_price",
))  # fmt: skip
"""Options beside which those come into nothing but the workload, while requests are within the model's context."""


def resolve_serving(draft: Draft, catalog: Catalog, model: Model | None = None) -> ServingPlan:
    """The plan of a serving request; raises InputError with every fault.

    Of requests in plain options that differ in lengths and load alone, what is assumed is worked out once.
    """
    options, before = draft.options, len(draft.assumptions)
    given = options.stated()
    if not (given.keys() <= _PLAIN and is_lasting(options, catalog, model)):
        return _resolved(draft, catalog, model)
    key = id(model), *((name, None if name in VARIED else value) for name, value in given.items())
    kept: dict[Any, tuple[ServingPlan, Model | None]] = catalog.once("deployments", dict)
    inputs, outputs = lengths(options.input_tokens, options.output_tokens)
    if key not in kept:
        plan = _resolved(draft, catalog, model)
        if _is_plain(plan, inputs + outputs, outputs):
            if len(kept) >= MOST_KEPT:
                kept.clear()
            assumed = plan.assumptions[before:]
            kept[key] = replace(plan, assumptions=assumed), model  # which is held, so that its `id` stays its own
        return plan
    plan, _ = kept[key]
    if not _is_plain(plan, inputs + outputs, outputs):
        return _resolved(draft, catalog, model)
    work = replace(
        plan.workload, input_tokens=inputs, output_tokens=outputs, batch=options.batch or plan.workload.batch,
        request_rate=options.request_rate,
    )  # fmt: skip
    return replace(plan, options=options, workload=work, assumptions=(*draft.assumptions, *plan.assumptions))


def _is_plain(plan: ServingPlan, tokens: float, outputs: float) -> bool:
    """Whether nothing else hangs on lengths; tokens: of a whole request, outputs: of its answer [1]."""
    model, policy = plan.model, plan.engine.policy
    within = model.max_context is None or tokens <= model.max_context
    return within and outputs > 1.0 and model.architecture == "decoder" and not policy.whole_prompts


def _resolved(draft: Draft, catalog: Catalog, model: Model | None) -> ServingPlan:
    check_options(draft)
    devices = count_devices(draft)
    subject = subject_of(draft, catalog, model)
    options, stack = draft.options, subject.stack
    if subject.release.policy is None:
        raise InputError(Fault(f"stack {stack.id} does not serve"))
    for name in options.stated():
        if name in NOT_FOR_SERVING:
            draft.fault(f"{name} goes with training, and the workload is serve", name, "workload")
    load, batch = _load(draft, subject.release.policy.usual_requests)
    size, image = image_options(draft, subject.model)
    sound = sound_options(draft, subject.model)
    pictures = 0 if image is None else (options.images or 0) * image.tokens
    encoded = pictures + (0 if sound is None else sound.tokens)
    policy = started(subject.release.policy, options, subject.device, subject.model, encoded)
    engine = Engine(subject.release.version, subject.release.date, policy, subject.release.rules)
    windows = any(core.cache_window for layer in subject.model.layers for core in layer.cores)
    if engine.policy.window_cache == "ignored" and windows:
        draft.assumptions.append(f"sliding windows: not applied, as {stack.id} {engine.version} does unless told to")
    fields = _words(draft, subject.model, subject.device, engine.policy, load, batch, encoded)
    layers, host = host_options(draft, subject.model, subject.device, subject.cluster, policy, devices)
    work = ServingWorkload(
        **fields, images=options.images, image_size=size, audio_seconds=options.audio_seconds, gpu_layers=layers
    )
    work, drafter = draft_options(draft, work, policy, catalog)
    draft.check()
    plan = ServingPlan(
        model=subject.model, device=subject.device, cluster=subject.cluster, layout=Layout(), stack=stack,
        coefficients=subject.release.coefficients, workload=work, engine=engine, options=options, image=image,
        sound=sound, draft=drafter, host=host, acceptance_spread=spread_of(work, options, catalog),
    )  # fmt: skip
    plan = plan.with_layout(_with_copies(draft, plan.model, _layout(draft, plan, devices)))
    for message in draft_problems(plan):
        draft.fault(message, "draft_model", "tp")
    for message, names in layout_problems(plan.model, plan.layout, served=True):
        draft.fault(message, *names)
    _check_dcp(draft, plan)
    if options.prefill_devices is not None and work.output_tokens <= 1.0:
        draft.fault(NOTHING_TO_WRITE, "prefill_devices", "output_tokens")
    elif options.prefill_devices is None and getattr(options, PREFILL + COPIES):
        draft.fault(f"{PREFILL}{COPIES} goes with prefill_devices", PREFILL + COPIES)
    elif options.prefill_devices is not None:
        prefill = _with_copies(draft, plan.model, _prefill_layout(draft, plan, options.prefill_devices), PREFILL)
        plan = replace(plan, prefill=prefill)
        for message, names in layout_problems(plan.model, prefill, served=True):
            own = (f"{PREFILL}{name}" for name in names if name in PREFILL_DEGREES)
            draft.fault(f"prefill: {message.replace(COPIES, PREFILL + COPIES)}", *own)
    draft.check()
    return replace(plan, assumptions=tuple(draft.assumptions))


def _with_copies(draft: Draft, model: Model, layout: Layout, pool: str = "") -> Layout:
    """A layout with the copies of experts that were asked for, or without which a run that was measured cannot have
    been; pool: what its options start with."""
    given: int | None = getattr(draft.options, pool + COPIES)
    if given is None and draft.request.ran and (fewest := fewest_redundant(model, layout.ep)):
        draft.assume(pool + COPIES, fewest, f"it ran, and with no fewer ep {layout.ep} divides the experts")
        given = fewest
    return replace(layout, redundant_experts=given) if given else layout


def started(
    policy: ServingPolicy, options: PlanOptions, device: Device, model: Model, encoded: int = 0
) -> ServingPolicy:
    """The policy of an engine started for a model on a device with these options; encoded: tokens of images and
    sound."""
    changed: dict[str, Any] = {}
    size = size_of(policy, device)
    if size is not None:
        own = policy.device_sizes[size].stated()
        changed = {name: value for name, value in own.items() if name not in ("below", "also")}
    lengths_said = options.max_model_len or sum(lengths(options.input_tokens, options.output_tokens)) + encoded
    if lengths_said <= policy.whole_prompts:
        changed["max_batch_tokens"] = max(math.ceil(lengths_said), changed.get("max_batch_tokens", 0))
    changed |= {
        name: value for name, option in POLICY_OPTIONS.items() if (value := getattr(options, option)) is not None
    }
    if options.enforce_eager:
        changed |= {"graph_bytes": 0.0, "captured": False, "captured_prompts": False}
    changed |= _missing_on(policy, device, model)
    return _changed(policy, changed) if changed else policy


def _changed(policy: ServingPolicy, options: dict[str, Any]) -> ServingPolicy:
    """The policy with other options; the same object where it was made before, so that plans share it."""
    key = id(policy), tuple(sorted(options.items()))
    if key not in _CHANGED:
        if len(_CHANGED) >= MOST_KEPT:
            _CHANGED.clear()
        _CHANGED[key] = policy, replace(policy, **options)
    return _CHANGED[key][1]


_CHANGED: dict[Any, tuple[ServingPolicy, ServingPolicy]] = {}
"""Policies with others that were made of them, by the first one's `id`: it is held so that it stays its own."""


def _missing_on(policy: ServingPolicy, device: Device, model: Model) -> dict[str, Any]:
    """What an engine has on other devices, or for other models."""

    def there(name: str, on: tuple[str, ...]) -> bool:
        return not on or name.startswith(on)

    found: dict[str, Any] = {}
    routed = any(linear.routed for layer in model.layers for linear in layer.linears)
    meant = policy.fused_norms_for == "all" or routed
    if policy.fused_norms and not (meant and there(device.architecture, policy.fused_norms_on)):
        found = {"fused_norms": False, "all_reduce": tuple(one for one in policy.all_reduce if one != "lamport")}
    if policy.captured_prompts and not there(device.vendor, policy.captured_prompts_on):
        found["captured_prompts"] = False
    if policy.early_start and not there(device.architecture, policy.early_start_on):
        found["early_start"] = False
    if policy.narrow_latent and not there(device.architecture, policy.narrow_latent_on):
        found["narrow_latent"] = False
    return found


def size_of(policy: ServingPolicy, device: Device) -> int | None:
    """Index of the sizes of devices, with defaults of their own, that a device belongs to; None where it is none."""
    for index, one in enumerate(policy.device_sizes):
        if one.below is None or device.memory.capacity < one.below or device.id.startswith(one.also):
            return index
    return None


def _load(draft: Draft, usual: int) -> tuple[str, int | None]:
    """The load and its batch; faults where the options contradict each other. usual: requests, where none are given."""
    options = draft.options
    load: str | None = options.load
    if load is None:
        load = "open" if options.request_rate is not None else "closed"
        draft.assume("load", load, "a request rate was given" if load == "open" else "none was named")
    if load == "open" and options.request_rate is None:
        draft.fault("request_rate is missing: load open is requests that arrive at a rate", "load")
    if load != "open" and options.request_rate is not None:
        draft.fault(f"request_rate goes with load open, and the load is {load}", "request_rate", "load")
    if load in ("open", "saturated") and options.batch is not None:
        draft.fault(f"batch goes with load static or closed, and the load is {load}", "batch", "load")
    if load in ("static", "closed") and options.batch is None:
        draft.assume("batch", usual, "none was given" if usual > 1 else "none was given; this engine is for one user")
        return load, usual
    return load, options.batch


def _words(
    draft: Draft, model: Model, device: Device, policy: ServingPolicy, load: str, batch: int | None, encoded: int
) -> dict[str, Any]:
    """Options of the workload; encoded: tokens of a prompt's images and sound, which are part of its input [1]."""
    options = draft.options
    inputs, outputs = lengths(options.input_tokens, options.output_tokens)
    if model.architecture == "encoder":
        if options.output_tokens is not None and options.output_tokens > 1:
            draft.fault(f"output_tokens: {model.name} is an encoder and writes none", "output_tokens", "model")
        outputs = 1.0
    if encoded and model.sound is not None and model.sound.rule.inside:
        inputs = 0.0
        draft.assume("input_tokens", "0", "the encoder reads the sound alone")
    elif options.input_tokens is None:
        draft.assume("input_tokens", f"{inputs:g}", "a chat's, as none was given")
    if options.output_tokens is None and model.architecture != "encoder":
        draft.assume("output_tokens", f"{outputs:g}", "a chat's, as none was given")
    inputs += encoded
    if options.length_spread is None and load == "closed":
        draft.assume("length_spread", "dataset", "lengths of requests differ, unless they are said to be constant")
    weights = options.weight_precision or weight_precision(model, device)
    if model.stored is not None and options.weight_precision not in (None, model.weight_precision):
        draft.fault(f"weight_precision: the file of {model.name} holds {model.stored.label}", "weight_precision")
    activations = options.activation_precision or activation_precision(weights, device)
    cache = options.kv_precision or kv_precision(model, activations, policy, device)
    for name, value, why in (
        ("weight_precision", weights, "as the model was released, where the device can"),
        ("activation_precision", activations, "what goes with such weights on this device"),
        ("kv_precision", cache, "the model's, else what the stack takes with such inputs, else 16 bits"),
    ):
        if getattr(options, name) is None:
            draft.assume(name, value, why)
    if model.expert_precision and weights not in LOW_PRECISIONS:
        draft.assumptions.append(f"experts {model.expert_precision}: as the model was released")
    if activations in LOW_PRECISIONS and not has_precision(device, activations):
        have = ", ".join(device.peak)
        draft.fault(
            f"{device.id} has no {activations} matrix products; it has {have}", "activation_precision", "hardware"
        )
    hit = hit_of(draft, model, inputs, outputs)
    return {
        "load": load, "batch": batch, "request_rate": options.request_rate,
        "input_tokens": inputs, "output_tokens": outputs, "length_spread": options.length_spread or "dataset",
        "arrival": _arrival(draft, load), "arrival_cv": options.arrival_cv,
        **adapter_options(draft, model),
        "prefix_hit": hit, "turns": options.turns, **host_cache_options(draft, policy, device, hit),
        "weight_precision": weights, "activation_precision": activations, "kv_precision": cache,
        "dcp": None if options.dcp == 1 else options.dcp,
        "memory_fraction": options.memory_fraction, "max_model_len": options.max_model_len,
        "max_num_seqs": options.max_num_seqs, "max_num_batched_tokens": options.max_num_batched_tokens,
        "speculation": options.speculation or "none", "draft_tokens": options.draft_tokens,
        "acceptance": options.acceptance, "enforce_eager": bool(options.enforce_eager),
        "batch_wait_iterations": _wait(draft), "block_size": options.block_size,
        **{name: getattr(options, name) for name in TARGETS},
    }  # fmt: skip


def _wait(draft: Draft) -> int | None:
    """Steps that prompts wait for each other; a fault where times of requests do not know of it."""
    options = draft.options
    if not options.batch_wait_iterations:
        return options.batch_wait_iterations
    simulated = [name for name, (_, share) in TARGETS.items() if share is not None]
    beside = [name for name in ("prefill_devices", "arrival", *simulated) if getattr(options, name) is not None]
    if beside:
        draft.fault(f"batch_wait_iterations does not go with {beside[0]}", "batch_wait_iterations", beside[0])
    return options.batch_wait_iterations


def _arrival(draft: Draft, load: str) -> str | None:
    """How requests come, where percentiles are asked for; faults where the options do not go together."""
    options = draft.options
    shares = [name for name, (_, share) in TARGETS.items() if share is not None and getattr(options, name) is not None]
    for name in ("arrival", "arrival_cv", *shares):
        if getattr(options, name) is not None and load != "open":
            draft.fault(f"{name} goes with load open, and the load is {load}", name, "load")
    if options.arrival == "gamma" and options.arrival_cv is None:
        draft.fault("arrival_cv is missing: how unevenly do requests come?", "arrival")
    if options.arrival_cv is not None and options.arrival != "gamma" and options.arrival_cv != 1.0:
        draft.fault("arrival_cv goes with arrival gamma: that of poisson is 1", "arrival_cv", "arrival")
    if options.arrival is None and shares:
        draft.assume("arrival", "poisson", "each request by itself, as none was named")
        return "poisson"
    return options.arrival


def _layout(draft: Draft, plan: ServingPlan, devices: int) -> Layout:
    """The layout that was given, or the least tensor parallelism at which weights leave room for a cache."""
    from llmplan.serving.weights import weight_bytes

    options = draft.options
    given = {name: getattr(options, name) for name in DEGREES if getattr(options, name) is not None}
    shared = given.get("cp", 1)
    _check_cp(draft, plan, "cp", shared)
    if "tp" in given or "pp" in given or "dp" in given:
        known = 1
        for name in ("tp", "pp", "cp", "dp"):
            known *= given.get(name, 1)
        rest = max(1, devices // known)
        missing = next((name for name in ("dp", "tp") if name not in given), None)
        if missing is not None and rest > 1:
            given[missing] = rest
            draft.assume(missing, rest, "what the devices leave")
        return Layout(**given)
    heads = [core.heads for layer in plan.model.layers for core in layer.cores]
    tried = layouts(devices // shared, heads, plan.model.layer_count)
    usable = plan.usable_bytes
    held = [float(weight_bytes(plan.with_layout(one), plan.workload)) for one in tried]
    index = first_with_room(held, usable)
    found = replace(tried[index], **given)
    if devices > 1:
        why = "the least" if has_room(held[index], usable) else "no layout of these devices is one"
        draft.assume("tp", found.tp, f"{why} at which weights leave room for a cache; the rest are replicas (dp)")
    if found.pp > 1:
        draft.assume("pp", found.pp, "tp alone, a power of two that divides devices and heads, leaves no room")
    return found


def _check_cp(draft: Draft, plan: ServingPlan, option: str, degree: int) -> None:
    """Faults where devices cannot share the tokens of a prompt."""
    if degree == 1:
        return
    for message, name in cp_problems(plan):
        draft.fault(f"{option}: {message}", option, name)
    if (draft.options.pp or 1) > 1:
        draft.fault(f"{option} goes without pp", option, "pp")


def _check_dcp(draft: Draft, plan: ServingPlan) -> None:
    """Faults where devices cannot share the tokens of a cache: there have to be copies of it."""
    dcp, tp = plan.workload.dcp or 1, plan.layout.tp
    if dcp == 1:
        return
    for message, name in dcp_problems(plan):
        draft.fault(f"dcp: {message}", "dcp", name)
    if (plan.layout.cp, plan.prefill) != (1, None) or draft.options.prefill_devices is not None:
        draft.fault("dcp goes without cp and without devices that only read prompts", "dcp", "cp", "prefill_devices")
    if (copies := cache_copies(plan.model, tp)) % dcp:
        heads = max((core.cache_heads for layer in plan.model.layers for core in layer.cores), default=1)
        draft.fault(
            f"dcp {dcp} does not divide the {copies} copies of a cache at tp {tp} with {heads} heads", "dcp", "tp"
        )


def cp_problems(plan: ServingPlan) -> Iterator[tuple[str, str]]:
    """Why devices cannot share the tokens of a prompt, and the option that each is about."""
    if not plan.engine.policy.context_parallel:
        yield f"{plan.stack.name} does not share a prompt between devices; sglang does", "stack"
    if plan.model.architecture != "decoder" or any(x.cross for layer in plan.model.layers for x in layer.cores):
        yield f"planned for decoders, and {plan.model.name} is not one", "model"
    if any(core.kind == "recurrent" for layer in plan.model.layers for core in layer.cores):
        yield f"{plan.model.name} has recurrent layers, which read a prompt in order", "model"


def dcp_problems(plan: ServingPlan) -> Iterator[tuple[str, str]]:
    """The same of the tokens of a cache."""
    cores = [core for layer in plan.model.layers for core in layer.cores]
    if not plan.engine.policy.decode_context_parallel:
        yield f"{plan.stack.name} does not spread a cache; vllm and sglang do", "stack"
    if plan.model.architecture != "decoder" or any(x.cross or x.kind == "recurrent" or x.cache_window for x in cores):
        yield f"planned where every layer caches every token, and {plan.model.name} has others", "model"


def cache_copies(model: Model, tp: int) -> int:
    """Devices of tp that would hold the same part of a cache [1]."""
    heads = max((core.cache_heads for layer in model.layers for core in layer.cores), default=1)
    return tp // min(tp, heads)


def _prefill_layout(draft: Draft, plan: ServingPlan, devices: int) -> Layout:
    """The layout of the devices that read prompts: as given, else the least tensor parallelism with room."""
    from llmplan.serving.weights import weight_bytes

    options = draft.options
    given = {name: getattr(options, f"prefill_{name}") for name in PREFILL_DEGREES}
    given = {name: value for name, value in given.items() if value is not None}
    shared = given.get("cp", 1)
    _check_cp(draft, plan, "prefill_cp", shared)
    product = given.get("tp", 1) * shared * given.get("dp", 1)
    if devices % product or ("tp" in given and "dp" in given and product != devices):
        draft.fault(
            f"prefill_tp x prefill_cp x prefill_dp = {product} are not prefill_devices {devices}",
            "prefill_tp", "prefill_cp", "prefill_dp", "prefill_devices",
        )  # fmt: skip
        return Layout()
    if "tp" in given or "dp" in given:
        rest = devices // product
        missing = "dp" if "tp" in given else "tp"
        return Layout(**({missing: rest} | given))
    heads = [core.heads for layer in plan.model.layers for core in layer.cores]
    tried = [one for one in layouts(devices // shared, heads, plan.model.layer_count) if one.pp == 1]
    tried = [replace(one, **given) for one in tried]
    held = [float(weight_bytes(plan.with_layout(one), plan.workload)) for one in tried]
    found = tried[first_with_room(held, plan.usable_bytes)]
    draft.assume("prefill_tp", found.tp, "the least at which weights leave room; the rest are replicas")
    return found
