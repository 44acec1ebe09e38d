"""One plan under every combination of some of its words."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from llmplan.errors import InputError
from llmplan.search.sweep import axis
from tests.cli.answers import holds

Llmplan = Callable[..., Any]
ONE = ("sweep", "--model", "small.yaml", "--hardware", "test-gpu")


def table(run: Any) -> list[dict[str, str]]:
    assert run.code == 0, run.err
    return list(csv.DictReader(io.StringIO(run.out)))


def test_every_combination_once_the_last_word_fastest(llmplan: Llmplan) -> None:
    rows = table(llmplan(*ONE, "--vary", "devices=2..8", "--vary", "seq-len=512,1k", "--format", "csv"))
    assert [(row["devices"], row["seq_len"]) for row in rows] == [
        ("2", "512"), ("2", "1k"), ("4", "512"), ("4", "1k"), ("8", "512"), ("8", "1k")
    ]  # fmt: skip
    assert all(float(row["step_seconds.value"]) > 0 and row["fits"] == "true" for row in rows)


def test_a_row_says_what_estimate_says(llmplan: Llmplan) -> None:
    lines = llmplan(*ONE, "--devices", "4", "--vary", "tp=1,2", "--format", "jsonl").out.splitlines()
    for line, tp in zip(lines, (1, 2), strict=True):
        row = json.loads(line)
        holds("sweep", row)
        alone = llmplan("estimate", *ONE[1:], "--devices", "4", "--tp", str(tp), "--json")
        result = json.loads(alone.out)["result"]
        assert row["vary"] == {"tp": str(tp)}
        assert row["summary"]["step_seconds"] == result["time"]["step_seconds"]
        assert row["summary"]["peak_bytes"] == result["memory"]["peak_bytes"]


def test_what_cannot_be_planned_says_why(llmplan: Llmplan, here: Path) -> None:
    (here / "plan.yaml").write_text("model: small.yaml\nhardware: test-gpu\ndevices: 8\ntp: 2\n")
    words = ("sweep", "--plan", "plan.yaml", "--vary", "tp=2,3")
    one, other = table(llmplan(*words, "--format", "csv"))
    assert (one["errors"], other["fits"]) == ("", "")
    assert "does not divide devices 8" in other["errors"]
    text = llmplan(*words).out
    assert "not planned" in text
    assert llmplan("sweep", "--plan", "plan.yaml", "--vary", "tp=3,5").code == 2


def test_ranges() -> None:
    assert axis("devices=3..20").values == (3, 6, 12)
    assert axis("micro-batch=1..10+3").values == (1, 4, 7, 10)
    assert axis("input_tokens=1k..4k").values == (1024, 2048, 4096)
    assert axis("devices=8,1..4,8").values == ("8", 1, 2, 4)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("devices", "is not an option and its values"), ("device=1,2", "did you mean devices"),
        ("tp=", "not an option"),
        ("tp=8..1", "empty range"), ("tp=0..4", "whole numbers"),
        ("tp=5e-1..4", "whole numbers"), ("tp=1..1e300", "whole numbers"), ("tp=1.." + "9" * 5000, "whole numbers"),
        ("tp=1..x", "whole numbers"),
        ("devices=1..1000000+1", "more than"), ("tp=nine", "--tp"), ("recompute=some", "--recompute"),
    ],
)  # fmt: skip
def test_what_is_no_axis(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        axis(text)


def test_a_word_varies_once_and_a_sweep_is_of_one_plan(llmplan: Llmplan, here: Path) -> None:
    assert "given twice" in llmplan(*ONE, "--vary", "tp=1", "--vary", "tp=2").err
    (here / "plans.yaml").write_text("- {model: small.yaml, hardware: test-gpu}\n" * 2)
    assert "sweep takes one" in llmplan("sweep", "--plan", "plans.yaml", "--vary", "tp=1").err


@pytest.mark.parametrize(
    ("pair", "varied"),
    [
        ("devices,step_seconds", ("devices=2,4,8",)), ("seq_len,step-seconds", ("seq_len=512,1k", "tp=1,2")),
        ("tokens_per_second,peak_bytes", ("devices=2..8", "seq_len=512,1k")),
        ("recompute,mfu", ("recompute=none,full",)),
    ],
)  # fmt: skip
def test_a_picture_is_drawn_of_a_pair_and_is_the_same_each_time(
    llmplan: Llmplan, pair: str, varied: tuple[str, ...]
) -> None:
    pytest.importorskip("matplotlib")
    vary = [word for text in varied for word in ("--vary", text)]
    first, again = (llmplan(*ONE, *vary, "--format", "svg", "--pair", pair) for _ in range(2))
    assert first.code == 0, first.err
    assert first.out == again.out
    root = ElementTree.fromstring(first.out)
    texts = {text for text in root.itertext() if text.strip()}
    assert {name.replace("-", "_") for name in pair.split(",")} <= texts
    if len(varied) == 2 and pair.startswith("seq_len"):
        assert {"tp 1", "tp 2"} <= texts


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--pair", "tp,mfu"), "--pair says what --format svg draws"),
        (("--format", "svg", "--pair", "tp"), "is not two columns"),
        (("--format", "svg", "--pair", "devices,step_second"), "Did you mean step_seconds"),
        (("--format", "svg", "--pair", "devices,tpot_seconds"), "nothing to draw"),
    ],
)  # fmt: skip
def test_a_pair_that_cannot_be_drawn_says_why(llmplan: Llmplan, words: tuple[str, ...], why: str) -> None:
    run = llmplan(*ONE, "--vary", "devices=2,4", *words)
    assert run.code == 2
    assert why.lower() in run.err.lower()
    assert run.out == ""
