"""Predictions of training against published runs: the figures that must hold, worked out here from the rows."""

from __future__ import annotations

import csv
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from llmplan.answer.resolve import AnyPlan
from llmplan.answer.rows import Row, read_rows, row_plan
from llmplan.answer.scores import Result
from llmplan.calibration.accuracy import fitted_results
from llmplan.calibration.scoring import Ranking, ranking
from llmplan.catalog.catalog import open_catalog
from llmplan.software.band import Interval
from llmplan.training.estimate import TrainingEstimate, estimate

FOLDER = Path(__file__).parent
RUNS = FOLDER.parents[1] / "hardware_catalog" / "measurements" / "training.csv"
LEFT_OUT, TOLERANCES = FOLDER / "left_out" / "training.json", FOLDER / "tolerances.csv"
RATE, MEMORY = "tokens_per_second_per_device", "peak_memory_gib"
UPDATE = "LLMPLAN_UPDATE_TOLERANCES"


@cache
def rows() -> dict[str, Row]:
    return {row.id: row for row in read_rows(RUNS)}


@cache
def results() -> dict[str, Result]:
    return {result.row.id: result for result in fitted_results(RUNS)}


def own_plan(row: Row) -> AnyPlan:
    """The plan of a row under its own stack."""
    return row_plan(row, open_catalog(), row.cells["stack"])


@cache
def estimated(name: str) -> TrainingEstimate:
    """The estimate of a row under its own stack."""
    return estimate(own_plan(rows()[name]))


@cache
def estimates() -> dict[str, TrainingEstimate]:
    """Estimates of the rows that tell whether they ran, under their own stacks."""
    return {row.id: estimated(row.id) for row in rows().values() if row.cells["measured_fits"]}


def measured(row: Row, quantity: str) -> float | None:
    text = row.cells.get(f"measured_{quantity}", "")
    return float(text) if text else None


def ratios(quantity: str, names: Iterable[str] | None = None) -> dict[str, float]:
    """predicted / measured by row."""
    found = {}
    for name in names or rows():
        value, result = measured(rows()[name], quantity), results()[name]
        if value and quantity in result.predicted:
            found[name] = result.predicted[quantity].value / value
    return found


@cache
def tolerated() -> dict[str, float]:
    """The error that is allowed to each row that the stacks were fitted on."""
    with TOLERANCES.open(newline="", encoding="utf-8") as file:
        return {line["id"]: float(line["relative_error"]) for line in csv.DictReader(file)}


def votes(names: Iterable[str]) -> dict[str, float]:
    """One vote for each publication, stack, model and hardware, shared by its rows."""
    words = ("publication", "stack", "model", "hardware")
    keys = {name: tuple(rows()[name].cells[word] for word in words) for name in names}
    sizes = Counter(keys.values())
    return {name: 1 / sizes[key] for name, key in keys.items()}


def error_at(found: dict[str, float], share: float) -> float:
    """The error that `share` of the votes does not pass."""
    weight = votes(found)
    errors = sorted((abs(ratio - 1), weight[name]) for name, ratio in found.items())
    wanted, running = share * sum(weight.values()), 0.0
    for error, vote in errors:
        running += vote
        if running >= wanted:
            return error
    raise AssertionError("no rows")


def test_every_row_is_predicted() -> None:
    assert len(rows()) > 1000
    assert [result.skipped for result in results().values() if result.skipped] == []
    assert [result.remarks for result in results().values() if result.remarks] == []  # every stack is in the catalogue


