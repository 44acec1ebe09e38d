"""Words of a plan that go together or not, whatever is run: devices against degrees, words of another workload."""

from __future__ import annotations

from llmplan.setup.draft import Draft
from llmplan.setup.options import SERVING_WORDS
from llmplan.setup.request import LENGTHS


def count_devices(draft: Draft) -> int:
    """Devices of the run, from `devices` or from the degrees; faults where the two contradict each other."""
    said = draft.options
    whole = said.devices
    if said.prefill_devices is not None or said.decode_devices is not None:
        whole = _decoding(draft)
    named = {name: getattr(said, name) for name in ("tp", "pp", "cp", "dp")}
    product = 1
    for value in named.values():
        product *= value or 1
    decided = None not in (said.tp, said.pp, said.dp)
    if whole is not None and (product == whole if decided else whole % product == 0):
        return whole
    shown = " x ".join(f"{name} {value or 1}" for name, value in named.items() if value or name != "dp")
    if whole is None:
        draft.assume("devices", product, shown if product > 1 else "none were given")
        return product
    what = "but devices is" if decided else "does not divide devices"
    draft.fault(f"{shown} = {product}{',' * decided} {what} {whole}", "devices", "tp", "pp", "cp", "dp")
    return whole


def _decoding(draft: Draft) -> int | None:
    """Devices that write answers, where others read prompts; None where that does not follow from the words."""
    said = draft.options
    if said.prefill_devices is None:
        draft.fault("decode_devices goes with prefill_devices: how many of the devices read prompts?", "decode_devices")
        return said.decode_devices
    if said.devices is None:
        return said.decode_devices
    rest = said.devices - said.prefill_devices
    if rest < 1 or (said.decode_devices is not None and said.decode_devices != rest):
        draft.fault(
            f"prefill_devices {said.prefill_devices} + decode_devices {said.decode_devices or 'at least 1'} "
            f"are not devices {said.devices}",
            "prefill_devices", "decode_devices", "devices",
        )  # fmt: skip
        return max(rest, 1)
    return rest


def check_words(draft: Draft) -> None:
    """Words that go together or not, whatever the model."""
    said = draft.options
    kind = said.workload or "pretrain"
    for name in said.said() if kind != "serve" else ():
        if name in SERVING_WORDS:
            draft.fault(f"{name} goes with workload serve, and the workload is {kind}", name, "workload")
    served = ("lora_rank", "lora_targets") if kind == "serve" and said.lora_adapters is not None else ()
    for name in ("lora_rank", "lora_targets", "dora", "quantized_base"):
        if getattr(said, name) is not None and kind != "lora" and name not in served:
            draft.fault(f"{name} goes with workload lora, and the workload is {kind}", name, "workload")
    if said.recompute_layers is not None and said.recompute not in (None, "full"):
        message = f"recompute_layers goes with recompute full, and recompute is {said.recompute}"
        draft.fault(message, "recompute_layers", "recompute")
    lengths = [name for name in LENGTHS if getattr(said, name) is not None]
    if len(lengths) > 1:
        draft.fault(f"give one of {' and '.join(lengths)}: each says how long the run is", *lengths)
    if said.epochs is not None and said.dataset_tokens is None:
        draft.fault("dataset_tokens is missing: epochs are passes over a data set", "epochs")
