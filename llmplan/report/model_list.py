"""The models that run on a machine, as rows."""

from __future__ import annotations

from llmplan.errors import InputError
from llmplan.formatting import binary, count, duration, plain
from llmplan.report.pictures import MOST_BARS
from llmplan.report.sheet import Annotation, Sheet, SheetRow
from llmplan.report.svg import Bar, Chart, svg
from llmplan.search.model_list import ListedModel, ModelList

SHOWN = 5  # models that are too large, by name


def sheet(found: ModelList) -> Sheet:
    """Models that fit, as rows; annotations count them, and name those that miss a limit."""
    rows = [_cells(one) for one in found.models]
    used = [head for head in HEADS if any(cells[head] for cells in rows)]
    lines = [
        SheetRow(
            name=one.id, cells={head: cells[head] for head in used}, data=one,
            annotations=tuple(Annotation("warning", one.id, f"misses {name}") for name in missed(one)),
        )
        for one, cells in zip(found.models, rows, strict=True)
    ]  # fmt: skip
    notes = ["", _summary(found)]
    notes += ["", "Assumed", *(f"  - {line}" for line in found.assumptions)] if found.assumptions else []
    return Sheet(lines=lines, notes=notes, annotations=(Annotation("notice", "llmplan list", _summary(found)),))


def missed(one: ListedModel) -> list[str]:
    """Names of the limits that it does not keep."""
    return [name for name, limit in (one.limits or {}).items() if not limit.kept]


def picture(found: ModelList) -> str:
    """Memory and speed of every model that fits."""
    shown = found.models[:MOST_BARS]
    if not shown:
        raise InputError("--format svg: no model fits, and so nothing is drawn")
    needs = [Bar(one.id, {"needed_bytes": one.needed_bytes.value}, one.needed_bytes, one.usable_bytes) for one in shown]
    speeds = [(one.id, one.tokens_per_second) for one in shown]
    rates = [Bar(name, {"output": speed.value}, speed) for name, speed in speeds if speed is not None]
    charts = [Chart("Memory of a device (line: usable)", needs, lambda value: binary(value, 3))]
    return svg("llmplan list", [*charts, Chart("Tokens a second", rates, plain)] if rates else charts)


HEADS = ("parameters", "active", "weights", "needs", "context", "tokens/s", "first token", "limits")


def _cells(one: ListedModel) -> dict[str, str]:
    mark = " ?" if one.verdict == "marginal" else ""
    active = "" if one.active_parameters == one.parameters else count(one.active_parameters)
    kept = "" if one.limits is None else f"misses {', '.join(missed(one))}" if missed(one) else "kept"
    cells = [
        count(one.parameters), active, one.precision, binary(one.needed_bytes.value, 3) + mark,
        "" if one.longest_tokens is None else count(one.longest_tokens),
        "" if one.tokens_per_second is None else plain(one.tokens_per_second.value),
        "" if one.ttft_seconds is None else duration(one.ttft_seconds.value), kept,
    ]  # fmt: skip
    return dict(zip(HEADS, cells, strict=True))


def _summary(found: ModelList) -> str:
    fitting = {one.id for one in found.models}
    text = f"{len(fitting)} of {len(fitting) + len(found.too_large)} models fit"
    if tried := (*found.models, *found.too_large):
        text += f" into {binary(tried[0].usable_bytes, 3)} of each device"
    if any(one.verdict == "marginal" for one in found.models):
        text += "; ? = the limit lies inside the error band"
    if found.too_large:
        least = [one.id for one in reversed(found.too_large)][:SHOWN]
        text += f"; too large at any precision: {', '.join(least)}{', ...' if len(found.too_large) > SHOWN else ''}"
    return text
