"""`llmplan compare`: alternatives side by side, and nothing in it that `estimate` does not say."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmplan.catalog.catalog import open_catalog
from llmplan.documents import Document
from llmplan.search.alternatives import EveryAlternative
from llmplan.search.measures import MEASURES
from tests.cli.answers import holds

Llmplan = Callable[..., Any]
HARDWARE = "a100-sxm-80gb,h100-sxm-80gb,tpu-v5p,xeon-8480"
BASE = ("--model", "llama-3.1-8b", "--devices", "8", "--seq-len", "4096", "--global-batch", "64")
RUN = (*BASE, "--tokens", "1e11", "--grid", "usa")
PLAN = "model: small.yaml\nhardware: test-gpu\ndevices: 8\nseq_len: 2048\nglobal_batch: 64\n"


@pytest.fixture
def compare(llmplan: Llmplan, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.delenv("LLMPLAN_CATALOG")
    return lambda *arguments: llmplan("compare", *arguments)


def results(run: Any) -> list[dict[str, Any]]:
    assert run.code == 0, run.err
    answer = json.loads(run.out)
    holds("compare", answer)
    found: list[dict[str, Any]] = answer["results"]
    return found


@pytest.mark.parametrize("fit", [(), ("--fit",)])
def test_every_number_is_that_of_estimate(compare: Llmplan, llmplan: Llmplan, here: Path, fit: tuple[str, ...]) -> None:
    for one in results(compare(*RUN, "--hardware", HARDWARE, *fit, "--json")):
        (here / "plan.json").write_text(json.dumps(one["inputs"]))
        estimate = json.loads(llmplan("estimate", "--plan", "plan.json", "--json").out)
        assert one["result"] == estimate["result"]


def test_serving_too(compare: Llmplan, llmplan: Llmplan, here: Path) -> None:
    words = ("--model", "llama-3.1-8b", "--workload", "serve", "--devices", "8", "--batch", "32", "--stack", "vllm")
    for one in results(compare(*words, "--hardware", "a100-sxm-80gb,h100-sxm-80gb", "--by", "cost", "--json")):
        (here / "plan.json").write_text(json.dumps(one["inputs"]))
        assert one["result"] == json.loads(llmplan("estimate", "--plan", "plan.json", "--json").out)["result"]


def cells(table: str) -> dict[str, list[str]]:
    """The rows of a comparison's table, by their name."""
    return {name: rest.split() for name, _, rest in (line.partition("  ") for line in table.splitlines())}


@pytest.mark.parametrize(("by", "row"), [("cost", "USD"), ("energy", "kWh"), ("carbon", "g CO2e")])
def test_serving_ranks_by_the_whole_request(compare: Llmplan, here: Path, by: str, row: str) -> None:
    """At half of the price and power an A100 writes cheaper, reads dearer, and these requests read."""
    plan = (
        "model: llama-3.1-8b\nworkload: serve\ndevices: 1\nload: static\nbatch: 8\ninput_tokens: 4000\n"
        "output_tokens: 32\nhardware: "
    )
    (here / "reads.yaml").write_text(f"{plan}h100-sxm-80gb\nprice: 3 USD/h\ndevice_power: 1050 W\n")
    (here / "writes.yaml").write_text(f"{plan}a100-sxm-80gb\nprice: 1.5 USD/h\ndevice_power: 450 W\n")
    words = ("--plan", "writes.yaml", "--plan", "reads.yaml", "--by", by)
    first, second = results(compare(*words, "--json"))
    part, key = {
        "cost": ("cost", "usd"), "energy": ("energy", "joules"), "carbon": ("energy", "co2e_kilograms"),
    }[by]  # fmt: skip
    request, output = ([one["result"][part][f"{key}_per_million"][name]["value"] for one in (first, second)]
                       for name in ("requests", "output_tokens"))  # fmt: skip
    assert (first["name"], second["name"]) == ("reads", "writes")
    assert request[0] < request[1]
    assert output[0] > output[1]
    assert second["ratios"][by] == pytest.approx(request[1] / request[0])
    shown = cells(compare(*words).out)[f"{row}/1k requests"]
    assert [float(cell) for cell in shown] == sorted(float(cell) for cell in shown)


