"""A comparison as rows, and as the table that people read; `formats` writes the other formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from llmplan.answer.answer import Answer
from llmplan.answer.training import TrainingResult
from llmplan.formatting import days, money, plain, step_time
from llmplan.report.console import on_stdout
from llmplan.report.economics import electricity, mass, part_used
from llmplan.report.limits import missed_lines
from llmplan.report.sheet import Annotation, Sheet, SheetRow
from llmplan.report.verdict import COLORS, WORDS, degrees, part_name, recomputed
from llmplan.serving.targets import TARGETS
from llmplan.si import GIB, KILOWATT_HOUR

if TYPE_CHECKING:
    from rich.console import Console

    from llmplan.answer.economics.cost import Offer
    from llmplan.answer.economics.serving import PerMillion
    from llmplan.answer.serving import ServingResult
    from llmplan.search.comparison import Compared, Comparison

GRAMS = 1e3  # grams in a kilogram
_THOUSANDS = 1e3  # thousands in a million
SAME = "="
_COLUMN = 19  # characters that a column of the table wants
_SHOWN = ("step", "first token", "per token", "tokens/s", "MFU", "days", "cost", "devices billed", "USD/1k requests")
_STYLES = {WORDS[verdict]: color for verdict, color in COLORS.items()}
Places = Mapping[str, tuple[str, int | None]]
"""Alternative -> the file and line that it was written at."""
DEFAULTS = "layouts are the least tp with room for a cache, not the fastest; --fit compares each at its best"
LEGEND = f"{SAME} no difference to the first that is larger than the error bands"


def sheet(found: Comparison, places: Places | None = None) -> Sheet:
    """Rows of text, all with the same columns; those of the whole run only where there is one.

    Devices billed are shown where some alternative does not use all of its own.
    """
    answers = [one for one in found.results if isinstance(one, Answer)]
    whole_run = any(isinstance(one.result, TrainingResult) and one.result.run for one in answers)
    offers = [_offer(one) for one in answers]
    billed = any(part_used(offer) for offer in offers if offer is not None)
    first = next((one for one in answers if one.fits), None)
    limited = any(limits_of(one) for one in answers)
    lines = []
    for one in found.results:
        file, line = (places or {}).get(one.name, ("", None))
        if isinstance(one, Answer):
            rank = {} if found.by is None else {"rank": str(one.rank or "-")}
            cells = rank | _cells(one, whole_run=whole_run, billed=billed)
            cells |= {"limits": missed_text(one)} if limited else {}
            cells |= _against(first, one, found.by)
            annotations = tuple(Annotation(kind, one.name, text) for kind, text in _annotations_of(cells, one))
            lines.append(SheetRow(name=one.name, cells=cells, data=one, annotations=annotations, file=file, line=line))
        else:
            why = "; ".join(one.problems)
            annotations = (Annotation("error", one.name, why),)
            lines.append(
                SheetRow(name=one.name, cells={}, data=one, why=why, annotations=annotations, file=file, line=line)
            )
    return Sheet(lines=lines, notes=[*_legend(lines), *_defaults(answers)])


def _legend(lines: Sequence[SheetRow]) -> list[str]:
    """The legend of the mark, if some cell has it."""
    marked = any(cell.endswith(f" {SAME}") for line in lines for cell in line.cells.values())
    return [LEGEND] if marked else []


def _defaults(answers: Sequence[Compared]) -> list[str]:
    """That deployments differ in layouts which nobody asked for."""
    taken = [one for one in answers if not isinstance(one.result, TrainingResult) and _takes_default(one)]
    layouts = {tuple(degrees(one.inputs, ("tp", "pp"))) for one in taken}
    return [DEFAULTS] if len(layouts) > 1 else []


def _takes_default(one: Compared) -> bool:
    return any(line.startswith("tp ") for line in one.assumptions)


def _annotations_of(cells: Mapping[str, str], one: Compared) -> Iterator[tuple[str, str]]:
    """Annotations: an error for an alternative that fails, a warning for marginal memory."""
    figures = ", ".join(f"{name} {cells[name]}" for name in _SHOWN if name in cells)
    missed = [line for line in missed_lines(one) if line.startswith("limit")]
    if not one.fits:
        yield "error", f"does not fit: {cells['memory']}"
    elif one.result.verdict == "marginal":
        yield "warning", f"memory is marginal: {cells['memory']}"
    elif one.is_yes or not missed:
        yield "notice" if one.is_yes else "error", figures
    yield from (("error", line) for line in missed)


def _offer(answer: Compared) -> Offer | None:
    return answer.result.cost.offer if answer.result.cost else None


def limits_of(one: Compared) -> list[str]:
    """Names of the targets and limits of an alternative that apply to it."""
    return [name for name in TARGETS if name in one.inputs] + list(one.result.limits or {})


def missed_text(one: Compared) -> str:
    """`kept`, or the limits that are not, by name."""
    result = one.result
    missed = [name for name, limit in (result.limits or {}).items() if not limit.kept]
    if not isinstance(result, TrainingResult):
        missed += [f"max_{name}" for name in result.load.missed if f"max_{name}" not in missed]
    if missed:
        return f"misses {', '.join(missed)}"
    return "kept" if limits_of(one) else ""


def _against(first: Compared | None, answer: Compared, by: str | None) -> dict[str, str]:
    name = by or "throughput"
    value = answer.ratios.get(name)
    if first is None or not answer.fits:
        return {f"x {name}": ""}
    if value is None:
        return {f"x {name}": "?"}
    same = answer is not first and not answer.beyond_error[name]
    return {f"x {name}": f"{value:.2f}{' ' + SAME if same else ''}"}


def _cells(answer: Compared, *, whole_run: bool, billed: bool) -> dict[str, str]:
    offer, result = _offer(answer), answer.result
    head = {"devices": str(answer.inputs["devices"])}
    if billed:
        head["devices billed"] = "?" if offer is None else str(offer.devices_billed)
    if isinstance(result, TrainingResult):
        return {**head, **_training_cells(answer, result), **(_run_cells(result) if whole_run else {})}
    return {**head, **_serving_cells(answer, result)}


def _training_cells(answer: Answer, result: TrainingResult) -> dict[str, str]:
    inputs, memory, found = answer.inputs, result.memory, result.bottleneck
    more = [recomputed(inputs)] if inputs["recompute"] != "none" else []
    share = found.share(found.resource) if found.resource in found.seconds else found.utilization[found.resource]
    layout = [*degrees(inputs), f"dp {inputs['dp']}", f"zero {inputs['zero']}", f"mb {inputs['micro_batch']}", *more]
    return {
        "layout": " ".join(layout),
        "stack": inputs["stack"],
        "memory": f"{plain(memory.peak_bytes.value / GIB)} of {plain(memory.usable_bytes / GIB)} GiB",
        "fits": WORDS[result.verdict],
        "step": step_time(result.time.step_seconds.value),
        "tokens/s": plain(result.throughput.tokens_per_second.value),
        "MFU": f"{result.mfu:.1%}",
        "bottleneck": f"{part_name(found.resource)} {share:.0%}",
    }


def _serving_cells(answer: Answer, result: ServingResult) -> dict[str, str]:
    inputs, memory, verdict = answer.inputs, result.memory, WORDS[result.verdict]
    head = {
        "layout": " ".join([*degrees(inputs), f"{result.load.replicas} replica{'s' * (result.load.replicas > 1)}"]),
        "stack": f"{inputs['stack']} {result.engine_version}".strip(),
        "memory": f"{plain(memory.needed_bytes.value / GIB)} of {plain(memory.usable_bytes / GIB)} GiB",
        "fits": verdict if result.load.stable else f"{verdict}, falls behind",
    }
    figures = _serving_figures(result)
    # what does not hold one request serves nothing
    return head | (figures if result.fits else dict.fromkeys(figures, ""))


def _serving_figures(result: ServingResult) -> dict[str, str]:
    latency, throughput, energy = result.latency, result.throughput, result.energy
    rate, tpot = throughput.output_tokens_per_second, latency.tpot_seconds
    usd = result.cost.usd_per_million
    return {
        "first token": step_time(latency.ttft_seconds.value),
        "per token": "" if tpot is None else step_time(tpot.value),
        "request": step_time(latency.request_seconds.value),
        "tokens/s": "" if rate is None else plain(rate.value),
        "requests/s": plain(throughput.requests_per_second.value),
        "bottleneck": part_name(result.bottleneck.resource),
        "USD/1k requests": _value(usd, "requests", _THOUSANDS),
        "USD/M input tokens": _value(usd, "input_tokens", 1.0),
        **({"USD/M output tokens": _value(usd, "output_tokens", 1.0)} if tpot else {}),
        "kWh/1k requests": _value(energy.joules_per_million, "requests", _THOUSANDS * KILOWATT_HOUR),
        "g CO2e/1k requests": _value(energy.co2e_kilograms_per_million, "requests", _THOUSANDS / GRAMS),
    }


def _value(found: PerMillion | None, key: str, unit: float) -> str:
    return "?" if found is None else plain(getattr(found, key).value / unit)


def _run_cells(result: TrainingResult) -> dict[str, str]:
    if result.run is None or result.cost is None or result.energy is None:
        return {}
    usd, offer = result.cost.usd, result.cost.offer
    joules, carbon = result.energy.joules, result.energy.co2e_kilograms
    return {
        "days": days(result.run.days),
        "cost": "?" if usd is None else f"{money(usd.value)} USD",
        "priced at": "" if offer is None else f"{offer.provider} {offer.date or ''}".strip(),
        "energy": "?" if joules is None else electricity(joules.value),
        "CO2e": "?" if carbon is None else mass(carbon.value),
    }


def print_compare(found: Sheet) -> None:
    """The rows as tables on stdout."""
    with on_stdout() as console:
        print_rows(console, found)


def print_rows(console: Console, found: Sheet) -> None:
    """The rows as tables with a column for each alternative, as many as the width allows."""
    from rich.table import Table
    from rich.text import Text

    planned = [line for line in found.lines if not line.why]
    heads = found.heads
    side = max((len(name) for name in heads), default=0) + 2
    each = max(1, (console.width - side) // _COLUMN)
    for start in range(0, len(planned), each):
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=True, header_style="bold")
        table.add_column("", no_wrap=True)
        shown = planned[start : start + each]
        for line in shown:
            table.add_column(line.name, justify="right")
        for name in heads:
            texts = [line.cells.get(name, "") for line in shown]
            table.add_row(name, *(Text(text, _STYLES.get(text, "")) for text in texts))
        console.print(table)
        if start + each < len(planned):
            console.print()
    for text in found.notes:
        console.print(text)
    for line in found.lines:
        if line.why:
            console.print(f"{line.name}: {line.why}")
