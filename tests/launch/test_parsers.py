"""What `launch` writes, read by the frameworks' own parsers where they are installed (the extra `frameworks`).

vLLM, SGLang, Axolotl and LLaMA-Factory each pin other versions of torch: `pip install --no-deps` has them side by side.
"""

from __future__ import annotations

import argparse
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmplan.answer.resolve import resolve
from llmplan.catalog.catalog import open_catalog
from llmplan.launch.target import target
from llmplan.launch.write import Launch, launch, meant_for
from llmplan.setup.request import request

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs


def started(name: str, **words: Any) -> Launch:
    framework = target(name)
    said = {"model": "llama-3.1-8b", "hardware": "h100", **words}
    return launch(resolve(meant_for(framework, request(said)), open_catalog()), framework, open_catalog())


def imported(name: str) -> Any:
    try:
        return pytest.importorskip(name, exc_type=ImportError)
    except pytest.skip.Exception:
        raise
    except Exception as error:  # a framework that is not whole without a GPU, or without another version of torch
        pytest.skip(f"{name}: {error}")


def test_torchtitan(tmp_path: Path) -> None:
    config = imported("torchtitan.config")
    if not hasattr(config, "JobConfig"):
        pytest.skip("torchtitan 0.3 has no TOML any more")
    one = started(
        "torchtitan", devices=32, tp=2, pp=2, cp=2, zero=3, recompute="full", precision="fp8", micro_batch=1,
        global_batch=32, seq_len=8192,
    )  # fmt: skip
    (tmp_path / "train.toml").write_text(one.files["train.toml"], encoding="utf-8")
    read = config.ConfigManager().parse_args(["--job.config_file", str(tmp_path / "train.toml")])
    degrees, training = read.parallelism, read.training
    assert (degrees.tensor_parallel_degree, degrees.pipeline_parallel_degree, degrees.context_parallel_degree) == (
        2,
    ) * 3
    assert (degrees.data_parallel_shard_degree, degrees.data_parallel_replicate_degree) == (-1, 1)
    assert (read.model.name, read.model.flavor, read.model.converters) == ("llama3", "8B", ["quantize.linear.float8"])
    assert (training.global_batch_size, training.local_batch_size, training.seq_len) == (32, 8, 8192)
    assert (degrees.pipeline_parallel_microbatch_size, read.activation_checkpoint.mode) == (1, "full")