class TestThroughput:
    """Rows that the stacks were fitted on, where nothing else is said: the second edition holds more than those."""

    def test_every_row(self) -> None:
        found = ratios(RATE)
        assert len(found) > 900
        assert error_at(found, 0.5) <= 0.065
        assert error_at(found, 0.9) <= 0.32

    def test_median_and_90th_percentile(self) -> None:
        found = ratios(RATE, tolerated())
        assert len(found) > 550
        assert error_at(found, 0.5) <= 0.05
        assert error_at(found, 0.9) <= 0.18

    def test_no_bias(self) -> None:
        found = ratios(RATE, tolerated())
        weight = votes(found)
        slow = sum(weight[name] for name, ratio in found.items() if ratio < 1)
        assert 0.4 < slow / sum(weight.values()) < 0.6

    def test_beats_constant_utilisation(self) -> None:
        # one MFU of 40 % for all runs is 22 % off in the median, one for each hardware, precision and stack 7.3 %
        found = ratios(RATE, tolerated())
        constant, kinds = {}, {}
        for name in found:
            answer = results()[name].predicted[RATE].value * estimate_mfu_factor(name)
            constant[name] = answer / measured_rate(name)
            cells = rows()[name].cells
            kinds[name] = (cells["hardware"], cells["precision"], cells["stack"])
        assert error_at(found, 0.5) < error_at(constant, 0.5) / 3
        assert error_at(found, 0.9) < error_at(constant, 0.9) / 2

    @pytest.mark.frozen
    def test_each_row_is_as_near_as_it_was(self) -> None:
        """LLMPLAN_UPDATE_TOLERANCES=1 stores today's errors, rounded up to whole percent, anew."""
        errors = {name: abs(ratio - 1) for name, ratio in ratios(RATE, tolerated()).items()}
        if os.environ.get(UPDATE):
            lines = [
                "id,relative_error",
                *(f"{name},{math.ceil(error * 100) / 100:.2f}" for name, error in errors.items()),
            ]
            TOLERANCES.write_text("\n".join(lines) + "\n", encoding="utf-8")
            tolerated.cache_clear()
        allowed = tolerated()
        assert set(allowed) == set(errors)
        worse = {name: f"{errors[name]:.1%} > {allowed[name]:.0%}" for name in errors if errors[name] > allowed[name]}
        assert worse == {}


def measured_rate(name: str) -> float:
    value = measured(rows()[name], RATE)
    assert value is not None
    return value


def estimate_mfu_factor(name: str) -> float:
    """What turns the predicted rate into that of a run at 40 % utilisation."""
    return 0.4 / estimated(name).mfu


class TestLeftOut:
    """Runs of publications that the numbers were not fitted on, as they were predicted when stacks were fitted."""

    @staticmethod
    def stored() -> dict[str, dict[str, Any]]:
        return {
            row["id"]: row
            for row in json.loads(LEFT_OUT.read_text(encoding="utf-8"))["rows"]
            if RATE in row["interval"]
        }

    def unseen(self) -> dict[str, float]:
        """predicted / measured rate."""
        known = {name: row for name, row in self.stored().items() if measured(rows()[name], RATE) is not None}
        return {name: row["predicted"][RATE] / measured_rate(name) for name, row in known.items()}

    def test_median(self) -> None:
        found = self.unseen()
        assert len(found) > 900
        assert error_at(found, 0.5) <= 0.095
        assert error_at(found, 0.9) <= 0.32

    def test_bands_hold_what_they_say(self) -> None:
        stored, inside = self.stored(), 0.0
        weight = votes(self.unseen())
        for name, share in weight.items():
            low, high = stored[name]["interval"][RATE]
            inside += share * (low <= measured_rate(name) <= high)
        assert 0.76 <= inside / sum(weight.values()) <= 0.84

    def test_it_is_harder_than_what_was_fitted(self) -> None:
        found = self.unseen()
        assert error_at(found, 0.5) > error_at(ratios(RATE, found), 0.5)


