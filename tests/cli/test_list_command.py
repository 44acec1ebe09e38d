"""`llmplan list`: which models run on a machine, in every format, and the same numbers as `estimate` gives."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from llmplan.cli.main import main
from tests.cli.answers import holds

Captured = pytest.CaptureFixture[str]


def listed(capsys: Captured, *words: str) -> Any:
    assert main(["list", "--hardware", "rtx-4090", "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_json_matches_its_schema_and_estimate(capsys: Captured) -> None:
    found = listed(capsys)
    holds("list", found)
    sizes = [one["parameters"] for one in found["models"]]
    assert sizes == sorted(sizes, reverse=True)
    by_id = {one["id"]: one for one in found["models"]}
    assert by_id["llama-3.1-8b"]["precision"] == "bf16"
    assert by_id["qwen3-32b"]["precision"] == "int4"
    assert "llama-3.1-70b" in {one["id"] for one in found["too_large"]}
    assert "bert-base-uncased" in {one["id"] for one in found["left_out"]}
    words = ["--model", "llama-3.1-8b", "--hardware", "rtx-4090", "--workload", "serve", "--batch", "1", "--json"]
    assert main(["estimate", *words]) == 0
    one = json.loads(capsys.readouterr().out)["result"]
    assert by_id["llama-3.1-8b"]["needed_bytes"] == one["memory"]["needed_bytes"]


@pytest.mark.usefixtures("few_models")
def test_sorted_by_speed_and_name(capsys: Captured) -> None:
    speeds = [one["tokens_per_second"]["value"] for one in listed(capsys, "--sort", "speed")["models"]]
    assert speeds == sorted(speeds, reverse=True)
    contexts = [one["longest_tokens"] for one in listed(capsys, "--sort", "context")["models"]]
    assert contexts == sorted(contexts, reverse=True)
    names = [one["id"] for one in listed(capsys, "--sort", "name")["models"]]
    assert names == sorted(names)


def test_models_that_read_sound_are_listed_where_there_is_some(capsys: Captured) -> None:
    text, sound = listed(capsys), listed(capsys, "--audio-seconds", "30")
    assert "whisper-large-v3" in {one["id"] for one in text["left_out"]}
    heard = {one["id"] for one in sound["models"]}
    assert {"whisper-large-v3", "voxtral-mini-3b", "qwen2-audio-7b"} <= heard
    assert "llama-3.1-8b" in {one["id"] for one in sound["left_out"]}


def test_every_precision_that_fits(capsys: Captured) -> None:
    found = [one["precision"] for one in listed(capsys, "--every-precision")["models"] if one["id"] == "llama-3.1-8b"]
    assert found == ["bf16", "int8", "int4"]


def test_adapters_are_trained_on_a_quantized_base_where_the_whole_does_not_fit(capsys: Captured) -> None:
    found = {one["id"]: one for one in listed(capsys, "--workload", "lora", "--seq-len", "1k")["models"]}
    assert found["llama-3.2-1b"]["precision"] == "bf16"
    assert found["llama-2-13b"]["precision"] in ("int8", "nf4")
    assert "ttft_seconds" not in found["llama-2-13b"]


def test_an_instance_brings_its_devices(capsys: Captured) -> None:
    assert main(["list", "--hardware", "g5.12xlarge", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert "llama-3.3-70b" in {row["id"] for row in rows}


@pytest.mark.usefixtures("few_models")
def test_table_says_how_many_fit(capsys: Captured) -> None:
    assert main(["list", "--hardware", "t4"]) == 0
    out = capsys.readouterr().out
    assert "models fit" in out
    assert "too large at any precision" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--hardware", "h10000"], "unknown hardware"), ([], "hardware is missing"),
     (["--hardware", "t4", "--stack", "nothing"], "unknown stack")],
)  # fmt: skip
def test_what_is_wrong_with_the_machine_is_said_once(words: list[str], message: str, capsys: Captured) -> None:
    assert main(["list", *words]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