def test_what_is_billed_and_not_used_is_shown(compare: Llmplan) -> None:
    """One H100 is sold alone, an MI300X by eight."""
    words = ("--model", "llama-3.1-8b", "--workload", "serve", "--batch", "16", "--hardware", "mi300x,h100")
    found = results(compare(*words, "--devices", "1", "--json"))
    assert [one["result"]["cost"]["offer"]["devices_billed"] for one in found] == [8, 1]
    assert cells(compare(*words, "--devices", "1").out)["devices billed"] == ["8", "1"]
    assert "devices billed 8" in compare(*words, "--devices", "1", "--format", "github").out
    assert "devices billed" not in compare(*words, "--devices", "8").out
    lora = ("--model", "llama-3.1-8b", "--workload", "lora", "--seq-len", "2048", "--global-batch", "8")
    trained = compare(*lora, "--tokens", "1e9", "--hardware", "mi300x,h100,xeon-8480", "--devices", "1").out
    assert cells(trained)["devices billed"] == ["8", "1", "?"]


def test_fit_is_never_slower_than_the_layout_that_is_chosen_without(compare: Llmplan) -> None:
    plain = {one["name"]: one for one in results(compare(*BASE, "--hardware", HARDWARE, "--json"))}
    for one in results(compare(*BASE, "--hardware", HARDWARE, "--fit", "--json")):
        assert one["result"]["fits"]
        slower = plain[one["name"]]["result"]["time"]["step_seconds"]["value"]
        assert one["result"]["time"]["step_seconds"]["value"] <= slower


def test_ratios_are_to_the_first(compare: Llmplan) -> None:
    first, *others = results(compare(*RUN, "--hardware", HARDWARE, "--json"))
    rate = first["result"]["throughput"]["tokens_per_second"]
    assert set(first["ratios"].values()) == {1.0}
    assert not any(first["beyond_error"].values())
    for one in others:
        assert one["ratios"]["throughput"] == one["result"]["throughput"]["tokens_per_second"]["value"] / rate["value"]
        its = one["result"]["throughput"]["tokens_per_second"]
        apart = its["low"] > rate["high"] or its["high"] < rate["low"]
        assert one["beyond_error"]["throughput"] == apart


def test_order_is_the_given_one_or_the_ranking(compare: Llmplan) -> None:
    names = [one["name"] for one in results(compare(*RUN, "--hardware", HARDWARE, "--json"))]
    assert names == HARDWARE.split(",")
    ranked = results(compare(*RUN, "--hardware", HARDWARE, "--by", "throughput", "--json"))
    rates = [one["result"]["throughput"]["tokens_per_second"]["value"] for one in ranked]
    assert rates == sorted(rates, reverse=True)
    costs = [
        one["result"]["cost"].get("usd", {}).get("value")
        for one in results(compare(*RUN, "--hardware", HARDWARE, "--by", "cost", "--json"))
    ]
    assert costs[:-1] == sorted(cost for cost in costs if cost is not None)
    assert costs[-1] is None  # the Xeon has no price, so it stands last


@pytest.mark.parametrize("by", sorted(set(MEASURES) - {"ttft", "tpot"}))
def test_every_measure_ranks(compare: Llmplan, by: str) -> None:
    assert len(results(compare(*RUN, "--hardware", "a100,h100", "--by", by, "--json"))) == 2


def test_the_whole_run_needs_its_length(compare: Llmplan) -> None:
    run = compare(*BASE, "--hardware", "a100,h100", "--by", "cost")
    assert run.code == 2
    assert "--tokens" in run.err


def test_a_measure_of_another_kind_is_refused(compare: Llmplan) -> None:
    run = compare(*BASE, "--hardware", "a100,h100", "--by", "ttft")
    assert run.code == 2
    assert "says nothing about training" in run.err


