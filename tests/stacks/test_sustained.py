"""What power leaves of a device's rates: the fit finds what made its runs, from stacks on several devices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from llmplan.calibration.runs import STEP, Run, load_runs, predict
from llmplan.calibration.sustained import LEAST, MOST, PICOJOULE, at_energy, fitted_energies, own_energies
from llmplan.catalog.catalog import open_catalog
from llmplan.machine.kernels import sustained

RUNS = Path(__file__).parents[2] / "hardware_catalog" / "measurements" / "training.csv"
TRUTH = {"h100-sxm-80gb": 1.0 * PICOJOULE, "b200-sxm-180gb": 1.6 * PICOJOULE}


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    """Runs of one stack on two devices, as they would have been measured if a B200 took more energy than an H100."""
    loaded, _ = load_runs([RUNS], open_catalog(), only="nemo")
    version = next(run.leaf for run in loaded if run.plan.device.id == "b200-sxm-180gb")
    same = [run for run in loaded if run.moving and run.leaf == version]
    some = {name: [run for run in same if run.plan.device.id == name][:12] for name in TRUTH}
    return [
        replace(run, measured={STEP: predict(at_energy(run, TRUTH[name]), run.plan.coefficients)[STEP]})
        for name, part in some.items() for run in part
    ]  # fmt: skip


def test_the_fit_finds_which_device_sustains_less(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmplan.calibration.sustained.SPREAD", 1.0)  # a prior that says little
    found = {one.device: one for one in fitted_energies(runs, open_catalog())}
    ratio = found["b200-sxm-180gb"].after / found["h100-sxm-80gb"].after
    truth = TRUTH["b200-sxm-180gb"] / TRUTH["h100-sxm-80gb"]
    assert (1.0 + truth) / 2.0 < ratio < truth + 0.1  # the stack's coefficients may say less than half of it
    assert found["b200-sxm-180gb"].votes > 0
    assert "gb200" not in found  # like a B200: its limit is what differs


def test_energies_stand_in_entries_and_keep_their_bounds() -> None:
    energies = own_energies(open_catalog())
    assert energies["h100-sxm-80gb"] == open_catalog().device("h200-sxm-141gb").efficiency.product_energy
    assert "h200-sxm-141gb" not in energies  # that of the H100 that it is like
    assert all(LEAST <= value <= MOST for value in energies.values())
    for name in energies:
        entry = yaml.safe_load(open_catalog().find("devices", name).read_text(encoding="utf-8"))
        assert "product_energy" in entry["efficiency"]["source"]


def test_clocks_follow_the_power_limit() -> None:
    """By hand: 0.85 of the limit over energy x rate alone, its third root; nothing passes the full clock."""
    h100 = open_catalog().device("h100-sxm-80gb")
    energy, best = h100.efficiency.product_energy, h100.efficiency.matmul["bf16"].peak_fraction
    assert energy is not None
    drawn = energy * best * h100.peak["bf16"]
    for limit in (100.0, 300.0, 700.0):
        device = replace(h100, power=replace(h100.power, tdp=limit))
        assert sustained(device) ** 3 == pytest.approx(0.85 * limit / drawn)
    for limit in (1.01 * drawn / 0.85, None):
        assert sustained(replace(h100, power=replace(h100.power, tdp=limit))) == 1.0


def test_a_flop_in_half_the_bits_takes_a_third() -> None:
    """By hand: 1.5 of 4.6 pJ at twice the peak draw 0.65 of what 16 bits do."""
    device = open_catalog().device("b200-sxm-180gb")
    efficiency = replace(device.efficiency, product_energy=3.0 * PICOJOULE)
    hot = replace(device, efficiency=efficiency)
    best = {kind: efficiency.matmul[kind].peak_fraction for kind in ("bf16", "fp8")}
    drawn = 1.5 / 4.6 * (best["fp8"] * device.peak["fp8"]) / (best["bf16"] * device.peak["bf16"])
    assert sustained(hot, "fp8") / sustained(hot) == pytest.approx(drawn ** (-1 / 3))
    assert sustained(hot, "w4a16") == sustained(hot)
