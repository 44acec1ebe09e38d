"""JSON lines in, JSON lines out: in order, as they come, each refused by itself."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmplan.answer.data import dumps
from llmplan.cli.stream import BATCH_LINES, batches, is_json_lines
from llmplan.software.band import Interval
from tests.cli.answers import holds

GOOD = {"model": "small.yaml", "hardware": "test-gpu", "devices": 8}


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_faulty_line_is_refused_by_itself(here: Path, llmplan: Callable[..., Any]) -> None:
    plans = [json.dumps(GOOD), "{broken", "", json.dumps({**GOOD, "devices": 4}), json.dumps({**GOOD, "tp": 3, "x": 1})]
    (here / "plans.jsonl").write_text("\n".join(plans))
    run = llmplan("estimate", "--plan", "plans.jsonl", "--format", "jsonl")
    found = lines_of(run.out)
    assert [one["schema"] for one in found] == [
        "llmplan.estimate/2", "llmplan.refusal/1", "llmplan.estimate/2", "llmplan.refusal/1"
    ]  # fmt: skip
    assert [one["line"] for one in found if "line" in one] == [2, 5]
    assert "not valid JSON" in found[1]["errors"][0]
    assert found[3]["errors"] == ["unknown key 'x'"]
    assert found[2]["inputs"]["devices"] == 4
    for one in found:
        holds("estimate" if one["schema"] == "llmplan.estimate/2" else "refusal", one)
    assert run.code == 2
    assert run.err == "error: plans.jsonl: lines that hold no plan to be answered: 2\n"


def test_a_line_is_answered_as_a_plan_alone(here: Path, llmplan: Callable[..., Any]) -> None:
    (here / "plans.jsonl").write_text(f"{json.dumps(GOOD)}\n{json.dumps({**GOOD, 'devices': 4})}\n")
    (here / "one.json").write_text(json.dumps({**GOOD, "devices": 4}))
    many = llmplan("estimate", "--plan", "plans.jsonl", "--format", "jsonl", "--seq-len", "512")
    one = llmplan("estimate", "--plan", "one.json", "--json", "--seq-len", "512")
    assert lines_of(many.out)[1] == json.loads(one.out)


def test_summaries(here: Path, llmplan: Callable[..., Any]) -> None:
    plans = [GOOD, {**GOOD, "workload": "serve", "stack": "test-serving"}, {**GOOD, "tokens": 1e9, "price": 2.0}]
    (here / "plans.jsonl").write_text("\n".join(map(json.dumps, plans)))
    run = llmplan("estimate", "--plan", "plans.jsonl", "--format", "jsonl", "--summary")
    assert run.code == 0
    training, serving, paid = lines_of(run.out)
    for one in (training, serving, paid):
        holds("summary", one)
    assert {"step_seconds", "mfu"} <= training.keys()
    assert {"ttft_seconds", "tpot_seconds", "stable"} <= serving.keys()
    assert paid["usd"]["value"] > 0
    assert llmplan("estimate", "--plan", "plans.jsonl", "--summary").code == 2


def test_summaries_of_a_file_that_is_no_json_lines(here: Path, llmplan: Callable[..., Any]) -> None:
    (here / "plans.yaml").write_text("- {model: small.yaml, hardware: test-gpu}\n" * 2)
    run = llmplan("estimate", "--plan", "plans.yaml", "--format", "jsonl", "--summary")
    assert [one["schema"] for one in lines_of(run.out)] == ["llmplan.summary/1"] * 2


@pytest.mark.parametrize("more", [(), ("--summary",)])
def test_check_of_many(here: Path, llmplan: Callable[..., Any], more: tuple[str, ...]) -> None:
    (here / "plans.jsonl").write_text(f"{json.dumps(GOOD)}\n{json.dumps({**GOOD, 'limits': {'min_mfu': 0.99}})}\n")
    words = ("estimate", "--plan", "plans.jsonl", "--format", "jsonl", *more)
    assert (llmplan(*words).code, llmplan(*words, "--check").code) == (0, 3)


def test_faults_of_the_options_are_told_once(here: Path, llmplan: Callable[..., Any]) -> None:
    (here / "plans.jsonl").write_text(f"{json.dumps(GOOD)}\n" * 3)
    run = llmplan("estimate", "--plan", "plans.jsonl", "--format", "jsonl", "--devices", "0")
    assert (run.code, run.out, run.err.count("error:")) == (2, "", 1)


def test_workers_answer_in_order(here: Path, llmplan: Callable[..., Any]) -> None:
    plans = [{**GOOD, "devices": 8, "global_batch": 8 * n} for n in range(1, 2 * BATCH_LINES // 40)]
    (here / "plans.jsonl").write_text("".join(f"{json.dumps(plan)}\n" for plan in plans))
    words = ("estimate", "--plan", "plans.jsonl", "--format", "jsonl", "--summary")
    alone, together = llmplan(*words), llmplan(*words, "--workers", "2")
    assert alone.out == together.out
    assert len(alone.out.splitlines()) == len(plans)


def test_a_line_is_answered_before_the_next_is_written(here: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "llmplan", "estimate", "--plan", "-", "--format", "jsonl", "--summary"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=here,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    for devices in (1, 2):
        process.stdin.write(json.dumps({**GOOD, "devices": devices}) + "\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["devices"] == devices
    process.stdin.close()
    assert process.wait() == 0
    process.stdout.close()


def test_what_json_lines_are() -> None:
    for text in (b'{"a": 1}', b'{"a": 1}\n{"b', b'{torn\n{"a": 1}', b'\xef\xbb\xbf\n {"a": 1}\n', b"{torn"):
        assert is_json_lines(text, "standard input"), text
    for text in (b'{\n "a": 1\n}', b"model: x\n", b"[1]", b"", b"- {a: 1}\n", b"{a: 1}", b"{a: 1,\n b: 2}\n"):
        assert not is_json_lines(text, "standard input"), text
    assert is_json_lines(b'{"a": 1}\n', "plans.yaml")
    assert not is_json_lines(b"{a: 1}\n---\n{a: 2}\n", "plans.yaml")


def test_batches_hold_every_line_once() -> None:
    text = b"".join(b"%d\n" % n for n in range(3 * BATCH_LINES)) + b"\n\nlast"
    found = list(batches(io.BytesIO(text[7:]), text[:7]))
    assert max(map(len, found)) <= BATCH_LINES
    flat = [line for batch in found for line in batch]
    assert [line.raw for line in flat] == text.replace(b"\n\n\n", b"\n").split(b"\n")
    assert flat[-1].number == 3 * BATCH_LINES + 3
    assert [line.number for line in flat[:-1]] == list(range(1, 3 * BATCH_LINES + 1))


def test_a_line_without_end_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmplan.cli.stream.MAX_BYTES", 100)
    monkeypatch.setattr("llmplan.cli.stream.PIECE", 64)
    torn, last = (line for batch in batches(io.BytesIO(b"x" * 10_000 + b"\n{}")) for line in batch)
    assert 100 < len(torn.raw) < 300
    assert last == (2, b"{}")


def test_lines_that_are_the_same_are_refused_each_by_its_number(here: Path, llmplan: Callable[..., Any]) -> None:
    (here / "plans.jsonl").write_text("{torn\n" + f"{json.dumps(GOOD)}\n" * 2 + "{torn\n")
    found = lines_of(llmplan("estimate", "--plan", "plans.jsonl", "--format", "jsonl", "--summary").out)
    assert [one.get("line") for one in found] == [1, None, None, 4]
    assert found[1] == found[2]


def test_a_record_on_a_line_is_ascii_leaves_out_what_does_not_apply_and_has_finite_numbers() -> None:
    value = {"é": Interval(1.0, 2e-9, 3e30), "said": "NaN, or null\u2028", "none": (None, True)}
    assert dumps(value, indent=None).isascii()
    assert json.loads(dumps(value, indent=None)) == json.loads(dumps(value))
    for number in (float("nan"), float("-inf")):
        for odd in (Interval(1.0, 1.0, number), {"it": number}):
            with pytest.raises(ValueError, match="not JSON compliant"):
                dumps(odd, indent=None)
