"""From options to a plan: defaults are told, contradictions refused, layouts chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmplan.answer.resolve import AnyPlan, plan_from
from llmplan.catalog.catalog import Catalog
from llmplan.errors import InputError
from llmplan.plain import kinds_of
from llmplan.serving.plan import ServingPlan
from llmplan.serving.remarks import plan_remarks
from llmplan.setup.options import FLAGS, VOCABULARY, PlanOptions
from llmplan.training.checks import remarks
from llmplan.training.estimate import estimate

MODEL = {
    "name": "small", "layers": 12, "hidden": 1024, "heads": 16, "kv_heads": 4, "head_dim": 64, "ffn_hidden": 4096,
    "gated_mlp": True, "vocab": 32000, "max_context": 2048,
}  # fmt: skip
EXPERTS = MODEL | {"name": "experts", "experts": 16, "experts_per_token": 2, "expert_ffn_hidden": 1024}
BASE: dict[str, Any] = {"model": MODEL, "hardware": "test-gpu"}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """The made-up catalogue of the command line's tests, before the built-in one."""
    return Catalog((Path(__file__).parents[1] / "cli" / "catalog",))


def codes(plan: AnyPlan) -> list[str]:
    return [one.code for one in (plan_remarks if isinstance(plan, ServingPlan) else remarks)(plan)]


def refusal(catalog: Catalog, **said: Any) -> str:
    with pytest.raises(InputError) as caught:
        plan_from(BASE | said, catalog=catalog)
    return str(caught.value)


def test_flags_are_the_fields_that_are_true_or_false() -> None:
    truths = {name for name, kind in kinds_of(PlanOptions).items() if bool in get_args(kind)}
    assert truths == FLAGS


def test_dp_follows_from_the_devices(catalog: Catalog) -> None:
    plan = plan_from(BASE | {"devices": 64, "tp": 4, "pp": 2, "cp": 2}, catalog=catalog)
    assert (plan.layout.dp, plan.devices) == (4, 64)


def test_devices_follow_from_the_degrees(catalog: Catalog) -> None:
    plan = plan_from(BASE | {"tp": 4, "pp": 2, "dp": 2}, catalog=catalog)
    assert plan.devices == 16
    assert "devices 16: tp 4 x pp 2 x cp 1 x dp 2" in plan.assumptions


def test_every_default_is_told(catalog: Catalog) -> None:
    plan = plan_from(BASE | {"devices": 8}, catalog=catalog)
    told = {sentence.split()[0].rstrip(",:") for sentence in plan.assumptions}
    said = set(BASE) | {"devices"}
    silent = {"devices_per_node", "vp", "cp", "dp", "pp", "ep", "sequence_parallel", "offload_optimizer"}
    silent |= {"offload_parameters", "optimizer_in_backward"}
    assert set(plan.as_options()) - said - silent <= told


def test_nothing_is_assumed_where_all_is_said(catalog: Catalog) -> None:
    first = plan_from(BASE | {"devices": 8, "tp": 2}, catalog=catalog)
    again = plan_from(first.as_options(), catalog=catalog)
    assert again.assumptions == ()
    assert (again.layout, again.workload) == (first.layout, first.workload)


def test_default_batch_and_length(catalog: Catalog) -> None:
    plan = plan_from(BASE | {"devices": 8, "tp": 1, "pp": 1, "micro_batch": 2}, catalog=catalog)
    assert (plan.workload.global_batch, plan.workload.seq_len) == (16, 2048)
    assert "seq_len 2048: the model's context" in plan.assumptions
    assert "global_batch 16: one micro-batch of 2 for each of 8 data-parallel groups" in plan.assumptions


