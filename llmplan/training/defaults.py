"""What stands in for words that were not given, and the layouts that are open then.

Every default that changes the answer becomes an assumption, a sentence in the report.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from llmplan.errors import InputError, did_you_mean
from llmplan.machine.hardware import Device
from llmplan.machine.rates import peak_flops
from llmplan.model.model import Model
from llmplan.setup.draft import Draft
from llmplan.setup.layout import Layout, Workload
from llmplan.setup.options import PlanOptions
from llmplan.setup.plan import Plan
from llmplan.setup.request import LENGTHS
from llmplan.software.engine import ServingWorkload
from llmplan.software.stack import TrainingDefaults
from llmplan.training.choose import candidates

DEFAULT_SEQ_LEN = 4096
"""Tokens: what most open models of 2023 and 2024 were pretrained with (Llama 2, DeepSeek V3, OLMo 2); shorter
where the model's context is."""
FULL = 4096
"""Tokens a micro-batch up to which the default grows: products with as many rows reach within a few per cent of
the rate of larger ones on the devices that were measured (`efficiency.matmul` of the catalogue)."""
ROUNDS = 4
"""Micro-batches a pipeline stage where the batch is not given: the bubble is then a fifth of the step."""
RECOMPUTE = ("none", "selective", "full")
SERVING_WORDS = tuple(ServingWorkload.model_fields)
PRECISIONS = ("bf16", "fp16", "fp32")
"""Tried in this order where a device lacks the stack's default."""


def count_devices(draft: Draft) -> int:
    """Devices of the run, from `devices` or from the degrees; faults where the two contradict each other."""
    said = draft.options
    named = {name: getattr(said, name) for name in ("tp", "pp", "cp", "dp")}
    product = 1
    for value in named.values():
        product *= value or 1
    shown = " x ".join(f"{name} {value or 1}" for name, value in named.items() if value or name != "dp")
    if said.devices is None:
        why = f"{shown}" if product > 1 else "none were given"
        draft.assume("devices", product, why)
        return product
    if None not in (said.tp, said.pp, said.dp) and product != said.devices:
        draft.fault(f"{shown} = {product}, but devices is {said.devices}", "devices", "tp", "pp", "cp", "dp")
    elif said.devices % product:
        draft.fault(f"{shown} = {product} does not divide devices {said.devices}", "devices", "tp", "pp", "cp", "dp")
    return said.devices


def check_words(draft: Draft) -> None:
    """Words that go together or not, whatever the model."""
    said = draft.options
    kind = said.workload or "pretrain"
    for name in (*SERVING_WORDS, "api_price"):
        if getattr(said, name) is not None and kind != "serve":
            draft.fault(f"{name} goes with workload serve, and the workload is {kind}", name, "workload")
    for name in ("lora_rank", "lora_targets", "quantized_base"):
        if getattr(said, name) is not None and kind != "lora":
            draft.fault(f"{name} goes with workload lora, and the workload is {kind}", name, "workload")
    lengths = [name for name in LENGTHS if getattr(said, name) is not None]
    if len(lengths) > 1:
        draft.fault(f"give one of {' and '.join(lengths)}: each says how long the run is", *lengths)
    if said.epochs is not None and said.dataset_tokens is None:
        draft.fault("dataset_tokens is missing: epochs are passes over a data set", "epochs")


def workload_of(draft: Draft, model: Model, device: Device, defaults: TrainingDefaults) -> Workload:
    """The workload with its defaults; its global batch is filled in with the layout."""
    said = draft.options
    words: dict[str, Any] = {
        name: value for name in Workload.model_fields if (value := getattr(said, name)) is not None
    }
    if said.workload is None:
        words["workload"] = "pretrain"
        draft.assume("workload", "pretrain", "none was named")
    words["precision"] = _precision(draft, device, defaults)
    for name in ("optimizer", "flash_attention"):
        if name not in words:
            words[name] = getattr(defaults, name)
            draft.assume(name, words[name], "the stack's default")
    if said.seq_len is None:
        limit = model.max_context or DEFAULT_SEQ_LEN
        words["seq_len"] = min(limit, DEFAULT_SEQ_LEN)
        why = "the model's context" if limit <= DEFAULT_SEQ_LEN else f"a common length (the model takes up to {limit})"
        draft.assume("seq_len", words["seq_len"], why)
    if model.architecture != "encoder-decoder" and said.target_len is not None:
        draft.fault(f"target_len goes with encoder-decoder models, and {model.name} is not one", "target_len", "model")
    elif model.architecture == "encoder-decoder" and said.target_len is None:
        words["target_len"] = words["seq_len"]
        draft.assume("target_len", words["target_len"], "as long as seq_len")
    if words["workload"] == "lora":
        words |= _adapters(draft, model, defaults)
    return Workload(**words)


def _precision(draft: Draft, device: Device, defaults: TrainingDefaults) -> str:
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


def has_precision(device: Device, precision: str) -> bool:
    """Whether the device multiplies matrices in that precision itself."""
    if precision in device.unsupported:
        return False
    try:
        return peak_flops(device, precision) > 0
    except InputError:
        return False


