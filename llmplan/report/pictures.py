"""The charts of an answer: memory and time by part, latencies, throughput, each with its error band."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmplan.answer.training import TrainingResult
from llmplan.errors import InputError
from llmplan.formatting import binary, count, duration, plain, step_time
from llmplan.report.svg import Bar, Chart, Scatter, ScatterPoint, svg

if TYPE_CHECKING:
    from llmplan.answer.answer import Answer
    from llmplan.answer.serving import ServingResult
    from llmplan.search.answers import FitAnswer, FrontAnswer

Named = Sequence[tuple[str, "TrainingResult | ServingResult"]]
USABLE = "Memory of a device (line: usable)"
LATENCIES = {"Time to the first token": "ttft", "Time per output token": "tpot", "Time of a request": "request"}
MOST_BARS = 60


def answers_svg(answers: Sequence[Answer]) -> str:
    """All answers of one command as SVG."""
    named = []
    for number, one in enumerate(answers, 1):
        head = f"{number}: " if len(answers) > 1 else ""
        named.append((f"{head}{one.result.model.name}, {one.inputs['devices']} x {one.inputs['hardware']}", one.result))
    return results_svg(named)


def results_svg(results: Named) -> str:
    """All named results as SVG: a bar each in every chart, trainings and deployments separately."""
    if len(results) > MOST_BARS:
        raise InputError(f"--format svg draws {MOST_BARS} plans at most, and these are {len(results)}")
    charts = _charts(results)
    if not charts:
        raise InputError("--format svg: nothing of these could be planned, and so nothing is drawn")
    return svg("llmplan: " + ", ".join(name for name, _ in results), charts)


def _charts(results: Named) -> list[Chart]:
    trainings = [(name, one) for name, one in results if isinstance(one, TrainingResult)]
    deployments = [(name, one) for name, one in results if not isinstance(one, TrainingResult)]
    return [*(training_charts(trainings) if trainings else ()), *(serving_charts(deployments) if deployments else ())]


def training_charts(results: Sequence[tuple[str, TrainingResult]]) -> list[Chart]:
    """Memory of a device, and time of a step."""
    return [
        Chart(USABLE, [
            Bar(name, one.memory.parts, one.memory.peak_bytes, one.memory.usable_bytes) for name, one in results
        ], lambda value: binary(value, 3)),
        Chart("Time of a step", [Bar(name, one.time.parts, one.time.step_seconds) for name, one in results], step_time),
    ]  # fmt: skip


def serving_charts(results: Sequence[tuple[str, ServingResult]]) -> list[Chart]:
    """Memory of a device as the engine reserves it; latencies and output rate of plans that fit."""
    memory = [
        Bar(name, {part: getattr(one.memory.parts, part) for part in type(one.memory.parts).__dataclass_fields__},
            one.memory.peak_bytes, one.memory.capacity_bytes)
        for name, one in results
    ]  # fmt: skip
    charts = [Chart("Memory of a device (line: capacity)", memory, lambda value: binary(value, 3))]
    fitting = [(name, one) for name, one in results if one.fits]
    for title, key in LATENCIES.items():
        bands = [(name, getattr(one.latency, f"{key}_seconds")) for name, one in fitting]
        bars = [Bar(name, {key: band.value}, band) for name, band in bands if band is not None]
        charts += [Chart(title, bars, duration)] if bars else []
    rates = [(name, one.throughput.output_tokens_per_second) for name, one in fitting]
    output = [Bar(name, {"output": rate.value}, rate) for name, rate in rates if rate is not None]
    charts += [Chart("Output of all devices, tokens a second", output, count)] if output else []
    return charts


def fit_svg(found: FitAnswer, names: Sequence[str]) -> str:
    """The best layouts as SVG, and the Pareto front if requested."""
    charts: list[Chart | Scatter] = [
        *_charts([(name, one.result) for name, one in zip(names, found.results, strict=True)])
    ]
    if found.pareto is not None and found.pareto.results:
        charts.append(_front(found.pareto))
    return svg(f"llmplan fit: {found.results[0].result.model.name}, best {found.objective}", charts)


def _front(front: FrontAnswer) -> Scatter:
    across, up = front.objectives
    points = []
    for one in front.results:
        x, y = one.objectives.values()
        points.append(ScatterPoint(f"{one.inputs['devices']} devices", x, y, "Pareto front"))
    first, second = (key.replace("_", " ") for key in front.results[0].objectives)
    return Scatter(f"Pareto front of {across} and {up}", points, first, second, plain, plain)
