"""Pictures: well-formed, to scale, and safe with any name."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmplan.answer.resolve import plan_from
from llmplan.report.svg import svg
from llmplan.report.verdict import part_name
from llmplan.training.estimate import estimate

Llmplan = Callable[..., Any]
NAMESPACE = "{http://www.w3.org/2000/svg}"


def bars(text: str) -> dict[str, float]:
    """Width of each part's rectangle by the part's name."""
    found: dict[str, float] = {}
    for rect in ET.fromstring(text).iter(f"{NAMESPACE}rect"):
        title = rect.find(f"{NAMESPACE}title")
        if title is not None and title.text:
            found[title.text.partition(":")[0]] = float(rect.attrib["width"])
    return found


def test_bars_are_to_scale() -> None:
    answer = estimate(plan_from({"model": "llama-3.1-8b", "hardware": "h100", "devices": 8, "tp": 2, "pp": 1}))
    widths = bars(svg([("one", answer)]))
    for parts in (answer.memory.parts(), answer.time.parts()):
        shown = {name: float(value) for name, value in parts.items() if part_name(name) in widths}
        scale = {widths[part_name(name)] / value for name, value in shown.items() if widths[part_name(name)] > 20}
        assert max(scale) == pytest.approx(min(scale), rel=0.01)
    assert {"weights", "matmul", "tensor parallel"} <= set(widths)


def test_nothing_sticks_out() -> None:
    answer = estimate(plan_from({"model": "llama-3.1-70b", "hardware": "h100", "devices": 8, "tp": 1, "pp": 1}))
    root = ET.fromstring(svg([(f"plan {number}", answer) for number in range(3)]))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for rect in root.iter(f"{NAMESPACE}rect"):
        assert float(rect.attrib.get("x", 0)) + float(rect.attrib["width"]) <= width
        assert float(rect.attrib.get("y", 0)) + float(rect.attrib["height"]) <= height


def test_hostile_names_stay_text() -> None:
    answer = estimate(plan_from({"model": "gpt2", "hardware": "h100", "devices": 1}))
    name = '<script>&"\x00\x1b[31m'
    root = ET.fromstring(svg([(name, answer)]))
    assert not list(root.iter(f"{NAMESPACE}script"))


def test_the_commands_write_it(llmplan: Llmplan, here: Path) -> None:
    words = ("--model", "small.yaml", "--hardware", "test-gpu", "--devices", "8")
    for command in ("estimate", "compare"):
        run = llmplan(command, *words, "--format", "svg")
        assert run.code == 0
        assert ET.fromstring(run.out).tag == f"{NAMESPACE}svg"


def test_a_deployment_has_no_step_to_draw(llmplan: Llmplan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLMPLAN_CATALOG")
    words = ("--model", "llama-3.1-8b", "--hardware", "h100", "--workload", "serve", "--format", "svg")
    assert llmplan("estimate", *words).code == 2


def test_no_value_stands_across_the_line_of_what_is_usable() -> None:
    """A bar that ends just before the line has its value behind the line."""
    answer = estimate(plan_from({"model": "llama-3.1-8b", "hardware": "h100", "devices": 8, "tp": 1, "pp": 1}))
    nearly = replace(answer, usable_bytes=1.02 * answer.peak.value)
    root = ET.fromstring(svg([("one", nearly)]))
    (line,) = root.iter(f"{NAMESPACE}line")
    value = next(text for text in root.iter(f"{NAMESPACE}text") if text.text and text.text.endswith("GiB"))
    assert float(value.attrib["x"]) > float(line.attrib["x1"])
