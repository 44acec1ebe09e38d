"""Hardware as drivers, vendors and clouds name it, and what this machine has."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from llmplan.answer.resolve import plan_from
from llmplan.catalog.catalog import open_catalog
from llmplan.errors import InputError
from llmplan.setup import local
from llmplan.setup.local import here
from llmplan.setup.named import device_file

HERE = Path(__file__).parent
DEVICES = list(csv.DictReader((HERE / "devices.csv").read_text(encoding="utf-8").splitlines()))
INSTANCES = list(csv.DictReader((HERE / "instances.csv").read_text(encoding="utf-8").splitlines()))


def plan(**words: Any) -> Any:
    return plan_from({"model": "llama-3.2-1b", "workload": "serve", **words})


@pytest.mark.parametrize("row", DEVICES, ids=lambda row: row["name"])
def test_a_vendors_name_means_its_device(row: Mapping[str, str]) -> None:
    assert device_file(row["name"], open_catalog()).stem == row["device"]


@pytest.mark.parametrize("row", INSTANCES, ids=lambda row: row["name"])
def test_an_instance_means_devices_count_and_cluster(row: Mapping[str, str]) -> None:
    rented = open_catalog().instance(row["name"])
    assert rented is not None
    assert (rented.instance.device, rented.instance.devices) == (row["device"], int(row["devices"]))
    assert rented.instance.cluster == (row["cluster"] or None)


def test_the_lists_are_long() -> None:
    assert len(DEVICES) >= 80
    assert len(INSTANCES) >= 40


def test_every_instance_is_of_known_devices_and_agrees_with_the_price_lists() -> None:
    catalog = open_catalog()
    for instance in catalog.instances().instances.values():
        assert catalog.find("devices", instance.device).stem == instance.device
        assert instance.cluster is None or catalog.find("clusters", instance.cluster).stem == instance.cluster
    for price in (price for prices in catalog.prices() for price in prices.prices):
        rented = catalog.instance(price.instance)
        assert rented is not None, price.instance
        assert (rented.instance.device, rented.instance.devices) == (price.device, price.devices)


def test_an_instance_fills_in_what_was_not_said() -> None:
    found = plan(hardware="g5.12xlarge")
    assert (found.device.id, found.devices, found.cluster.id) == ("a10g", 4, "aws-g5")
    assert found.cluster.devices_per_node == 4
    assert "devices 4: of one g5.12xlarge" in found.assumptions
    two = plan(hardware="p5.48xlarge", devices=16)
    assert (two.devices, two.cluster.devices_per_node) == (16, 8)
    assert not any(line.startswith("devices ") for line in two.assumptions)


def test_a_name_may_say_how_many_there_are() -> None:
    found = plan(hardware="8x H100 SXM")
    assert (found.device.id, found.devices) == ("h100-sxm-80gb", 8)
    assert plan(hardware="RTX 4090 x2").devices == 2
    assert plan(hardware="8x H100 SXM", devices=4).devices == 4
    for name in ("2x2x H100", "0x H100", "x H100"):
        with pytest.raises(InputError, match="unknown hardware"):
            plan(hardware=name)


def test_the_words_of_an_instance_give_the_same_plan_again() -> None:
    first = plan(hardware="g5.12xlarge")
    again = plan_from(first.as_options())
    assert again.as_options() == first.as_options()


def test_a_size_of_unified_memory_is_planned_with() -> None:
    found = plan(hardware="Apple M3 Max 64GB")
    assert found.device.memory.capacity == 64 * 2**30
    assert found.usable_bytes == 48 * 2**30
    assert plan_from(found.as_options()).usable_bytes == found.usable_bytes


@pytest.mark.parametrize("name", ["RTX 4090 48GB", "NVIDIA H300", "p5.47xlarge", "A100 60GB"])
def test_what_is_not_known_is_refused_with_what_is_near(name: str) -> None:
    with pytest.raises(InputError, match=r"unknown hardware .* did you mean"):
        plan(hardware=name)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of programs that is all of PATH, on a machine without /proc/cpuinfo."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(local, "CPU_FACTS", tmp_path / "cpuinfo")
    here.cache_clear()
    yield tmp_path
    here.cache_clear()


def program(folder: Path, name: str, output: str, code: int = 0) -> None:
    path = folder / name
    echo = 'while IFS= read -r line; do echo "$line"; done'
    path.write_text(f"#!/bin/sh\n{echo} <<'END'\n{output}\nEND\nexit {code}\n")
    path.chmod(0o755)


def test_local_asks_nvidia_smi(machine: Path) -> None:
    program(machine, "nvidia-smi", "\n".join(["NVIDIA H200, 143771"] * 8))
    found = plan(hardware="local")
    assert (found.device.id, found.devices) == ("h200-sxm-141gb", 8)
    assert "hardware h200-sxm-141gb: found here, 8 x NVIDIA H200 (nvidia-smi)" in found.assumptions


def test_local_asks_rocm_smi(machine: Path) -> None:
    card = {"Card Series": "AMD Instinct MI300X OAM", "VRAM Total Memory (B)": "206141652992"}
    program(machine, "rocm-smi", json.dumps({"card0": card, "card1": card, "system": {}}))
    found = plan(hardware="local", devices=1)
    assert (found.device.id, found.devices) == ("mi300x", 1)


def test_local_asks_macos_and_plans_with_its_memory(machine: Path) -> None:
    program(machine, "sysctl", "Apple M3 Max\n51539607552")
    found = plan(hardware="local")
    assert found.device.id == "apple-m3-max"
    assert found.device.memory.capacity == 48 * 2**30


@pytest.mark.parametrize(
    ("output", "code", "message"),
    [
        ("NVIDIA Nothing 7, 100", 0, "found 1 x NVIDIA Nothing 7"),
        ("NVIDIA H200, 1\nTesla T4, 1", 0, "several kinds"),
        ("no devices were found", 9, "neither nvidia-smi"),
    ],
)
def test_local_says_what_it_cannot_plan_on(machine: Path, output: str, code: int, message: str) -> None:
    program(machine, "nvidia-smi", output, code)
    with pytest.raises(InputError, match=message):
        plan(hardware="local")


def test_a_processor_without_a_model_is_not_taken_for_one(machine: Path) -> None:
    (machine / "cpuinfo").write_text("model name\t: AMD EPYC\nphysical id\t: 0\n")
    with pytest.raises(InputError, match="names no model"):
        plan(hardware="local")
