"""Charts as SVG text: stacked bars with error bands, and scatter plots. All of `--format svg` uses these."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from llmplan.records import dataclass
from llmplan.report.verdict import part_name
from llmplan.software.band import Interval

# Okabe & Ito 2008: colours that people with any colour vision tell apart; then lighter ones of them, and greys.
COLORS = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999", "#80b8d8", "#f2cf80",
    "#80ceb9", "#e5bcd3", "#eaae80", "#c0c0c0", "#666666",
)  # fmt: skip
MEMORY = (
    "weights", "gradients", "optimizer_states", "activations", "kv_cache", "workspace", "gathered", "overhead",
    "logits", "context", "generation",
)  # fmt: skip
TIME = (
    "matmul", "attention", "elementwise", "recompute", "host", "tensor_parallel", "context_parallel",
    "expert_parallel", "pipeline_transfer", "pipeline_bubble", "data_parallel", "optimizer", "straggler", "scoring",
    "encoder",
)  # fmt: skip
"""Parts in the order of their colours: one part has one colour in every picture."""
WIDTH, BAR, ROW, LINE, FONT = 960, 22, 34, 18, 13  # pixels
LETTER = 7.6  # pixels of a letter of that font, on average
_MARGIN, _PLOT, _DOT = 16, 420, 4
_VALUE = 90  # pixels of a value beside its bar
_LONGEST = 48  # letters of a name that are written
_LEAST_SHARE = 0.001  # of the widest bar: less than a pixel is not drawn
_TICKS = 4
_ROOM = 0.08  # of the range of points, left free on each side


@dataclass(frozen=True, slots=True)
class Bar:
    """A stacked bar; band: of the sum; limit: where a line is drawn."""

    name: str
    parts: Mapping[str, float]
    band: Interval | None = None
    limit: float | None = None

    @property
    def end(self) -> float:
        """What it needs on the scale."""
        return max(sum(self.parts.values()), self.limit or 0.0, self.band.high if self.band else 0.0)


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars on one scale; write: formats a value."""

    title: str
    bars: Sequence[Bar]
    write: Callable[[float], str]


@dataclass(frozen=True, slots=True)
class ScatterPoint:
    """A point, with the band of its vertical value; kind: what its colour means."""

    name: str
    x: float
    y: float
    kind: str
    band: Interval | None = None


@dataclass(frozen=True, slots=True)
class Scatter:
    """Points on two logarithmic axes; equal: whether the line of equal values is drawn."""

    title: str
    points: Sequence[ScatterPoint]
    across: str
    up: str
    write_across: Callable[[float], str]
    write_up: Callable[[float], str]
    equal: bool = False


def svg(name: str, charts: Sequence[Chart | Scatter]) -> str:
    """One picture of charts, one under the other."""
    lines: list[str] = []
    top = _MARGIN
    for one in charts:
        drawn, top = _bars(one, top) if isinstance(one, Chart) else _points(one, top)
        lines += drawn
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}" '
        f'font-family="sans-serif" font-size="{FONT}" role="img">'
    )
    background = f'<rect width="{WIDTH}" height="{top}" fill="#ffffff"/>'
    return "\n".join([head, f"<title>{_escaped(name)}</title>", background, *lines, "</svg>", ""])


def color(part: str, others: Sequence[str] = ()) -> str:
    """The colour of a part; one that no list has gets that of its place among the others."""
    name = part.removesuffix("_bytes").removesuffix("_seconds")
    for known in (MEMORY, TIME):
        if name in known:
            return COLORS[known.index(name)]
    return COLORS[[*others].index(part) % len(COLORS)] if part in others else COLORS[0]


def _bars(chart: Chart, top: int) -> tuple[list[str], int]:
    """Title, bars and legend from `top` on; the lines and where they end."""
    names = list(dict.fromkeys(name for bar in chart.bars for name in bar.parts))
    most = max((bar.end for bar in chart.bars), default=1.0) or 1.0
    left = 2 * _MARGIN + LETTER * min(_LONGEST, max((len(bar.name) for bar in chart.bars), default=0))
    room = WIDTH - left - _VALUE - _MARGIN
    lines = [_text(_MARGIN, top + FONT, chart.title, weight="bold")]
    y = top + LINE + 8
    for bar in chart.bars:
        lines.append(_text(_MARGIN, y + BAR - 7, _cut(bar.name)))
        lines += _bar(bar, left, y, room / most, names, chart.write)
        y += ROW
    if len(names) > 1:
        drawn, y = _legend({part_name(name): color(name, names) for name in names}, y + 4)
        lines += drawn
    return lines, y + _MARGIN