def test_standard_input_is_read_once_for_all(llmplan: Llmplan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(PLAN.encode())))
    run = llmplan("compare", "--plan", "-", "--devices", "8,16", "--json")
    assert [one["result"]["model"]["name"] for one in results(run)] == ["small", "small"]


def test_what_cannot_be_planned_is_a_row_that_says_why(compare: Llmplan) -> None:
    run = compare(*BASE, "--precision", "fp8", "--hardware", "h100,a100,hanguang-800", "--by", "throughput", "--json")
    first, *others = results(run)
    assert first["name"] == "h100"
    assert "a100-sxm-80gb has no fp8" in " ".join(others[0]["problems"])
    assert "cannot be planned" in " ".join(others[1]["problems"])
    table = compare(*BASE, "--precision", "fp8", "--hardware", "h100,a100,hanguang-800")
    assert "a100: a100-sxm-80gb has no fp8" in table.out.replace("\n", " ")


def test_what_does_not_fit_is_shown_and_ranks_behind(compare: Llmplan) -> None:
    words = ("--model", "llama-3.1-70b", "--devices", "8", "--hardware", "h100,b300")
    first, last = results(compare(*words, "--by", "throughput", "--json"))
    assert (first["result"]["fits"], last["result"]["fits"]) == (True, False)
    assert last["name"] == "h100"


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--hardware", "h1000,a100"), "h1000"), (("--hardware", "h100", "--stack", "megatrn"), "megatrn")],
)
def test_a_name_that_nothing_has_is_a_fault(compare: Llmplan, words: tuple[str, ...], said: str) -> None:
    run = compare(*BASE, *words)
    assert run.code == 2
    assert said in run.err
    assert run.out == ""


@pytest.mark.parametrize("words", [(), ("--model", "gpt2"), (*BASE, "--hardware", "hanguang-800,alveo-v80")])
def test_nothing_to_compare_is_bad_input(compare: Llmplan, words: tuple[str, ...]) -> None:
    run = compare(*words)
    assert (run.code, run.out) == (2, "")
    assert run.err


def test_fit_looks_past_limits_and_keeps_them(compare: Llmplan) -> None:
    words = (*RUN, "--hardware", "a100,h100", "--limits", "max_carbon=1 kg, max_ttft=1 s", "--fit", "--json")
    for one in results(compare(*words)):
        assert not one["result"]["limits"]["max_carbon"]["kept"]


def test_lists_multiply(compare: Llmplan) -> None:
    found = results(
        compare("--model", "llama-3.1-8b,mistral-7b-v0.3", "--hardware", "a100,h100", "--devices", "8,16", "--json")
    )
    assert len(found) == 8
    assert found[3]["words"] == {"model": "llama-3.1-8b", "hardware": "h100", "devices": "16"}
    assert len({one["name"] for one in found}) == 8


TWICE = ("--model", "llama-3.1-8b", "--hardware", "h100,a100,h100,xeon-8480,hanguang-800,l4", "--devices", "1,8")
SERVED = ("--workload", "serve", "--max-ttft", "30ms", "--check")
TRAINED = ("--tokens", "1e11", "--limits", "max_days=30", "--check")


@pytest.mark.parametrize("by", [(), ("--by", "cost"), ("--by", "memory")])
@pytest.mark.parametrize("words", [SERVED, TRAINED, ("--fit", "--tokens", "1e11")])
def test_what_is_not_held_is_ranked_by_its_figures(
    compare: Llmplan, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], by: tuple[str, ...]
) -> None:
    """Many are worked out whole in the order of the ranking: the same bytes as of few."""
    forms = ("json", "csv") if by == ("--by", "cost") else ("jsonl",)
    held = [compare(*TWICE, *words, *by, "--format", form) for form in forms]
    monkeypatch.setattr("llmplan.search.comparison.HELD", 3)
    monkeypatch.setattr("llmplan.search.comparison.BATCH", 5)
    streamed = [compare(*TWICE, *words, *by, "--format", form) for form in forms]
    assert [(one.code, one.out, one.err) for one in streamed] == [(one.code, one.out, one.err) for one in held]
    assert all(one.out.count("\n") >= 12 for one in held)


