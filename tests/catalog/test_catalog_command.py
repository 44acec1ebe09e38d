"""`llmplan catalog list|show|check` as a user runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from llmplan.catalog.catalog import open_catalog
from llmplan.catalog.entries import KINDS
from llmplan.cli.catalog import app
from llmplan.errors import InputError
from llmplan.files import builtin


@pytest.fixture(autouse=True)
def _no_user_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LLMPLAN_CATALOG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))


def run(*words: str) -> str:
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_list_names_every_entry(kind: str) -> None:
    shown = json.loads(run("list", kind, "--json"))
    assert shown["kind"] == kind
    files = {path.stem for path in builtin(kind).glob("*.yaml")} - {"aliases"}
    assert {entry["id"] for entry in shown["entries"]} == files
    table = run("list", kind)
    assert len(table.splitlines()) == len(shown["entries"]) + 1


def test_list_shows_key_figures() -> None:
    line = next(line for line in run("list").splitlines() if line.startswith("h100-sxm-80gb"))
    assert line.split()[:11] == [
        "h100-sxm-80gb",
        "80",
        "GiB",
        "3.35",
        "TB/s",
        "989.4",
        "TFLOP/s",
        "450",
        "GB/s",
        "8",
        "700",
    ]
    assert "h100-sxm5" in line


def test_list_takes_the_singular_and_refuses_the_rest() -> None:
    assert run("list", "cluster") == run("list", "clusters")
    with pytest.raises(InputError, match='unknown kind "device-s"; did you mean devices'):
        CliRunner().invoke(app, ["list", "device-s"], catch_exceptions=False)


def test_show_gives_file_figures_and_sources() -> None:
    text = run("show", "H100")
    assert str(builtin("devices") / "h100-sxm-80gb.yaml") in text
    assert "989.4 TFLOP/s" in text
    assert "stas00/ml-engineering" in text
    assert "\x1b" not in text


def test_show_as_json_is_in_base_units() -> None:
    (entry,) = json.loads(run("show", "h100", "--json"))["entries"]
    assert (entry["kind"], entry["id"]) == ("devices", "h100-sxm-80gb")
    assert entry["entry"]["memory"]["capacity"] == 80 * 2**30
    assert Path(entry["file"]).is_file()


@pytest.mark.parametrize(
    ("name", "kind"), [("dgx-h100", "clusters"), ("aws", "prices"), ("llama-3.1-8b", "models"), ("h20", "devices")]
)
def test_show_looks_in_all_kinds(name: str, kind: str) -> None:
    entries = json.loads(run("show", name, "--json"))["entries"]
    assert [entry["kind"] for entry in entries] == [kind]
    assert run("show", name, "--kind", kind) == run("show", name)


def test_show_of_an_unknown_name() -> None:
    with pytest.raises(InputError, match='called "dgx-h10"; did you mean dgx-h100'):
        CliRunner().invoke(app, ["show", "dgx-h10"], catch_exceptions=False)


def test_markup_in_an_entry_is_text(tmp_path: Path) -> None:
    text = (builtin("devices") / "t4.yaml").read_text().replace("name: NVIDIA T4", "name: '[red]x[/nope]'")
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "odd.yaml").write_text(text)
    assert "[red]x[/nope]" in run("show", "odd", "--catalog", str(tmp_path))
    assert "odd" in run("list", "--catalog", str(tmp_path))


def test_check_counts_entries() -> None:
    assert run("check").startswith("checked ")


def test_check_raises_every_fault(tmp_path: Path) -> None:
    text = (builtin("devices") / "t4.yaml").read_text()
    (tmp_path / "devices").mkdir()
    bad = text.replace("release: 2018", "release: 1918").replace("vendor: NVIDIA\n", "")
    (tmp_path / "devices" / "bad.yaml").write_text(bad)
    with pytest.raises(InputError) as caught:
        CliRunner().invoke(app, ["check", "--catalog", str(tmp_path)], catch_exceptions=False)
    mine = [fault for fault in caught.value.faults if str(tmp_path) in (fault.file or "")]
    assert len(mine) == 2
    assert all(fault.line is not None for fault in mine)


def test_show_of_an_entry_that_is_not_sound(tmp_path: Path) -> None:
    """It is shown as it stands; `check` says what is wrong with it."""
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "odd.yaml").write_text(
        "name: Odd\nsources: [{what: all}, plain, 3]\npeak: [1, {a: {b: c}}]\n"
    )
    text = run("show", "odd", "--catalog", str(tmp_path))
    assert "plain" in text


def test_an_entry_with_a_number_that_has_no_end_is_refused(llmplan: Callable[..., Any], here: Path) -> None:
    """JSON has no word for it; found by the fuzzer, under a key that nothing reads."""
    entry = here / "own" / "models" / "odd.yaml"
    entry.parent.mkdir(parents=True)
    entry.write_text("name: odd\n__class__: .inf\n")
    run = llmplan("catalog", "show", "odd", "--catalog", "own", "--json")
    assert run.code == 2
    assert "odd.yaml:2: __class__: .inf is not a finite number" in run.err


@pytest.mark.parametrize("entry", ["[]", "text", '{"aliases": 5}', '{"aliases": [1], "layers": {"a": 1}, "name": [1]}'])
def test_entries_that_are_no_models_are_listed_and_left_to_check(tmp_path: Path, entry: str) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "odd.yaml").write_text(entry)
    assert "odd " in run("list", "models", "--catalog", str(tmp_path))


@pytest.mark.parametrize("key", ["peak.bf16", "memory.bandwidth"])
def test_a_rate_of_next_to_nothing_is_refused(tmp_path: Path, key: str) -> None:
    """Times of 1e20 seconds ended in a division by zero; found by the fuzzer."""
    entry = yaml.safe_load((builtin() / "devices" / "h100-sxm-80gb.yaml").read_text(encoding="utf-8"))
    part, name = key.split(".")
    entry[part][name] = 1e-20
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "slow.yaml").write_text(yaml.safe_dump(entry), encoding="utf-8")
    with pytest.raises(InputError, match=rf"{key}: input should be greater"):
        open_catalog([tmp_path]).device("slow")
