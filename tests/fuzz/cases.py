"""Cases: a command line, the files that it reads and its standard input, drawn from a seed and a number."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Self

import yaml

from llmplan.files import builtin
from llmplan.setup.options import FLAGS
from tests.fuzz import hostile
from tests.fuzz import plan_cases as plans
from tests.weights.files import gguf, llama_metadata, llama_rows

ROOT = Path(__file__).parents[2]
QUANTIZED: list[dict[str, Any]] = [
    {"quant_method": "gptq", "bits": 4, "group_size": 128}, {"quant_method": "fp8", "weight_block_size": [128, 128]},
    {"quant_method": "awq", "bits": 4, "group_size": 64}, {"quant_method": "bitsandbytes", "load_in_4bit": True},
    {"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16}, {"quant_method": "mxfp4"},
    {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float"},
                                                                         "targets": ["Linear"]}}},
]  # fmt: skip
SERVED_BY = ("vllm", "sglang", "tensorrt-llm", "llama.cpp")
TRAINED_BY = ("megatron", "torchtitan", "deepspeed", "nemo", "maxtext", "fsdp", "axolotl", "torchtune", "llama-factory",
              "ms-swift", "trl", "megatron-bridge")  # fmt: skip
SEARCHES = (
    "", "", "--top 2", "--by cost", "--by memory", "--by latency", "--by time", "--by devices", "--surely",
    "--maximize seq-len", "--maximize batch", "--maximize micro-batch", "--maximize concurrency", "--maximize context",
    "--minimize memory-fraction", "--minimize devices", "--pareto throughput,memory", "--try-split", "--try-offload",
    "--max-devices 16", "--launch TARGET", "--min-mfu 0.3 --max-memory 70GiB", "--write-plan best.yaml",
    "--dcp 1,2,4 --load closed --batch 4", "--cp 1,2", "--prefill-cp 1..4 --try-split", "--max-cost-per-million 2",
    "--max-step 10", "--min-tokens-per-second 10",
)  # fmt: skip
COMMANDS = (
    "estimate FORMAT", "estimate --json", "estimate --check", "estimate --columns tp,mfu,peak_bytes",
    "fit SEARCH FORMAT", "fit SEARCH FORMAT", "compare FORMAT", "compare --fit --json", "compare --by cost --json",
    "compare --by latency --json", "explain --term TERM FORMAT", "sweep --vary tp=1..4 FORMAT",
    "sweep --vary devices=8,16 --vary tp=1,2 FORMAT",
    "sweep --vary hardware=h100,a100 FORMAT", "sweep --vary tp=1..1e12 --json", "launch --for TARGET",
)  # fmt: skip
ODD = "-- --help --jsn -x --plan --version é --tp --top --help-all --timings"
ENTRIES = ("check cat", "list KIND --catalog cat", "show NAME --catalog cat", "show NAME --json --catalog cat")
TABLES = (
    "validate runs.csv --json", "validate training.csv --json", "validate serving.csv --json", "validate serving.csv",
    "validate training.csv --summary", "validate my-runs.csv --format csv", "validate serving.csv --check",
    "calibrate my-runs.csv --stack mine --catalog cat", "calibrate training.csv --stack mine --catalog cat",
    "catalog import-prices vms.csv --provider verda --date 2026-11-27",
)  # fmt: skip
OTHERS = (
    "list --hardware DEVICE --workload serve --json", "list --hardware DEVICE --workload lora --json",
    "diff a.json b.json --json", "diff a.json b.json --check", "compare --plan a.json --plan b.json --json",
    "explain LP012", "explain LP999", "explain codes", "schema plan", "schema x", "catalog list models --json",
    "catalog list x", "catalog show DEVICE", "--version", "launch --for list", "--help", "fit --help-all",
)  # fmt: skip
FORMATS = ("json", "json", "json", "table", "csv", "markdown", "github", "jsonl", "svg")


@dataclass(frozen=True)
class Case:
    """kind: how it was drawn; words: of a plan that is held to the rules of `agreement`, where there is one."""

    kind: str
    args: list[str]
    files: dict[str, bytes] = field(default_factory=dict)
    stdin: bytes = b""
    words: dict[str, Any] | None = None

    def text(self) -> str:
        """As JSON, for `--replay`."""
        files = {name: raw.decode("latin-1") for name, raw in self.files.items()}
        return json.dumps(asdict(self) | {"files": files, "stdin": self.stdin.decode("latin-1")}, indent=1)

    @classmethod
    def read(cls, text: str) -> Self:
        told = json.loads(text)
        files = {name: raw.encode("latin-1") for name, raw in told["files"].items()}
        return cls(told["kind"], told["args"], files, told["stdin"].encode("latin-1"), told["words"])


def options(plan: dict[str, Any]) -> list[str]:
    """A plan as options of the command line."""
    found = []
    for name, given in plan.items():
        option = name.replace("_", "-")
        if name in FLAGS and isinstance(given, bool):
            found.append(f"--{option}" if given else f"--no-{option}")
        else:
            found += [f"--{option}", given if isinstance(given, str) else json.dumps(given)]
    return found


def command(random: Random, plan: Any, given: list[str] | None = None) -> list[str]:
    """A command for a plan, and what goes with it; given: what says the plan, if not its words as options."""
    serves = isinstance(plan, dict) and plan.get("workload") == "serve"
    given = options(plan) if given is None else given
    target = random.choice(SERVED_BY if serves else TRAINED_BY)
    name, more = random.choice(COMMANDS).replace("SEARCH", random.choice(SEARCHES)).split(" ", 1)
    more = more.replace("FORMAT", f"--format {random.choice(FORMATS)}").replace("TARGET", target)
    more = more.replace("TERM", random.choice(["all", "weights", "ttft_seconds" if serves else "step_seconds"]))
    return [name, *given, *more.split()]


def a_plan(random: Random) -> Case:
    """A plan file, as drawn or with a few changes; at times many plans, or a model in the plan."""
    plan = plans.drawn(random)
    if random.random() < 0.1:
        plan["model"] = random.choice(models())
    data: Any = hostile.tree(random, plan, random.choice([0, 0, 0, 0, 1, 2]))
    if random.random() < 0.1:
        data = [data, plans.drawn(random)]
    return from_file(random, plan, hostile.encoded(hostile.written(random, data)), "plan")


def a_text(random: Random) -> Case:
    """A plan file that is broken as text."""
    plan = plans.drawn(random)
    return from_file(random, plan, hostile.mangled(random, hostile.written(random, plan)), "text")


def from_file(random: Random, plan: Any, raw: bytes, kind: str) -> Case:
    name = random.choice(["plan.yaml", "plan.json", "plan.jsonl", "-"])
    args = command(random, plan, ["--plan", name])
    return Case(kind, args, stdin=raw) if name == "-" else Case(kind, args, {name: raw})


def some_options(random: Random) -> Case:
    """A plan as options, at times with one that is wrong."""
    plan = plans.drawn(random)
    for _ in range(random.choice([0, 0, 0, 0, 1, 2])):
        name = random.choice(list(plan))
        plan[name] = hostile.value(random, plan[name])
    args = command(random, plan)
    if random.random() < 0.15:
        args.insert(random.randrange(len(args) + 1), random.choice(["", *ODD.split()]))
    return Case("options", [one.replace("\x00", "") for one in args])


def a_rule(random: Random, kind: str) -> Case:
    """A plan that mostly can be planned, whose answer is held to the rules of other ways to ask, or of physics."""
    words = plans.drawn(random)
    files = {"plan.json": json.dumps(words).encode()}
    return Case(kind, ["estimate", "--plan", "plan.json", "--json"], files, words=words)


def a_config(random: Random) -> Case:
    """A model as Hugging Face writes it: configs of real models, changed, quantized, in a folder with an index."""
    text = random.choice(configs())
    data = json.loads(text)
    if random.random() < 0.3:
        data["quantization_config"] = hostile.tree(random, random.choice(QUANTIZED), random.choice([0, 0, 1]))
    data = hostile.tree(random, data, random.choice([0, 0, 0, 1, 2, 3]))
    raw = hostile.mangled(random, text) if random.random() < 0.1 else hostile.encoded(json.dumps(data))
    files = {"m/config.json": raw}
    if random.random() < 0.2:
        index = {"metadata": {"total_size": 16_060_522_496}, "weight_map": {"a.weight": "model-1.safetensors"}}
        files["m/model.safetensors.index.json"] = json.dumps(hostile.tree(random, index, 1)).encode()
    return Case("config", command(random, plans.ordinary(random) | {"model": "m"}), files)


def some_weights(random: Random) -> Case:
    """A file of weights: a header of GGUF or safetensors with bytes that are wrong."""
    if random.random() < 0.6:
        with tempfile.TemporaryDirectory() as folder:
            path, kind = Path(folder) / "m.gguf", random.choice(["F16", "Q4_K", "Q8_0", "IQ2_XS"])
            rows = llama_rows(2, 512, 1024, 128, 5000, lambda *_: kind)
            gguf(path, llama_metadata(2, 512, 1024, 8, 2), rows, data=False)
            raw, model, files = bytearray(path.read_bytes()), "m.gguf", {}
    else:
        tensor = {"a.weight": {"dtype": "F8_E4M3", "shape": [64, 64], "data_offsets": [0, 4096]}}
        head = json.dumps(hostile.tree(random, tensor, random.choice([0, 1]))).encode()
        raw, model = bytearray(len(head).to_bytes(8, "little") + head), "m"
        files = {"m/config.json": random.choice(configs()).encode()}
    for _ in range(random.choice([0, 0, 1, 2])):
        raw[random.randrange(min(len(raw), random.choice([40, 4000])))] = random.choice([0, 1, 127, 255])
    if random.random() < 0.2:
        raw = raw[: random.randrange(len(raw))]
    files = {**files, model if model != "m" else "m/model.safetensors": bytes(raw)}
    args = f"estimate --model {model} --hardware h100 --workload serve --batch {plans.whole(random, 512)} --json"
    return Case("weights", args.split(), files)


def an_entry(random: Random) -> Case:
    """An entry of the catalogue, changed, in a folder of the user."""
    kind = random.choice(["devices", "devices", "stacks", "stacks", "clusters", "prices", "models"])
    name = random.choice(plans.ids(kind))
    text = (builtin(kind) / f"{name}.yaml").read_text()
    data = hostile.tree(random, yaml.safe_load(text), random.choice([0, 1, 1, 1, 2, 3]))
    raw = hostile.mangled(random, text) if random.random() < 0.1 else hostile.encoded(hostile.written(random, data))
    plan = plans.ordinary(random)
    if word := {"devices": "hardware", "stacks": "stack", "clusters": "cluster", "models": "model"}.get(kind):
        plan[word] = name
    args = command(random, plan, [*options(plan), "--catalog", "cat"])
    if random.random() < 0.2:
        args = f"catalog {random.choice(ENTRIES)}".replace("KIND", kind).replace("NAME", name).split()
    return Case("catalog", args, {f"cat/{kind}/{name}.yaml": raw})


def a_table(random: Random) -> Case:
    """A CSV: measured runs to validate or to calibrate on, or prices."""
    args = random.choice(TABLES).split()
    name = next(one for one in args if one.endswith(".csv"))
    rows = [dict(row) for row in random.sample(tables()[name], random.randint(1, 3))]
    for _ in range(random.choice([0, 0, 1, 1, 2])):
        row = random.choice(rows)
        column = random.choice([key for key, cell in row.items() if cell] or list(row))
        row[column] = str(hostile.value(random, row[column]))
    out = io.StringIO()
    table = csv.DictWriter(out, list(rows[0]), escapechar="\\")
    table.writeheader()
    table.writerows(rows)
    raw = hostile.mangled(random, out.getvalue()) if random.random() < 0.15 else hostile.encoded(out.getvalue())
    return Case("table", args, {name: raw})


def a_launch(random: Random) -> Case:
    """What starts a run, as projects publish it, read back; changed at times."""
    told = random.choice(published())
    text, given = str(told["text"]), options(told.get("given", {}))
    args = [random.choice(["estimate", "estimate", "launch"]), "--from", told["target"], *given]
    args += ["--for", random.choice(SERVED_BY + TRAINED_BY)] if args[0] == "launch" else ["--json"]
    what = random.random()
    if what < 0.25:
        text = hostile.mangled(random, text).decode("utf-8", "replace")
    elif what < 0.5:
        parts = text.split(" ")
        place = random.randrange(len(parts))
        text = " ".join([*parts[:place], str(hostile.value(random, parts[place])), *parts[place + 1 :]])
    how = random.choice(["-", "-", "words", "start.sh", "config.yaml", "ds.json", "train.toml"])
    if how == "words":
        return Case("launch", [*args, "--", *text.replace("\x00", "").replace("\\\n", " ").split()])
    raw = hostile.encoded(text)
    return Case("launch", [*args, "--", how], {} if how == "-" else {how: raw}, raw if how == "-" else b"")


def some_lines(random: Random) -> Case:
    """Many plans as JSON lines, some of which are faulty."""
    lines = []
    for _ in range(random.randint(2, 12)):
        text = json.dumps(hostile.tree(random, plans.drawn(random), random.choice([0, 0, 0, 1])))
        lines.append(hostile.mangled(random, text) if random.random() < 0.1 else hostile.encoded(text))
    args = f"estimate --plan - --format jsonl {random.choice(['', '--summary', '--check', '--tp 2'])}"
    return Case("lines", args.split(), stdin=b"\n".join(lines))


def something_else(random: Random) -> Case:
    """Commands beside those of one plan."""
    args = random.choice(OTHERS).replace("DEVICE", random.choice(plans.ids("devices"))).split()
    return Case("else", args, {name: json.dumps(plans.ordinary(random)).encode() for name in ("a.json", "b.json")})


KINDS: dict[str, tuple[int, Callable[[Random], Case]]] = {
    "plan": (20, a_plan), "options": (14, some_options), "ways": (12, lambda random: a_rule(random, "ways")),
    "physics": (16, lambda random: a_rule(random, "physics")), "config": (8, a_config), "text": (3, a_text),
    "catalog": (8, an_entry), "table": (6, a_table), "launch": (6, a_launch), "lines": (3, some_lines),
    "weights": (2, some_weights), "else": (2, something_else),
}  # fmt: skip


def make(seed: str, number: int, kinds: list[str]) -> Case:
    """Case `number` of a seed; the same whatever else ran."""
    random = Random(f"{seed}:{number}")
    chosen = kinds or list(KINDS)
    kind = random.choices(chosen, [KINDS[one][0] for one in chosen])[0]
    return KINDS[kind][1](random)


@cache
def models() -> list[dict[str, Any]]:
    return [yaml.safe_load((builtin("models") / f"{one}.yaml").read_text()) for one in plans.ids("models")[::5]]


@cache
def configs() -> list[str]:
    """Configs of real models."""
    return [path.read_text() for path in sorted((ROOT / "tests/models/hf_configs").glob("*_config.json"))]


@cache
def published() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((ROOT / "tests/launch/published.yaml").read_text())
    return found


@cache
def tables() -> dict[str, list[dict[str, str]]]:
    """Rows of the CSVs of the project."""
    paths = [*sorted((ROOT / "docs/examples").glob("*.csv")), *sorted(builtin("measurements").glob("*ing.csv"))]
    return {path.name: list(csv.DictReader(path.open())) for path in paths}
