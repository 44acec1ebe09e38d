"""The serving part of a plan: load, lengths, precisions, layout and the stack's variant, with every default told."""

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
from llmplan.serving.drafts import draft_problems, draft_words, spread_of
from llmplan.serving.encoders import image_words, sound_words
from llmplan.serving.host_cache import host_cache_words
from llmplan.serving.host_layers import host_words
from llmplan.serving.lora import adapter_words
from llmplan.serving.plan import DEGREES, NOTHING_TO_WRITE, PREFILL_DEGREES, ServingPlan, ServingWorkload
from llmplan.serving.prefix import hit_of
from llmplan.serving.targets import TARGETS
from llmplan.setup.checks import layout_problems
from llmplan.setup.draft import Draft
from llmplan.setup.layout import Layout
from llmplan.setup.options import PlanOptions
from llmplan.setup.subject import MOST_KEPT, is_lasting, subject_of
from llmplan.setup.words import check_words, count_devices
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
"""Words of training."""
POLICY_OPTIONS = {
    "max_sequences": "max_num_seqs",
    "max_batch_tokens": "max_num_batched_tokens",
    "block_tokens": "block_size",
}
"""Fields of an engine's policy, and the options that set them."""


VARIED = ("input_tokens", "output_tokens", "batch", "request_rate")
"""Words that deployments of one kind differ in."""
_PLAIN = frozenset((
    *VARIED, "model", "hardware", "device_memory", "cluster", "devices_per_node", "devices", "stack", "stack_version",
    "workload", "load", "length_spread", "tp", "pp", "cp", "dp", "ep", "weight_precision", "activation_precision",
    "kv_precision", "memory_fraction", "max_num_seqs", "max_num_batched_tokens", "block_size", "enforce_eager", "price",
    "grid", "pue", "device_power", "api_price",
))  # fmt: skip
"""Words beside which those come into nothing but the workload, while requests are within the model's context."""


def resolve_serving(draft: Draft, catalog: Catalog, model: Model | None = None) -> ServingPlan:
    """The plan of a serving request; raises InputError with every fault.

    Of requests in plain words that differ in lengths and load alone, what is assumed is worked out once.
    """
    said, before = draft.options, len(draft.assumptions)
    words = said.said()
    if not (words.keys() <= _PLAIN and is_lasting(said, catalog, model)):
        return _resolved(draft, catalog, model)
    key = id(model), *((name, None if name in VARIED else value) for name, value in words.items())
    kept: dict[Any, tuple[ServingPlan, Model | None]] = catalog.once("deployments", dict)
    inputs, outputs = lengths(said.input_tokens, said.output_tokens)
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
        plan.workload, input_tokens=inputs, output_tokens=outputs, batch=said.batch or plan.workload.batch,
        request_rate=said.request_rate,
    )  # fmt: skip
    return replace(plan, options=said, workload=work, assumptions=(*draft.assumptions, *plan.assumptions))


def _is_plain(plan: ServingPlan, tokens: float, outputs: float) -> bool:
    """Whether nothing else hangs on lengths; tokens: of a whole request, outputs: of its answer [1]."""
    model, policy = plan.model, plan.engine.policy
    within = model.max_context is None or tokens <= model.max_context
    return within and outputs > 1.0 and model.architecture == "decoder" and not policy.whole_prompts