def test_short_sequences_get_a_larger_micro_batch(catalog: Catalog) -> None:
    short = BASE | {"devices": 4, "tp": 1, "pp": 1, "seq_len": 512}
    assert plan_from(short, catalog=catalog).layout.micro_batch == 8
    assert plan_from(short | {"global_batch": 8}, catalog=catalog).layout.micro_batch == 2
    assert plan_from(short | {"tp": 1, "pp": 4}, catalog=catalog).layout.micro_batch == 1
    assert plan_from(short | {"seq_len": 525}, catalog=catalog).layout.micro_batch == 4  # 8 would be 4,200 tokens


def test_pretraining_gets_a_step_of_four_million_tokens(catalog: Catalog) -> None:
    plan = plan_from(BASE | {"devices": 8, "tp": 1, "pp": 4, "seq_len": 2048}, catalog=catalog)
    assert plan.workload.global_batch * 2048 == 4 * 1024 * 1024
    three = plan_from(BASE | {"devices": 3, "tp": 1, "pp": 1, "seq_len": 2048}, catalog=catalog)
    groups = 3 * three.layout.micro_batch
    assert three.workload.global_batch == -(-2048 // groups) * groups  # the next that divides evenly


def test_a_pipeline_gets_four_micro_batches_a_stage(catalog: Catalog) -> None:
    plan = plan_from(BASE | {"devices": 8, "tp": 1, "pp": 4, "workload": "finetune"}, catalog=catalog)
    assert plan.workload.global_batch == 2 * 4 * 4 * plan.layout.micro_batch


def test_offloaded_states_must_fit_the_host(catalog: Catalog) -> None:
    said = {"model": "llama-3.1-405b", "hardware": "test-gpu", "devices": 8, "offload_optimizer": True}
    assert "LP012" in [one.code for one in estimate(plan_from(said, catalog=catalog)).warnings]


def test_precision_falls_back_where_the_device_has_no_bf16() -> None:
    plan = plan_from({"model": "gpt2", "hardware": "v100-sxm-32gb"})
    assert plan.workload.precision == "fp16"
    assert "precision fp16: v100-sxm-32gb has no bf16" in plan.assumptions
    with pytest.raises(InputError, match="v100-sxm-32gb has no bf16"):
        plan_from({"model": "gpt2", "hardware": "v100-sxm-32gb", "precision": "bf16"})


def test_devices_per_node_overrides_the_cluster(catalog: Catalog) -> None:
    assert plan_from(BASE | {"devices_per_node": 4}, catalog=catalog).cluster.devices_per_node == 4


def test_a_small_model_gets_no_model_parallelism(catalog: Catalog) -> None:
    layout = plan_from(BASE | {"devices": 8}, catalog=catalog).layout
    assert (layout.tp, layout.pp, layout.dp, layout.recompute) == (1, 1, 8, "none")


def test_a_large_model_gets_the_smallest_layout_that_fits(catalog: Catalog) -> None:
    said = {"model": "llama-3.1-70b", "hardware": "test-gpu", "devices": 64, "seq_len": 4096, "global_batch": 64}
    plan = plan_from(said, catalog=catalog)
    assert estimate(plan).verdict == "fits"
    smaller = said | {"tp": plan.layout.tp // 2, "pp": plan.layout.pp}
    assert estimate(plan_from(smaller, catalog=catalog)).verdict != "fits"


def test_nothing_fits_is_said(catalog: Catalog) -> None:
    plan = plan_from({"model": "llama-3.1-405b", "hardware": "test-gpu", "devices": 8}, catalog=catalog)
    assert any("nothing fits" in sentence for sentence in plan.assumptions)


def test_a_batch_that_one_layout_alone_divides_is_planned(catalog: Catalog) -> None:
    plan = plan_from(BASE | {"devices": 8, "global_batch": 2}, catalog=catalog)
    assert plan.layout.dp <= 2


def test_experts_are_spread(catalog: Catalog) -> None:
    plan = plan_from({"model": EXPERTS, "hardware": "test-gpu", "devices": 16}, catalog=catalog)
    assert plan.layout.ep == 8
    assert "ep 6 does not divide the 16 experts" in refusal(catalog, model=EXPERTS, devices=6, ep=6, tp=1, pp=1)
    assert "ep 4 does not divide dp 2 x cp 1 x tp 1 = 2" in refusal(catalog, model=EXPERTS, devices=2, ep=4, tp=1, pp=1)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"devices": 8, "tp": 8, "pp": 1}, "LP001"),
        ({"devices": 5, "tp": 1, "pp": 5}, "LP002"),
        ({"seq_len": 4096}, "LP003"),
        ({"devices": 16, "tp": 16, "pp": 1}, "LP005"),
        ({"vp": 2}, "LP006"),
        ({"devices": 4, "tp": 1, "pp": 4, "vp": 3, "global_batch": 6}, "LP007"),
        ({"devices": 4, "tp": 1, "pp": 4, "global_batch": 2}, "LP008"),
    ],
)
def test_warnings(catalog: Catalog, said: dict[str, Any], code: str) -> None:
    assert code in codes(plan_from(BASE | {"devices": 1} | said, catalog=catalog))
    assert code not in codes(plan_from(BASE, catalog=catalog))


