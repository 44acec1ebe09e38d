"""Plans drawn at random from the catalogue, for properties that must hold for all of them."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import strategies as st

from llmplan import InputError, plan_from
from llmplan.answer.resolve import AnyPlan
from llmplan.catalog.catalog import Catalog, open_catalog
from llmplan.machine.hardware import Device
from llmplan.records import names, replace
from llmplan.setup.layout import Layout

MODELS = (
    "llama-3.1-8b", "llama-3.1-70b", "gpt3-6.7b", "gpt2-xl", "mixtral-8x7b", "qwen3-30b-a3b", "bert-large-uncased",
    "t5-large", "albert-large-v2", "gemma-2-9b", "deepseek-v3-671b", "mpt-7b",
)  # fmt: skip
DEVICES = (
    "a100-sxm-80gb",
    "a100-sxm-40gb",
    "h100-sxm-80gb",
    "h100-pcie-80gb",
    "v100-sxm-32gb",
    "tpu-v5p",
    "mi300x",
    "gb200",
)
STACKS = (
    "generic", "megatron-lm-2022", "megatron-core", "megatron-deepspeed", "nemo", "torchtitan", "llm-foundry",
    "maxtext", "nanotron", "bert-nvidia-pt",
)  # fmt: skip


@cache
def catalog() -> Catalog:
    """The built-in catalogue, read once."""
    return open_catalog()


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Options of a training plan; some contradict themselves."""
    degrees = st.sampled_from((1, 2, 4, 8))
    tp, pp, cp, dp = draw(degrees), draw(degrees), draw(st.sampled_from((1, 1, 1, 2))), draw(degrees)
    micro = draw(st.sampled_from((1, 2, 4)))
    model = draw(st.sampled_from(MODELS))
    experts = model in ("mixtral-8x7b", "qwen3-30b-a3b", "deepseek-v3-671b")
    return {
        "model": model, "hardware": draw(st.sampled_from(DEVICES)), "stack": draw(st.sampled_from(STACKS)),
        "workload": draw(st.sampled_from(("pretrain", "pretrain", "finetune", "lora"))),
        "devices": tp * pp * cp * dp, "tp": tp, "pp": pp, "cp": cp, "dp": dp,
        "vp": draw(st.sampled_from((1, 1, 2))) if pp > 1 else 1,
        "ep": draw(st.sampled_from((1, 2, 4, 8))) if experts else 1,
        "zero": draw(st.integers(0, 3)), "sequence_parallel": draw(st.booleans()),
        "recompute": draw(st.sampled_from(("none", "selective", "full"))),
        "micro_batch": micro, "global_batch": dp * micro * draw(st.sampled_from((1, 4, 32))),
        "seq_len": draw(st.sampled_from((128, 512, 2048, 8192))), "flash_attention": draw(st.booleans()),
        "optimizer": draw(st.sampled_from(("adam", "sgd", "adam-8bit"))), "offload_optimizer": draw(st.booleans()),
    }  # fmt: skip


def resolves(words: dict[str, Any]) -> bool:
    """Whether these options are a plan."""
    try:
        plan_of(words)
    except InputError:
        return False
    return True


def plan_of(words: dict[str, Any]) -> AnyPlan:
    """The plan of drawn options."""
    return plan_from(words, catalog=catalog())


def legal() -> st.SearchStrategy[dict[str, Any]]:
    """Options of plans that do not contradict themselves (as words, so that a failure prints short)."""
    return options().filter(resolves)


def changed(plan: AnyPlan, **layout: Any) -> AnyPlan:
    """The plan with some words of its layout changed."""
    return plan.with_layout(replace(plan.layout, **layout))


def arrays(layouts: list[Layout]) -> Any:
    """The layouts as one of arrays, as a search hands them to the planner."""
    import numpy as np

    from llmplan.setup.layout import LayoutArrays

    columns = {name: [getattr(layout, name) for layout in layouts] for name in names(Layout)}
    return LayoutArrays(**{
        name: np.array([np.inf if value is None else value for value in values],
                       dtype=float if isinstance(values[0], int) and not isinstance(values[0], bool) else None)
        for name, values in columns.items()
    })  # fmt: skip


def faster(device: Device, what: str, factor: float) -> Device:
    """The device with its memory bandwidth, peaks, scale-up link or host link faster by a factor."""
    if what == "memory":
        memory = replace(device.memory, bandwidth=device.memory.bandwidth * factor)
        return replace(device, memory=memory)
    if what == "peak":
        return replace(device, peak={name: value * factor for name, value in device.peak.items()})
    field = {"scale_up": "scale_up", "host": "host_link"}[what]
    link = getattr(device, field)
    if link is None:
        return device
    return replace(device, **{field: replace(link, bandwidth=link.bandwidth * factor)})
