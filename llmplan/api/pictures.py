"""Answers as figures of matplotlib, the extra `plot`: what `plot` gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import singledispatch
from typing import TYPE_CHECKING, Any

from llmplan.answer.answer import Answer
from llmplan.answer.data import to_data
from llmplan.answer.shown import Shown
from llmplan.answer.training import TrainingResult
from llmplan.answer.validate import Validation
from llmplan.errors import InputError
from llmplan.report.verdict import part_name
from llmplan.search.answers import FitAnswer
from llmplan.search.comparison import Compared, Comparison
from llmplan.search.measures import MEASURES
from llmplan.si import GIB
from llmplan.software.band import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _BAR = 9.0, 0.5  # inches of a figure, and of each bar's row
_UNITS = {
    "throughput": "tokens/s", "step": "s", "ttft": "s", "tpot": "s", "latency": "s", "memory": "bytes", "days": "s",
    "cost": "USD", "energy": "J", "carbon": "kg",
}  # fmt: skip
_LEAST_SHARE = 0.01  # of a bar: a smaller part has no entry in the legend


@singledispatch
def picture(answer: Shown) -> Figure:
    """The figure of an answer."""
    raise InputError(f"{type(answer).__name__} has no picture")


def _figure(panels: int, height: float) -> tuple[Figure, Sequence[Axes]]:
    """A figure with panels one below another; closed, so that a notebook shows it once."""
    try:
        from matplotlib import pyplot
    except ImportError:
        raise InputError("plot needs matplotlib: pip install 'llm-capacity-planner[plot]'") from None
    figure, axes = pyplot.subplots(panels, 1, figsize=(_WIDTH, height), squeeze=False, layout="constrained")
    pyplot.close(figure)
    return figure, list(axes[:, 0])


@picture.register(Answer)
def _(answer: Answer) -> Figure:
    """Memory of a device by part beside what is usable, and time by part."""
    return _parts([(answer.result.model.name, answer)])


@picture.register(Comparison)
def _(found: Comparison) -> Figure:
    """The ranking's figure, or else throughput, of every alternative with its band."""
    planned = [one for one in found.results if isinstance(one, Compared)]
    measure = found.by or "throughput"
    values = [(one.name, MEASURES[measure].figure(one)) for one in planned]
    return _bands([(name, value) for name, value in values if value is not None], measure)


@picture.register(FitAnswer)
def _(found: FitAnswer) -> Figure:
    """The best layouts side by side, by part."""
    names = [f"{one.inputs['devices']} x {one.inputs['hardware']}, {_layout(one)}" for one in found.results]
    if not names:
        raise InputError("nothing was found, and there is nothing to draw")
    return _parts(list(zip(names, found.results, strict=True)))


@picture.register(Validation)
def _(found: Validation) -> Figure:
    """Predicted over measured, a panel for each quantity."""
    names = list(found.summary.all)
    if not names:
        raise InputError("no run could be compared, and there is nothing to draw")
    figure, panels = _figure(len(names), _WIDTH * 0.6 * len(names))
    for axes, name in zip(panels, names, strict=True):
        pairs = [(row.measured[name], row.predicted[name]) for row in found.rows
                 if row.measured.get(name) and isinstance(row.predicted.get(name), Interval)]  # fmt: skip
        for measured, predicted in pairs:
            assert isinstance(predicted, Interval)
            axes.plot([measured, measured], [predicted.low, predicted.high], color="#999999", linewidth=1)
            axes.plot([measured], [predicted.value], "o", color="#0072b2", markersize=4)
        ends = [min(measured for measured, _ in pairs), max(measured for measured, _ in pairs)]
        axes.plot(ends, ends, color="#000000", linewidth=1)
        axes.set(xscale="log", yscale="log", xlabel=f"measured {name}", ylabel="predicted, with its band")
    return figure


def _layout(one: Answer) -> str:
    names = ("tp", "pp", "cp", "ep", "dp")
    return " ".join(f"{name} {one.inputs[name]}" for name in names if one.inputs.get(name, 1) > 1) or "one device"


def _parts(answers: Sequence[tuple[str, Answer]]) -> Figure:
    """A bar of memory and a bar of time for each answer."""
    figure, (memory, time) = _figure(2, 2 * (1.6 + _BAR * len(answers)))
    rooms = [(name, to_data(one.result.memory.parts)) for name, one in answers]
    _stacked(memory, rooms, 1.0 / GIB)
    for place, (_, one) in enumerate(answers):
        usable = one.result.memory.usable_bytes / GIB
        memory.plot([usable, usable], [place - 0.45, place + 0.45], color="#000000")
    memory.set(title="Memory of a device (line: usable)", xlabel="GiB")
    if all(isinstance(one.result, TrainingResult) for _, one in answers):
        _stacked(time, [(name, one.result.time.parts) for name, one in answers], 1.0)  # type: ignore[union-attr]
        time.set(title="Time of a step", xlabel="s")
    else:
        steps = [(name, one.result.time.decode_parts or {}) for name, one in answers]  # type: ignore[union-attr]
        _stacked(time, steps, 1.0)
        time.set(title="Time of a decoding step", xlabel="s")
    return figure


def _stacked(axes: Axes, bars: Sequence[tuple[str, Mapping[str, float]]], scale: float) -> None:
    """Bars of parts one behind another, with a legend; the first on top."""
    from llmplan.report.svg import COLORS

    parts = list(dict.fromkeys(part for _, values in bars for part in values))
    starts = [0.0] * len(bars)
    for number, part in enumerate(parts):
        widths = [values.get(part, 0.0) * scale for _, values in bars]
        shown = any(values.get(part, 0.0) >= _LEAST_SHARE * sum(values.values()) for _, values in bars)
        axes.barh(range(len(bars)), widths, left=starts, color=COLORS[number % len(COLORS)],
                  label=part_name(part) if shown else None)  # fmt: skip
        starts = [start + width for start, width in zip(starts, widths, strict=True)]
    _named_rows(axes, [name for name, _ in bars])
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small", frameon=False)


def _bands(bars: Sequence[tuple[str, Any]], measure: str) -> Figure:
    """Bars with an error bar each."""
    if not bars:
        raise InputError(f"none of these has a figure for {measure}")
    figure, (axes,) = _figure(1, 1.2 + _BAR * len(bars))
    values = [value.value for _, value in bars]
    errors = [[value.value - value.low for _, value in bars], [value.high - value.value for _, value in bars]]
    axes.barh(range(len(bars)), values, xerr=errors, color="#56b4e9", ecolor="#000000", capsize=3)
    _named_rows(axes, [name for name, _ in bars])
    axes.set(title=f"{measure}, with the 80 % band", xlabel=_UNITS.get(measure, ""))
    return figure


def _named_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
