"""Options of other programs, and which of ours mean the same: what `No such option` suggests."""

from __future__ import annotations

DEVICES, HARDWARE = "--devices", "--hardware"
OTHER_NAMES = {
    "--gpus": DEVICES, "--num-gpus": DEVICES, "--n-gpus": DEVICES, "--ngpus": DEVICES, "--gpu-count": DEVICES,
    "--num-devices": DEVICES, "--world-size": DEVICES, "--num-chips": DEVICES, "--gpu": f"{HARDWARE} or {DEVICES}",
    "--device": f"{HARDWARE} or {DEVICES}", "--gpu-type": HARDWARE, "--accelerator": HARDWARE, "--instance": HARDWARE,
    "--instance-type": HARDWARE, "--gpus-per-node": "--devices-per-node", "--nproc-per-node": "--devices-per-node",
    "--nodes": f"{DEVICES} (of all nodes together)", "--nnodes": f"{DEVICES} (of all nodes together)",
    "--vram": "--device-memory", "--gpu-memory": "--device-memory", "--memory": "--device-memory",
    "--model-id": "--model", "--model-name": "--model", "--repo": "--model", "--config": "--model or --plan",
    "--tensor-parallel-size": "--tp", "--tensor-model-parallel-size": "--tp", "--tp-size": "--tp",
    "--pipeline-parallel-size": "--pp", "--pipeline-model-parallel-size": "--pp", "--pp-size": "--pp",
    "--expert-parallel-size": "--ep", "--expert-model-parallel-size": "--ep", "--context-parallel-size": "--cp",
    "--data-parallel-size": "--dp", "--dp-size": "--dp", "--zero-stage": "--zero",
    "--batch-size": "--batch (serving) or --global-batch", "--concurrency": "--batch", "--max-concurrency": "--batch",
    "--global-batch-size": "--global-batch", "--micro-batch-size": "--micro-batch", "--mbs": "--micro-batch",
    "--gbs": "--global-batch", "--per-device-train-batch-size": "--micro-batch", "--seq-length": "--seq-len",
    "--sequence-length": "--seq-len", "--max-seq-length": "--seq-len", "--context": "--seq-len or --input-tokens",
    "--context-length": "--seq-len or --input-tokens",
    "--ctx-size": "--input-tokens", "--isl": "--input-tokens", "--osl": "--output-tokens",
    "--input-len": "--input-tokens", "--output-len": "--output-tokens", "--prompt-tokens": "--input-tokens",
    "--max-tokens": "--output-tokens", "--qps": "--request-rate", "--rps": "--request-rate",
    "--dtype": "--precision (training) or --weight-precision", "--quantization": "--weight-precision",
    "--quant": "--weight-precision", "--kv-cache-dtype": "--kv-precision",

    "--engine": "--stack", "--framework": "--stack", "--backend": "--stack", "--task": "--workload",
    "--mode": "--workload", "--ttft": "--max-ttft", "--tpot": "--max-tpot", "--itl": "--max-tpot",
    "--train-tokens": "--tokens", "--lora-r": "--lora-rank", "--output": "--format", "--out": "--format",
}  # fmt: skip
"""Option of vLLM, SGLang, llama.cpp, Megatron-LM, DeepSpeed or Transformers -> option of this program."""


def suggestion(option: str) -> str | None:
    """Ours for an option of another program; None where none is known."""
    return OTHER_NAMES.get(option.lower().replace("_", "-"))
