"""Defaults of a training's workload for options that are not given.

Every default that changes the answer becomes an assumption, a sentence in the report.
"""

from __future__ import annotations

from typing import Any

from llmplan.errors import did_you_mean
from llmplan.machine.hardware import Device
from llmplan.machine.kernels import has_precision
from llmplan.model.adapters import adapters_of, has_target, target_names
from llmplan.model.model import Model
from llmplan.records import names
from llmplan.setup.draft import Draft
from llmplan.software.recipe import TrainingRecipe
from llmplan.training.methods import METHODS
from llmplan.training.plan import TrainingWorkload

DEFAULT_SEQ_LEN = 4096
"""Tokens: what most open models of 2023 and 2024 were pretrained with (Llama 2, DeepSeek V3, OLMo 2); shorter
where the model's context is."""
_WORDS = frozenset(names(TrainingWorkload))
PRECISIONS = ("bf16", "fp16", "fp32")
"""Tried in this order where a device lacks the stack's default."""


def workload_of(draft: Draft, model: Model, device: Device, defaults: TrainingRecipe) -> TrainingWorkload:
    """The workload with its defaults; its global batch is filled in with the layout."""
    options = draft.options
    fields: dict[str, Any] = {name: value for name, value in options.stated().items() if name in _WORDS}
    if options.workload is None:
        fields["workload"] = "pretrain"
        draft.assume("workload", "pretrain", "none was named")
    fields["precision"] = _precision(draft, device, defaults)
    for name in ("optimizer", "flash_attention"):
        if name not in fields:
            fields[name] = getattr(defaults, name)
            draft.assume(name, fields[name], "the stack's default")
    if options.seq_len is None:
        limit = model.max_context
        fields["seq_len"] = min(limit or DEFAULT_SEQ_LEN, DEFAULT_SEQ_LEN)
        if limit is None:
            why = "a common length"
        elif limit <= DEFAULT_SEQ_LEN:
            why = "the model's context"
        else:
            why = f"a common length (the model takes up to {limit})"
        draft.assume("seq_len", fields["seq_len"], why)
    fields |= _learning(draft, fields["workload"], defaults)
    if options.packing is None and not defaults.packing and fields["workload"] != "pretrain":
        fields["packing"] = False
        draft.assume("packing", False, "the stack's default; samples are of many lengths, up to seq_len")
    if model.architecture != "encoder-decoder" and options.target_len is not None:
        draft.fault(f"target_len goes with encoder-decoder models, and {model.name} is not one", "target_len", "model")
    elif model.architecture == "encoder-decoder" and options.target_len is None:
        fields["target_len"] = fields["seq_len"]
        draft.assume("target_len", fields["target_len"], "as long as seq_len")
    if fields["workload"] == "lora":
        fields |= _adapters(draft, model, defaults)
    return TrainingWorkload(**fields)


def _learning(draft: Draft, workload: str, defaults: TrainingRecipe) -> dict[str, Any]:
    """What is learned from, and the models beside it; faults for options that go with other methods."""
    options = draft.options
    method = options.method or "sft"
    about = METHODS[method]
    if method != "sft" and workload == "pretrain":
        draft.fault(f"method {method} goes with workload finetune or lora, and the workload is pretrain", "method")
    if options.reference and method in ("sft", "reward"):
        draft.fault(f"reference goes with method dpo, grpo or ppo, and the method is {method}", "reference", "method")
    for name in ("generation", "generation_fraction", "generation_tp"):
        if getattr(options, name) is not None and not about.writes:
            draft.fault(f"{name} goes with method grpo or ppo, and the method is {method}", name, "method")
    fields: dict[str, Any] = {"reference": about.reference if options.reference is None else options.reference}
    if options.reference is None and method in ("dpo", "grpo", "ppo"):
        draft.assume("reference", fields["reference"], f"as {method} has by default")
    if about.writes:
        if options.generation is None:
            fields["generation"] = "colocated"
            draft.assume("generation", "colocated", "an engine beside the training, as in TRL; its time is not counted")
        elif options.generation == "apart" and (options.generation_fraction or options.generation_tp):
            draft.fault("generation_fraction and generation_tp go with generation colocated", "generation")
        if options.generation_fraction is None and options.generation != "apart":
            fields["generation_fraction"] = defaults.generation_fraction
            draft.assume("generation_fraction", defaults.generation_fraction, "as in TRL")
    return fields


def _precision(draft: Draft, device: Device, defaults: TrainingRecipe) -> str:
    """The precision that was asked for, or the stack's, or what the device has of 16 bits."""
    asked = draft.options.precision
    if asked is not None:
        if not has_precision(device, asked):
            have = ", ".join(device.peak)
            draft.fault(f"{device.id} has no {asked} matrix products; it has {have}", "precision", "hardware")
        return asked
    for precision in (defaults.precision, *PRECISIONS):
        if has_precision(device, precision):
            lacks = f"{device.id} has no {defaults.precision}"
            draft.assume("precision", precision, "the stack's default" if precision == defaults.precision else lacks)
            return precision
    have = ", ".join(device.peak)
    draft.fault(f"{device.id} has no matrix products that a training could use; it has {have}", "hardware")
    return defaults.precision


def _adapters(draft: Draft, model: Model, defaults: TrainingRecipe) -> dict[str, Any]:
    """Rank and targets of LoRA; faults for matrices that the model does not have."""
    targets, rank = draft.options.lora_targets, draft.options.lora_rank
    have = ", ".join(known := target_names(model))
    for name in targets or ():
        if not has_target(model, name):
            hint = did_you_mean(name, known)
            draft.fault(f"lora_targets: {model.name} has no matrix {name!r}{hint} (it has {have})", "lora_targets")
    if not targets:
        wanted = (draft.options.quantized_base and defaults.quantized_lora_targets) or defaults.lora_targets
        targets = tuple(name for name in wanted if has_target(model, name))
        if targets:
            draft.assume("lora_targets", ",".join(targets), "the stack's default")
        else:
            draft.fault(f"lora_targets is missing: {model.name} has the matrices {have}", "lora_targets", "model")
    if rank is None:
        rank = defaults.lora_rank
        draft.assume("lora_rank", rank, "the stack's default")
    found = (one for layer in model.layers for one in adapters_of(model, layer, targets))
    if draft.options.dora and any(one.linear.routed for one in found):
        draft.fault("dora does not go with experts among lora_targets (PEFT has none)", "dora", "lora_targets")
    return {"lora_targets": targets, "lora_rank": rank}