def _resolved(draft: Draft, catalog: Catalog, model: Model | None) -> ServingPlan:
    check_words(draft)
    devices = count_devices(draft)
    subject = subject_of(draft, catalog, model)
    said, stack = draft.options, subject.stack
    if subject.release.policy is None:
        raise InputError(Fault(f"stack {stack.id} does not serve"))
    for name in said.said():
        if name in NOT_FOR_SERVING:
            draft.fault(f"{name} goes with training, and the workload is serve", name, "workload")
    load, batch = _load(draft, subject.release.policy.usual_requests)
    size, image = image_words(draft, subject.model)
    sound = sound_words(draft, subject.model)
    pictures = 0 if image is None else (said.images or 0) * image.tokens
    encoded = pictures + (0 if sound is None else sound.tokens)
    policy = started(subject.release.policy, said, subject.device, subject.model, encoded)
    engine = Engine(subject.release.version, subject.release.date, policy, subject.release.rules)
    windows = any(core.cache_window for layer in subject.model.layers for core in layer.cores)
    if engine.policy.window_cache == "ignored" and windows:
        draft.assumptions.append(f"sliding windows: not applied, as {stack.id} {engine.version} does unless told to")
    words = _words(draft, subject.model, subject.device, engine.policy, load, batch, encoded)
    layers, host = host_words(draft, subject.model, subject.device, subject.cluster, policy, devices)
    work = ServingWorkload(
        **words, images=said.images, image_size=size, audio_seconds=said.audio_seconds, gpu_layers=layers
    )
    work, drafter = draft_words(draft, work, policy, catalog)
    draft.check()
    plan = ServingPlan(
        model=subject.model, device=subject.device, cluster=subject.cluster, layout=Layout(), stack=stack,
        coefficients=subject.release.coefficients, workload=work, engine=engine, options=said, image=image,
        sound=sound, draft=drafter, host=host, acceptance_spread=spread_of(work, said, catalog),
    )  # fmt: skip
    plan = plan.with_layout(_layout(draft, plan, devices))
    for message in draft_problems(plan):
        draft.fault(message, "draft_model", "tp")
    for message, names in layout_problems(plan.model, plan.layout):
        draft.fault(message, *names)
    _check_dcp(draft, plan)
    if said.prefill_devices is not None and work.output_tokens <= 1.0:
        draft.fault(NOTHING_TO_WRITE, "prefill_devices", "output_tokens")
    elif said.prefill_devices is not None:
        prefill = _prefill_layout(draft, plan, said.prefill_devices)
        plan = replace(plan, prefill=prefill)
        for message, names in layout_problems(plan.model, prefill):
            draft.fault(f"prefill: {message}", *(f"prefill_{name}" for name in names if name in PREFILL_DEGREES))
    draft.check()
    return replace(plan, assumptions=tuple(draft.assumptions))


def started(policy: ServingPolicy, said: PlanOptions, device: Device, model: Model, encoded: int = 0) -> ServingPolicy:
    """The policy of an engine started for a model on a device with these options; encoded: tokens of images and
    sound."""
    changed: dict[str, Any] = {}
    size = size_of(policy, device)
    if size is not None:
        own = policy.device_sizes[size].said()
        changed = {name: value for name, value in own.items() if name not in ("below", "also")}
    lengths_said = said.max_model_len or sum(lengths(said.input_tokens, said.output_tokens)) + encoded
    if lengths_said <= policy.whole_prompts:
        changed["max_batch_tokens"] = max(math.ceil(lengths_said), changed.get("max_batch_tokens", 0))
    changed |= {name: value for name, word in POLICY_OPTIONS.items() if (value := getattr(said, word)) is not None}
    if said.enforce_eager:
        changed |= {"graph_bytes": 0.0, "captured": False, "captured_prompts": False}
    changed |= _missing_on(policy, device, model)
    return _changed(policy, changed) if changed else policy


def _changed(policy: ServingPolicy, words: dict[str, Any]) -> ServingPolicy:
    """The policy with other words; the same object where it was made before, so that plans share it."""
    key = id(policy), tuple(sorted(words.items()))
    if key not in _CHANGED:
        if len(_CHANGED) >= MOST_KEPT:
            _CHANGED.clear()
        _CHANGED[key] = policy, replace(policy, **words)
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
    """The load and its batch; faults where the words contradict each other. usual: requests, where none are said."""
    said = draft.options
    load: str | None = said.load
    if load is None:
        load = "open" if said.request_rate is not None else "closed"
        draft.assume("load", load, "a request rate was given" if load == "open" else "none was named")
    if load == "open" and said.request_rate is None:
        draft.fault("request_rate is missing: load open is requests that arrive at a rate", "load")
    if load != "open" and said.request_rate is not None:
        draft.fault(f"request_rate goes with load open, and the load is {load}", "request_rate", "load")
    if load in ("open", "saturated") and said.batch is not None:
        draft.fault(f"batch goes with load static or closed, and the load is {load}", "batch", "load")
    if load in ("static", "closed") and said.batch is None:
        draft.assume("batch", usual, "none was given" if usual > 1 else "none was given; this engine is for one user")
        return load, usual
    return load, said.batch