def _bar(
    bar: Bar, left: float, y: int, scale: float, names: Sequence[str], write: Callable[[float], str]
) -> Iterator[str]:
    """The parts of a bar, its value, its limit and its band. scale: pixels of one."""
    x = left
    for part, value in bar.parts.items():
        width = scale * value
        if value >= _LEAST_SHARE * bar.end:
            tip = f"<title>{_escaped(part_name(part))}: {_escaped(write(value))}</title>"
            fill = color(part, names)
            yield f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{fill}">{tip}</rect>'
        x += width
    beside = x
    if bar.band is not None:
        low, high, middle = left + scale * bar.band.low, left + scale * bar.band.high, y + BAR / 2
        tip = f"<title>{_escaped(write(bar.band.low))} to {_escaped(write(bar.band.high))}</title>"
        path = f"M{low:.1f},{middle - 5} v10 M{low:.1f},{middle} H{high:.1f} M{high:.1f},{middle - 5} v10"
        yield f'<path class="band" d="{path}" stroke="#000000" fill="none">{tip}</path>'
        beside = max(beside, high)
    at = beside if bar.limit is None else left + scale * bar.limit
    if at >= beside and at <= beside + _VALUE:
        beside = at  # not across the line
    yield _text(beside + 6, y + BAR - 7, write(sum(bar.parts.values())))
    if bar.limit is not None:
        yield (
            f'<line class="limit" x1="{at:.1f}" y1="{y - 3}" x2="{at:.1f}" y2="{y + BAR + 3}" stroke="#000000" '
            'stroke-width="2"/>'
        )


def _legend(colors: Mapping[str, str], y: int) -> tuple[list[str], int]:
    x, lines = float(_MARGIN), []
    for name, fill in colors.items():
        width = 32 + LETTER * len(name)
        if x + width > WIDTH - _MARGIN:
            x, y = float(_MARGIN), y + LINE
        lines.append(f'<rect x="{x:.1f}" y="{y}" width="12" height="12" fill="{fill}"/>')
        lines.append(_text(x + 16, y + 11, name))
        x += width
    return lines, y + LINE


def _points(cloud: Scatter, top: int) -> tuple[list[str], int]:
    """Title, axes, points and legend from `top` on; the lines and where they end."""
    lines = [_text(_MARGIN, top + FONT, cloud.title, weight="bold")]
    shown = [one for one in cloud.points if one.x > 0 and one.y > 0]
    if not shown:
        return [*lines, _text(_MARGIN, top + 2 * LINE + FONT, "no points")], top + 3 * LINE + _MARGIN
    up = [end for one in shown for end in (one.y, *((one.band.low, one.band.high) if one.band else ())) if end > 0]
    across = [one.x for one in shown]
    if cloud.equal:
        across = up = [*across, *up]
    left, right, bottom, ceiling = 2 * _VALUE, WIDTH - _VALUE, top + LINE + _PLOT, top + LINE + 8
    x = _axis(min(across), max(across), float(left), float(right))
    y = _axis(min(up), max(up), float(bottom), float(ceiling))
    size = f'width="{right - left}" height="{bottom - ceiling}"'
    lines.append(f'<rect x="{left}" y="{ceiling}" {size} fill="none" stroke="#999999"/>')
    for value in _ticks(min(across), max(across)):
        lines.append(_text(x(value), bottom + LINE, cloud.write_across(value), anchor="middle"))
    for value in _ticks(min(up), max(up)):
        lines.append(_text(left - 6, y(value) + 4, cloud.write_up(value), anchor="end"))
    lines.append(_text((left + right) / 2, bottom + 2 * LINE, cloud.across, anchor="middle"))
    lines.append(_text(_MARGIN, ceiling + FONT, cloud.up))
    if cloud.equal:
        low, high = min(across), max(across)
        lines.append(
            f'<line x1="{x(low):.1f}" y1="{y(low):.1f}" x2="{x(high):.1f}" y2="{y(high):.1f}" stroke="#999999"/>'
        )
    kinds = list(dict.fromkeys(one.kind for one in shown))
    colors = {kind: COLORS[number % len(COLORS)] for number, kind in enumerate(kinds)}
    for one in shown:
        if one.band is not None and one.band.low > 0:
            ends = f'y1="{y(one.band.low):.1f}" y2="{y(one.band.high):.1f}"'
            lines.append(
                f'<line class="band" x1="{x(one.x):.1f}" x2="{x(one.x):.1f}" {ends} stroke="{colors[one.kind]}"/>'
            )
        tip = f"{one.name}: {cloud.write_across(one.x)}, {cloud.write_up(one.y)}"
        lines.append(
            f'<circle cx="{x(one.x):.1f}" cy="{y(one.y):.1f}" r="{_DOT}" fill="{colors[one.kind]}">'
            f"<title>{_escaped(tip)}</title></circle>"
        )
    drawn, y_end = _legend(colors, bottom + 3 * LINE)
    return [*lines, *drawn], y_end + _MARGIN


def _axis(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Maps a value to its place on a logarithmic axis."""
    first, last = math.log(low), math.log(high)
    room = _ROOM * (last - first) or 1.0

    def at(value: float) -> float:
        return start + (end - start) * (math.log(value) - first + room) / (last - first + 2 * room)

    return at


def _ticks(low: float, high: float) -> list[float]:
    """Evenly spaced values of a logarithmic axis."""
    ratio = high / low
    return [low * ratio ** (number / _TICKS) for number in range(_TICKS + 1)] if ratio > 1 else [low]


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def _text(x: float, y: float, text: str, weight: str = "normal", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y}" font-weight="{weight}" text-anchor="{anchor}">{_escaped(text)}</text>'


def _escaped(text: str) -> str:
    clean = "".join(c if c.isprintable() else " " for c in text)
    return clean.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
