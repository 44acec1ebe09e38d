"""Pictures for reports and pull requests: a bar of memory and a bar of time for each estimate, as SVG text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from llmplan.answer.training import TrainingResult
from llmplan.errors import InputError
from llmplan.formatting import binary, step_time
from llmplan.report.verdict import part_name

if TYPE_CHECKING:
    from llmplan.answer.answer import Answer

Bar = tuple[str, dict[str, float], float | None]
# Okabe & Ito 2008: colours that people with any colour vision tell apart; then lighter ones of them.
COLORS = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999", "#80b8d8", "#f2cf80",
    "#80ceb9", "#e5bcd3", "#eaae80",
)  # fmt: skip
WIDTH, BAR, ROW, LINE, FONT = 960, 22, 34, 18, 13  # pixels
LETTER = 7.6  # pixels of a letter of that font, on average
_MARGIN = 16
_VALUE = 80  # pixels of a value beside its bar
_LONGEST = 40  # letters of a name that are written
_LEAST_SHARE = 0.001  # of the widest bar: less than a pixel is not drawn


def answers_svg(answers: Sequence[Answer]) -> str:
    """The picture of the answers of one command; InputError where one of them is no training."""
    named = []
    for number, one in enumerate(answers, 1):
        if not isinstance(one.result, TrainingResult):
            raise InputError("--format svg draws trainings; a deployment has no step to draw")
        head = f"{number}: " if len(answers) > 1 else ""
        name = f"{head}{one.result.model.name}, {one.inputs['devices']} x {one.inputs['hardware']}"
        named.append((name, one.result))
    return svg(named)


def svg(results: Sequence[tuple[str, TrainingResult]]) -> str:
    """One picture: under `Memory of a device` and `Time of a step` a bar for each named result, on one scale each."""
    memory: list[Bar] = [(name, one.memory.parts, one.memory.usable_bytes) for name, one in results]
    time: list[Bar] = [(name, one.time.parts, None) for name, one in results]
    first, middle = _chart("Memory of a device (line: usable)", memory, lambda value: binary(value, 3), _MARGIN)
    second, top = _chart("Time of a step", time, step_time, middle)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}" '
        f'font-family="sans-serif" font-size="{FONT}" role="img">'
    )
    background = f'<rect width="{WIDTH}" height="{top}" fill="#ffffff"/>'
    title = f"<title>{_escaped('llmplan: ' + ', '.join(name for name, _ in results))}</title>"
    return "\n".join([head, title, background, *first, *second, "</svg>", ""])


def _chart(title: str, bars: Sequence[Bar], write: Callable[[float], str], top: int) -> tuple[list[str], int]:
    """Title, bars and legend from `top` on; the lines and where they end. write: a value as text."""
    names = list(dict.fromkeys(name for _, parts, _ in bars for name in parts))
    colors = {name: COLORS[number % len(COLORS)] for number, name in enumerate(names)}
    most = max((max(sum(parts.values()), limit or 0.0) for _, parts, limit in bars), default=1.0) or 1.0
    left = 2 * _MARGIN + LETTER * min(_LONGEST, max((len(name) for name, _, _ in bars), default=0))
    room = WIDTH - left - _VALUE - _MARGIN
    lines = [_text(_MARGIN, top + FONT, title, weight="bold")]
    y = top + LINE + 8
    for name, parts, limit in bars:
        lines.append(_text(_MARGIN, y + BAR - 7, name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"))
        x = left
        for part, value in parts.items():
            width = room * value / most
            if width >= room * _LEAST_SHARE:
                tip = f"<title>{_escaped(part_name(part))}: {_escaped(write(value))}</title>"
                lines.append(
                    f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colors[part]}">{tip}</rect>'
                )
            x += width
        at = x if limit is None else left + room * limit / most
        beside = at if x <= at <= x + _VALUE else x  # not across the line
        lines.append(_text(beside + 6, y + BAR - 7, write(sum(parts.values()))))
        if limit is not None:
            lines.append(
                f'<line x1="{at:.1f}" y1="{y - 3}" x2="{at:.1f}" y2="{y + BAR + 3}" stroke="#000000" stroke-width="2"/>'
            )
        y += ROW
    x, y = float(_MARGIN), y + 4
    for part in names:
        width = 32 + LETTER * len(part_name(part))
        if x + width > WIDTH - _MARGIN:
            x, y = float(_MARGIN), y + LINE
        lines.append(f'<rect x="{x:.1f}" y="{y}" width="12" height="12" fill="{colors[part]}"/>')
        lines.append(_text(x + 16, y + 11, part_name(part)))
        x += width
    return lines, y + LINE + _MARGIN


def _text(x: float, y: float, text: str, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y}" font-weight="{weight}">{_escaped(text)}</text>'


def _escaped(text: str) -> str:
    clean = "".join(c if c.isprintable() else " " for c in text)
    return clean.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
