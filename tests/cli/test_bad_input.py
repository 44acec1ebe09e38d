"""Everything that people get wrong: exit code 2, an empty stdout, and one clear message for each fault."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import llmplan.cli.estimate as estimate_command
from llmplan.cli.main import main

Llmplan = Callable[..., Any]
GOOD = "model: small.yaml\nhardware: test-gpu\n"

OPTIONS: list[tuple[str, tuple[str, ...]]] = [
    ("--model llama-3.1-8c", ('unknown model "llama-3.1-8c"', "did you mean llama-3.1-8b")),
    ("--hardware h101", ('unknown hardware "h101"', "did you mean h100")),
    ("--cluster dgx-h101", ('unknown cluster "dgx-h101"', "dgx-h100")),
    ("--stack megatron-cor", ('unknown stack "megatron-cor"', "did you mean megatron-core")),
    ("--devises 8", ("No such option", "--devises", "--devices")),  # Typer and, before it had its own, Click word it
    ("--workload pretrane", ("--workload: input should be 'pretrain'", "got 'pretrane'")),
    ("--recompute some", ("--recompute: input should be 'none', 'selective' or 'full', got 'some'",)),
    ("--precision bf17", ("--precision: ", "got 'bf17'")),
    ("--tp 3", ("tp 3 does not divide the 16 attention heads of small",)),
    ("--devices 3 --tp 3", ("tp 3 does not divide the 16 attention heads of small",)),
    ("--devices 16 --pp 16 --tp 1", ("pp 16 x vp 1 = 16 stages, but small has 12 layers",)),
    ("--devices 8 --tp 1 --pp 8 --vp 2", ("pp 8 x vp 2 = 16 stages, but small has 12 layers",)),
    ("--devices 64 --tp 4 --pp 4 --dp 8", ("tp 4 x pp 4 x cp 1 x dp 8 = 128, but devices is 64",)),
    ("--devices 64 --tp 4 --pp 3", ("tp 4 x pp 3 x cp 1 = 12 does not divide devices 64",)),
    ("--devices 8 --tp 1 --pp 1 --global-batch 12", ("global_batch 12 is not a multiple of dp 8 x micro_batch 1 = 8",)),
    ("--devices 8 --tp 1 --pp 1 --ep 2", ("ep 2, but small has no experts",)),
    ("--devices 4 --tp 1 --pp 1 --cp 4 --seq-len 1001", ("seq_len 1001 is not a multiple of 2 x cp 4 = 8",)),
    ("--precision fp8", ("test-gpu has no fp8 matrix products; it has fp32, bf16, fp16",)),
    ("--hardware test-display", ("test-display cannot be planned on: it has no matrix units",)),
    ("--stack test-serving", ("stack test-serving does not train; it is for serve",)),
    ("--quantized-base nf4", ("quantized_base goes with workload lora, and the workload is pretrain",)),
    ("--lora-rank 8 --workload finetune", ("lora_rank goes with workload lora, and the workload is finetune",)),
    ("--workload lora --lora-targets q,value", ("has no matrix 'value'", "it has q, k, v")),
    ("--target-len 128", ("target_len goes with encoder-decoder models, and small is not one",)),
    ("--tp 0", ("--tp: input should be greater than or equal to 1, got '0'",)),
    ("--devices -8", ("--devices: input should be greater than or equal to 1, got '-8'",)),
    ("--devices 1.5", ("--devices: input should be a valid integer", "got '1.5'")),
    ("--devices nan", ("--devices: input should be a valid integer", "got 'nan'")),
    ("--seq-len inf", ("--seq-len: input should be a valid integer", "got 'inf'")),
    ("--devices 99999999999999999999", ("--devices: input should be less than or equal to",)),
    ("--tokens nan", ("--tokens: ", "finite number", "got 'nan'")),
    ("--tokens inf", ("--tokens: ", "finite number")),
    ("--tokens 0", ("--tokens: input should be greater than 0",)),
    ("--tokens 1e300", ("--tokens: input should be less than or equal to",)),
    ("--tokens 3TB", ("--tokens: input should be a valid number", "got '3TB'")),
    ("--zero 4", ("--zero: input should be less than or equal to 3",)),
    ("--format xml", ("--format", "'xml'")),
    ("--plan nowhere.yaml", ("nowhere.yaml: no such file",)),
    ("--catalog nowhere", ("no such folder", "nowhere")),
    ("--tokens 1e12 --mtbf 1e20h", ("mtbf: '1e20h' is longer than a million years",)),
    ("--workload serve --api-price 1e300,1", ("is not between 1e-30 and 1e+30 USD",)),
    ("--model nowhere/config.json", ("nowhere/config.json: no such file",)),
    (f"--model {'x.gguf' * 60}", ("x.gguf: cannot be read: File name too long",)),
    (f"--model {'x' * 300}.json", ("x.json: cannot be read: File name too long",)),
]


@pytest.mark.parametrize(("options", "expected"), OPTIONS, ids=[options for options, _ in OPTIONS])
def test_a_bad_option_is_one_clear_error(llmplan: Llmplan, options: str, expected: tuple[str, ...]) -> None:
    words = options.split()
    base = [] if "--plan" in words else ["--model", "small.yaml", "--hardware", "test-gpu"]
    run = llmplan("estimate", *base, *words)  # of an option that stands twice the last one counts
    assert (run.code, run.out) == (2, "")
    assert run.err.startswith("error: ")
    assert run.err.count("\n") == 1
    for text in expected:
        assert text in run.err


FILES: list[tuple[str, bytes, list[str]]] = [
    ("unknown key", GOOD.encode() + b"devises: 8\n", ["plan.yaml:3: unknown key 'devises'; did you mean devices"]),
    ("keys like types", GOOD.encode() + b"'a[b': 1\nstr: 2\n'': 3\n", [":3: unknown key 'a[b'", ":4: unknown key"]),
    ("beyond all floats", GOOD.encode() + b"price: 1" + b"0" * 400, [":3: price: a number of 1329 bits is not finite"]),
    ("bad value", GOOD.encode() + b"tp: many\n", ["plan.yaml:3: tp: input should be a valid integer"]),
    ("truth for a number", GOOD.encode() + b"tp: yes\n", ["plan.yaml:3: tp: expected a value, got true"]),
    ("infinite", GOOD.encode() + b"tokens: .inf\n", ["plan.yaml:3: tokens: "]),
    ("not a number", GOOD.encode() + b"tokens: .nan\n", ["plan.yaml:3: tokens: "]),
    ("contradiction", GOOD.encode() + b"devices: 8\ntp: 3\n", ["plan.yaml:3: tp 3 x pp 1 x cp 1 = 3 does not divide"]),
    ("broken YAML", b"model: [small.yaml\nhardware: test-gpu\n", ["plan.yaml:2: is not valid YAML"]),
    ("broken flow YAML", b'{"model": "small.yaml",\n "hardware": ]}\n', ["plan.yaml:2: is not valid YAML"]),
    ("twice", GOOD.encode() + b"model: x\n", ["plan.yaml:3: key 'model' stands twice"]),
    ("empty", b"", ["plan.yaml: holds no plan"]),
    ("an empty list", b"[]\n", ["plan.yaml:1: holds an empty list, no plan"]),
    ("a list of words", b"- a\n- b\n", ["plan.yaml:1: expected a mapping", "plan.yaml:2: expected a mapping"]),
    ("text", b"just text\n", ["plan.yaml:1: expected a mapping of keys, got text"]),
    ("not UTF-8", b"model: \xff\xfe\n", ["plan.yaml:1: is not UTF-8"]),
    ("unknown model", b"hardware: test-gpu\nmodel: nothing-like-it\n", ["plan.yaml:2: unknown model"]),
    ("in the model", b"hardware: test-gpu\nmodel:\n  layers: 0\n  x: 1\n", [":3: layers: ", ":4: unknown key 'x'"]),
    ("several", b"modle: a\ntp: 0\nhardware: 5\n", [":1: unknown key 'modle'", ":2: tp:", ":3: hardware:"]),
    ("many small values", b"- {a: 1, b: 2}\n" * 250_000, ["expands to more values than any plan has"]),
    ("many empty values", b"- {}\n" * 450_000, ["expands to more values than any plan has"]),
    ("many lines", b"{}\n" * 200_001, ["plan.yaml:200000: expands to more values than any plan has"]),
    ("bomb", b"a: &a [1,1,1,1,1,1,1,1,1]\n" + b"".join(
        b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % ((98 + i, 98 + i) + (97 + i,) * 9) for i in range(12)
    ), ["expands to more values than any plan has"]),
    ("all the rest too", b"tp: yes\npp: 1.5\nhardware: [a]\n", [":1: tp:", ":2: pp:", ":3: hardware:"]),
    ("model of two kinds", b"model: [a]\nhardware: test-gpu\n", ["plan.yaml:1: model: input should be a valid string"]),
    ("octal", GOOD.encode() + b"devices: 010\n", ["plan.yaml:3: '010' is no plain number"]),
    ("sexagesimal", GOOD.encode() + b"devices: 1:30\n", ["plan.yaml:3: '1:30' is no plain number"]),
    ("nothing there", b"tp: 1\n", ["plan.yaml:1: model is missing", "plan.yaml:1: hardware is missing"]),
    ("look-ups", b"model: no-such\nhardware: no-such\ncluster: no-such\nstack: no-such\n", [
        ":1: unknown model", ":2: unknown hardware", ":3: unknown cluster", ":4: unknown stack",
    ]),
    ("thousands", b"".join(b"k%d: 1\n" % i for i in range(5000)), ["plan.yaml:1: unknown key", "and 4900 more faults"]),
    ("digits", b'{"model": "small.yaml", "devices": ' + b"9" * 5000 + b"}", ["plan.yaml:1: '99999"]),
    ("no character of YAML", b"model: {\x01\n", ["plan.yaml: is not valid YAML"]),
    ("no character of YAML in a list", b"[" * 5000 + b"\x01", ["plan.yaml: is not valid YAML"]),
    ("nested", b"a: " + b"[" * 61 + b"]" * 61, ["plan.yaml:1: is nested too deeply"]),
    ("nested deep", b"[" * 5000 + b"]" * 5000, ["plan.yaml:1: is nested too deeply"]),
    ("nested very deep", b"[" * 100_000, ["plan.yaml:1: is nested too deeply"]),
    ("lists in lists", b"- " * 2000 + b"1", ["plan.yaml:1: is nested too deeply"]),
    ("lists in lists without end", b"- " * 100_000, ["plan.yaml:1: is nested too deeply"]),
    ("keys in keys", b"".join(b" " * i + b"a:\n" for i in range(1500)), ["plan.yaml:61: is nested too deeply"]),
]  # fmt: skip


@pytest.mark.parametrize(("content", "expected"), [case[1:] for case in FILES], ids=[case[0] for case in FILES])
def test_a_bad_plan_file_names_line_and_fault(
    llmplan: Llmplan, here: Path, content: bytes, expected: list[str]
) -> None:
    (here / "plan.yaml").write_bytes(content)
    run = llmplan("estimate", "--plan", "plan.yaml")
    assert (run.code, run.out) == (2, "")
    for text in expected:
        assert text in run.err
    assert all(line.startswith("error: ") for line in run.err.splitlines())
    assert "Traceback" not in run.err


def test_broken_json_names_its_line(llmplan: Llmplan, here: Path) -> None:
    (here / "plan.json").write_text('{"model": "small.yaml",\n "hardware": }\n')
    run = llmplan("estimate", "--plan", "plan.json")
    assert run.code == 2
    assert run.err.startswith("error: plan.json:2: is not valid JSON")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"devices": ' + "9" * 5000 + "}", "plan.json:1: holds a number with too many digits"),
        ("[" + "1," * 500_000 + "1]", "plan.json:1: expands to more values than any plan has"),
        ("[" + "null," * 300 + "null]", "and 101 more"),
        ('{"model": ' + "[" * 61 + "]" * 61 + "}", "plan.json:1: is nested too deeply"),
    ],
    ids=["digits", "values", "faults", "depth"],
)
def test_json_without_bounds(llmplan: Llmplan, here: Path, content: str, expected: str) -> None:
    (here / "plan.json").write_text(content)
    run = llmplan("estimate", "--plan", "plan.json")
    assert (run.code, run.out) == (2, "")
    assert expected in run.err


def test_what_is_no_file_neither_hangs_nor_fills_memory(llmplan: Llmplan, here: Path) -> None:
    assert "/dev/zero: is a device, not a file" in llmplan("estimate", "--plan", "/dev/zero").err
    os.mkfifo(here / "pipe.yaml")  # nobody writes to it
    assert "pipe.yaml: holds no plan" in llmplan("estimate", "--plan", "pipe.yaml").err
    (here / "a.yaml").symlink_to("b.yaml")
    (here / "b.yaml").symlink_to("a.yaml")
    assert "a.yaml: cannot be read" in llmplan("estimate", "--plan", "a.yaml").err


def test_a_pipe_is_a_plan_file(llmplan: Llmplan) -> None:
    reading, writing = os.pipe()
    os.write(writing, GOOD.encode())
    os.close(writing)
    assert llmplan("estimate", "--plan", f"/dev/fd/{reading}").code == 0
    os.close(reading)


def test_all_faults_of_all_plans_at_once(llmplan: Llmplan, here: Path) -> None:
    (here / "plans.yaml").write_text(
        "- {model: nothing-like-it, hardware: test-gpu}\n"
        "- {model: small.yaml, hardware: nothing-like-it}\n"
        "- {model: small.yaml, hardware: test-gpu, quantized_base: nf4}\n"
    )
    lines = llmplan("estimate", "--plan", "plans.yaml").err.splitlines()
    assert [line.split(":")[2] for line in lines] == ["1", "2", "3"]


def test_missing_words_are_named(llmplan: Llmplan) -> None:
    run = llmplan("estimate")
    assert run.code == 2
    assert "model is missing" in run.err
    assert "hardware is missing" in run.err


def test_a_folder_and_a_file_without_permission(llmplan: Llmplan, here: Path) -> None:
    (here / "folder").mkdir()
    assert "folder: is a folder, not a file" in llmplan("estimate", "--plan", "folder").err
    secret = here / "secret.yaml"
    secret.write_text(GOOD)
    secret.chmod(0)
    if os.access(secret, os.R_OK):
        pytest.skip("this user may read everything")
    assert "secret.yaml: cannot be read: Permission denied" in llmplan("estimate", "--plan", "secret.yaml").err


def test_a_truncated_config(llmplan: Llmplan, here: Path) -> None:
    (here / "config.json").write_text('{"model_type": "llama",\n "hidden_size": 40')
    run = llmplan("estimate", "--model", "config.json", "--hardware", "test-gpu")
    assert (run.code, run.out) == (2, "")
    assert run.err.startswith("error: config.json:2: ")


@pytest.mark.parametrize("words", [("estmate",), ("estimate", "extra"), ("--nothing",), ("schema", "plans")])
def test_bad_usage(llmplan: Llmplan, words: tuple[str, ...]) -> None:
    run = llmplan(*words)
    assert (run.code, run.out) == (2, "")
    assert run.err.startswith("error: ")


def test_control_characters_are_not_passed_on(llmplan: Llmplan) -> None:
    run = llmplan("estimate", "--model", "a\x1b[31m\nb", "--hardware", "test-gpu")
    assert run.code == 2
    assert "\x1b" not in run.err
    assert run.err.count("\n") == 1


def test_an_internal_error_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(estimate_command, "read_requests", broken)
    assert main(["estimate"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: internal: ZeroDivisionError: oh (--debug shows the traceback)\n"
    with pytest.raises(ZeroDivisionError):
        main(["estimate", "--debug"])


@pytest.mark.parametrize(
    ("line", "ours"),
    [("diff --plan x", "stand alone: llmplan diff before.yaml after.yaml"), ("fit --stak vllm", "mean --stack?")],
)
def test_an_option_that_is_not_there_suggests_what_is_alike(line: str, ours: str, llmplan: Llmplan) -> None:
    run = llmplan(*line.split())
    assert run.code == 2
    assert ours in run.err
    assert "--load" not in run.err
