"""What continuous work leaves of a device's rates: the fit finds what made its runs, from stacks on several devices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from llmplan.calibration.runs import STEP, Run, load_runs, predict
from llmplan.calibration.sustained import LEAST, MOST, at_fraction, fitted_fractions, own_fractions
from llmplan.catalog.catalog import open_catalog

RUNS = Path(__file__).parents[2] / "hardware_catalog" / "measurements" / "training.csv"
TRUTH = {"h100-sxm-80gb": 0.9, "b200-sxm-180gb": 0.7}


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    """Runs of one stack on two devices, as they would have been measured if B200 sustained less than H100."""
    loaded, _ = load_runs([RUNS], open_catalog(), only="nemo")
    version = next(run.leaf for run in loaded if run.plan.device.id == "b200-sxm-180gb")
    same = [run for run in loaded if run.moving and run.leaf == version]
    some = {name: [run for run in same if run.plan.device.id == name][:12] for name in TRUTH}
    return [
        replace(run, measured={STEP: predict(at_fraction(run, TRUTH[name]), run.plan.coefficients)[STEP]})
        for name, part in some.items() for run in part
    ]  # fmt: skip


def test_the_fit_finds_which_device_sustains_less(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmplan.calibration.sustained.SPREAD", 1.0)  # a prior that says little
    found = {one.device: one for one in fitted_fractions(runs, open_catalog())}
    ratio = found["b200-sxm-180gb"].after / found["h100-sxm-80gb"].after
    truth = 0.7 / 0.9
    assert truth - 0.02 < ratio < (1.0 + truth) / 2.0  # the stack's coefficients may say less than half of it
    assert found["b200-sxm-180gb"].votes > 0
    assert found["gb200"].votes == 0


def test_fractions_stand_in_entries_and_keep_their_bounds() -> None:
    fractions = own_fractions(open_catalog())
    assert fractions["h100-sxm-80gb"] == open_catalog().device("h100-sxm-80gb").efficiency.sustained_fraction
    assert "h200-sxm-141gb" not in fractions  # that of the H100 that it is like
    assert all(LEAST <= value <= MOST for value in fractions.values())
    for name in fractions:
        entry = yaml.safe_load(open_catalog().find("devices", name).read_text(encoding="utf-8"))
        assert "sustained_fraction" in entry["efficiency"]["source"]
