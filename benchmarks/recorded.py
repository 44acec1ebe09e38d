"""Records the figures of a thousand drawn plans, and says which of them a change of the code has moved.

    python benchmarks/recorded.py write FILE     before a change that should move nothing
    python benchmarks/recorded.py check FILE     after it: every figure is compared bit for bit

It says nothing about truth. `check` ends with 1 where a figure moved, and prints by how much, part by part.
"""

from __future__ import annotations

import json
import random
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from llmplan import InputError, plan_from
from llmplan.serving.estimate import estimate_serving
from llmplan.training.estimate import estimate

COUNT, SEED = 1000, 20261127
TRAINED = (
    "llama-3.1-8b", "llama-3.1-70b", "llama-3.1-405b", "gpt3-6.7b", "gpt3-175b", "gpt2-xl", "mixtral-8x7b",
    "qwen3-30b-a3b", "bert-large-uncased", "t5-large", "albert-large-v2", "gemma-2-9b", "deepseek-v3-671b", "mpt-7b",
    "mixtral-8x22b-v0.1",
)  # fmt: skip
SERVED = (
    "llama-3.1-8b", "llama-3.1-70b", "mixtral-8x7b", "qwen3-30b-a3b", "gemma-3-27b", "deepseek-v3-671b", "gpt-oss-120b",
    "t5-large", "bert-large-uncased", "llama-2-7b", "llama-4-scout", "mistral-7b-v0.1", "deepseek-v3.2",
)  # fmt: skip
DEVICES = (
    "a100-sxm-80gb", "a100-sxm-40gb", "h100-sxm-80gb", "h100-pcie-80gb", "v100-sxm-32gb", "tpu-v5p", "mi300x", "gb200",
    "h200-sxm-141gb", "b200-sxm-180gb", "rtx-4090", "l40s",
)  # fmt: skip
TRAINERS = (
    "generic", "megatron-lm-2022", "megatron-core", "megatron-deepspeed", "nemo", "torchtitan", "llm-foundry",
    "maxtext", "nanotron", "bert-nvidia-pt", "litgpt", "megatron-bridge",
)  # fmt: skip
ENGINES = ("generic", "vllm", "sglang", "tensorrt-llm", "fastertransformer", "jetstream", "gpt-fast")


def training(draw: random.Random) -> dict[str, Any]:
    """Words of a training plan; some contradict themselves."""
    tp, pp, dp = draw.choice((1, 2, 4, 8)), draw.choice((1, 1, 2, 4, 8)), draw.choice((1, 2, 4, 8))
    cp, micro = draw.choice((1, 1, 1, 2)), draw.choice((1, 2, 4))
    words: dict[str, Any] = {
        "model": draw.choice(TRAINED), "hardware": draw.choice(DEVICES), "stack": draw.choice(TRAINERS),
        "workload": draw.choice(("pretrain", "pretrain", "finetune", "lora")), "devices": tp * pp * cp * dp,
        "tp": tp, "pp": pp, "cp": cp, "dp": dp, "vp": draw.choice((1, 1, 2)) if pp > 1 else 1,
        "zero": draw.randint(0, 3), "sequence_parallel": draw.random() < 0.5,
        "recompute": draw.choice(("none", "selective", "full")), "micro_batch": micro,
        "global_batch": dp * micro * draw.choice((1, 4, 32)), "seq_len": draw.choice((128, 512, 2048, 8192)),
        "flash_attention": draw.random() < 0.8, "optimizer": draw.choice(("adam", "sgd", "adam-8bit")),
        "offload_optimizer": draw.random() < 0.1,
    }  # fmt: skip
    if draw.random() < 0.2:
        words["precision"] = draw.choice(("fp8", "fp16", "fp32"))
    if draw.random() < 0.3:
        words["ep"] = draw.choice((1, 2, 4, 8))
    if words["workload"] == "lora" and draw.random() < 0.5:
        words["quantized_base"] = "nf4"
    return words


def serving(draw: random.Random) -> dict[str, Any]:
    """Words of a serving plan; some contradict themselves."""
    tp = draw.choice((1, 2, 4, 8))
    words: dict[str, Any] = {
        "model": draw.choice(SERVED), "hardware": draw.choice(DEVICES), "stack": draw.choice(ENGINES),
        "workload": "serve", "tp": tp, "devices": tp * draw.choice((1, 1, 2)),
        "load": draw.choice(("static", "closed", "saturated", "open")),
        "input_tokens": draw.choice((1, 128, 1024, 8000)), "output_tokens": draw.choice((1, 128, 1024)),
    }  # fmt: skip
    if words["load"] == "open":
        words["request_rate"] = draw.choice((0.1, 1.0, 10.0))
    elif words["load"] != "saturated":
        words["batch"] = draw.choice((1, 4, 32, 256))
    if draw.random() < 0.3:
        words["weight_precision"] = draw.choice(("fp8", "int4", "int8"))
    if draw.random() < 0.3:
        words["kv_precision"] = "fp8"
    return words


