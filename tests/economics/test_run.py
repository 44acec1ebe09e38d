"""The whole run of a training: its figures agree with each other, and what is not known stays unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmplan.answer.answer import answer
from llmplan.answer.economics import summary
from llmplan.answer.economics.storage import storage_of
from llmplan.answer.economics.summary import Economics
from llmplan.answer.resolve import plan_from
from llmplan.answer.training import TrainingResult
from llmplan.catalog.catalog import Catalog, open_catalog
from llmplan.catalog.check import check_catalog
from llmplan.errors import InputError
from llmplan.records import replace
from llmplan.report.economics import run_lines
from llmplan.training.estimate import estimate
from llmplan.training.plan import TrainingPlan
from tests.truth.counting import RECIPE, machine, training

PLAN: dict[str, Any] = {
    "model": "llama-3.1-8b", "hardware": "h100-sxm-80gb", "devices": 16, "tp": 2, "pp": 1, "seq_len": 4096,
    "global_batch": 64, "tokens": 1e11, "grid": "fra",
}  # fmt: skip
HOUR = 3600.0


def trained(catalog: Catalog | None = None, **changes: Any) -> TrainingResult:
    """The answer of the plan."""
    words = {name: value for name, value in {**PLAN, **changes}.items() if value is not None}
    opened = catalog or open_catalog()
    result = answer(plan_from(words, catalog=opened), opened).result
    assert isinstance(result, TrainingResult)
    return result


def economics(catalog: Catalog | None = None, **changes: Any) -> Economics:
    """The run of the plan."""
    words = {name: value for name, value in {**PLAN, **changes}.items() if value is not None}
    opened = catalog or open_catalog()
    plan = plan_from(words, catalog=opened)
    assert isinstance(plan, TrainingPlan)
    found = summary.economics(estimate(plan), opened)
    assert found is not None
    return found


def test_a_run_needs_a_length() -> None:
    found = trained(tokens=None)
    assert (found.run, found.cost, found.energy, found.storage) == (None, None, None, None)


def test_tokens_steps_and_epochs_say_the_same() -> None:
    steps = round(1e11 / (64 * 4096))
    by_steps = economics(tokens=None, steps=steps).run
    by_epochs = economics(tokens=None, epochs=2.5, dataset_tokens=4e10).run
    assert by_steps.tokens == steps * 64 * 4096
    assert by_steps.steps == steps
    assert by_epochs.tokens == 1e11
    assert by_epochs == economics(tokens=1e11).run


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"steps": 5}, "give one of tokens and steps"),
        ({"tokens": None, "epochs": 1.0}, "dataset_tokens is missing"),
        ({"grid": "frane"}, "did you mean fra"),
        ({"grid": "57 kg"}, "grid: unknown"),
        ({"grid": "-5 gCO2e/kWh"}, "grid: '-5 gCO2e/kWh' is not between 0 and 1800 gCO2e/kWh"),
        ({"mtbf": "lama-3"}, "did you mean llama-3"),
        ({"mtbf": "0 h"}, "less than a second"),
        ({"pue": 0.9}, "pue"),
        ({"price": "-1 USD/h"}, "price"),
    ],
)
def test_words_that_say_nothing_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        economics(**changes)
    assert said in str(caught.value)


def test_the_wall_time_is_the_work_over_the_goodput() -> None:
    found = economics()
    assert found.run.reliability.goodput is not None
    assert 0 < found.run.reliability.goodput < 1
    assert found.run.wall_seconds.value == pytest.approx(found.run.seconds.value / found.run.reliability.goodput)
    assert found.run.device_hours == pytest.approx(16 * found.run.wall_seconds.value / HOUR)
    assert found.run.lost_seconds == pytest.approx(found.run.wall_seconds.value - found.run.seconds.value)
    assert found.run.wall_seconds.low < found.run.wall_seconds.value < found.run.wall_seconds.high


def test_more_devices_are_interrupted_more_often() -> None:
    few, many = economics(), economics(devices=64)
    assert many.run.reliability.interval_seconds == pytest.approx(few.run.reliability.interval_seconds / 4)
    assert economics(mtbf="1000 h").run.reliability.interval_seconds == pytest.approx(1000 * HOUR / 16)
    assert economics(mtbf="opt-175b").run.reliability.goodput < few.run.reliability.goodput  # type: ignore[operator]


def test_a_run_that_cannot_get_on_says_so() -> None:
    found = economics(mtbf="1 h", devices=128)
    assert found.run.reliability.goodput is not None
    assert found.run.reliability.goodput < 1e-3
    assert found.run.wall_seconds == found.run.seconds
    assert "LP043" in {one.code for one in found.warnings}


def test_a_given_price_is_taken_by_the_device_hour() -> None:
    found = economics(price="2 USD/h")
    assert found.cost.offer is not None
    assert found.cost.usd is not None
    assert found.cost.usd.value == pytest.approx(2.0 * found.run.device_hours)
    assert found.cost.offers == (found.cost.offer,)
    assert found.cost.offer.devices_billed == 16


def test_catalogue_prices_are_shown_with_date_and_source_and_the_cheapest_on_demand_counts() -> None:
    cost = economics().cost
    assert cost.offer is not None
    on_demand = [offer for offer in cost.offers if offer.kind == "on-demand"]
    assert cost.offer == min(on_demand, key=lambda offer: offer.usd_per_hour)
    assert len({offer.provider for offer in on_demand}) > 1
    assert all(offer.date and offer.source for offer in cost.offers)
    assert all(offer.devices_per_instance >= 8 for offer in cost.offers)  # 16 devices are two whole nodes


def test_devices_that_are_billed_and_not_used_are_told() -> None:
    found = trained(hardware="a100-sxm-80gb", devices=12, tp=None, global_batch=96, workload="lora")
    assert found.cost is not None
    offer = found.cost.offer
    assert offer is not None
    assert (offer.instances, offer.devices_used, offer.devices_billed) == (2, 12, 16)
    assert "(16 devices of which 12 are used, AWS" in dict(run_lines(found))["Cost"]
    assert {one.devices_billed for one in found.cost.offers} == {16}


def test_energy_is_devices_and_hosts_times_the_building() -> None:
    found = economics(pue=1.5, device_power="600 W")
    power, run = found.energy.power, found.run
    assert power.node_watts == 1200
    watts = 16 * 600 + 2 * 1200
    assert found.energy.it_joules == pytest.approx(watts * run.wall_seconds.value)
    assert found.energy.joules is not None
    assert found.energy.joules.value == pytest.approx(1.5 * watts * run.wall_seconds.value)


def test_a_part_of_a_node_takes_a_part_of_its_host_and_of_its_making() -> None:
    found = trained(devices=2, tp=None, pue=1.0, device_power="600 W")
    assert found.run is not None
    assert found.energy is not None
    assert found.energy.joules is not None
    assert found.energy.joules.value == pytest.approx((2 * 600 + 1200 / 4) * found.run.wall_seconds.value)
    years = found.run.wall_seconds.value / (3 * 365.25 * 86400)
    assert found.energy.embodied_co2e_kilograms == pytest.approx(7884 / 4 * years)
    assert "600 W a device + 1200 W a node shared by 8, PUE 1" in dict(run_lines(found))["Energy"]


def test_carbon_follows_the_grid_and_embodied_is_apart() -> None:
    france, amount = economics(), economics(grid="100 gCO2e/kWh")
    assert france.energy.co2e_kilograms is not None
    assert amount.energy.joules is not None
    assert amount.energy.co2e_kilograms is not None
    assert amount.energy.co2e_kilograms.value == pytest.approx(amount.energy.joules.value / 3.6e6 * 0.1)
    assert amount.energy.co2e_kilograms.high == pytest.approx(amount.energy.joules.high / 3.6e6 * 0.1)
    assert france.energy.co2e_kilograms.value < amount.energy.co2e_kilograms.value
    assert france.energy.embodied_co2e_kilograms == amount.energy.embodied_co2e_kilograms
    years = france.run.wall_seconds.value / (3 * 365.25 * 86400)
    assert france.energy.embodied_co2e_kilograms == pytest.approx(2 * 7884 * years)  # two nodes


def test_what_is_not_known_stays_unknown() -> None:
    """No power of a TPU v5p and no price of a Xeon were published."""
    tpu = economics(hardware="tpu-v5p", tp=None, pp=None)
    assert tpu.energy.joules is None
    assert tpu.energy.co2e_kilograms is None
    assert tpu.cost.offer is not None
    assert tpu.run.reliability.goodput is None  # and no storage of its cluster
    assert tpu.run.wall_seconds == tpu.run.seconds
    assert {one.code for one in tpu.warnings} == {"LP042"}
    assert economics(hardware="tpu-v5p", tp=None, pp=None, device_power="400 W").energy.joules is not None
    xeon = economics(hardware="xeon-8480", tp=None, pp=None)
    assert xeon.cost.offer is None
    assert xeon.cost.offers == ()
    assert xeon.energy.joules is not None


def test_a_slice_of_a_torus_is_priced_by_the_chip() -> None:
    offer = economics(hardware="tpu-v5p", tp=None, pp=None).cost.offer
    assert offer is not None
    assert offer.instances == pytest.approx(16 / offer.devices_per_instance)
    assert offer.devices_billed == 16
    assert offer.usd_per_device_hour == pytest.approx(4.2, rel=0.01)


def test_checkpoints_by_optimizer_and_precision() -> None:
    parameters = plan_from(PLAN).model.parameters
    assert economics().storage.checkpoint_bytes == pytest.approx(14 * parameters)  # 2 weights, 4 master, 8 Adam
    assert economics(optimizer="lion").storage.checkpoint_bytes == pytest.approx(10 * parameters)
    assert economics(precision="fp32").storage.checkpoint_bytes == pytest.approx(12 * parameters)
    adapters = economics(workload="lora").storage.checkpoint_bytes
    assert 0 < adapters < 0.02 * parameters


def test_storage_time_is_size_over_what_nodes_or_the_file_system_give(tmp_path: Path) -> None:
    storage = economics().storage
    assert storage.write_bytes_per_second == 2 * 4e9  # two nodes, below what the file system gives
    assert storage.write_seconds == pytest.approx(storage.checkpoint_bytes / 8e9)
    assert storage.read_seconds == pytest.approx(storage.checkpoint_bytes / 16e9)
    assert storage.dataset_bytes == 4e11  # a vocabulary of 128,256 takes four bytes
    assert not storage.holds_back
    held = trained().bottleneck
    assert held.utilization["storage"] == storage.load
    assert held.elasticity["storage"].speedup == 1


@pytest.mark.parametrize(("share", "warns"), [(0.0495, False), (0.0505, True)])
def test_checkpoints_that_take_a_twentieth_of_the_run_are_warned_of(share: float, warns: bool) -> None:
    # written C seconds every sqrt(2 C M): a share of sqrt(C / (2 M)); M is the interval of one device over sixteen
    write = economics().storage.write_seconds
    assert write is not None
    found = economics(mtbf=f"{16 * write / (2 * share**2):.6f} s")
    assert ("LP041" in {one.code for one in found.warnings}) is warns


def test_no_device_runs_for_more_than_a_million_years() -> None:
    assert economics(mtbf="365250000 d").run.reliability.device_interval_seconds == 365_250_000 * 86400
    with pytest.raises(InputError, match="million years"):
        economics(mtbf="365250001 d")


@pytest.mark.parametrize(("vocabulary", "each"), [(65536, 2), (65537, 4)])
def test_a_token_on_disk_has_two_bytes_where_they_can_number_the_vocabulary(vocabulary: int, each: int) -> None:
    found = estimate(training(machine(flops=1.0), spec={"vocab": vocabulary}))
    assert storage_of(found, 1000.0).dataset_bytes == 1000 * each


def test_a_checkpoint_holds_no_more_than_four_bytes_of_a_master_weight() -> None:
    recipe = replace(RECIPE, master_bytes=6.0)  # with gradients in fp32
    found = estimate(training(machine(flops=1.0), recipe=recipe))
    assert storage_of(found, 1.0).checkpoint_bytes == found.plan.model.parameters * (2 + 4 + 8)


def test_slow_storage_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "clusters").mkdir()
    (tmp_path / "clusters" / "slow.yaml").write_text(
        "name: Slow\ndevices_per_node: 8\nfabric: {link: IB, bandwidth: 50 GB/s, latency: 10 us}\n"
        "storage: {kind: one disk, read: 10 kB/s, write: 1 MB/s}\n"
        "sources: [{what: all, where: made up}]\ndate: '2026-01-01'\n"
    )
    catalog = open_catalog([tmp_path])
    found = economics(catalog, cluster="slow", mtbf="5000 h")
    assert found.storage.holds_back
    assert found.storage.load is not None
    assert found.run.reliability.goodput is not None
    assert found.run.wall_seconds.value == pytest.approx(
        found.run.seconds.value * found.storage.load / found.run.reliability.goodput
    )
    held = trained(catalog, cluster="slow").bottleneck
    assert (held.resource, held.advice.code) == ("storage", "LP038")
    assert held.elasticity["storage"].speedup == pytest.approx(1.1)
    assert {"LP040", "LP041"} <= {one.code for one in found.warnings}


def test_a_user_may_have_tables_of_their_own(tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "hardware_catalog" / "energy.yaml"
    (tmp_path / "energy.yaml").write_text(source.read_text().replace("pue: 1.2", "pue: 1.7"))
    assert economics(open_catalog([tmp_path])).energy.power.pue == 1.7


@pytest.mark.parametrize(
    ("table", "old", "new", "said"),
    [
        ("energy", "grid: world", "grid: moon", "grid 'moon' is not one of grids"),
        ("energy", "  tpu: {}  # nothing was published\n", "", "hosts has no tpu"),
        ("energy", "pue: 1.2", "pue: 0.5", "pue"),
        ("energy", 'date: "2026-11-21"', 'date: "21.11.2026"', "is not YYYY-MM-DD"),
        ("reliability", "default: llama-3", "default: llama-9", "default 'llama-9' is not one of rates"),
        ("reliability", "interruptions: 419", "interruptions: 0", "interruptions"),
    ],
)
def test_the_catalogue_check_reads_the_tables(tmp_path: Path, table: str, old: str, new: str, said: str) -> None:
    text = (Path(__file__).parents[2] / "hardware_catalog" / f"{table}.yaml").read_text()
    assert old in text
    (tmp_path / f"{table}.yaml").write_text(text.replace(old, new))
    report = check_catalog(open_catalog([tmp_path]), kinds=())
    assert said in " ".join(str(fault) for fault in report.faults)
    assert not check_catalog(open_catalog(), kinds=()).faults


def test_instances_are_counted_to_the_last_one() -> None:
    """2,048 nodes were told as 2,050."""
    found = trained(devices=16_376, tp=1, pp=1, global_batch=None, micro_batch=1)
    assert ": 2047 x " in dict(run_lines(found))["Cost"]
