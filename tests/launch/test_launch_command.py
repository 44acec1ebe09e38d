"""`llmplan launch`, `estimate --from` and `fit --launch` as a shell sees them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from llmplan.cli.main import main
from llmplan.launch.target import targets

SERVE = ["--model", "llama-3.3-70b", "--hardware", "h100", "--devices", "4", "--tp", "4"]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_without_a_framework_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "launch")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == [one.id for one in targets()]


def test_a_plan_goes_through_a_pipe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, script, err = run(capsys, "launch", "--for", "vllm", *SERVE, "--max-model-len", "16384")
    assert (code, err) == (0, "")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(script.encode())))
    code, out, err = run(capsys, "estimate", "--from", "vllm", "-", "--json")
    inputs = json.loads(out)["inputs"]
    assert (code, err) == (0, "")
    assert (inputs["tp"], inputs["max_model_len"], inputs["stack"], inputs["hardware"]) == (
        4, 16384, "vllm", "h100-sxm-80gb",
    )  # fmt: skip


def test_what_is_not_understood_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "vllm",
        "serve",
        "meta-llama/Llama-3.1-8B",
        "--port",
        "80",
        "--swap-space",
        "16",
        "--quantization",
        "bitter",
    ]
    code, out, err = run(capsys, "estimate", "--from", "vllm", "--hardware", "h100", "--json", "--", *command)
    assert (code, json.loads(out)["inputs"]["weight_precision"]) == (0, "bf16")
    assert err == "warning: vLLM: not read: --swap-space 16, --quantization bitter\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["launch", "--for", "vlm", *SERVE], "error: no launcher is called 'vlm'; did you mean vllm?"),
        (["launch", "--for", "vllm", *SERVE, "--weight-precision", "int4"], "weight_precision int4: it makes no such"),
        (["launch", "--for", "deepspeed", *SERVE[:4], "--devices", "8", "--pp", "2"], "DeepSpeed 0.19.8: pp 2: stages"),
        (
            ["launch", "--for", "torchtune", "--model", "gpt2-xl", *SERVE[2:4], "--workload", "finetune"],
            "model gpt2-xl: it has no",
        ),
        (["launch", "--for", "vllm", *SERVE, "--launcher", "lsf"], "--launcher: 'lsf' is none of"),
        (["estimate", "--from", "vllm", "--hardware", "h100"], "--from: give the command line behind --"),
        (["estimate", "--from", "deepspeed", "none.json"], "error: none.json: no such file"),
        (["estimate", *SERVE, "stray"], "unexpected argument 'stray'"),
        (["fit", *SERVE, "--launch", "vllm", "--json"], "--launch goes with the table"),
    ],
)
def test_faults_are_one_line_and_exit_2(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("[" * 2000 + "]" * 2000, "error: command line:1: is nested too deeply"),
        ('{"a":' * 61 + "1" + "}" * 61, "error: command line:1: is nested too deeply"),
        ("9" * 400, "tp: input should be less than or equal to 1000000"),
        ("9" * 400 + "k", "tp: input should be a finite number"),
    ],
    ids=["lists", "mappings", "digits", "thousands"],
)
def test_words_that_no_option_has(capsys: pytest.CaptureFixture[str], word: str, said: str) -> None:
    command = ["vllm", "serve", "meta-llama/Llama-3.1-8B", "--tensor-parallel-size", word]
    code, out, err = run(capsys, "estimate", "--from", "vllm", "--hardware", "h100", "--", *command)
    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.parametrize("word", ["", "1_"])
def test_words_that_are_nearly_numbers(capsys: pytest.CaptureFixture[str], word: str) -> None:
    command = ["vllm", "serve", "meta-llama/Llama-3.1-8B", "--tensor-parallel-size", word]
    code, out, _ = run(capsys, "estimate", "--from", "vllm", "--hardware", "h100", "--json", "--", *command)
    assert (code, json.loads(out)["inputs"]["tp"]) == (0, 1)


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("a.toml", "a = " + "[" * 2000, "a.toml: is nested too deeply"),
        ("a.toml", ".".join("a" * 100) + " = 1", "a.toml: is nested too deeply"),
        ("a.toml", "a = " + "9" * 5000, "a.toml: holds a number with too many digits"),
        ("a.toml", "a = [" + "1," * 60_000 + "]" + " " * 2**17, "a.toml: has more than"),
        ("a.sh", "# plan: " + "[" * 2000, "a.sh:1: is nested too deeply"),
        ("a.sh", "A=0123456789\n" + "A=$A$A\n" * 60, "a.sh:"),
        ("a.sh", "vllm serve m" + " " * 2**17, "a.sh: has more than the 131072 characters of a file"),
    ],
    ids=["lists", "keys", "digits", "values", "plan", "variables", "size"],
)
def test_files_without_bounds(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, file: str, text: str, said: str
) -> None:
    (tmp_path / file).write_text(text, encoding="utf-8")
    code, out, err = run(capsys, "estimate", "--from", "vllm", "--hardware", "h100", str(tmp_path / file))
    assert (code, out) == (2, "")
    assert said in err


def test_a_word_that_is_too_long_for_a_file_is_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "estimate", "--from", "vllm", "--hardware", "h100", "--", "[" * 5000)
    assert (code, out) == (2, "")
    assert "model is missing" in err


def test_broken_files_name_their_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name, text in {"a.toml": "[model]\nname = \n", "b.json": '{\n"a": }', "c.yaml": "a: 1\nb: [\n"}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        code, _, err = run(capsys, "estimate", "--from", "torchtitan", "--hardware", "h100", str(tmp_path / name))
        assert code == 2
        assert f"{name}:" in err
        assert "Traceback" not in err


def test_a_fault_of_the_plan_names_the_line_of_its_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "ds.json"
    file.write_text('{"train_batch_size": 7, "train_micro_batch_size_per_gpu": 2}', encoding="utf-8")
    words = ["--model", "llama-3.1-8b", "--hardware", "h100", "--devices", "8"]
    code, _, err = run(capsys, "estimate", "--from", "deepspeed", *words, str(file))
    assert code == 2
    assert f"{file}:1: global_batch 7 is not a multiple of" in err


def test_files_are_written_into_a_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["--model", "llama-3.1-8b", "--hardware", "a100", "--devices", "8", "--global-batch", "8"]
    words += ["--write", str(tmp_path / "run")]
    code, out, _ = run(capsys, "launch", "--for", "deepspeed", *words)
    assert (code, out) == (0, "")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["ds_config.json", "start.sh"]
    assert json.loads((tmp_path / "run" / "ds_config.json").read_text("utf-8"))["train_batch_size"] == 8
    files = [str(path) for path in sorted((tmp_path / "run").iterdir())]
    code, out, err = run(capsys, "estimate", "--from", "deepspeed", "--json", *files)
    assert (code, err, json.loads(out)["inputs"]["devices"]) == (0, "", 8)


def test_fit_writes_what_starts_the_best(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--model", "llama-3.1-8b", "--hardware", "h100", "--devices", "8", "--workload", "finetune"]
    code, out, _ = run(capsys, "fit", *words, "--seq-len", "2048", "--global-batch", "64", "--launch", "torchtune")
    assert code == 0
    assert "_component_: torchtune.models.llama3_1.llama3_1_8b" in out
    assert "tune run" in out


def test_images_are_of_the_requests_and_no_option_of_an_engine(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--model", "qwen3.5-27b", "--hardware", "h200", "--devices", "1", "--workload", "serve", "--images", "2"]
    assert main(["launch", *words, "--stack", "vllm", "--for", "vllm"]) == 0
    assert "vllm serve" in capsys.readouterr().out