def figures(words: dict[str, Any]) -> dict[str, float]:
    """Every figure of one plan by name."""
    plan = plan_from(words)
    if words["workload"] != "serve":
        answer = estimate(plan)
        found = {**answer.memory.parts(), **answer.time.parts(), "peak": answer.peak.value, "mfu": answer.mfu}
        found |= {"host": answer.memory.host_bytes, "low": answer.step.low, "high": answer.step.high}
        return {name: float(value) for name, value in found.items()}
    served = estimate_serving(plan)
    found = dict(served.memory.parts())
    found |= {f"decode_{name}": value for name, value in served.decode.parts().items()}
    found |= {f"prefill_{name}": value for name, value in served.prefill.parts().items()}
    for name in ("needed", "ttft", "p95_ttft", "burst_ttft", "tpot", "request", "requests_per_second", "kv_tokens"):
        interval = getattr(served, name)
        if interval is not None:
            found |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
    found |= {"capacity": served.capacity, "load": served.load, "resident": served.resident}
    return {name: float(value) for name, value in found.items()}


def fitted(words: dict[str, Any]) -> dict[str, float]:
    """The winner of a search."""
    import contextlib
    import io

    from llmplan.cli.main import main

    out = io.StringIO()
    arguments = [part for name, value in words.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        main(["fit", *arguments, "--json"])
    if not out.getvalue():
        raise InputError("nothing fits")
    best = json.loads(out.getvalue())["results"][0]["inputs"]
    return figures(best | {"workload": words["workload"]})


def searches() -> list[dict[str, Any]]:
    """Questions to `fit`."""
    draw = random.Random(SEED)
    found: list[dict[str, Any]] = []
    for _ in range(12):
        found.append({
            "model": draw.choice(TRAINED[:9]), "hardware": draw.choice(DEVICES[:8]), "devices": draw.choice((8, 64)),
            "stack": draw.choice(TRAINERS[:8]), "workload": "pretrain", "seq_len": 2048, "global_batch": 128,
        })  # fmt: skip
        found.append({
            "model": draw.choice(SERVED[:7]), "hardware": draw.choice(DEVICES[:8]), "devices": draw.choice((4, 8)),
            "stack": draw.choice(ENGINES[:4]), "workload": "serve", "input_tokens": 1000, "output_tokens": 200,
        })  # fmt: skip
    return found


def record() -> dict[str, dict[str, str]]:
    """Figures of every plan, bit for bit."""
    draw = random.Random(SEED)
    plans = [training(draw) if draw.random() < 0.6 else serving(draw) for _ in range(COUNT)]
    found: dict[str, dict[str, str]] = {}
    for make, many in ((figures, plans), (fitted, searches())):
        for words in many:
            key = f"{make.__name__} {json.dumps(words, sort_keys=True)}"
            try:
                found[key] = {name: value.hex() for name, value in make(words).items()}
            except (InputError, json.JSONDecodeError, KeyError, IndexError):
                found[key] = {}
    return found


def check(before: dict[str, dict[str, str]]) -> int:
    """Prints what moved; 1 where anything did."""
    moved: dict[str, list[float]] = defaultdict(list)
    plans = 0
    for key, figures_now in record().items():
        old = before.get(key, {})
        for name in old.keys() | figures_now.keys():
            a, b = old.get(name), figures_now.get(name)
            if a != b:
                one, two = (float.fromhex(text) if text else 0.0 for text in (a, b))
                moved[name].append(two / one - 1.0 if one else float("inf"))
        plans += old != figures_now
    for name, ratios in sorted(moved.items()):
        ratios.sort()
        print(f"{name}: {len(ratios)} moved, {ratios[0]:+.2%} .. {ratios[len(ratios) // 2]:+.2%} .. {ratios[-1]:+.2%}")
    print(f"{plans} of {len(before)} plans moved")
    return 1 if plans else 0


def main(arguments: list[str]) -> int:
    """Writes or checks a record; returns the exit code."""
    what, path = arguments
    if what == "write":
        Path(path).write_text(json.dumps(record()), encoding="utf-8")
        return 0
    return check(json.loads(Path(path).read_text(encoding="utf-8")))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