def _words(
    draft: Draft, model: Model, device: Device, policy: ServingPolicy, load: str, batch: int | None, encoded: int
) -> dict[str, Any]:
    """Words of the workload; encoded: tokens of a prompt's images and sound, which are part of its input [1]."""
    said = draft.options
    inputs, outputs = lengths(said.input_tokens, said.output_tokens)
    if model.architecture == "encoder":
        if said.output_tokens is not None and said.output_tokens > 1:
            draft.fault(f"output_tokens: {model.name} is an encoder and writes none", "output_tokens", "model")
        outputs = 1.0
    if encoded and model.sound is not None and model.sound.rule.inside:
        inputs = 0.0
        draft.assume("input_tokens", "0", "the encoder reads the sound alone")
    elif said.input_tokens is None:
        draft.assume("input_tokens", f"{inputs:g}", "a chat's, as none was given")
    if said.output_tokens is None and model.architecture != "encoder":
        draft.assume("output_tokens", f"{outputs:g}", "a chat's, as none was given")
    inputs += encoded
    if said.length_spread is None and load == "closed":
        draft.assume("length_spread", "dataset", "lengths of requests differ, unless they are said to be constant")
    weights = said.weight_precision or weight_precision(model, device)
    if model.stored is not None and said.weight_precision not in (None, model.weight_precision):
        draft.fault(f"weight_precision: the file of {model.name} holds {model.stored.label}", "weight_precision")
    activations = said.activation_precision or activation_precision(weights, device)
    cache = said.kv_precision or kv_precision(model, activations, policy, device)
    for name, value, why in (
        ("weight_precision", weights, "as the model was released, where the device can"),
        ("activation_precision", activations, "what goes with such weights on this device"),
        ("kv_precision", cache, "the model's, else what the stack takes with such inputs, else 16 bits"),
    ):
        if getattr(said, name) is None:
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
        "load": load, "batch": batch, "request_rate": said.request_rate,
        "input_tokens": inputs, "output_tokens": outputs, "length_spread": said.length_spread or "dataset",
        "arrival": _arrival(draft, load), "arrival_cv": said.arrival_cv,
        **adapter_words(draft, model),
        "prefix_hit": hit, "turns": said.turns, **host_cache_words(draft, policy, device, hit),
        "weight_precision": weights, "activation_precision": activations, "kv_precision": cache,
        "dcp": None if said.dcp == 1 else said.dcp,
        "memory_fraction": said.memory_fraction, "max_model_len": said.max_model_len,
        "max_num_seqs": said.max_num_seqs, "max_num_batched_tokens": said.max_num_batched_tokens,
        "speculation": said.speculation or "none", "draft_tokens": said.draft_tokens, "acceptance": said.acceptance,
        "batch_wait_iterations": _wait(draft), "block_size": said.block_size, "enforce_eager": bool(said.enforce_eager),
        **{name: getattr(said, name) for name in TARGETS},
    }  # fmt: skip


def _wait(draft: Draft) -> int | None:
    """Steps that prompts wait for each other; a fault where times of requests do not know of it."""
    said = draft.options
    if not said.batch_wait_iterations:
        return said.batch_wait_iterations
    simulated = [name for name, (_, share) in TARGETS.items() if share is not None]
    beside = [name for name in ("prefill_devices", "arrival", *simulated) if getattr(said, name) is not None]
    if beside:
        draft.fault(f"batch_wait_iterations does not go with {beside[0]}", "batch_wait_iterations", beside[0])
    return said.batch_wait_iterations


def _arrival(draft: Draft, load: str) -> str | None:
    """How requests come, where percentiles are asked for; faults where the words do not go together."""
    said = draft.options
    shares = [name for name, (_, share) in TARGETS.items() if share is not None and getattr(said, name) is not None]
    for name in ("arrival", "arrival_cv", *shares):
        if getattr(said, name) is not None and load != "open":
            draft.fault(f"{name} goes with load open, and the load is {load}", name, "load")
    if said.arrival == "gamma" and said.arrival_cv is None:
        draft.fault("arrival_cv is missing: how unevenly do requests come?", "arrival")
    if said.arrival_cv is not None and said.arrival != "gamma" and said.arrival_cv != 1.0:
        draft.fault("arrival_cv goes with arrival gamma: that of poisson is 1", "arrival_cv", "arrival")
    if said.arrival is None and shares:
        draft.assume("arrival", "poisson", "each request by itself, as none was named")
        return "poisson"
    return said.arrival


def _layout(draft: Draft, plan: ServingPlan, devices: int) -> Layout:
    """The layout that was given, or the least tensor parallelism at which weights leave room for a cache."""
    from llmplan.serving.weights import weight_bytes

    said = draft.options
    given = {name: getattr(said, name) for name in DEGREES if getattr(said, name) is not None}
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


def _check_cp(draft: Draft, plan: ServingPlan, word: str, degree: int) -> None:
    """Faults where devices cannot share the tokens of a prompt."""
    if degree == 1:
        return
    for message, name in cp_problems(plan):
        draft.fault(f"{word}: {message}", word, name)
    if (draft.options.pp or 1) > 1:
        draft.fault(f"{word} goes without pp", word, "pp")


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
    """Why devices cannot share the tokens of a prompt, and the word that each is about."""
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

    said = draft.options
    given = {name: getattr(said, f"prefill_{name}") for name in PREFILL_DEGREES}
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
