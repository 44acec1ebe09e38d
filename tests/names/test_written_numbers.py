"""Numbers and words as people write them, and what is asked back."""

from __future__ import annotations

from typing import Any

import pytest

from llmplan.answer.resolve import plan_from
from llmplan.cli.main import main
from llmplan.errors import InputError
from llmplan.search.choices import choice
from llmplan.setup.written import PRECISIONS, WORKLOADS
from llmplan.vocabulary import StoragePrecision, WorkloadKind

TRAINING = {"model": "llama-3.2-1b", "hardware": "h100", "devices": 8}


def words(**said: Any) -> Any:
    return plan_from({**TRAINING, **said}).as_options()


def test_large_numbers() -> None:
    found = words(tokens="1.5T", global_batch="1k", devices="16")
    assert (found["tokens"], found["global_batch"], found["devices"]) == (1.5e12, 1000, 16)
    assert words(tokens="300B")["tokens"] == 3e11
    assert words(tokens="2e12")["tokens"] == 2e12


def test_a_k_of_a_length_is_1024_and_told() -> None:
    plan = plan_from({**TRAINING, "seq_len": "8k"})
    assert plan.as_options()["seq_len"] == 8192
    assert any("seq_len 8192" in line and "1024" in line for line in plan.assumptions)
    assert plan_from({**TRAINING, "seq_len": "8192"}).assumptions == tuple(
        line for line in plan.assumptions if not line.startswith("seq_len ")
    )


def test_lengths_of_requests() -> None:
    found = words(workload="serve", input_tokens="128k", output_tokens="0.5k")
    assert (found["input_tokens"], found["output_tokens"]) == (131072, 512)


@pytest.mark.parametrize("text", ["8q", "k", "1.5", "-8k", "8kk", "many"])
def test_what_is_no_length_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="seq-len"):
        words(seq_len=text)


@pytest.mark.parametrize("value", ["30", 30])
def test_a_bare_time_a_token_is_asked_back(value: Any) -> None:
    with pytest.raises(InputError, match=r"30 s\? say 30s or 30ms"):
        words(workload="serve", max_tpot=value)
    assert words(workload="serve", max_tpot="30ms")["max_tpot"] == pytest.approx(0.03)
    assert words(workload="serve", max_tpot="0.03")["max_tpot"] == pytest.approx(0.03)


def test_other_words_for_a_workload() -> None:
    assert set(WORKLOADS.values()) <= set(WorkloadKind.__args__)
    for word in ("inference", "serving", "Serve"):
        assert words(workload=word)["workload"] == "serve"
    assert words(workload="SFT")["workload"] == "finetune"
    assert words(workload="pretraining")["workload"] == "pretrain"
    plan = plan_from({**TRAINING, "workload": "train"})
    assert plan.kind == "pretrain"
    assert any(line.startswith("workload pretrain") for line in plan.assumptions)


def test_qlora_is_two_words() -> None:
    with pytest.raises(InputError, match="lora, with quantized_base nf4"):
        words(workload="qlora")


def test_other_words_for_a_precision() -> None:
    assert set(PRECISIONS.values()) <= set(StoragePrecision.__args__)
    read = words(workload="serve", weight_precision="AWQ", kv_precision="fp8_e4m3", activation_precision="bfloat16")
    assert [read[name] for name in ("weight_precision", "kv_precision", "activation_precision")] == [
        "int4", "fp8", "bf16",
    ]  # fmt: skip
    assert words(workload="pretrain", precision="torch.float16")["precision"] == "fp16"
    assert choice("precision", "bfloat16,fp8").values == ("bf16", "fp8")
    with pytest.raises(InputError, match="fp7"):
        words(workload="serve", weight_precision="fp7")


@pytest.mark.parametrize(
    ("option", "ours"), [("--gpus", "--devices"), ("--tensor-parallel-size", "--tp"), ("--num_gpus", "--devices")]
)
def test_options_of_other_programs_suggest_ours(option: str, ours: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", "--model", "llama-3.2-1b", option, "8"]) == 2
    assert f"Did you mean {ours}" in capsys.readouterr().err
