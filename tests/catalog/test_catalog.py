"""Finding and loading entries: ids, aliases, folders of the user, names that are wrong or hostile."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from llmplan.catalog import entries
from llmplan.catalog.catalog import Catalog, open_catalog
from llmplan.documents import Document
from llmplan.errors import InputError
from llmplan.files import builtin, read_documents

H100 = builtin("devices") / "h100-sxm-80gb.yaml"


@pytest.fixture(autouse=True)
def _no_user_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LLMPLAN_CATALOG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))


def user_folder(root: Path, entry: str, **changes: str) -> Path:
    """A folder with one device made from the H100 entry, top-level keys replaced."""
    lines = H100.read_text().splitlines()
    for key, value in changes.items():
        lines = [f"{key}: {value}" if line.startswith(f"{key}:") else line for line in lines]
    (root / "devices").mkdir(parents=True, exist_ok=True)
    (root / "devices" / f"{entry}.yaml").write_text("\n".join(lines) + "\n")
    return root


@pytest.mark.parametrize("name", open_catalog().ids("devices"))
def test_every_device_loads(name: str) -> None:
    device = open_catalog().device(name)
    assert device.id == name
    assert device.memory.reserved < device.memory.capacity
    assert all(rate > 0 for rate in device.peak.values())


@pytest.mark.parametrize("name", open_catalog().ids("clusters"))
def test_every_cluster_loads(name: str) -> None:
    assert open_catalog().cluster(name).id == name


@pytest.mark.parametrize("name", open_catalog().ids("stacks"))
def test_every_stack_loads(name: str) -> None:
    assert open_catalog().stack(name).id == name


def test_every_price_names_a_known_device() -> None:
    devices = set(open_catalog().ids("devices"))
    prices = [price for prices in open_catalog().prices() for price in prices.prices]
    assert prices
    assert {price.device for price in prices} <= devices


@pytest.mark.parametrize(
    ("alias", "expected"),
    [
        ("h100", "h100-sxm-80gb"),
        ("H100", "h100-sxm-80gb"),
        ("a100", "a100-sxm-80gb"),
        ("A100 SXM_40GB", "a100-sxm-40gb"),
        ("h200", "h200-sxm-141gb"),
        ("b200", "b200-sxm-180gb"),
        ("v100", "v100-sxm-16gb"),
        ("trillium", "tpu-v6e"),
        ("ironwood", "tpu7x"),
        (" h100-sxm-80gb ", "h100-sxm-80gb"),
    ],
)
def test_aliases_and_loose_spelling(alias: str, expected: str) -> None:
    assert open_catalog().device(alias).id == expected


def test_si_units_of_a_known_device() -> None:
    device = open_catalog().device("h100")
    assert device.memory.capacity == 80 * 2**30
    assert device.memory.bandwidth == 3.35e12
    assert device.peak["bf16"] == 989.4e12
    assert device.scale_up.bandwidth == 450e9


def test_an_id_opens_its_own_file_only(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def record(path: Path) -> list[Document]:
        opened.append(path.stem)
        return read_documents(path)

    monkeypatch.setattr(entries, "read_documents", record)
    Catalog(()).find("devices", "h100-sxm-80gb")
    assert opened == []
    Catalog(()).find("devices", "h100")
    assert opened == ["aliases"]
    assert Catalog(()).cluster("dgx-h100").id == "dgx-h100"
    assert opened == ["aliases", "dgx-h100"]


def test_a_folder_of_the_user_overrides_by_id(tmp_path: Path) -> None:
    folder = user_folder(tmp_path / "mine", "h100-sxm-80gb", name="Mine", aliases="[h100]")
    mine = open_catalog([folder])
    assert mine.device("h100-sxm-80gb").name == "Mine"
    assert mine.device("h100").name == "Mine"
    assert mine.device("a100").id == "a100-sxm-80gb"
    assert open_catalog().device("h100").name != "Mine"


def test_order_of_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = {name: user_folder(tmp_path / name, "x1", name=name) for name in ("option", "first", "second")}
    config = user_folder(tmp_path / "xdg" / "llmplan" / "catalog", "x1", name="config")
    assert config.is_dir()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert open_catalog().device("x1").name == "config"
    monkeypatch.setenv("LLMPLAN_CATALOG", f"{folders['first']}:{folders['second']}")
    assert open_catalog().device("x1").name == "first"
    assert open_catalog([folders["option"]]).device("x1").name == "option"
    shutil.rmtree(folders["first"] / "devices")
    assert open_catalog().device("x1").name == "second"


def test_new_entries_and_aliases_of_the_user_are_found(tmp_path: Path) -> None:
    mine = open_catalog([user_folder(tmp_path, "my-gpu", aliases="[My GPU 9]")])
    assert mine.device("my_gpu").id == "my-gpu"
    assert mine.device("my-gpu-9").id == "my-gpu"
    assert "my-gpu" in mine.ids("devices")
    assert "h100-sxm-80gb" in mine.ids("devices")


def test_a_broken_entry_of_the_user_names_file_and_line(tmp_path: Path) -> None:
    folder = user_folder(tmp_path, "bad", release="soon")
    with pytest.raises(InputError) as caught:
        open_catalog([folder]).device("bad")
    (fault,) = caught.value.faults
    assert fault.file is not None
    assert fault.file.endswith("bad.yaml")
    assert fault.line == 6
    assert "release" in fault.message


@pytest.mark.parametrize("text", ["", "# nothing\n", "a: 1\n---\nb: 2\n"])
def test_a_file_is_one_entry(tmp_path: Path, text: str) -> None:
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "odd.yaml").write_text(text)
    with pytest.raises(InputError, match=r"empty|more than one"):
        open_catalog([tmp_path]).device("odd")


def test_a_missing_folder_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="--catalog: no such folder"):
        open_catalog([tmp_path / "nowhere"])
    monkeypatch.setenv("LLMPLAN_CATALOG", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="LLMPLAN_CATALOG: no such folder"):
        open_catalog().device("h100")


def test_did_you_mean() -> None:
    with pytest.raises(InputError, match=r'unknown hardware "h10"; did you mean h100 .*`llmplan catalog list` shows'):
        open_catalog().device("h10")
    with pytest.raises(InputError, match=r'unknown cluster "dgx-h10"; did you mean dgx-h100.*list clusters` shows'):
        open_catalog().cluster("dgx-h10")


@pytest.mark.parametrize(
    "name",
    ["../devices/h100-sxm-80gb", "..", ".", "", "/etc/passwd", "a/b", "a\\b", "x\0y", "x" * 5000, "aliases", "*", "é"],
)
def test_hostile_names_are_only_unknown(name: str) -> None:
    with pytest.raises(InputError) as caught:
        open_catalog().device(name)
    message = str(caught.value)
    assert message.startswith("unknown hardware")
    assert len(message) < 300
    assert message.isprintable()


def test_a_hostile_index_cannot_leave_its_folder(tmp_path: Path) -> None:
    user_folder(tmp_path, "mine")
    (tmp_path / "devices" / "aliases.yaml").write_text("x9: ../../../etc/passwd\n")
    with pytest.raises(InputError, match="names no id"):
        open_catalog([tmp_path]).device("x9")


def test_what_cannot_be_planned_says_why() -> None:
    """FPGAs and the Hanguang say themselves that they cannot be planned on."""
    refused = {name for name in open_catalog().ids("devices") if not open_catalog().device(name).plannable}
    assert {"alveo-u280", "alveo-v80", "hanguang-800"} <= refused
    assert all(open_catalog().device(name).why_not_plannable for name in refused)


def test_wheels_carry_the_catalogue_without_what_it_was_fitted_on() -> None:
    root = Path(__file__).parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    carried = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert all(inside == f"llmplan/{outside}" for outside, inside in carried.items())
    parts = {path.name for path in (root / "hardware_catalog").iterdir()}
    assert {Path(outside).name for outside in carried} == parts - {"measurements", "microbenchmarks"}


def test_the_package_has_what_opens_a_catalogue() -> None:
    code = "import llmplan.catalog as found; assert found.open_catalog().device('h100').id == 'h100-sxm-80gb'"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