def test_a_table_does_not_hold_more_than_it_can(compare: Llmplan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmplan.search.comparison.HELD", 3)
    run = compare(*TWICE)
    assert run.code == 2
    assert "more than 3 alternatives are held by no table: --format json, jsonl, csv" in run.err


def test_every_combination_has_its_place_and_a_name_of_its_own() -> None:
    plans = [{"model": "gpt2", "seq_len": 512}, {"model": "gpt2", "seq_len": 1024}]
    files = [("a.yaml", [Document(plans, "a.yaml")]), ("b/a.yaml", [Document(plans[0], "b/a.yaml")])]
    found = EveryAlternative(files, {"hardware": "h100,a100", "devices": "8,8"}, open_catalog())
    names = [f"a {number}, {device}, devices 8" for device in ("h100", "a100") for number in (1, 2)]
    assert len(found) == 3 * 4
    assert [one.name for one in found][:6] == [*names[:2], *(f"{name} (2)" for name in names[:2]), *names[2:]]
    assert found[9].name == "a, h100, devices 8 (2)"
    assert [one.request.options.seq_len for one in found] == [512, 1024] * 4 + [512] * 4
    assert found[5].words == {"hardware": "a100", "devices": "8"}


def test_plan_files_keep_their_names(llmplan: Llmplan, here: Path) -> None:
    (here / "a.yaml").write_text(PLAN)
    (here / "b.yaml").write_text(PLAN.replace("devices: 8", "devices: 16"))
    (here / "many.yaml").write_text(
        "".join(f"- {line}" if number == 0 else f"  {line}" for number, line in enumerate(PLAN.splitlines(True))) * 2
    )
    run = llmplan("compare", "--plan", "a.yaml", "--plan", "b.yaml", "--plan", "many.yaml", "--json")
    assert [one["name"] for one in results(run)] == ["a", "b", "many 1", "many 2"]


def test_markdown_is_a_table_and_escapes_names(llmplan: Llmplan, here: Path) -> None:
    (here / "a|<b>.yaml").write_text(PLAN)
    (here / "c.yaml").write_text(PLAN)
    run = llmplan("compare", "--plan", "a|<b>.yaml", "--plan", "c.yaml", "--format", "markdown")
    lines = run.out.splitlines()
    assert run.code == 0
    assert lines[2].startswith("| a\\|&lt;b> |")
    assert len({line.replace("\\|", "").count("|") for line in lines[:4]}) == 1


def test_the_mark_is_explained_where_it_stands(compare: Llmplan) -> None:
    """A smaller model is faster beyond the error; the same plan twice is not."""
    for form in ("table", "markdown"):
        assert "= no difference" not in compare("--model", "gpt2,llama-3.1-8b", "--hardware", "h100", "--devices", "8",
                                                "--format", form).out  # fmt: skip
        assert "= no difference" in compare(*BASE, "--hardware", "h100,h100-sxm-80gb", "--format", form).out


def test_csv_has_the_numbers_of_json(compare: Llmplan) -> None:
    words = (*RUN, "--hardware", HARDWARE + ",hanguang-800")
    found = results(compare(*words, "--json"))
    rows = list(csv.DictReader(io.StringIO(compare(*words, "--format", "csv").out)))
    assert [row["name"] for row in rows] == [one["name"] for one in found]
    for row, one in zip(rows[:-1], found[:-1], strict=True):
        assert float(row["result.time.step_seconds.value"]) == one["result"]["time"]["step_seconds"]["value"]
        assert row["result.fits"] == str(one["result"]["fits"]).lower()
    assert rows[-1]["problems"]
    assert rows[-1]["result.time.step_seconds.value"] == ""


def test_json_lines_are_the_results(compare: Llmplan) -> None:
    words = (*BASE, "--hardware", "a100,h100")
    lines = compare(*words, "--format", "jsonl").out.splitlines()
    assert [json.loads(line) for line in lines] == results(compare(*words, "--json"))


def test_github_gets_annotations_and_a_summary(compare: Llmplan, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(here / "summary.md"))
    (here / "summary.md").write_text("before\n")
    words = ("--model", "llama-3.1-70b", "--devices", "8", "--hardware", "h100,b300,hanguang-800")
    lines = compare(*words, "--format", "github").out.splitlines()
    assert lines[0].startswith("::error title=h100::does not fit")
    assert lines[1].startswith(("::notice title=b300::", "::warning title=b300::"))
    assert lines[2].startswith("::error title=hanguang-800::")
    assert not any("\n" in line or "%" in line.replace("%25", "") for line in lines)
    summary = (here / "summary.md").read_text()
    assert summary.startswith("before\n")
    assert summary.removeprefix("before\n") == compare(*words, "--format", "markdown").out


def test_without_a_workflow_nothing_is_written(compare: Llmplan, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    before = sorted(here.iterdir())
    assert compare(*BASE, "--hardware", "a100,h100", "--format", "github").code == 0
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_the_table_keeps_to_its_width(compare: Llmplan, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    run = compare(*RUN, "--hardware", HARDWARE)
    assert run.code == 0
    assert max(len(line) for line in run.out.splitlines()) <= int(columns)
    assert "bottleneck" in run.out


def test_what_does_not_hold_one_request_shows_no_speed(compare: Llmplan) -> None:
    words = ("--model", "llama-3.1-70b", "--hardware", "h100,a10", "--devices", "2", "--workload", "serve")
    table = compare(*words, "--load", "saturated", "--format", "markdown").out
    head, _, holds, does_not = ([cell.strip() for cell in line.split("|")] for line in table.splitlines()[:4])
    assert does_not[head.index("fits")] == "does not fit"
    for name in ("first token", "tokens/s", "USD/1k requests", "x throughput"):
        assert holds[head.index(name)]
        assert not does_not[head.index(name)]


def test_what_misses_a_target_never_ranks_above_what_holds_it(compare: Llmplan) -> None:
    """The H100 is cheaper by the request, and the only one that misses the target."""
    words = ("--model", "llama-3.1-8b", "--workload", "serve", "--devices", "8", "--stack", "vllm", "--request-rate",
             "10", "--by", "cost", "--hardware", "h100,b200")  # fmt: skip
    cheap, quick = results(compare(*words, "--json"))
    assert [cheap["name"], quick["name"]] == ["h100", "b200"]
    tpot = [one["result"]["latency"]["tpot_seconds"]["value"] for one in (cheap, quick)]
    target = ("--max-tpot", str(sum(tpot) / 2))
    strict = results(compare(*words, *target, "--json"))
    assert [(one["name"], one["rank"], one["does"]) for one in strict] == [("b200", 1, True), ("h100", 2, False)]
    table = cells(compare(*words, *target).out)
    assert " ".join(table["limits"]) == "kept misses max_tpot"


def test_a_training_that_does_not_fit_has_no_rank_and_no_speed_beside_others(compare: Llmplan) -> None:
    words = ("--model", "llama-3.1-70b", "--devices", "8", "--hardware", "h100,b300", "--by", "throughput")
    first, last = results(compare(*words, "--json"))
    assert first["rank"] == 1
    assert "rank" not in last
    assert "throughput" not in last["ratios"]
    assert "memory" in last["ratios"]
    assert cells(compare(*words).out)["rank"] == ["1", "-"]
    unordered = results(compare(*words[:-2], "--json"))
    assert [one.get("rank") for one in unordered] == [None, 1]
    assert unordered[1]["ratios"]["throughput"] == 1.0


def test_layouts_that_nobody_asked_for_are_told(compare: Llmplan) -> None:
    """The least tp with room on each device is none to choose a device by."""
    words = ("--model", "llama-3.1-70b", "--hardware", "h100-sxm-80gb,h200-sxm-141gb", "--devices", "8")
    assert "not the fastest; --fit" in compare(*words, "--workload", "serve").out
    assert "not the fastest; --fit" not in compare(*words, "--workload", "serve", "--tp", "8").out
