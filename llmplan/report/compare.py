"""A comparison as rows of text, as a table, and as JSON; `compare_formats` writes the others."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmplan.answer.bottleneck import bottleneck
from llmplan.answer.serving_bottleneck import serving_bottleneck
from llmplan.formatting import count, plain, step_time
from llmplan.report.economics import electricity, mass, part_used
from llmplan.report.json import estimate_json
from llmplan.report.serving_economics import KILOWATT_HOUR
from llmplan.report.verdict import WORDS, degrees
from llmplan.search.comparison import MEASURES, apart, ratio, reference
from llmplan.training.estimate import TrainingEstimate
from llmplan.version import __version__

if TYPE_CHECKING:
    from llmplan.answer.answer import Estimate
    from llmplan.answer.economics.cost import Offer
    from llmplan.answer.economics.serving import ServingEconomics
    from llmplan.search.comparison import Outcome
    from llmplan.serving.estimate import ServingEstimate
    from llmplan.software.band import Interval

COMPARE = "llmplan.compare/1"
GIB, DAY, GRAMS = 2.0**30, 86400.0, 1e3  # grams in a kilogram
_THOUSANDS = 1e3  # thousands in a million
SAME = "="
_COLUMN = 19  # characters that a column of the table wants
LEGEND = f"{SAME} no difference to the first that is larger than the error bands"


@dataclass(frozen=True, slots=True)
class Row:
    """One alternative in text, by column; `why` where it could not be planned."""

    name: str
    cells: dict[str, str]
    why: str = ""


def compare_json(outcomes: Sequence[Outcome], by: str | None) -> dict[str, Any]:
    """`llmplan.compare/1`: each result is an estimate with its name, ratios and rank, or its problems."""
    return {
        "schema": COMPARE,
        "llmplan_version": __version__,
        **({"by": by} if by else {}),
        "results": [_result(number, one, reference(outcomes)) for number, one in enumerate(outcomes, 1)],
    }


def _result(number: int, one: Outcome, first: Estimate | None) -> dict[str, Any]:
    head = {"name": one.name, "rank": number, "words": dict(one.words)}
    if one.answer is None or first is None:
        return {**head, "problems": list(one.problems)}
    ratios = {name: ratio(measure, first, one.answer) for name, measure in MEASURES.items()}
    apart_ = {name: apart(measure, first, one.answer) for name, measure in MEASURES.items()}
    return {
        **head,
        "ratios": {name: value for name, value in ratios.items() if value is not None},
        "beyond_error": {name: value for name, value in apart_.items() if value is not None},
        **estimate_json(one.answer),
    }


def rows(outcomes: Sequence[Outcome], by: str | None) -> list[Row]:
    """Rows of text, all with the same columns; those of the whole run only where there is one.

    Devices billed are told where some alternative does not use all of its own.
    """
    first = reference(outcomes)
    trainings = [one.answer for one in outcomes if isinstance(one.answer, TrainingEstimate)]
    whole_run = any(one.economics for one in trainings)
    offers = [_headline(one.answer) for one in outcomes if one.answer is not None]
    billed = any(part_used(offer) for offer in offers if offer is not None)
    found = []
    for one in outcomes:
        if one.answer is None or first is None:
            found.append(Row(one.name, {}, "; ".join(one.problems)))
            continue
        cells = _cells(one.answer, whole_run=whole_run, billed=billed)
        found.append(Row(one.name, {**cells, **_against(first, one.answer, by)}))
    return found


def _headline(answer: Estimate) -> Offer | None:
    return answer.economics.cost.headline if answer.economics else None


def _against(first: Estimate, answer: Estimate, by: str | None) -> dict[str, str]:
    name = by or "throughput"
    measure = MEASURES[name]
    value = ratio(measure, first, answer)
    if not isinstance(answer, TrainingEstimate) and not (first.fits and answer.fits):
        return {f"x {name}": ""}
    if value is None:
        return {f"x {name}": "?"}
    same = answer is not first and not apart(measure, first, answer)
    return {f"x {name}": f"{value:.2f}{' ' + SAME if same else ''}"}


def _cells(answer: Estimate, *, whole_run: bool, billed: bool) -> dict[str, str]:
    offer = _headline(answer)
    head = {"devices": str(answer.plan.devices)}
    if billed:
        head["devices billed"] = "?" if offer is None else str(offer.devices_billed)
    if isinstance(answer, TrainingEstimate):
        return {**head, **_training_cells(answer), **(_run_cells(answer) if whole_run else {})}
    return {**head, **_serving_cells(answer)}


def _training_cells(answer: TrainingEstimate) -> dict[str, str]:
    layout = answer.plan.layout
    return {
        "layout": " ".join([*degrees(layout), f"dp {layout.dp}", f"zero {layout.zero}", *_more(answer)]),
        "stack": answer.plan.stack.id,
        "memory": f"{plain(answer.peak.value / GIB)} of {plain(answer.usable_bytes / GIB)} GiB",
        "fits": WORDS[answer.verdict],
        "step": step_time(answer.step.value),
        "tokens/s": plain(answer.tokens_per_second.value),
        "MFU": f"{answer.mfu:.1%}",
        "bottleneck": _bottleneck(answer),
    }


def _serving_cells(answer: ServingEstimate) -> dict[str, str]:
    head = {
        "layout": " ".join([*degrees(answer.plan.layout), f"{answer.replicas} replicas"]),
        "stack": f"{answer.plan.stack.id} {answer.version}".strip(),
        "memory": f"{plain(answer.needed.value / GIB)} of {plain(answer.usable_bytes / GIB)} GiB",
        "fits": WORDS[answer.verdict] if answer.stable else f"{WORDS[answer.verdict]}, falls behind",
    }
    figures = _serving_figures(answer)
    # what does not hold one request serves nothing
    return head | (figures if answer.fits else dict.fromkeys(figures, ""))


def _serving_figures(answer: ServingEstimate) -> dict[str, str]:
    rate, tpot = answer.output_tokens_per_second, answer.tpot
    return {
        "first token": step_time(answer.ttft.value),
        "per token": "" if tpot is None else step_time(tpot.value),
        "request": step_time(answer.request.value),
        "tokens/s": "" if rate is None else plain(rate.value),
        "requests/s": plain(answer.requests_per_second.value),
        "bottleneck": serving_bottleneck(answer).resource.replace("_", " "),
        **(_price_cells(answer.economics) if answer.economics else {}),
    }


def _price_cells(found: ServingEconomics) -> dict[str, str]:
    """What requests take in all, and the two shares of their price."""
    each = found.request
    return {
        "USD/1k requests": _value(each.usd, _THOUSANDS),
        "USD/M input tokens": _value(found.input.usd, 1.0),
        **({"USD/M output tokens": _value(found.output.usd, 1.0)} if found.output else {}),
        "kWh/1k requests": _value(each.joules, _THOUSANDS * KILOWATT_HOUR),
        "g CO2e/1k requests": _value(each.carbon, _THOUSANDS / GRAMS),
    }


def _value(value: Interval | None, unit: float) -> str:
    return "?" if value is None else plain(value.value / unit)


def _more(answer: TrainingEstimate) -> list[str]:
    layout = answer.plan.layout
    return [f"mb {layout.micro_batch}", *([f"recompute {layout.recompute}"] if layout.recompute != "none" else [])]


def _bottleneck(answer: TrainingEstimate) -> str:
    found = bottleneck(answer)
    share = found.used[found.resource] if found.resource not in found.seconds else found.share(found.resource)
    return f"{found.resource.replace('_', ' ')} {share:.0%}"


def _run_cells(answer: TrainingEstimate) -> dict[str, str]:
    if answer.economics is None:
        return {}
    run, cost, energy = answer.economics.run, answer.economics.cost.headline, answer.economics.energy
    return {
        "days": plain(run.wall.value / DAY),
        "cost": "?" if cost is None else f"{count(cost.usd)} USD",
        "priced at": "" if cost is None else f"{cost.provider} {cost.date}".strip(),
        "energy": "?" if energy.joules is None else electricity(energy.joules),
        "CO2e": "?" if energy.carbon is None else mass(energy.carbon),
    }


def legend(found: Sequence[Row]) -> list[str]:
    """What the mark means, where a cell has it."""
    marked = any(cell.endswith(f" {SAME}") for row in found for cell in row.cells.values())
    return [LEGEND] if marked else []


def columns(found: Sequence[Row]) -> list[str]:
    """The columns of all rows, in order."""
    return list(dict.fromkeys(name for row in found for name in row.cells))


def print_compare(found: Sequence[Row]) -> None:
    """The rows as tables on stdout, alternatives across, as many beside each other as there is room for."""
    from rich.console import Console
    from rich.table import Table

    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    planned = [row for row in found if not row.why]
    heads = columns(planned)
    side = max((len(name) for name in heads), default=0) + 2
    each = max(1, (console.width - side) // _COLUMN)
    with console.capture() as captured:
        for start in range(0, len(planned), each):
            table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=True, header_style="bold")
            table.add_column("", no_wrap=True)
            for row in planned[start : start + each]:
                table.add_column(row.name, justify="right")
            for name in heads:
                table.add_row(name, *(row.cells.get(name, "") for row in planned[start : start + each]))
            console.print(table)
            if start + each < len(planned):
                console.print()
        for line in legend(planned):
            console.print(line)
        for row in found:
            if row.why:
                console.print(f"{row.name}: {row.why}")
    for line in captured.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")
