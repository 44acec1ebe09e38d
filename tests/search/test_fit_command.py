"""`llmplan fit` as a user runs it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from tests.cli.answers import holds

Command = Callable[..., Any]
SMALL = ("--model", "small.yaml", "--hardware", "h100", "--workload", "pretrain")
GPT3 = ("--model", "gpt3-175b", "--hardware", "a100-sxm-80gb", "--devices", "1024", "--workload", "pretrain",
        "--seq-len", "2048", "--global-batch", "1536")  # fmt: skip
SERVED = ("--model", "llama-3.1-70b", "--hardware", "h100", "--workload", "serve", "--input-tokens", "1500",
          "--output-tokens", "300", "--stack", "vllm")  # fmt: skip


def answer(run: Any) -> dict[str, Any]:
    """The JSON of a run, held to its schema."""
    found: dict[str, Any] = json.loads(run.out)
    holds("fit", found)
    return found


def test_the_winner_as_a_plan_gives_the_same_numbers(llmplan: Command, here: Path) -> None:
    found = answer(llmplan("fit", *GPT3, "--top", "10", "--write-plan", "best.yaml", "--json"))
    assert [one["rank"] for one in found["results"]] == list(range(1, 11))
    again = json.loads(llmplan("estimate", "--plan", "best.yaml", "--json").out)
    assert again["result"] == found["results"][0]["result"]
    assert again["inputs"] == found["results"][0]["inputs"]


def test_a_deployment_as_a_plan_gives_the_same_numbers(llmplan: Command, here: Path) -> None:
    found = answer(
        llmplan("fit", *SERVED, "--devices", "16", "--request-rate", "10", "--json", "--write-plan", "s.yaml")
    )
    again = json.loads(llmplan("estimate", "--plan", "s.yaml", "--json").out)
    assert again["result"] == found["results"][0]["result"]


def test_a_model_file_is_found_from_another_folder(llmplan: Command, here: Path, monkeypatch: Any) -> None:
    (here / "deep").mkdir()
    assert llmplan("fit", *SMALL, "--devices", "8", "--write-plan", "deep/best.yaml").code == 0
    monkeypatch.chdir("/")
    assert llmplan("estimate", "--plan", str(here / "deep" / "best.yaml")).code == 0


def test_the_smallest_cluster(llmplan: Command) -> None:
    words = ("--model", "llama-3.1-70b", "--hardware", "h100", "--workload", "pretrain", "--seq-len", "8192",
             "--global-batch", "512")  # fmt: skip
    found = answer(llmplan("fit", *words, "--max-devices", "512", "--json"))
    least = found["results"][0]["inputs"]["devices"]
    assert found["objective"] == "devices"
    assert {one["inputs"]["devices"] for one in found["results"]} == {least}
    assert llmplan("fit", *words, "--max-devices", str(least)).code == 0
    assert llmplan("fit", *words, "--max-devices", str(least - 1)).code == 3


def test_nothing_fits(llmplan: Command) -> None:
    run = llmplan(
        "fit", "--model", "llama-3.1-405b", "--hardware", "a100-sxm-40gb", "--devices", "8", "--workload", "pretrain"
    )
    assert (run.code, run.out) == (3, "")
    assert "they need more memory than a device has" in run.err
    assert "nearest misses:" in run.err
    assert "LoRA" in run.err
    assert "256 devices" in run.err


def test_nothing_fits_as_json(llmplan: Command) -> None:
    run = llmplan("fit", "--model", "llama-3.1-405b", "--hardware", "a100-sxm-40gb", "--devices", "8", "--json")
    found = answer(run)
    assert run.code == 3
    assert found["results"] == []
    assert found["search"]["fitting"] == 0
    assert found["search"]["considered"] == sum(found["search"]["removed"].values())
    assert found["nearest_misses"][0]["peak_bytes"]["value"] > found["nearest_misses"][0]["usable_bytes"]
    assert all(one["verdict"] != "does-not-fit" for one in found["changes"])


def test_pinned_dimensions_and_what_opening_them_would_do(llmplan: Command) -> None:
    found = answer(
        llmplan("fit", *GPT3, "--tp", "4,8", "--pp", "8..16", "--zero", "1", "--recompute", "full", "--json")
    )
    for one in found["results"]:
        said = one["inputs"]
        assert said["tp"] in (4, 8)
        assert 8 <= said["pp"] <= 16
        assert (said["zero"], said["recompute"]) == (1, "full")
    run = llmplan("fit", *GPT3, "--pp", "1", "--tp", "1", "--zero", "0")
    assert run.code == 3
    assert "every dimension left open" in run.err


def test_the_order_of_options_does_not_matter(llmplan: Command) -> None:
    pairs = [("--model", "small.yaml"), ("--hardware", "h100"), ("--devices", "16,8"), ("--tp", "2,1,4")]
    answers = []
    for order in list(permutations(pairs))[::5]:
        found = answer(llmplan("fit", *(word for pair in order for word in pair), "--json"))
        answers.append(found)
    assert len(answers) > 3
    assert all(found == answers[0] for found in answers)


def test_formats_agree(llmplan: Command) -> None:
    words = ("fit", *SMALL, "--devices", "16", "--top", "4")
    whole = answer(llmplan(*words, "--json"))
    lines = [json.loads(line) for line in llmplan(*words, "--format", "jsonl").out.splitlines()]
    rows = list(csv.DictReader(io.StringIO(llmplan(*words, "--format", "csv").out)))
    assert lines == whole["results"]
    for row, one in zip(rows, whole["results"], strict=True):
        assert float(row["result.time.step_seconds.value"]) == one["result"]["time"]["step_seconds"]["value"]
        assert row["inputs.tp"] == str(one["inputs"]["tp"])
    table = llmplan(*words).out
    assert "as good within the error" in table
    assert "4 " in table.splitlines()[6]


def test_limits(llmplan: Command) -> None:
    words = ("fit", *SMALL, "--devices", "8,16", "--tokens", "1e12", "--objective", "cost", "--json")
    free = answer(llmplan(*words))
    days = [one["result"]["run"]["seconds"]["value"] / 86400 for one in free["results"]]
    tight = answer(llmplan(*words, "--max-days", str(min(days) * 0.9), "--devices", "8,16,32,64"))
    assert all(one["result"]["run"]["seconds"]["value"] / 86400 <= min(days) * 0.9 for one in tight["results"])
    usd = free["results"][0]["objective"]["run_usd"]
    assert llmplan(*words, "--max-cost", str(usd * 0.99)).code == 3
    assert llmplan(*words, "--max-cost", str(usd * 1.01)).code == 0
    mfu = answer(llmplan(*words, "--min-mfu", "0.2"))["results"]
    assert all(one["result"]["mfu"] >= 0.2 for one in mfu)


def test_surely(llmplan: Command) -> None:
    found = answer(llmplan("fit", *GPT3, "--surely", "--json"))
    assert {one["result"]["verdict"] for one in found["results"]} == {"fits"}
    assert "marginal" not in found


def test_what_surely_fits_comes_before_what_may_not(llmplan: Command) -> None:
    few = ("--devices", "64", "--tp", "8", "--pp", "8", "--micro-batch", "1", "--global-batch", "64")
    found = answer(llmplan("fit", *GPT3, *few, "--top", "500", "--json"))
    verdicts = [one["result"]["verdict"] for one in found["results"]]
    assert set(verdicts) == {"fits", "marginal"}
    assert verdicts == sorted(verdicts)  # in the alphabet too
    steps = [one["result"]["time"]["step_seconds"]["value"] for one in found["results"]]
    unsure = verdicts.index("marginal")
    assert steps[:unsure] == sorted(steps[:unsure])
    assert steps[unsure:] == sorted(steps[unsure:])
    if "marginal" in found:
        assert found["marginal"]["result"]["time"]["step_seconds"]["value"] == min(steps) < steps[0]


def test_pareto_front(llmplan: Command) -> None:
    found = answer(llmplan("fit", *GPT3, "--pareto", "throughput,memory-headroom", "--json"))
    points = [one["objectives"] for one in found["pareto"]["results"]]
    rates = [one["tokens_per_second"] for one in points]
    room = [one["headroom_bytes"] for one in points]
    assert len(points) > 5
    assert rates == sorted(rates, reverse=True)
    assert room == sorted(room)
    first = found.get("marginal", found["results"][0])  # fronts hold what may not fit, too
    assert rates[0] == first["result"]["throughput"]["tokens_per_second"]["value"]


def test_serving_within_targets(llmplan: Command) -> None:
    words = ("fit", *SERVED, "--max-devices", "64", "--request-rate", "20", "--max-ttft", "1", "--max-tpot", "0.05")
    found = answer(llmplan(*words, "--objective", "cost", "--json"))
    for one in found["results"]:
        latency = one["result"]["latency"]
        assert latency["ttft_seconds"]["value"] <= 1
        assert latency["tpot_seconds"]["value"] <= 0.05
    prices = [one["objective"]["usd_per_hour"] for one in found["results"]]
    assert prices == sorted(prices)
    impossible = llmplan(*words[:-1], "0.00001")
    assert impossible.code == 3
    assert "without max-tpot" in impossible.err


@pytest.mark.parametrize(
    ("what", "words", "word"),
    [
        ("micro-batch", (*SMALL, "--devices", "8", "--tp", "2"), "micro_batch"),
        ("seq-len", (*SMALL, "--devices", "8", "--tp", "2"), "seq_len"),
        ("batch", (*SERVED, "--devices", "8", "--tp", "8"), "batch"),
        ("concurrency", (*SERVED, "--devices", "8", "--tp", "8"), "batch"),
        ("context", (*SERVED, "--devices", "8", "--tp", "8"), "input_tokens"),
    ],
)
def test_maximize(llmplan: Command, what: str, words: tuple[str, ...], word: str) -> None:
    found = answer(llmplan("fit", *words, "--maximize", what, "--json"))["maximize"]
    assert found["word"] == word
    assert found["value"] > 1
    assert found["next"]["value"] > found["value"]
    if found["next"].get("peak_bytes") is not None:
        result = answer(llmplan("fit", *words, "--maximize", what, "--json"))["results"][0]["result"]["memory"]
        assert result["peak_bytes"]["value"] <= result["usable_bytes"] < found["next"]["peak_bytes"]


def test_the_longest_context_is_all_that_the_cache_holds(llmplan: Command) -> None:
    run = llmplan("fit", *SERVED, "--devices", "8", "--tp", "8", "--maximize", "context", "--json")
    found = answer(run)
    [one] = found["results"]
    whole = one["inputs"]["input_tokens"] + one["inputs"]["output_tokens"]
    assert one["result"]["fits"]
    assert one["result"]["kv_cache"]["max_model_len"] == whole
    assert one["result"]["kv_cache"]["requests"] >= 1
    words = ("--devices", "8", "--tp", "8", "--batch", "1", "--output-tokens", f"{one['inputs']['output_tokens']:.0f}")
    again = llmplan("estimate", *SERVED, *words, "--input-tokens", str(found["maximize"]["next"]["value"]), "--check")
    assert again.code == 3
    table = llmplan("fit", *SERVED, "--devices", "8", "--tp", "8", "--maximize", "context").out
    assert f"a context of {whole:.0f} tokens with the answer" in table


def test_the_least_share_of_memory(llmplan: Command) -> None:
    words = (*SERVED, "--devices", "8", "--tp", "8", "--batch", "4")
    found = answer(llmplan("fit", *words, "--minimize", "memory-fraction", "--json"))
    value = found["minimize"]["value"]
    assert 0 < value < 1
    assert found["results"][0]["inputs"]["memory_fraction"] == value
    assert llmplan("estimate", *words, "--memory-fraction", str(value), "--check").code == 0
    assert llmplan("estimate", *words, "--memory-fraction", f"{value - 0.01:.2f}", "--check").code == 3
    impossible = llmplan("fit", *words[:-1], "1000000", "--minimize", "memory-fraction")
    assert impossible.code == 3
    assert "not even memory_fraction 1" in impossible.err


def test_the_fewest_devices(llmplan: Command) -> None:
    found = answer(llmplan("fit", *SERVED, "--max-devices", "8", "--minimize", "devices", "--json"))
    same = answer(llmplan("fit", *SERVED, "--max-devices", "8", "--objective", "devices", "--json"))
    assert found["results"] == same["results"]
    given = answer(llmplan("fit", *SERVED, "--devices", "8", "--minimize", "devices", "--json"))
    assert given["results"][0]["inputs"]["devices"] == found["results"][0]["inputs"]["devices"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--devices", "8", "--tp", "x"), "--tp: expected a number"),
        (("--devices", "8", "--pp", "9..2"), "--pp: '9..2' is an empty range"),
        (("--devices", "8", "--recompute", "ful"), "did you mean full?"),
        (("--devices", "0"), "--devices: expected a number from 1"),
        (("--devices", "9" * 30), "--devices: expected a number from 1"),
        ((), "devices are missing"),
        (("--devices", "8", "--max-devices", "9"), "exclude each other"),
        (("--devices", "8", "--max-cost", "5"), "say how long it is"),
        (("--devices", "8", "--max-cost", "-5", "--tokens", "1e9"), "--max-cost: "),
        (("--devices", "8", "--pareto", "speed,cost"), "--pareto: expected two of"),
        (("--devices", "8", "--batch", "4"), "--batch goes with workload serve"),
        (("--devices", "8", "--maximize", "seq-len", "--tp", "1,2"), "wants one layout: --tp leaves it open"),
        (("--devices", "8", "--maximize", "concurrency"), "goes with workload serve"),
        (("--devices", "8", "--minimize", "memory-fraction"), "goes with workload serve"),
        (("--devices", "8", "--minimize", "devices", "--maximize", "batch"), "give one of --maximize and --minimize"),
        (("--minimize", "devices"), "wants the most there may be"),
        (("--minimize", "devices", "--devices", "²"), "wants the most there may be"),
        (("--minimize", "devices", "--devices", "9" * 5000), "wants the most there may be"),
        (("--devices", "8", "--write-plan", "no/such/folder.yaml"), "cannot be written"),
        (("--devices", "8", "--hardware", "hunderd"), "unknown hardware"),
        (("--devices", "8", "--min-output-tokens-per-second", "5"), "goes with workload serve"),
    ],
)
def test_faults(llmplan: Command, words: tuple[str, ...], message: str) -> None:
    run = llmplan("fit", *SMALL, *words)
    assert run.code == 2
    assert message in run.err
    assert "Traceback" not in run.err


def test_a_device_without_a_price(llmplan: Command) -> None:
    words = ("fit", "--model", "small.yaml", "--hardware", "trainium3", "--devices", "8", "--objective", "cost")
    run = llmplan(*words)
    assert run.code == 2
    assert "no on-demand price" in run.err
    assert llmplan(*words, "--price", "1.5").code == 0


def test_writing_never_leaves_half_a_plan(llmplan: Command, here: Path) -> None:
    (here / "best.yaml").write_text("old")
    assert llmplan("fit", *SMALL, "--devices", "8", "--tp", "3", "--write-plan", "best.yaml").code == 3
    assert (here / "best.yaml").read_text() == "old"
    assert llmplan("fit", *SMALL, "--devices", "8", "--write-plan", "best.yaml").code == 0
    assert (here / "best.yaml").read_text().startswith("model: ")
    assert [path.name for path in here.iterdir() if path.name.startswith(".")] == []


def test_a_plan_file_is_searched_from(llmplan: Command, here: Path) -> None:
    (here / "plan.yaml").write_text("model: small.yaml\nhardware: h100\ndevices: 16\ntp: 4\nglobal_batch: 64\n")
    found = answer(llmplan("fit", "--plan", "plan.yaml", "--json"))
    assert {one["inputs"]["tp"] for one in found["results"]} == {4}
    wider = answer(llmplan("fit", "--plan", "plan.yaml", "--tp", "1..4", "--json"))
    assert wider["search"]["considered"] > found["search"]["considered"]


@pytest.mark.parametrize("written", ["tp: [1, 2]", "tp: 1,2", "tp: 1..2"])
def test_a_plan_file_may_hold_lists_and_ranges(llmplan: Command, here: Path, written: str) -> None:
    (here / "open.yaml").write_text(f"model: small.yaml\nhardware: h100\ndevices: [4, 8]\n{written}\n")
    asked = llmplan("fit", "--plan", "open.yaml", "--json")
    words = ("--model", "small.yaml", "--hardware", "h100", "--devices", "4,8", "--tp", "1,2")
    plain = llmplan("fit", *words, "--json")
    assert asked.code == plain.code == 0
    assert json.loads(asked.out)["results"] == json.loads(plain.out)["results"]
    one = llmplan("fit", "--plan", "open.yaml", "--tp", "2", "--json")
    assert {found["inputs"]["tp"] for found in json.loads(one.out)["results"]} == {2}


def test_a_wrong_list_of_a_plan_file_is_told_with_its_line(llmplan: Command, here: Path) -> None:
    (here / "open.yaml").write_text("model: small.yaml\nhardware: h100\ndevices: 8\ntp: 4..2\n")
    run = llmplan("fit", "--plan", "open.yaml")
    assert run.code == 2
    assert "open.yaml:4: tp: '4..2' is an empty range" in run.err


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (("--max-memory", "1 GiB"), "misses --max-memory 1 GiB ("),
        (("--max-cost", "1 USD", "--tokens", "1e12"), "misses --max-cost 1 USD ("),
    ],
)
def test_the_nearest_misses_say_which_limit(llmplan: Command, limit: tuple[str, ...], said: str) -> None:
    words = ("--model", "small.yaml", "--hardware", "h100", "--devices", "8", "--price", "2 USD/h")
    run = llmplan("fit", *words, *limit)
    assert run.code == 3
    assert said in run.err
