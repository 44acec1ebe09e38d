"""The built-in catalogue is sound, and the check finds the slips that it is there for."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path

import pytest

from llmplan.catalog.catalog import Catalog
from llmplan.catalog.check import check_catalog, write_aliases
from llmplan.catalog.entries import KINDS, collect_aliases, read_index
from llmplan.errors import Fault
from llmplan.files import builtin

TOMORROW = (date.today() + timedelta(days=1)).isoformat()


@pytest.fixture(scope="module")
def clean() -> set[str]:
    """Faults of the built-in catalogue, as text: none."""
    return {str(fault) for fault in check_catalog(Catalog(())).faults}


def test_the_built_in_catalogue_is_sound(clean: set[str]) -> None:
    assert clean == set()


def test_every_entry_is_counted() -> None:
    counts = check_catalog(Catalog(())).counts
    assert counts["devices"] == len(Catalog(()).ids("devices")) > 0
    assert counts["models"] == len(Catalog(()).ids("models")) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_alias_indexes_are_fresh(kind: str) -> None:
    index = builtin(kind) / "aliases.yaml"
    aliases = collect_aliases(builtin(kind))
    assert (read_index(index) if index.exists() else {}) == aliases
    assert all(target in Catalog(()).ids(kind) for target in aliases.values())


def faults_of(tmp_path: Path, kind: str, entry: str, *changes: tuple[str, str]) -> list[Fault]:
    """Faults of a copy of a built-in entry in which texts were replaced."""
    text = (builtin(kind) / f"{entry}.yaml").read_text()
    for old, new in changes:
        assert old in text, f"{old!r} no longer stands in {entry}"
        text = text.replace(old, new, 1)
    (tmp_path / kind).mkdir()
    (tmp_path / kind / "copy.yaml").write_text(text)
    return [
        fault for fault in check_catalog(Catalog((tmp_path,)), [kind]).faults if str(tmp_path) in (fault.file or "")
    ]


DEVICE_SLIPS = {
    "a unit of another dimension": ("bandwidth: 3.35 TB/s", "bandwidth: 3.35 TB", "memory.bandwidth"),
    "a unit off by a thousand": ("bandwidth: 3.35 TB/s", "bandwidth: 3.35 GB/s", "check the unit"),
    "bits for bytes": ("bandwidth: 450 GB/s", "bandwidth: 450 Gb/s", "not the rate of NVLink 4"),
    "decimal memory": ("capacity: 80 GiB", "capacity: 80 GB", "DRAM is binary"),
    "sparse given as dense": ("bf16: 989.4 TFLOP/s", "bf16: 1978.9 TFLOP/s", "is peak sparse"),
    "both directions": ("bandwidth: 450 GB/s", "bandwidth: 900 GB/s", "both directions of NVLink 4"),
    "both directions of PCIe": ("bandwidth: 63 GB/s", "bandwidth: 126 GB/s", "both directions of PCIe 5"),
    "an unknown link": ("link: NVLink 4", "link: NVLink 9", "not in links.yaml"),
    "an unknown key": ("release: 2022", "realease: 2022", "unknown key 'realease'; did you mean release"),
    "an unknown precision": ("  tf32: 494.7 TFLOP/s", "  bf61: 494.7 TFLOP/s", "bf61"),
    "NaN": ("bf16: 989.4 TFLOP/s", "bf16: .nan", "not a finite number"),
    "infinity": ("bandwidth: 3.35 TB/s", "bandwidth: .inf", "not a finite number"),
    "a negative rate": ("bandwidth: 3.35 TB/s", "bandwidth: -3.35 TB/s", "memory.bandwidth"),
    "a date that lies ahead": ('date: "2026-11-21"', f'date: "{TOMORROW}"', "in the future"),
    "a date that is no day": ('date: "2026-11-21"', 'date: "2026-02-30"', "not a day"),
    "a date in another form": ('date: "2026-11-21"', 'date: "21.11.2026"', "not YYYY-MM-DD"),
    "fp8 that does not follow": ("fp8: 1978.9 TFLOP/s", "fp8: 989.4 TFLOP/s", "fp8_ratio"),
    "an odd int8": ("int8: 1978.9 TFLOP/s", "int8: 60 TFLOP/s", "a note must say why"),
    "supported and not": ("unsupported: [", "unsupported: [tf32, ", "unsupported and has a peak"),
    "no cluster": ("cluster: dgx-h100\n", "", "no cluster is named"),
    "an unknown cluster": ("cluster: dgx-h100", "cluster: dgx-h1000", "unknown cluster"),
    "an alias as reference": ("cluster: dgx-h100", "cluster: superpod-h100", "write the id, dgx-h100"),
    "power off by a thousand": ("tdp: 700 W", "tdp: 700 kW", "power.tdp"),
    "an id in the file": ("vendor: NVIDIA", "id: h100\nvendor: NVIDIA", "the id is the file's name"),
    "a key twice": ("vendor: NVIDIA", "vendor: NVIDIA\nvendor: AMD", "stands twice"),
    "no field": ("sources:", "unverified: [memory.size]\nsources:", "which is no field"),
    "like itself": ("efficiency:", "efficiency:\n  like: SELF", "like each other"),
}


def test_an_untouched_copy_has_no_faults(tmp_path: Path) -> None:
    assert faults_of(tmp_path, "devices", "h100-sxm-80gb") == []


@pytest.fixture(scope="module")
def faults_of_slips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Fault]]:
    """Faults of a catalogue that holds every slip, by slip."""
    folder = tmp_path_factory.mktemp("slips")
    (folder / "devices").mkdir()
    whole = (builtin("devices") / "h100-sxm-80gb.yaml").read_text()
    text = re.sub(r"^aliases:.*\n", "", whole, flags=re.M)  # which no two may share
    files = {}
    for number, (slip, (old, new, _)) in enumerate(DEVICE_SLIPS.items()):
        assert old in text, f"{old!r} no longer stands in the entry"
        name = f"copy-{number}"
        files[str(folder / "devices" / f"{name}.yaml")] = slip
        (folder / "devices" / f"{name}.yaml").write_text(text.replace(old, new.replace("SELF", name), 1))
    found: dict[str, list[Fault]] = {slip: [] for slip in DEVICE_SLIPS}
    for fault in check_catalog(Catalog((folder,)), ["devices"]).faults:
        if fault.file in files:
            found[files[fault.file]].append(fault)
    return found


@pytest.mark.parametrize("slip", DEVICE_SLIPS)
def test_slips_in_a_device_are_found(faults_of_slips: dict[str, list[Fault]], slip: str) -> None:
    expected = DEVICE_SLIPS[slip][2]
    assert any(expected in fault.message and fault.line for fault in faults_of_slips[slip]), faults_of_slips[slip]


def test_a_device_like_an_unknown_one(tmp_path: Path) -> None:
    faults = faults_of(tmp_path, "devices", "h100-sxm-80gb", ("efficiency:", "efficiency:\n  like: h1000"))
    assert any("unknown hardware" in fault.message and fault.line for fault in faults), faults


def test_sources_must_be_there(tmp_path: Path) -> None:
    text = (builtin("devices") / "t4.yaml").read_text()
    start, end = text.index("sources:\n"), text.index("date:")
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "none.yaml").write_text(text[:start] + text[end:])
    (tmp_path / "devices" / "empty.yaml").write_text(text[:start] + "sources: []\n" + text[end:])
    (tmp_path / "devices" / "blank.yaml").write_text(text[:start] + "sources: [{what: all, where: ' '}]\n" + text[end:])
    messages = {Path(f.file or "").stem: f.message for f in check_catalog(Catalog((tmp_path,)), ["devices"]).faults}
    assert "missing" in messages["none"]
    assert "sources" in messages["empty"]
    assert "both what and where" in messages["blank"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("bandwidth: 50 GB/s", "bandwidth: 50 TB/s", "not plausible"),
        ("latency: 10 us", "latency: 10 ms", "not plausible"),
        ("latency: 10 us", "latency: 10 GB", "latency"),
        ("devices_per_node: 8", "devices_per_node: 0", "devices_per_node"),
        ("shared_read: 160 GB/s", "shared_read: 1 GB/s", "less than one node"),
    ],
)
def test_slips_in_a_cluster_are_found(tmp_path: Path, old: str, new: str, expected: str) -> None:
    faults = faults_of(tmp_path, "clusters", "dgx-h100", (old, new))
    assert any(expected in fault.message for fault in faults), faults


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("device: h100-sxm-80gb", "device: h100-sxm-8gb", "unknown hardware"),
        ("device: h100-sxm-80gb", "device: h100", "write the id"),
        ("price: 31.92 USD/h", "price: 3192 USD/h", "not plausible"),
        ("price: 31.92 USD/h", "price: 31.92 EUR/h", "unit 'EUR/h'"),
        ("kind: on-demand", "kind: demand", "kind"),
        ('date: "2025"', 'date: "2999"', "in the future"),
    ],
)
def test_slips_in_prices_are_found(tmp_path: Path, old: str, new: str, expected: str) -> None:
    faults = faults_of(tmp_path, "prices", "lambda", (old, new))
    assert any(expected in fault.message for fault in faults), faults


def test_a_price_twice_and_spot_above_on_demand(tmp_path: Path) -> None:
    text = (builtin("prices") / "nebius.yaml").read_text().replace("price: 10 USD/h", "price: 24 USD/h", 1)
    first = text[text.index("  - instance") : text.index("  - instance", text.index("  - instance") + 1)]
    (tmp_path / "prices").mkdir()
    (tmp_path / "prices" / "copy.yaml").write_text(text.replace("sources:", first + "sources:", 1))
    messages = " ".join(fault.message for fault in check_catalog(Catalog((tmp_path,)), ["prices"]).faults)
    assert "spot costs more" in messages
    assert "stands twice" in messages


def test_links_of_the_user_are_known(tmp_path: Path) -> None:
    source = "sources: [{what: all, where: our lab}]\ndate: '2026-01-01'\n"
    (tmp_path / "links.yaml").write_text("links: {MyLink: {device: 450 GB/s}}\n" + source)
    assert faults_of(tmp_path, "devices", "h100-sxm-80gb", ("link: NVLink 4", "link: MyLink")) == []


def test_two_entries_cannot_share_an_alias(tmp_path: Path) -> None:
    text = (builtin("devices") / "mi300x.yaml").read_text()
    (tmp_path / "devices").mkdir()
    for name in ("one", "two"):
        (tmp_path / "devices" / f"{name}.yaml").write_text(text)
    messages = [fault.message for fault in check_catalog(Catalog((tmp_path,)), ["devices"]).faults]
    assert any("is already one of one" in message for message in messages)


def test_an_index_that_is_written_is_fresh(tmp_path: Path) -> None:
    text = (builtin("devices") / "rtx-4090.yaml").read_text()
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "mine.yaml").write_text(text)
    path = write_aliases(tmp_path / "devices")
    assert path is not None
    assert read_index(path) == collect_aliases(tmp_path / "devices") != {}
    assert check_catalog(Catalog((tmp_path,)), ["devices"]).counts["devices"] > 1
    assert write_aliases(tmp_path / "clusters") is None


def test_a_stale_index_is_found(tmp_path: Path) -> None:
    text = (builtin("devices") / "mi300x.yaml").read_text()
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "mine.yaml").write_text(text)
    (tmp_path / "devices" / "aliases.yaml").write_text("old: mine\n")
    assert any(
        "does not match the entries" in f.message for f in check_catalog(Catalog((tmp_path,)), ["devices"]).faults
    )


@pytest.mark.parametrize("name", ["Upper", "with space", "under_score"])
def test_file_names_are_ids(tmp_path: Path, name: str) -> None:
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / f"{name}.yaml").write_text((builtin("devices") / "t4.yaml").read_text())
    assert any("file's name is the id" in f.message for f in check_catalog(Catalog((tmp_path,)), ["devices"]).faults)
