"""Words of a plan that go together or not, whatever is run: devices against degrees, words of another workload."""

from __future__ import annotations

from llmplan.setup.draft import Draft
from llmplan.setup.options import SERVING_WORDS
from llmplan.setup.request import LENGTHS


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
    for name in SERVING_WORDS:
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