class TestChoosing:
    """Of two layouts of one job that differ by more than 5 %, the faster one is predicted to be: mean over jobs."""

    @staticmethod
    def unseen() -> list[Result]:
        stored = TestLeftOut.stored()
        made = []
        for name, result in results().items():
            if (row := stored.get(name)) is not None:
                value = Interval(row["predicted"][RATE], *row["interval"][RATE])
                made.append(replace(result, predicted={RATE: value}))
        return made

    def test_fitted(self) -> None:
        found = ranking(results().values())
        assert found is not None
        assert found.jobs > 30
        assert found.job_mean >= 0.85
        assert found.regret <= 0.025

    def test_left_out(self) -> None:
        found = ranking(self.unseen())
        assert found is not None
        assert found.job_mean >= 0.75
        assert found.regret <= 0.035

    def test_one_job_by_hand(self) -> None:
        """Three layouts, 100, 90 and 80 tokens a second: two pairs of three in order, the best one is not seen."""

        def run(tp: str, measured: float, predicted: float) -> Result:
            cells = {"id": tp, "model": "m", "hardware": "h", "workload": "pretrain", "tp": tp, "pp": "1"}
            row = Row({**cells, f"measured_{RATE}": str(measured)}, 1)
            return Result(row, {RATE: Interval(predicted, predicted, predicted)})

        some = [run("1", 100.0, 9.0), run("2", 90.0, 10.0), run("4", 80.0, 5.0)]
        found = ranking(some)
        assert found == Ranking(3, 1, pytest.approx(2 / 3), pytest.approx(2 / 3), pytest.approx(0.1))
        assert ranking(some, "pp") is None
        # those alike in what was measured tell nothing apart
        assert ranking([run("1", 100.0, 9.0), run("2", 97.0, 10.0)]) is None


class TestKorthikanti:
    """The eight rows of table 5 of Korthikanti et al. 2022 (arXiv 2205.05198)."""

    @staticmethod
    def errors() -> list[float]:
        names = [name for name, row in rows().items() if row.cells["stack"] == "megatron-lm-2022"]
        return [abs(ratio - 1) for ratio in ratios(RATE, names).values()]

    def test_rows_are_the_published_ones(self) -> None:
        found = {
            round(float(row.cells["measured_step_seconds"]), 2)
            for row in rows().values() if row.cells["stack"] == "megatron-lm-2022"
        }  # fmt: skip
        assert found == {1.42, 1.10, 18.13, 13.75, 49.05, 37.83, 94.42, 71.49}

    def test_better_than_the_best_published_tool(self) -> None:
        assert sum(self.errors()) / 8 < 0.036
        assert max(self.errors()) < 0.089

    @pytest.mark.parametrize("option", ["", "--no-sequence-parallel"])
    def test_the_175b_row_by_the_command(self, llmplan: Callable[..., Any], option: str) -> None:
        """18.13 s; the run was without sequence parallelism, which is the stack's default where nothing is said."""
        words = f"""estimate --model gpt3-175b --hardware a100-sxm-80gb --devices 64 --tp 8 --pp 8 --vp 3
            --workload pretrain --seq-len 2048 --micro-batch 1 --global-batch 64 --recompute full
            --stack megatron-lm-2022 --json {option}"""
        run = llmplan(*words.split())
        assert run.code == 0, run.err
        step = json.loads(run.out)["result"]["time"]["step_seconds"]
        assert step["value"] == pytest.approx(18.13, rel=0.036 if option else 0.089)
        assert step["low"] < 18.13 < step["high"]


class TestMemory:
    def test_median_of_rows_that_state_what_they_recompute(self) -> None:
        stated = [name for name, row in rows().items() if row.cells["recompute"]]
        found = ratios(MEMORY, stated)
        assert len(found) > 200
        assert error_at(found, 0.5) <= 0.08

    def test_what_ran_is_not_refused(self) -> None:
        """Of runs that state their recomputation, and of which the notes do not say that the host held a part."""

        def plain(cells: dict[str, str]) -> bool:
            held_by_host = any(word in cells["notes"] for word in ("offload", "paged"))
            return cells["measured_fits"] == "true" and bool(cells["recompute"]) and not held_by_host

        wrong = [
            name for name, answer in estimates().items()
            if plain(rows()[name].cells) and answer.verdict == "does-not-fit"
        ]  # fmt: skip
        assert wrong == []

    def test_what_ran_out_of_memory_is_not_promised(self) -> None:
        failed = [name for name in estimates() if rows()[name].cells["measured_fits"] == "false"]
        assert len(failed) > 10
        # bigsci-149 (206B) ran out of memory for a reason that is not said: 203B on the same layout took 67 of 79 GiB.
        unexplained = ["bigsci-149"]
        assert sorted(name for name in failed if estimates()[name].verdict == "fits") == unexplained
