"""A chart of a sweep, one column over another, drawn by matplotlib (the extra `plot`)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llmplan.errors import InputError, did_you_mean
from llmplan.report.svg import COLORS
from llmplan.report.sweep import FIGURES, INTERVALS, figures
from llmplan.search.sweep import Axis, SweepRow
from llmplan.setup.written import LENGTHS, read_amount, read_length

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (9.0, 5.5)  # inches
_BAND = 0.15  # opacity
_STYLE = {"svg.hashsalt": "llmplan", "svg.fonttype": "none"}  # the same picture gets the same bytes


def pair_of(text: str, axes: Sequence[Axis]) -> tuple[str, str]:
    """`devices,step_seconds` as two columns; an InputError where one of them is none."""
    known = [*(axis.name for axis in axes), *INTERVALS, *FIGURES]
    names = [name.strip().replace("-", "_") for name in text.split(",")]
    if len(names) != len(_SIZE):
        raise InputError(f"--pair: {text[:60]!r} is not two columns, such as devices,tokens_per_second")
    for name in names:
        if name not in known:
            raise InputError(f"--pair: unknown column {name[:60]!r}{did_you_mean(name, known)}")
    return names[0], names[1]


def sweep_svg(rows: Sequence[SweepRow], axes: Sequence[Axis], pair: tuple[str, str]) -> str:
    """SVG of a sweep: a line for each combination of the other options where an option stands along the bottom, else
    points with the front of those that no other beats in both, less of each being better unless it is a rate."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("--format svg needs matplotlib: pip install 'llm-capacity-planner[plot]'") from None

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained")
        panel = figure.add_subplot()
        _lines(panel, rows, axes, pair) if pair[0] in {axis.name for axis in axes} else _points(panel, rows, axes, pair)
        panel.set(xlabel=pair[0], ylabel=pair[1])
        panel.grid(visible=True, color="#dddddd")
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def _lines(panel: Axes, rows: Sequence[SweepRow], axes: Sequence[Axis], pair: tuple[str, str]) -> None:
    """Lines of a figure over an option of the sweep, with its band if it has one."""
    word, name = pair
    places_of = _places(word, next(axis.values for axis in axes if axis.name == word))
    groups: dict[str, list[tuple[Any, dict[str, Any]]]] = {}
    for row in rows:
        if (cells := _cells(row)) and cells.get(name) is not None:
            others = " ".join(f"{axis.name} {row.vary[axis.name]}" for axis in axes if axis.name != word)
            groups.setdefault(others, []).append((places_of[row.vary[word]], cells))
    _refuse_nothing(groups, pair)
    for number, (label, found) in enumerate(groups.items()):
        color, places = COLORS[number % len(COLORS)], [place for place, _ in found]
        panel.plot(places, [cells[name] for _, cells in found], "o-", color=color, label=label or None)
        if name in INTERVALS:
            low, high = ([cells[f"{name}.{end}"] for _, cells in found] for end in ("low", "high"))
            panel.fill_between(places, low, high, color=color, alpha=_BAND, linewidth=0)
    if any(groups):
        panel.legend(fontsize="small")


def _places(word: str, values: Sequence[Any]) -> dict[Any, Any]:
    """The x coordinate of each value: its number if all have one, else its name."""
    read = [(read_length if word in LENGTHS else read_amount)(value) for value in values]
    numbers = all(isinstance(value, (int, float)) for value in (_number(value) for value in read))
    return {value: _number(one) if numbers else str(value) for value, one in zip(values, read, strict=True)}


def _number(value: Any) -> Any:
    """Digits as a number; anything else as it is."""
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value


def _points(panel: Axes, rows: Sequence[SweepRow], axes: Sequence[Axis], pair: tuple[str, str]) -> None:
    """Points of one figure over another, and their Pareto front."""
    found = []
    for row in rows:
        cells = _cells(row)
        if cells and None not in (cells.get(pair[0]), cells.get(pair[1])):
            found.append((float(cells[pair[0]]), float(cells[pair[1]]), row))
    _refuse_nothing(found, pair)
    panel.plot([x for x, _, _ in found], [y for _, y, _ in found], "o", color=COLORS[0])
    front = sorted((x, y, row) for x, y, row in _front(found, pair))
    panel.plot([x for x, _, _ in front], [y for _, y, _ in front], "-", color=COLORS[1], label="beaten by none")
    for x, y, row in front:
        text = " ".join(f"{axis.name} {row.vary[axis.name]}" for axis in axes)
        panel.annotate(text, (x, y), fontsize="x-small", xytext=(4, 4), textcoords="offset points")
    panel.legend(fontsize="small")


def _front(found: list[tuple[float, float, SweepRow]], pair: tuple[str, str]) -> list[tuple[float, float, SweepRow]]:
    signs = [-1.0 if _is_rate(name) else 1.0 for name in pair]
    best: list[tuple[float, float, SweepRow]] = []
    for one in sorted(found, key=lambda one: (signs[0] * one[0], signs[1] * one[1])):
        if not best or signs[1] * one[1] < signs[1] * best[-1][1]:
            best.append(one)
    return best


def _is_rate(name: str) -> bool:
    """Whether more of it is better."""
    return name.partition(".")[0].endswith("_per_second") or name == "mfu"


def _cells(row: SweepRow) -> dict[str, Any]:
    """The columns of a combination, an interval by its value too; none where it cannot be planned."""
    if row.summary is None:
        return {}
    found = figures(row.summary)
    return {**found, **row.vary, **{name: found.get(f"{name}.value") for name in INTERVALS}}


def _refuse_nothing(found: Any, pair: tuple[str, str]) -> None:
    if not found:
        raise InputError(f"--pair: no combination has {pair[0]} and {pair[1]}, and there is nothing to draw")
