"""What three of a user's own rows are worth: which they are, and that the rest of the runs comes nearer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from llmplan.calibration.evaluate import Evaluator
from llmplan.calibration.few import given_of, median, rest, tell
from llmplan.calibration.fit import MEAN
from llmplan.calibration.runs import STEP, Run, load_runs, predict
from llmplan.calibration.scale import Scale
from llmplan.catalog.catalog import open_catalog
from llmplan.catalog.inheritance import numbers

RUNS = Path(__file__).parents[2] / "hardware_catalog" / "measurements" / "training.csv"
SCALE = Scale.of(numbers())


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    """Runs that would have been measured with slower products than the parent's."""
    truth = replace(SCALE.coefficients(SCALE.prior), matmul_efficiency=0.7)
    loaded, _ = load_runs([RUNS], open_catalog(), only="nanotron")
    some = [run for run in loaded if run.moving][:9]
    return [replace(run, measured={STEP: predict(run, truth)[STEP]}) for run in some]


def test_the_rows_that_are_given_are_spread_over_the_file() -> None:
    assert given_of(4) == [0, 1, 3]
    assert given_of(9) == [0, 4, 8]
    assert given_of(100) == [0, 49, 99]


def test_the_rest_comes_nearer(runs: list[Run]) -> None:
    with Evaluator(runs, SCALE) as evaluator:
        found = list(rest(runs, "nanotron", {MEAN: SCALE.prior}, evaluator, SCALE))
    assert [one.run.id for one in found] == [run.id for index, run in enumerate(runs) if index not in (0, 4, 8)]
    before, after = median(found)
    assert before > 0.05
    assert after < before / 4
    assert list(tell(found))[-1].split() == ["all", "6", f"{before:.1%}", f"{after:.1%}"]
