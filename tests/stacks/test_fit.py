"""The fit: it finds what made its rows, draws to parents, keeps under ceilings, and does not see what is left out."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml

from llmplan.calibration.bands import Point, coverage, fit_bands, foreign_bands
from llmplan.calibration.entries import render
from llmplan.calibration.evaluate import Evaluator
from llmplan.calibration.fit import FAMILY, MEAN, Fitted, Problem, Tree, fit
from llmplan.calibration.left_out import left_out
from llmplan.calibration.runs import Dropped, Run, load_runs, pairs, predict, votes
from llmplan.calibration.scale import Scale, weighted_quantile
from llmplan.calibration.study import coefficients_of
from llmplan.catalog.catalog import open_catalog
from llmplan.catalog.inheritance import generic_of, numbers
from llmplan.software.coefficients import NAMES, Coefficients
from llmplan.software.distance import NEW_DEVICE, UNKNOWN_STACK

RUNS = Path(__file__).parents[2] / "hardware_catalog" / "measurements" / "training.csv"
SCALE = Scale.of(numbers())
PRIOR = SCALE.coefficients(SCALE.prior)


@cache
def measured(stack: str) -> tuple[Run, ...]:
    runs, _ = load_runs([RUNS], open_catalog(), only=stack)
    return tuple(run for run in runs if run.moving)


def made(stack: str, **changes: float) -> list[Run]:
    """Runs of a stack as they would have been measured with the priors, but for some coefficients."""
    truth = replace(PRIOR, **changes)
    return [replace(run, measured={"step_seconds": predict(run, truth)["step_seconds"]}) for run in measured(stack)]


def fitted(runs: list[Run]) -> Fitted:
    tree = Tree.of([run.leaf for run in runs])
    with Evaluator(runs, SCALE) as evaluator:
        return fit(Problem(runs, evaluator, SCALE), tree, dict.fromkeys(tree.nodes, SCALE.prior))


def test_the_scale_keeps_between_floor_and_ceiling() -> None:
    for z in (-30.0, 0.0, 30.0):
        values = SCALE.coefficients(np.full(len(NAMES), z))
        for name, about in numbers().items():
            assert about.floor - 1e-9 <= getattr(values, name) <= about.ceiling + 1e-9, name
    assert values.matmul_efficiency * values.low_precision_efficiency <= numbers()["matmul_efficiency"].ceiling + 1e-9
    for name, item in numbers().items():
        assert getattr(PRIOR, name) == pytest.approx(item.prior)


def test_a_point_is_that_of_its_coefficients() -> None:
    z = SCALE.prior + 0.3
    assert SCALE.point(SCALE.coefficients(z)) == pytest.approx(z)


def test_a_stack_that_was_fitted_alone_has_its_own_point_and_needs_no_mean() -> None:
    own = SCALE.prior + 0.1
    alone = Fitted(Tree({("one", ""): None}), {("one", ""): own}, {}, 0.0)
    assert coefficients_of("one", alone, SCALE, {})["fitted"] == vars_of(SCALE.coefficients(own))
    both = Fitted(alone.tree, {MEAN: SCALE.prior}, {}, 0.0)
    assert coefficients_of("one", both, SCALE, {})["fitted"] == vars_of(PRIOR)


def vars_of(values: Coefficients) -> dict[str, float]:
    return {name: getattr(values, name) for name in NAMES}


def test_many_points_at_once_give_the_same_digits() -> None:
    points = SCALE.prior + 0.1 * np.eye(len(NAMES))
    for run in measured("megatron-lm-2022")[:3]:
        many = predict(run, SCALE.coefficients(points))["step_seconds"]
        for index, point in enumerate(points):
            assert predict(run, SCALE.coefficients(point))["step_seconds"] == pytest.approx(many[index], rel=1e-13)


def test_it_finds_the_coefficient_that_made_the_runs() -> None:
    runs = made("megatron-lm-2022", matmul_efficiency=0.75)
    found = fitted(runs)
    leaf = SCALE.coefficients(found.points[runs[0].leaf])
    mean = SCALE.coefficients(found.points[MEAN])
    assert leaf.matmul_efficiency < 0.84
    assert leaf.matmul_efficiency < mean.matmul_efficiency < 0.9  # drawn to the stack, the stack to the mean
    for run in runs:
        assert predict(run, leaf)["step_seconds"] == pytest.approx(run.measured["step_seconds"], rel=0.05)


def test_where_rows_say_nothing_the_parent_stands() -> None:
    runs = made("megatron-lm-2022", matmul_efficiency=0.75)
    leaf = SCALE.coefficients(fitted(runs).points[runs[0].leaf])
    for name in ("exposed_expert_parallel", "prompt_token_seconds", "low_precision_efficiency"):
        assert getattr(leaf, name) == pytest.approx(getattr(PRIOR, name))


def test_a_family_stands_between_its_stacks_and_the_mean() -> None:
    tree = Tree.of([("one", ""), ("two", "2.0"), ("three", "")], {"one": "kin", "two": "kin"})
    family = "kin", FAMILY
    assert tree.parents == {
        MEAN: None, family: MEAN, ("one", ""): family, ("two", ""): family, ("two", "2.0"): ("two", ""),
        ("three", ""): MEAN,
    }  # fmt: skip
    through = tree.spread(family) ** 2 + tree.spread(("one", "")) ** 2
    assert through == pytest.approx(tree.spread(("three", "")) ** 2)  # related stacks differ from the mean as any does
    alone = tree.below("two")
    assert alone.parents == {("two", ""): None, ("two", "2.0"): ("two", "")}
    assert alone.spread(("two", "")) == tree.spread(("two", ""))


def test_a_stack_without_runs_is_what_its_family_is() -> None:
    family, near = ("kin", FAMILY), SCALE.prior + 0.1
    found = Fitted(Tree({MEAN: None, family: MEAN}), {MEAN: SCALE.prior, family: near}, {}, 0.0)
    assert coefficients_of("new", found, SCALE, {"family": "kin"})["fitted"] == vars_of(SCALE.coefficients(near))
    assert coefficients_of("new", found, SCALE, {})["fitted"] == vars_of(PRIOR)


def test_groups_share_a_vote() -> None:
    runs = measured("nanotron")
    assert sum(votes(runs).values()) == pytest.approx(len({(run.group, name) for run in runs for name in run.measured}))


def test_jobs_share_a_vote_on_the_order_of_their_layouts() -> None:
    runs = measured("megatron-core")
    told = pairs(runs)
    assert told
    for a, b, weight in told:
        assert runs[a].job == runs[b].job
        assert runs[a].measured["step_seconds"] < runs[b].measured["step_seconds"]
        assert 0 < weight <= 1


def test_what_is_left_out_is_not_seen() -> None:
    """A publication that is all wrong moves the fit, and not the prediction of its own rows."""
    runs = [*measured("megatron-lm-2021"), *measured("megatron-lm-2022"), *measured("nanotron")]
    name = runs[0].publication
    wrong = [
        replace(run, measured={key: 50.0 * value for key, value in run.measured.items()})
        if run.publication == name else run for run in runs
    ]  # fmt: skip
    right, other = (_left_out(some, name) for some in (runs, wrong))
    assert set(right) == {run.id for run in runs if run.publication == name}
    for key, seconds in right.items():
        assert other[key] == pytest.approx(seconds, rel=0.05)  # from another start, near the same end


def _left_out(runs: list[Run], publication: str) -> dict[str, float]:
    tree = Tree.of([run.leaf for run in runs])
    with Evaluator(runs, SCALE) as evaluator:
        whole = fit(Problem(runs, evaluator, SCALE), tree, dict.fromkeys(tree.nodes, SCALE.prior), steps=6)
        found = list(left_out(runs, whole, evaluator, SCALE))
    assert all(UNKNOWN_STACK in one.distances for one in found if one.run.publication == publication)
    return {one.run.id: one.predicted["step_seconds"] for one in found if one.run.publication == publication}


def test_dropped_rows_say_why(tmp_path: Path) -> None:
    head = "id,model,hardware,devices,workload,stack,seq_len,global_batch,tp,pp,measured_step_seconds"
    job = "llama-3.1-8b,h100,8,pretrain"
    rows = [
        f"good,{job},nemo,4096,64,1,1,5.0", f"silent,{job},nemo,4096,64,1,1,", f"odd,{job},nemo,4096,63,1,1,5.0",
        f"quick,{job},nemo,4096,64,1,1,0.5", f"whose,{job},,4096,64,1,1,5.0",
    ]  # fmt: skip
    (tmp_path / "runs.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    runs, dropped = load_runs([tmp_path / "runs.csv"], open_catalog())
    assert [run.id for run in runs] == ["good"]
    why = {one.row.id: one.why for one in dropped}
    assert "nothing was measured" in why["silent"]
    assert "not a multiple" in why["odd"]
    assert "times the peak FLOP/s" in why["quick"]
    assert "no stack" in why["whose"]
    assert all(isinstance(one, Dropped) for one in dropped)


def test_waits_that_hang_on_who_sends_are_not_fitted(tmp_path: Path) -> None:
    """Three replicas of two places: six and eight requests take all, and less than one a replica waits; with nine all
    have one to spare."""
    head = "id,model,hardware,devices,tp,workload,stack,load,max_num_seqs,input_tokens,output_tokens,batch"
    job = "llama-3.1-8b,h100,3,1,serve,vllm,closed,2,500,100"
    rows = [f"of-{batch},{job},{batch},0.01,1.0" for batch in (5, 6, 8, 9)]
    columns = ",measured_tpot_seconds,measured_request_seconds"
    (tmp_path / "runs.csv").write_text("\n".join([head + columns, *rows]) + "\n", encoding="utf-8")
    runs, _ = load_runs([tmp_path / "runs.csv"], open_catalog())
    both = ("tpot_seconds", "request_seconds")
    assert {run.id: run.moving for run in runs} == {"of-5": both, "of-6": both[:1], "of-8": both[:1], "of-9": both}


def errors(count: int, width: float, *, stack: str = "a", distances: tuple[str, ...] = ()) -> Iterator[Point]:
    """Left-out errors of which four fifths are below a width."""
    for index in range(count):
        yield Point(width * (index + 0.5) / (0.8 * count), 1.0, "step_seconds", "training", stack, distances)


def test_bands_hold_four_fifths_and_widen_with_distance() -> None:
    some = [*errors(200, 0.1), *errors(100, 0.1, stack="b"), *errors(100, 0.3, distances=(NEW_DEVICE,))]
    model = fit_bands(some)
    assert coverage(model, some) == pytest.approx(0.8, abs=0.02)
    assert model.width("step_seconds", "a", ()) == pytest.approx(0.1, rel=0.15)
    assert model.width("step_seconds", "a", (NEW_DEVICE,)) == pytest.approx(0.3, rel=0.2)
    band = model.bands("a")["step_seconds"]
    assert math.log(band.high) == pytest.approx(-math.log(band.low), rel=0.02)


def test_what_was_never_measured_of_a_stack_is_as_wide_as_for_an_unknown_one() -> None:
    near, far = errors(200, 0.1, stack="b"), errors(200, 0.3, stack="d")
    memory = [replace(one, band="peak_bytes", family="memory") for one in (*near, *far)]
    model = fit_bands([*errors(200, 0.1), *memory])
    factor = model.distances["memory", UNKNOWN_STACK]
    known, unmeasured, unknown = (math.log(model.bands(name)["peak_bytes"].high) for name in ("b", "a", "c"))
    # stack a ran, its memory was not measured; of c nothing was, so that a plan widens it: as all memory together errs,
    # of which half lies evenly below 0.125 and half below 0.375, so that four fifths lie below 0.225
    assert unmeasured == pytest.approx(0.225, rel=0.05)
    assert unmeasured == pytest.approx(unknown * factor, rel=0.02)
    assert known == pytest.approx(0.1, rel=0.15)


def test_a_stack_without_an_entry_has_the_band_of_all_that_is_planned_in_its_place() -> None:
    model = fit_bands([*errors(200, 0.1), *errors(100, 0.3, distances=(NEW_DEVICE,))])
    band = foreign_bands(model, list(errors(200, 0.5)))["step_seconds"]
    assert math.log(band.high) == pytest.approx(0.5, rel=0.05)
    assert band.rows == 200
    known = model.width("step_seconds", "c", ())
    near = foreign_bands(model, list(errors(200, 0.01)))["step_seconds"]
    assert math.log(near.high) == pytest.approx(known, abs=1e-3)


@pytest.mark.parametrize("workload", ["pretrain", "finetune", "lora", "serve"])
def test_what_stands_in_for_a_stack_is_surer_of_nothing_than_a_stack_is(workload: str) -> None:
    catalog = open_catalog()
    stack = catalog.stack(generic_of(workload))
    assert workload in stack.workloads
    for name in ("step_seconds", "peak_bytes", "tpot_seconds", "kv_tokens"):
        every = [catalog.stack(one).bands for one in catalog.ids("stacks")]
        if name in stack.bands:
            assert stack.bands[name].high >= statistics.median(bands[name].high for bands in every if name in bands)


def test_a_stack_of_few_rows_has_nearly_the_width_of_all() -> None:
    model = fit_bands([*errors(200, 0.1), *errors(1, 0.5, stack="b")])
    assert model.width("step_seconds", "b", ()) < 0.15


def test_no_distance_narrows() -> None:
    model = fit_bands([*errors(200, 0.2), *errors(100, 0.05, distances=(NEW_DEVICE,))])
    assert all(factor >= 1.0 for factor in model.distances.values())


def test_quantile_lies_between_values() -> None:
    assert weighted_quantile([3.0, 1.0, 2.0], [1.0, 1.0, 1.0], 0.5) == 2.0


def test_numbers_are_written_so_that_yaml_reads_them() -> None:
    assert "1.0e-05" in render({"fitted": {"sequence_seconds": 1e-5}})
    for text in ("0.5", "NGC 20.0\x006", "@next", "%", "true", "a: b"):
        written = render({"measured": {"versions": [text]}})
        assert yaml.safe_load(written) == {"measured": {"versions": [text]}}