def test_learned_positions_end() -> None:
    assert "LP004" in codes(plan_from({"model": "gpt2", "hardware": "a100", "seq_len": 2048}))


def test_all_faults_at_once(catalog: Catalog) -> None:
    text = refusal(catalog, model="nothing-like-it", hardware="nor-this", lora_rank=4, devices=6, tp=4, pp=1)
    assert len(text.splitlines()) == 4


ODD = [128, 4096, 10**6, 10**12, 0.5, float("nan"), float("inf"), "8", "x"]
NUMBERS = st.one_of(st.integers(-2, 70), st.sampled_from(ODD))
WORDS = [
    "generic",
    "test-gpu",
    "h100",
    "dgx-a100",
    "llama-3.1-8b",
    "pretrain",
    "lora",
    "full",
    "bf16",
    "fp8",
    "adam",
    "",
]
TEXTS = st.sampled_from(WORDS)
JUNK = st.one_of(NUMBERS, TEXTS, st.none(), st.booleans(), st.text(max_size=8), st.lists(st.integers(), max_size=2))
DEGREES = ("devices", "tp", "pp", "vp", "cp", "ep", "dp", "micro_batch", "global_batch")
SENSIBLE: dict[str, st.SearchStrategy[Any]] = {
    "model": st.sampled_from(["mixtral-8x7b", "bert-large-uncased", "t5-large", "deepseek-v3-671b", "gpt2"]),
    "hardware": st.sampled_from(["h100", "tpu-v4", "v100", "test-gpu", "t4", "hanguang-800", "xeon-8480"]),
    "workload": st.sampled_from(["pretrain", "finetune", "lora"]),
    **dict.fromkeys(DEGREES, st.sampled_from([1, 2, 3, 4, 8, 64])),
    "seq_len": st.sampled_from([1, 512, 8192, 10**9]), "zero": st.integers(0, 3),
}  # fmt: skip
OPTIONS = st.dictionaries(st.sampled_from(sorted(VOCABULARY)), JUNK, max_size=6)


def told(said: dict[str, Any], catalog: Catalog) -> None:
    """Plans and estimates, or refuses in words; anything else is a bug."""
    try:
        answer = estimate(plan_from(said, catalog=catalog))
    except InputError as error:
        refused = error
    else:
        assert 0 < answer.step.value < float("inf")
        assert 0 < answer.peak.value < float("inf")
        return
    assert refused.faults
    assert all(fault.message for fault in refused.faults)


@settings(max_examples=150)
@given(said=st.fixed_dictionaries({}, optional=SENSIBLE))
def test_likely_options_are_planned_or_refused(catalog: Catalog, said: dict[str, Any]) -> None:
    told({"model": "llama-3.1-8b", "hardware": "h100"} | said, catalog)


@settings(max_examples=150)
@given(said=OPTIONS)
def test_any_options_are_planned_or_refused(catalog: Catalog, said: dict[str, Any]) -> None:
    told(BASE | said, catalog)
