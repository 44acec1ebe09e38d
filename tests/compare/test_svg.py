"""Pictures: well-formed, to scale, and safe with any name."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmplan import estimate
from llmplan.answer.training import TrainingResult
from llmplan.report.pictures import results_svg
from llmplan.report.verdict import part_name

Llmplan = Callable[..., Any]
NAMESPACE = "{http://www.w3.org/2000/svg}"


def trained(**words: Any) -> TrainingResult:
    result = estimate({"hardware": "h100", **words}).result
    assert isinstance(result, TrainingResult)
    return result


def bars(text: str) -> dict[str, float]:
    """Width of each part's rectangle by the part's name."""
    found: dict[str, float] = {}
    for rect in ET.fromstring(text).iter(f"{NAMESPACE}rect"):
        title = rect.find(f"{NAMESPACE}title")
        if title is not None and title.text:
            found[title.text.partition(":")[0]] = float(rect.attrib["width"])
    return found


def test_bars_are_to_scale() -> None:
    result = trained(model="llama-3.1-8b", devices=8, tp=2, pp=1)
    widths = bars(results_svg([("one", result)]))
    for parts in (result.memory.parts, result.time.parts):
        shown = {name: value for name, value in parts.items() if part_name(name) in widths}
        scale = {widths[part_name(name)] / value for name, value in shown.items() if widths[part_name(name)] > 20}
        assert max(scale) == pytest.approx(min(scale), rel=0.01)
    assert {"weights", "matmul", "tensor parallel"} <= set(widths)


def test_nothing_sticks_out() -> None:
    result = trained(model="llama-3.1-70b", devices=8, tp=1, pp=1)
    root = ET.fromstring(results_svg([(f"plan {number}", result) for number in range(3)]))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for rect in root.iter(f"{NAMESPACE}rect"):
        assert float(rect.attrib.get("x", 0)) + float(rect.attrib["width"]) <= width
        assert float(rect.attrib.get("y", 0)) + float(rect.attrib["height"]) <= height


def test_hostile_names_stay_text() -> None:
    name = '<script>&"\x00\x1b[31m'
    root = ET.fromstring(results_svg([(name, trained(model="gpt2", devices=1))]))
    assert not list(root.iter(f"{NAMESPACE}script"))


def test_the_commands_write_it(llmplan: Llmplan, here: Path) -> None:
    words = ("--model", "small.yaml", "--hardware", "test-gpu", "--devices", "8")
    for command in ("estimate", "compare"):
        run = llmplan(command, *words, "--format", "svg")
        assert run.code == 0
        assert ET.fromstring(run.out).tag == f"{NAMESPACE}svg"


def bands(text: str) -> list[tuple[float, float]]:
    """Ends of the bands of bars, in pixels."""
    paths = [one.attrib["d"].split() for one in ET.fromstring(text).iter(f"{NAMESPACE}path")]
    return [(float(path[0].lstrip("M").partition(",")[0]), float(path[3].lstrip("H"))) for path in paths]


def test_bands_are_to_scale() -> None:
    result = trained(model="llama-3.1-8b", devices=8, tp=1, pp=1)
    text = results_svg([("one", result)])
    widths = bars(text)
    for (low, high), parts, band in zip(
        bands(text), (result.memory.parts, result.time.parts), (result.memory.peak_bytes, result.time.step_seconds),
        strict=True,
    ):  # fmt: skip
        name = max(parts, key=lambda part: parts[part])
        assert high - low == pytest.approx((band.high - band.low) * widths[part_name(name)] / parts[name], rel=0.01)


def test_a_deployment_is_drawn_with_its_latencies() -> None:
    result = estimate({"model": "llama-3.1-8b", "hardware": "h100", "workload": "serve"}).result
    text = results_svg([("one", result)])
    titles = {one.text for one in ET.fromstring(text).iter(f"{NAMESPACE}text") if one.get("font-weight") == "bold"}
    assert titles == {
        "Memory of a device (line: capacity)", "Time to the first token", "Time per output token", "Time of a request",
        "Output of all devices, tokens a second",
    }  # fmt: skip
    assert len(bands(text)) == len(titles)


def test_one_part_has_one_colour_in_every_picture() -> None:
    def fills(text: str) -> dict[str, str]:
        rects = [(one, one.find(f"{NAMESPACE}title")) for one in ET.fromstring(text).iter(f"{NAMESPACE}rect")]
        return {str(title.text).partition(":")[0]: one.attrib["fill"] for one, title in rects if title is not None}

    trains = fills(results_svg([("one", trained(model="llama-3.1-8b", devices=8, tp=2, pp=1))]))
    served = estimate({"model": "llama-3.1-8b", "hardware": "h100", "workload": "serve"}).result
    serves = fills(results_svg([("one", served)]))
    both = trains.keys() & serves.keys()
    assert {"weights", "activations", "overhead"} <= both
    assert {name: trains[name] for name in both} == {name: serves[name] for name in both}


def test_no_value_stands_across_the_line_of_what_is_usable() -> None:
    """A bar that ends just before the line has its value behind the line."""
    result = trained(model="llama-3.1-8b", devices=8, tp=1, pp=1)
    memory = replace(result.memory, usable_bytes=1.02 * result.memory.peak_bytes.value)
    nearly = replace(result, memory=memory)
    root = ET.fromstring(results_svg([("one", nearly)]))
    (line,) = root.iter(f"{NAMESPACE}line")  # bands are paths
    value = next(text for text in root.iter(f"{NAMESPACE}text") if text.text and text.text.endswith("GiB"))
    assert float(value.attrib["x"]) > float(line.attrib["x1"])