@pytest.mark.parametrize("offload", [{}, {"offload_optimizer": True}, {"offload_parameters": True}])
@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_deepspeed(zero: int, offload: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    config = imported("deepspeed.runtime.config")
    if offload and zero < (3 if "offload_parameters" in offload else 1):
        return
    monkeypatch.setattr("deepspeed.comm.get_rank", lambda *_: 0)
    one = started("deepspeed", devices=16, zero=zero, global_batch=64, micro_batch=2, workload="finetune", **offload)

    class Devices:
        def get_data_parallel_world_size(self) -> int:
            return 16

    read = config.DeepSpeedConfig(json.loads(one.files["ds_config.json"]), mpu=Devices())
    assert (read.zero_optimization_stage, read.train_batch_size) == (zero, 64)
    assert (read.train_micro_batch_size_per_gpu, read.gradient_accumulation_steps) == (2, 2)
    assert (read.bfloat16_config.enabled, read.optimizer_name) == (True, "adamw")
    parameters = read.zero_config.offload_param
    assert (parameters is not None and parameters.device == "cpu") == ("offload_parameters" in offload)
    states = read.zero_config.offload_optimizer
    assert (states is not None and states.device == "cpu") == bool(offload)


def test_accelerate(tmp_path: Path) -> None:
    config = imported("accelerate.commands.config.config_args")
    command = imported("accelerate.commands.launch")
    one = started("fsdp", devices=16, zero=3, workload="finetune", recompute="full")
    (tmp_path / "fsdp.yaml").write_text(one.files["fsdp.yaml"], encoding="utf-8")
    read = config.load_config_from_file(str(tmp_path / "fsdp.yaml"))
    assert (read.num_processes, read.num_machines, str(read.distributed_type.value)) == (16, 2, "FSDP")
    assert read.mixed_precision == "bf16"
    assert read.fsdp_config == {
        "fsdp_version": 2, "fsdp_reshard_after_forward": True, "fsdp_activation_checkpointing": True,
    }  # fmt: skip
    parsed = command.launch_command_parser().parse_args(list(one.words[2:]))
    assert (parsed.config_file, parsed.training_script) == ("fsdp.yaml", "train.py")


def test_trl() -> None:
    trl = imported("trl")
    one = started(
        "trl", devices=8, workload="lora", lora_rank=32, quantized_base="nf4", micro_batch=2, global_batch=32,
        recompute="full", seq_len=2048, lora_targets=["q_proj", "v_proj"],
    )  # fmt: skip
    words = list(one.words[2:])
    at = words.index("--num_processes")  # of the command, which hands the others on
    assert words[at + 1] == "8"
    del words[at : at + 2]
    parser = trl.TrlParser((trl.ScriptArguments, trl.SFTConfig, trl.ModelConfig))
    _, training, model = parser.parse_args_and_config([*words, "--use_cpu", "--dataset_name", "a"])
    assert (training.per_device_train_batch_size, training.gradient_accumulation_steps) == (2, 2)
    assert (training.max_length, training.bf16, training.gradient_checkpointing) == (2048, True, True)
    assert (model.use_peft, model.lora_r, model.load_in_4bit) == (True, 32, True)
    assert model.lora_target_modules == ["q_proj", "v_proj"]


@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_axolotl(zero: int) -> None:
    schemas = imported("axolotl.utils.schemas.config")
    one = started("axolotl", devices=8, workload="lora", lora_rank=16, zero=zero, micro_batch=2, global_batch=32)
    beside = {"datasets": [{"path": "a", "type": "alpaca"}], "learning_rate": 1e-4, "num_epochs": 1}
    read = schemas.AxolotlInputConfig(**yaml.safe_load(one.files["config.yaml"]), **beside)
    assert (read.base_model, read.adapter, read.lora_r) == ("meta-llama/Llama-3.1-8B", "lora", 16)
    assert (read.micro_batch_size, read.gradient_accumulation_steps) == (2, 2)
    sharded = read.fsdp_config.reshard_after_forward if read.fsdp_config else None
    assert sharded == {2: False, 3: True}.get(zero)


def test_llama_factory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISABLE_VERSION_CHECK", "1")
    parser = imported("llamafactory.hparams.parser")
    one = started("llama-factory", devices=8, workload="lora", zero=0, micro_batch=2, global_batch=32, seq_len=4096)
    beside = {"dataset": "a", "template": "llama3", "output_dir": "b", "do_train": True, "use_cpu": True, "bf16": False}
    read = parser._parse_train_args(yaml.safe_load(one.files["train.yaml"]) | beside)
    by_name = {type(part).__name__: part for part in read}
    assert by_name["DataArguments"].cutoff_len == 4096
    assert by_name["TrainingArguments"].per_device_train_batch_size == 2
    assert by_name["TrainingArguments"].gradient_accumulation_steps == 2
    assert (by_name["FinetuningArguments"].finetuning_type, by_name["FinetuningArguments"].stage) == ("lora", "sft")


@pytest.mark.parametrize("workload", ["finetune", "lora"])
@pytest.mark.parametrize("model", ["llama-3.1-8b", "llama-3.3-70b", "gemma-2b", "qwen2.5-3b"])
def test_torchtune(model: str, workload: str) -> None:
    config = imported("torchtune.config._utils")
    imported("torchtune.models.llama3_1")
    one = started("torchtune", model=model, devices=8, workload=workload, micro_batch=2, global_batch=32)
    data = yaml.safe_load(one.files["config.yaml"])
    for part in ("model", "optimizer"):
        values = dict(data[part])
        name = values.pop("_component_")
        if name.startswith("bitsandbytes."):
            imported("bitsandbytes")
        builder = config._get_component_from_path(name)
        if part == "model":
            inspect.signature(builder).bind(**values)


@pytest.mark.parametrize(
    ("words", "parsed"),
    [
        (
            {"model": "llama-3.3-70b", "devices": 8, "tp": 4, "pp": 2, "max_num_seqs": 64, "kv_precision": "fp8"},
            {"tensor_parallel_size": 4, "pipeline_parallel_size": 2, "max_num_seqs": 64, "kv_cache_dtype": "fp8"},
        ),
        (
            {
                "model": "deepseek-v3", "hardware": "h200", "devices": 16, "tp": 1, "dp": 16, "ep": 16,
                "max_model_len": 8192, "memory_fraction": 0.9, "speculation": "mtp", "draft_tokens": 1,
                "enforce_eager": True, "block_size": 64,
            },
            {
                "data_parallel_size": 16, "enable_expert_parallel": True, "max_model_len": 8192, "enforce_eager": True,
                "gpu_memory_utilization": 0.9, "block_size": 64,
                "speculative_config": {"method": "mtp", "num_speculative_tokens": 1},
            },
        ),
    ],
)  # fmt: skip
def test_vllm(words: dict[str, Any], parsed: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = imported("vllm.engine.arg_utils")
    monkeypatch.setattr("vllm.platforms._current_platform", imported("vllm.platforms.cpu").CpuPlatform())
    utils = imported("vllm.utils.argparse_utils")
    one = started("vllm", **words)
    parser = arguments.AsyncEngineArgs.add_cli_args(utils.FlexibleArgumentParser())
    options = list(one.words[3:])
    if "--nnodes" in options:  # variables of the node
        options = [{"$NODE_RANK": "0", "$HEAD_NODE": "10.0.0.1"}.get(word, word) for word in options]
    read = parser.parse_args(["--model", one.words[2], *options])
    assert {name: getattr(read, name) for name in parsed} == parsed


@pytest.mark.parametrize(
    ("words", "parsed"),
    [
        (
            {"model": "llama-3.3-70b", "devices": 8, "tp": 4, "pp": 2, "max_num_seqs": 64, "kv_precision": "fp8"},
            {"tp_size": 4, "pp_size": 2, "max_running_requests": 64, "kv_cache_dtype": "fp8_e4m3"},
        ),
        (
            {
                "model": "deepseek-v3", "hardware": "h200", "devices": 8, "tp": 1, "dp": 8, "ep": 8,
                "max_model_len": 8192, "memory_fraction": 0.8, "block_size": 64,
            },
            {
                "tp_size": 8, "attn_dp_size": 8, "ep_size": 8, "context_length": 8192, "mem_fraction_static": 0.8,
                "page_size": 64,
            },
        ),
    ],
)  # fmt: skip
def test_sglang(words: dict[str, Any], parsed: dict[str, Any]) -> None:
    server = imported("sglang.srt.server_args")
    one = started("sglang", **words)
    parser = argparse.ArgumentParser()
    server.ServerArgs.add_cli_args(parser)
    read = parser.parse_args(list(one.words[3:]))
    assert {name: getattr(read, name) for name in parsed} == parsed
