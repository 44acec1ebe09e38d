"""Every command writes every format, and all of them say the same; columns; the gate; narrow terminals."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from llmplan.cli.main import main
from tests.cli.answers import holds

pytestmark = pytest.mark.usefixtures("few_models")  # `list` plans every one
ROOT = Path(__file__).parents[2]
PLAN = str(ROOT / "docs" / "examples" / "plan.yaml")
SERVE = str(ROOT / "docs" / "examples" / "serve.yaml")
A, B, RUNS = (str(ROOT / "docs" / "examples" / name) for name in ("a.yaml", "b.yaml", "runs.csv"))
COMMANDS: dict[str, tuple[str, list[str]]] = {
    "estimate": ("estimate", ["estimate", "--plan", PLAN]),
    "a deployment": ("estimate", ["estimate", "--plan", SERVE]),
    "fit": ("fit", ["fit", "--plan", PLAN, "--devices", "64", "--top", "3"]),
    "fit serving": ("fit", [
        "fit", "--model", "llama-3.1-8b", "--hardware", "h100", "--devices", "2", "--workload", "serve", "--batch", "8",
        "--top", "3", "--pareto", "latency,throughput",
    ]),
    "compare": ("compare", ["compare", "--plan", PLAN, "--hardware", "a100,h100"]),
    "compare serving": ("compare", ["compare", "--plan", SERVE, "--hardware", "h100,h200"]),
    "diff": ("diff", ["diff", A, B]),
    "sweep": ("sweeps", ["sweep", "--plan", PLAN, "--vary", "seq_len=4096..8192", "--vary", "hardware=h100,h200"]),
    "list": ("list", ["list", "--hardware", "rtx-4090", "--workload", "serve"]),
    "validate": ("validation", ["validate", RUNS]),
    "explain": ("explain", ["explain", "--plan", PLAN]),
    "explain a code": ("explain", ["explain", "LP031"]),
}  # fmt: skip
NO_PICTURE = ("explain a code",)


def out(capsys: pytest.CaptureFixture[str], words: list[str], *more: str, code: int = 0) -> str:
    assert main([*words, *more]) == code
    return capsys.readouterr().out


def numbers(value: Any) -> set[str]:
    """Every number in nested data, as JSON writes it."""
    if isinstance(value, dict):
        return {found for one in value.values() for found in numbers(one)}
    if isinstance(value, list):
        return {found for one in value for found in numbers(one)}
    if isinstance(value, str):  # a version is text that reads as a number
        return as_numbers([value])
    return set() if isinstance(value, bool) else {repr(float(value))}


def as_numbers(cells: list[str]) -> set[str]:
    return {repr(float(cell)) for cell in cells if re.fullmatch(r"-?\d+(\.\d+)?(e[-+]?\d+)?", cell)}


@pytest.mark.parametrize("name", COMMANDS)
def test_json_keeps_its_schema_and_other_formats_have_its_numbers(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    schema, words = COMMANDS[name]
    whole = json.loads(out(capsys, words, "--json"))
    holds(schema, whole)
    lines = [json.loads(line) for line in out(capsys, words, "--format", "jsonl").splitlines()]
    assert lines
    rows = list(csv.DictReader(io.StringIO(out(capsys, words, "--format", "csv"))))
    assert len(rows) == len(lines)
    for row, line in zip(rows, lines, strict=True):
        assert None not in row.values()
        assert as_numbers(list(row.values())) <= numbers(line)
    assert numbers(lines) <= numbers(whole) or schema in ("diff", "list")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_picture_is_svg_with_bands(capsys: pytest.CaptureFixture[str], name: str) -> None:
    words = [*COMMANDS[name][1], "--format", "svg"]
    if name in NO_PICTURE:
        assert main(words) == 2
        assert capsys.readouterr().err == "error: --format svg draws figures of a plan; a code has none\n"
        return
    root = ET.fromstring(out(capsys, words))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    height, width = float(root.attrib["height"]), float(root.attrib["width"])
    for one in root.iter():
        assert 0 <= float(one.get("x", 0)) <= width
        assert 0 <= float(one.get("y", 0)) <= height
    drawn = [one for one in root.iter() if one.get("class") == "band"]
    assert drawn or name == "explain"  # a figure that is explained has no band


@pytest.mark.parametrize("name", COMMANDS)
def test_markdown_is_a_table_and_github_puts_it_into_the_summary(
    capsys: pytest.CaptureFixture[str], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = COMMANDS[name][1]
    text = out(capsys, words, "--format", "markdown")
    head, rule, *rows = text.splitlines()
    assert re.fullmatch(r"\| (:?---:? \| )*---:? \|", rule)
    table = [row for row in rows if row.startswith("|")]
    assert table
    assert {row.count(" | ") for row in (head, *table)} == {rule.count(" | ")}
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    lines = out(capsys, words, "--format", "github").splitlines()
    assert lines
    assert all(re.match(r"::(error|warning|notice) ", line) for line in lines)
    assert (tmp_path / "summary.md").read_text(encoding="utf-8") == text


COLUMNS = {
    "estimate": "tp,pp,mfu,step_seconds,peak_bytes",
    "fit": "rank,tp,mfu,step_seconds",
    "compare": "name,devices,mfu",
    "diff": "name,ratio",
    "sweep": "seq_len,hardware,mfu,step_seconds",
    "list": "id,tokens_per_second",
    "validate": "quantity,part,median",
    "explain": "term,value",
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_are_chosen_by_their_keys(capsys: pytest.CaptureFixture[str], name: str) -> None:
    words, asked = COMMANDS[name][1], COLUMNS[name]
    more = ["--summary"] if name == "validate" else []
    heads = asked.split(",")
    markdown = out(capsys, [*words, *more], "--format", "markdown", "--columns", asked).splitlines()[0]
    assert [cell.strip() for cell in markdown.strip("|").split("|") if cell.strip()] == heads
    table = out(capsys, [*words, *more], "--columns", asked).splitlines()[0]
    assert table.split() == heads
    rows = csv.DictReader(io.StringIO(out(capsys, [*words, *more], "--format", "csv", "--columns", asked)))
    found = [name.partition(".")[0] for name in rows.fieldnames or ()]
    assert list(dict.fromkeys(found)) == heads
    assert main([*words, "--columns", "no_such"]) == 2
    assert "--columns: nothing is called 'no_such'" in capsys.readouterr().err


def test_columns_that_mean_two_things_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", RUNS, "--format", "csv", "--columns", "step_seconds"]) == 2
    assert capsys.readouterr().err == (
        "error: --columns: step_seconds is predicted.step_seconds, measured.step_seconds; say which\n"
    )
    assert main(["estimate", "--plan", PLAN, "--json", "--columns", "tp"]) == 2
    assert "--columns goes with --format table, csv, markdown, github" in capsys.readouterr().err


GATED = {name: words for name, (_, words) in COMMANDS.items() if name not in ("explain a code", "list", "validate")}


@pytest.mark.parametrize("name", [*GATED, "list", "validate"])
def test_the_gate_says_no_with_3_on_every_command(capsys: pytest.CaptureFixture[str], name: str) -> None:
    words = COMMANDS[name][1]
    serving = "serving" in name or name in ("a deployment", "list")
    limit = "max_median=0.0001" if name == "validate" else "max_tpot=1us" if serving else "min_mfu=0.999"
    kept = "max_median=1" if name == "validate" else "max_tpot=10s" if serving else "min_mfu=0.001"
    if name == "fit serving":
        words = [*words[: words.index("--pareto")]]
    assert main([*words, "--check", "--limits", limit]) == 3
    word = limit.partition("=")[0]
    err = capsys.readouterr().err
    assert word in err or word.replace("_", "-") in err or (name, err) == (
        "list", "no model that fits keeps the limits\n",
    )  # fmt: skip
    assert main([*words, "--limits", limit]) == (3 if name.startswith("fit") else 0)  # what misses is not found
    assert main([*words, "--check", "--limits", kept]) == 0


@pytest.mark.parametrize("name", ["list", "sweep", "diff", "compare", "estimate", "fit", "validate", "a deployment"])
def test_narrow_terminals_stay_readable(
    capsys: pytest.CaptureFixture[str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No line is longer than 60 characters, but for words that are."""
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    for line in out(capsys, COMMANDS[name][1]).splitlines():
        plain = re.sub(r"\x1b\[[0-9;]*m", "", line)
        assert len(plain) <= 60 or " " not in plain.strip(), plain
