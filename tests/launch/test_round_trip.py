"""Plan -> launch -> plan is the identity on all that a framework can say."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmplan.answer.resolve import AnyPlan, resolve
from llmplan.catalog.catalog import Catalog, open_catalog
from llmplan.errors import InputError
from llmplan.launch.cannot import ENGINE
from llmplan.launch.frame import framed
from llmplan.launch.read import read_launch
from llmplan.launch.target import Target, target, targets
from llmplan.launch.write import launch, meant_for
from llmplan.model.adapters import adapters_of
from llmplan.setup.options import MONEY_OPTIONS, RUN_OPTIONS, SERVING_OPTIONS
from llmplan.setup.request import Request, request, requests
from llmplan.training.plan import TrainingPlan

NOT_OF_A_FRAMEWORK = {
    *(set(SERVING_OPTIONS) - set(ENGINE)), *MONEY_OPTIONS, *RUN_OPTIONS,
    "model", "hardware", "device_memory", "cluster", "devices_per_node", "stack",
    "stack_version", "limits", "tokens", "activation_precision", "weight_precision", "kv_precision",
}  # fmt: skip
"""Words of a machine, a load, a bill; precisions stand there where they are not those of the release."""
IDLE = {"dp", "sequence_parallel", "offload_optimizer", "optimizer", "draft_tokens", "zero"}
"""What follows from the devices, means nothing beside others, or is one of two that a framework has one name for."""
ADAPTERS = ("lora_rank", "lora_targets", "quantized_base")
SERVE, TRAIN = ("llama-3.1-8b", "llama-3.3-70b", "qwen3-30b-a3b", "deepseek-v3-671b"), (
    "llama-3.1-8b", "llama-3.1-70b", "qwen3-30b-a3b", "llama-3.1-8b",
)  # fmt: skip
IDS = [one.id for one in targets()]


@cache
def catalog() -> Catalog:
    return open_catalog()


@st.composite
def serving(draw: st.DrawFn) -> dict[str, Any]:
    """A deployment; what some framework cannot do among it."""
    tp, dp, pp = draw(st.sampled_from((1, 2, 8))), draw(st.sampled_from((1, 1, 4))), draw(st.sampled_from((1, 1, 2)))
    model = draw(st.sampled_from(SERVE))
    experts = model not in SERVE[:2]
    maybe = {
        "max_model_len": st.sampled_from((4096, 16384, 131072)), "max_num_seqs": st.sampled_from((16, 256)),
        "max_num_batched_tokens": st.sampled_from((2048, 8192)), "block_size": st.sampled_from((16, 64)),
        "memory_fraction": st.sampled_from((0.85, 0.92)), "enforce_eager": st.booleans(),
        "kv_precision": st.sampled_from(("fp8", "bf16")), "weight_precision": st.sampled_from(("fp8", "bf16", "int4")),
    }  # fmt: skip
    found = {name: draw(one) for name, one in maybe.items() if draw(st.booleans())}
    if model == "deepseek-v3-671b" and draw(st.booleans()):
        found |= {"speculation": "mtp", "draft_tokens": draw(st.integers(1, 3))}
    return found | {
        "workload": "serve", "model": model, "hardware": draw(st.sampled_from(("h100", "h200", "mi300x"))),
        "tp": tp, "dp": dp, "pp": pp, "ep": draw(st.sampled_from((1, tp, tp * dp))) if experts else 1,
        "batch": 32, "input_tokens": 1000, "output_tokens": 200,
        **({"redundant_experts": tp * dp} if experts and draw(st.booleans()) else {}),
    }  # fmt: skip


@st.composite
def training(draw: st.DrawFn) -> dict[str, Any]:
    """A training; what some framework cannot do among it."""
    tp, pp, cp, dp = (draw(st.sampled_from(many)) for many in ((1, 2, 8), (1, 1, 4), (1, 1, 2), (1, 2, 8)))
    micro, model = draw(st.sampled_from((1, 2))), draw(st.sampled_from(TRAIN))
    kind = draw(st.sampled_from(("pretrain", "finetune", "lora")))
    found: dict[str, Any] = {}
    if kind == "lora":
        found = {"lora_rank": draw(st.sampled_from((8, 64))),
                 "lora_targets": draw(st.sampled_from((["q_proj", "v_proj"], ["all-linear"])))}  # fmt: skip
        if draw(st.booleans()):
            found["quantized_base"] = draw(st.sampled_from(("nf4", "int8")))
    recompute = draw(st.sampled_from(("none", "selective", "full")))
    if recompute == "full" and draw(st.booleans()):
        found["recompute_layers"] = 3
    return found | {
        "workload": kind, "model": model, "hardware": draw(st.sampled_from(("h100", "tpu-v5p"))),
        "devices": tp * pp * cp * dp, "tp": tp, "pp": pp, "cp": cp,
        "vp": draw(st.sampled_from((1, 2))) if pp > 1 else 1,
        "ep": draw(st.sampled_from((1, 2, 8))) if model == TRAIN[2] else 1, "zero": draw(st.integers(0, 3)),
        "sequence_parallel": draw(st.booleans()), "recompute": recompute,
        "micro_batch": micro, "global_batch": dp * micro * draw(st.sampled_from((1, 8))),
        "seq_len": draw(st.sampled_from((512, 8192))), "precision": draw(st.sampled_from(("bf16", "fp8", "fp32"))),
        "optimizer": draw(st.sampled_from(("adam", "adamw", "adamw-8bit", "adafactor", "paged-adamw-8bit"))),
        "offload_optimizer": draw(st.booleans()), "offload_parameters": draw(st.sampled_from((False, False, True))),
        "flash_attention": draw(st.sampled_from((True, True, False))),
        "optimizer_in_backward": draw(st.sampled_from((False, False, True))),
        "offload_activations": draw(st.sampled_from((False, False, True))),
        "dp_replicate": 2 if dp > 1 and draw(st.booleans()) else 1,
        **draw(st.sampled_from(({}, {}, {"gradient_precision": "fp32"}, {"gradient_precision": "bf16"}))),
        **draw(st.sampled_from(({}, {}, {"tp_comm_overlap": True}))),
    }  # fmt: skip


def plan_for(framework: Target, words: dict[str, Any]) -> AnyPlan | None:
    """The plan, where it is one and the framework can do it."""
    try:
        plan = resolve(meant_for(framework, request(words)), catalog())
        launch(plan, framework, catalog())
    except InputError:
        return None
    return plan


def read_back(framework: Target, text: str, given: dict[str, Any]) -> tuple[AnyPlan, list[str]]:
    found = read_launch(framework, ["-"], given, text)
    (again,) = requests([found.document], given)
    return resolve(again, catalog()), [str(item) for item in found.unread]


def words(plan: AnyPlan) -> dict[str, Any]:
    """Words of a plan; a checkpoint and the entry that it has the shape of are one model."""
    return plan.as_options() | {"model": plan.model.name} | ({"lora_targets": matrices(plan)} if is_lora(plan) else {})


def is_lora(plan: AnyPlan) -> bool:
    return isinstance(plan, TrainingPlan) and plan.lora


def matrices(plan: AnyPlan) -> set[str]:
    """What has adapters; several names mean the same."""
    assert isinstance(plan, TrainingPlan)
    layers = plan.model.layers
    return {one.name for layer in layers for one in adapters_of(plan.model, layer, plan.workload.lora_targets)}


def as_asked(drawn: dict[str, Any], framework: Target, share: dict[str, Any]) -> dict[str, Any]:
    """Drawn words drawn closer to what the framework can do, so that most of them are a plan of it."""
    kept = {**drawn, **{name: value for name, value in share.items() if name in drawn}}
    kept |= {name: value for name, value in framework.implied.items() if name in drawn or name == "workload"}
    if kept.get("workload") not in framework.workloads:
        kept["workload"] = framework.workloads[0]
    if kept["workload"] != "lora":
        kept = {
            name: value for name, value in kept.items() if name not in ("lora_rank", "lora_targets", "quantized_base")
        }
    return kept


@pytest.mark.parametrize("name", IDS)
@given(data=st.data())
def test_plan_launch_plan_is_the_identity(name: str, data: st.DataObject) -> None:
    framework = target(name)
    drawn = data.draw(serving() if framework.workloads == ("serve",) else training())
    ways = ({}, PLAIN, PLAIN | {"zero": 0}, PLAIN | {"zero": 1, "sequence_parallel": True})
    plans = (plan_for(framework, as_asked(drawn, framework, way)) for way in ways)
    plan = next((one for one in plans if one is not None), None)
    if plan is None:
        return
    started = launch(plan, framework, catalog())
    counts = framework.frame or {"nodes", "processes"} & {one.word for one in framework.settings}
    beside = set() if counts or framework.workloads == ("serve",) else {"devices"}  # MaxText takes all that there are
    assert set(started.rest) <= NOT_OF_A_FRAMEWORK | {*framework.elsewhere} | IDLE | beside
    again, unread = read_back(framework, started.script, {})
    assert unread == []
    assert words(again) == words(plan)
    # without its comments, where other options say what the framework does not take
    bare = started.script.removeprefix(started.head)
    again, _ = read_back(framework, bare, dict(started.rest))
    assert words(again) == words(plan)


PLAIN: dict[str, Any] = {
    "tp": 1, "pp": 1, "vp": 1, "cp": 1, "dp": 1, "ep": 1, "optimizer": "adamw", "zero": 3, "precision": "bf16",
    "sequence_parallel": False, "offload_optimizer": False, "offload_parameters": False, "recompute": "full",
    "flash_attention": True, "optimizer_in_backward": False, "weight_precision": "bf16", "kv_precision": "bf16",
    "devices": 8, "quantized_base": "nf4", "lora_targets": ["q_proj", "v_proj"], "offload_activations": False,
    "dp_replicate": 1, "gradient_precision": None, "tp_comm_overlap": None, "redundant_experts": None,
}  # fmt: skip
"""What nearly every framework can do."""


@pytest.mark.parametrize("name", IDS)
def test_a_plain_plan_can_be_started_by_every_framework(name: str) -> None:
    framework = target(name)
    kind = framework.workloads[0]
    for devices in (1, 8):
        words = {"model": "llama-3.1-8b", "hardware": "h100", "devices": devices, "workload": kind}
        if kind == "serve":
            words["tp"] = devices
        if devices > 1 and framework.id == "llama.cpp":  # it has one device
            continue
        plan = resolve(meant_for(framework, request(words)), catalog())
        assert launch(plan, framework, catalog()).words


@pytest.mark.parametrize("launcher", ["torchrun", "srun", "kubernetes"])
@pytest.mark.parametrize("name", ["megatron", "torchtitan", "vllm", "sglang"])
@pytest.mark.parametrize("devices", [8, 16])
def test_frames_are_read_back(name: str, launcher: str, devices: int) -> None:
    framework = target(name)
    if framework.workloads == ("serve",) and launcher == "torchrun":
        return
    words_ = {"model": "llama-3.1-70b", "hardware": "h100", "devices": devices, "tp": 8, "pp": devices // 8}
    words_ |= {"workload": framework.workloads[0]}
    plan = resolve(meant_for(framework, request(words_)), catalog())
    text = framed(plan, framework, catalog(), launcher).text
    again, unread = read_back(framework, text, {})
    assert (unread, words(again)) == ([], words(plan))


@pytest.mark.parametrize(
    ("options", "words_"),
    [
        ("--recompute-granularity full --recompute-method block --recompute-num-layers 3", ("full", 3)),
        ("--recompute-granularity full --recompute-method uniform --recompute-num-layers 1", ("full", None)),
        ("--recompute-granularity full", ("full", None)), ("--recompute-activations", ("selective", None)),
        ("", ("none", None)),
    ],
)  # fmt: skip
def test_ways_of_megatron_to_run_layers_again(options: str, words_: tuple[str, int | None]) -> None:
    found = read_launch(target("megatron"), ["-"], {}, f"torchrun pretrain_gpt.py --micro-batch-size 1 {options}")
    assert (found.document.data["recompute"], found.document.data.get("recompute_layers")) == words_
    assert not found.unread


ENDS = ("--account-for-embedding-in-pipeline-split", "--account-for-loss-in-pipeline-split")


@pytest.mark.parametrize(
    ("degrees", "said"),
    [
        # 126 layers on 16 stages with table and head as one more each; 61 on 16, the last with one; 80 on 4 alike
        (("llama-3.1-405b", 16, 8), [*ENDS]),
        (("deepseek-v3-671b", 16, 1), ["--decoder-last-pipeline-num-layers 1"]),
        (("llama-3.1-70b", 4, 1), []),
    ],
)  # fmt: skip
def test_stages_that_do_not_divide_the_layers(degrees: tuple[str, int, int], said: list[str]) -> None:
    (model, pp, vp), megatron = degrees, target("megatron")
    words_ = {"model": model, "hardware": "h100", "devices": 256, "tp": 1, "pp": pp, "vp": vp, "workload": "pretrain"}
    plan = resolve(meant_for(megatron, request(words_)), catalog())
    script = launch(plan, megatron, catalog()).script
    options = [*ENDS, "--decoder-last-pipeline-num-layers"]
    found = [line.strip(" \\") for line in script.splitlines() if any(one in line for one in options)]
    assert found == said
    again, unread = read_back(megatron, script, {})
    assert (unread, words(again)) == ([], words(plan))


def test_stages_that_megatron_cannot_cut_are_refused() -> None:
    # 61 layers on 8 stages of 2 chunks of 4: seven have 8, and 5 are no two chunks
    words_ = {"model": "deepseek-v3-671b", "hardware": "h100", "devices": 256, "tp": 1, "pp": 8, "vp": 2}
    plan = resolve(meant_for(target("megatron"), request({**words_, "workload": "pretrain"})), catalog())
    with pytest.raises(InputError, match="layers over stages uneven"):
        launch(plan, target("megatron"), catalog())


@pytest.mark.parametrize(("name", "key"), [("megatron", "--recompute-num-layers 3"),
                                           ("megatron-bridge", "model.recompute_num_layers=3"),
                                           ("nemo", "model.config.recompute_num_layers=3")])  # fmt: skip
def test_some_layers_are_said_or_refused(name: str, key: str) -> None:
    words_ = {"model": "llama-3.1-70b", "hardware": "h100", "devices": 64, "tp": 4, "pp": 4, "recompute_layers": 3}
    plan = resolve(meant_for(target(name), request(words_)), catalog())
    assert key in launch(plan, target(name), catalog()).script
    alone = resolve(request({**words_, "stack": "fsdp", "tp": 1, "pp": 1, "zero": 3}), catalog())
    with pytest.raises(InputError, match="recompute_layers 3: it has no option for it"):
        launch(alone, target("fsdp"), catalog())


def test_requests_keep_the_line_of_each_option() -> None:
    text = "vllm serve meta-llama/Llama-3.1-8B \\\n  --tensor-parallel-size 3\n"
    found = read_launch(target("vllm"), ["-"], {"hardware": "h100"}, text)
    (wanted,) = requests([found.document], {"hardware": "h100"})
    assert isinstance(wanted, Request)
    with pytest.raises(InputError) as error:
        resolve(wanted, catalog())
    assert [(fault.file, fault.line) for fault in error.value.faults] == [("standard input", 2)]


@pytest.mark.parametrize(
    ("options", "degrees"),
    [
        ("--tp 8 --enable-dp-attention --dp 8", (1, 8, 8)), ("--tp 8 --attn-dp-size 2", (4, 8, 2)),
        ("--tp 16 --attn-dp-size 4 --ep-size 16", (4, 16, 4)), ("--tp 4 --dp 2", (4, 1, 2)),
    ],
)  # fmt: skip
def test_experts_are_divided_over_devices_that_attend_on_their_own(options: str, degrees: tuple[int, int, int]) -> None:
    """SGLang without --ep-size: they were planned whole on every device."""
    command = f"python -m sglang.launch_server --model-path deepseek-ai/DeepSeek-V3 {options}"
    found = read_launch(target("sglang"), ["-"], {"hardware": "h200"}, command).document.data
    assert tuple(found.get(name, 1) for name in ("tp", "ep", "dp")) == degrees
