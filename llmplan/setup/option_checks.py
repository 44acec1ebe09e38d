"""Options of a plan that go together or not, whatever is run: devices against degrees, options of another workload."""

from __future__ import annotations

from llmplan.setup.draft import Draft
from llmplan.setup.options import SERVING_OPTIONS
from llmplan.setup.request import LENGTHS


def count_devices(draft: Draft) -> int:
    """Devices of the run, from `devices` or from the degrees; faults where the two contradict each other."""
    options = draft.options
    whole = options.devices
    if options.prefill_devices is not None or options.decode_devices is not None:
        whole = _decoding(draft)
    product = (options.tp or 1) * (options.pp or 1) * (options.cp or 1) * (options.dp or 1)
    decided = None not in (options.tp, options.pp, options.dp)
    if whole is not None and (product == whole if decided else whole % product == 0):
        return whole
    named = {name: getattr(options, name) for name in ("tp", "pp", "cp", "dp")}
    shown = " x ".join(f"{name} {value or 1}" for name, value in named.items() if value or name != "dp")
    if whole is None:
        draft.assume("devices", product, shown if product > 1 else "none were given")
        return product
    what = "but devices is" if decided else "does not divide devices"
    draft.fault(f"{shown} = {product}{',' * decided} {what} {whole}", "devices", "tp", "pp", "cp", "dp")
    return whole


def _decoding(draft: Draft) -> int | None:
    """Devices that write answers, where others read prompts; None where that does not follow from the options."""
    options = draft.options
    if options.prefill_devices is None:
        draft.fault("decode_devices goes with prefill_devices: how many of the devices read prompts?", "decode_devices")
        return options.decode_devices
    if options.devices is None:
        return options.decode_devices
    rest = options.devices - options.prefill_devices
    if rest < 1 or (options.decode_devices is not None and options.decode_devices != rest):
        draft.fault(
            f"prefill_devices {options.prefill_devices} + decode_devices {options.decode_devices or 'at least 1'} "
            f"are not devices {options.devices}",
            "prefill_devices", "decode_devices", "devices",
        )  # fmt: skip
        return max(rest, 1)
    return rest


_ADAPTERS = ("lora_rank", "lora_targets", "dora", "quantized_base")
_RARE = frozenset((*_ADAPTERS, "recompute_layers", *LENGTHS))
"""What most plans do without, of what goes with other options."""


def check_options(draft: Draft) -> None:
    """Options that go together or not, whatever the model."""
    options = draft.options
    kind = options.workload or "pretrain"
    for name in options.stated() if kind != "serve" and not SERVING_OPTIONS.isdisjoint(options.__dict__) else ():
        if name in SERVING_OPTIONS:
            draft.fault(f"{name} goes with workload serve, and the workload is {kind}", name, "workload")
    if _RARE.isdisjoint(options.__dict__):
        return
    served = ("lora_rank", "lora_targets") if kind == "serve" and options.lora_adapters is not None else ()
    for name in _ADAPTERS:
        if getattr(options, name) is not None and kind != "lora" and name not in served:
            draft.fault(f"{name} goes with workload lora, and the workload is {kind}", name, "workload")
    if options.recompute_layers is not None and options.recompute not in (None, "full"):
        message = f"recompute_layers goes with recompute full, and recompute is {options.recompute}"
        draft.fault(message, "recompute_layers", "recompute")
    lengths = [name for name in LENGTHS if getattr(options, name) is not None]
    if len(lengths) > 1:
        draft.fault(f"give one of {' and '.join(lengths)}: each says how long the run is", *lengths)
    if options.epochs is not None and options.dataset_tokens is None:
        draft.fault("dataset_tokens is missing: epochs are passes over a data set", "epochs")