def _adapters(draft: Draft, model: Model, defaults: TrainingDefaults) -> dict[str, Any]:
    """Rank and targets of LoRA; faults for matrices that the model does not have."""
    known = list(dict.fromkeys(linear.name for layer in model.layers for linear in layer.linears))
    targets, rank = draft.options.lora_targets, draft.options.lora_rank
    for name in targets or ():
        if name not in known:
            hint = did_you_mean(name, known)
            have = ", ".join(known)
            draft.fault(f"lora_targets: {model.name} has no matrix {name!r}{hint} (it has {have})", "lora_targets")
    if not targets:
        targets = tuple(name for name in defaults.lora_targets if name in known)
        if targets:
            draft.assume("lora_targets", ",".join(targets), "the stack's default")
        else:
            have = ", ".join(known)
            draft.fault(f"lora_targets is missing: {model.name} has the matrices {have}", "lora_targets", "model")
    if rank is None:
        rank = defaults.lora_rank
        draft.assume("lora_rank", rank, "the stack's default")
    return {"lora_targets": targets, "lora_rank": rank}


@dataclass(frozen=True, slots=True)
class Open:
    """What is left to choose: the degrees and recomputations that a plan may still take."""

    devices: int
    recompute: tuple[str, ...]
    free: bool
    """Whether tp or pp was left open."""

    @classmethod
    def of(cls, options: PlanOptions, devices: int, defaults: TrainingDefaults) -> Open:
        """What these options leave open."""
        said = options.recompute or defaults.recompute
        return cls(devices, RECOMPUTE if said == "auto" else (said,), options.tp is None or options.pp is None)

    def plans(self, options: PlanOptions, base: Plan) -> Iterator[Plan]:
        """Every open plan in the order to try; the caller drops those that contradict themselves."""
        room = self.devices // (options.cp or 1)
        domain, layers = base.device.scale_up.domain, base.model.layer_count
        for tp, pp, recompute in candidates(room, domain, layers, options.tp, options.pp, self.recompute):
            if options.dp is not None and tp * pp * options.dp != room:
                continue
            layout = layout_of(options, base, tp=tp, pp=pp, devices=self.devices, recompute=recompute)
            batch = options.global_batch or default_batch(layout)
            workload = base.workload.model_copy(update={"global_batch": batch})
            yield replace(base, layout=layout, workload=workload)


def layout_of(options: PlanOptions, base: Plan, *, tp: int, pp: int, devices: int, recompute: str) -> Layout:
    """The layout with these degrees; the rest as given, or the stack's."""
    defaults = base.stack.training
    assert defaults is not None  # resolve refuses such stacks
    cp = options.cp or 1
    dp = devices // (tp * pp * cp)
    divided = options.sequence_parallel
    return Layout(
        tp=tp, pp=pp, cp=cp, dp=dp, vp=options.vp or 1, recompute=recompute,
        ep=options.ep or default_experts(base.model, dp * cp * tp, base.device.scale_up.domain),
        zero=defaults.zero if options.zero is None else options.zero,
        sequence_parallel=defaults.sequence_parallel and tp > 1 if divided is None else divided,
        micro_batch=options.micro_batch or default_micro_batch(options, base, dp, pp),
        offload_optimizer=bool(options.offload_optimizer),
    )  # fmt: skip


def default_experts(model: Model, group: int, domain: int) -> int:
    """Expert parallelism where none is given: the highest power of two in the domain that divides experts and group."""
    banks = {linear.experts for layer in model.layers for linear in layer.linears if linear.routed}
    ep = 1
    while banks and 2 * ep <= domain and group % (2 * ep) == 0 and all(count % (2 * ep) == 0 for count in banks):
        ep *= 2
    return ep


def default_micro_batch(options: PlanOptions, base: Plan, dp: int, pp: int) -> int:
    """The stack's, doubled while that fills matrix products and divides the batch; a pipeline wants many small ones."""
    defaults = base.stack.training
    assert defaults is not None  # resolve refuses such stacks
    size, batch = defaults.micro_batch, options.global_batch
    while pp == 1 and 2 * size * base.workload.seq_len <= FULL and (batch is None or batch % (2 * size * dp) == 0):
        size *= 2
    return size


def default_batch(layout: Layout) -> int:
    """Sequences a step: one micro-batch a data-parallel group, or enough of them to keep a pipeline busy."""
    return layout.dp * layout.micro_batch * (ROUNDS * layout.pp if layout.pp > 1 else 1)


def tell_layout(draft: Draft, plan: Plan, open_: Open, *, fits: bool) -> None:
    """Assumptions about the layout that was taken."""
    said, layout = draft.options, plan.layout
    if open_.free:
        why = "the smallest that fits with the least recomputation"
        why = why if fits else "nothing fits, and this misses by least"
        draft.assumptions.append(f"tp {layout.tp}, pp {layout.pp}: {why}")
    if said.recompute is None:
        why = "the stack's default"
        if len(open_.recompute) > 1:
            why = "the least that fits" if fits else "the most there is"
        draft.assume("recompute", layout.recompute, why)
    if said.zero is None:
        draft.assume("zero", layout.zero, "the stack's default")
    if said.sequence_parallel is None and layout.tp > 1:
        draft.assume("sequence_parallel", layout.sequence_parallel, "the stack's default with tp > 1")
    if said.ep is None and layout.ep > 1:
        draft.assume("ep", layout.ep, "experts are spread over the devices of the fast domain")
    if said.micro_batch is None:
        filled = layout.micro_batch * plan.workload.seq_len
        whole = plan.stack.training is not None and layout.micro_batch == plan.stack.training.micro_batch
        why = "the stack's default" if whole else f"{filled} tokens at a time fill the matrix products"
        draft.assume("micro_batch", layout.micro_batch, why)
    if said.global_batch is None:
        each = f"{ROUNDS * layout.pp} micro-batches" if layout.pp > 1 else "one micro-batch"
        groups = "the one data-parallel group" if layout.dp == 1 else f"each of {layout.dp} data-parallel groups"
        draft.assume("global_batch", plan.workload.global_batch, f"{each} of {layout.micro_batch} for {groups}")
