"""`llmplan sweep`: one plan under every combination of some of its options."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Annotated, Any

import typer

from llmplan.answer.data import dumps
from llmplan.catalog.catalog import open_catalog
from llmplan.cli.folders import CatalogFolders
from llmplan.cli.gate import THE_ANSWER_IS_NO, Check
from llmplan.cli.output import OUTPUT, AsJson, Columns, Format, columns_of, write
from llmplan.cli.plan_input import read_requests
from llmplan.cli.plan_options import PlanCommand, PlanFile, plan_options
from llmplan.cli.progress import counted, progress
from llmplan.errors import Fault, InputError
from llmplan.records import dataclass
from llmplan.search.sweep import Axis, Sweep, SweepRow, axis, combinations, sweep

MOST_ROWS = 10_000  # of a table, which is as wide as its widest cell and so has to be held

app = typer.Typer(add_completion=False)


def _sweep(
    given: Mapping[str, Any],
    *,
    vary: Annotated[
        list[str],
        typer.Option(
            "--vary",
            metavar="WORD=VALUES",
            help="Values (tp=1,2,4), a range that doubles (devices=8..4096) or goes in steps (seq_len=1k..8k+1k); "
            "may be given more than once: all combinations.",
        ),
    ],
    plan: PlanFile = None,
    catalog: CatalogFolders = None,
    pair: Annotated[
        str | None,
        typer.Option(
            "--pair",
            metavar="X,Y",
            help="Columns of the chart: an option or figure, and a figure over it (devices,tokens_per_second).",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    as_json: AsJson = False,
    output: Format = "table",
    columns: Columns = None,
    check: Check = False,
) -> None:
    """Estimate one plan under every combination of some of its options.

    llmplan sweep --model llama-3.1-70b --vary devices=64..512 --vary hardware=h100,h200

    llmplan sweep --plan docs/examples/plan.yaml --vary seq_len=4096..32768 --format csv

    llmplan sweep --model llama-3.1-8b --hardware h100 --workload serve --vary batch=1..64 --format svg
    """
    from llmplan.report import sweep as report

    form = "json" if as_json else output
    chosen = columns_of(columns, form)
    axes = [axis(text) for text in vary]
    names = [one.name for one in axes]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"--vary: {twice} is given twice; say all of its values at once")
    if pair is not None and form != "svg":
        raise InputError("--pair says what --format svg draws")
    drawn = None if pair is None else _pair(pair, axes)
    requests, _ = read_requests(plan, given)
    if len(requests) > 1:
        raise InputError(Fault(f"holds {len(requests)} plans; sweep takes one", plan))
    seen = Seen()
    streams = form in ("csv", "jsonl")
    held: list[SweepRow] = []
    with progress("combinations", combinations(axes), streams=streams) as shown:
        rows = seen.counted(counted(sweep(requests[0], axes, open_catalog(catalog or ())), shown))
        if form == "csv":
            for line in report.chosen_csv(rows, axes, chosen):
                sys.stdout.write(line)
        elif form == "jsonl":
            for row in rows:
                sys.stdout.write(f"{dumps(row, indent=None)}\n")
        else:
            held = list(islice(rows, MOST_ROWS + 1))
    if len(held) > MOST_ROWS:
        raise InputError(f"more than {MOST_ROWS} combinations are held by no {form}: --format csv or jsonl")
    if not streams:
        write(
            Sweep(results=tuple(held)), held, lambda: report.sheet(held), form, chosen,
            picture=lambda: _picture(held, axes, drawn),
        )  # fmt: skip
    if not seen.answered:
        raise InputError("no combination can be planned; what is printed says why of each")
    if check and seen.no:
        typer.echo(f"{seen.no} of {seen.answered} plans do not do: {seen.why}", err=True)
        raise typer.Exit(THE_ANSWER_IS_NO)


def _pair(text: str, axes: list[Axis]) -> tuple[str, str]:
    from llmplan.report.sweep_svg import pair_of

    return pair_of(text, axes)


def _picture(rows: list[SweepRow], axes: list[Axis], pair: tuple[str, str] | None) -> str:
    """Speed and memory, or the two columns that were asked for."""
    if pair is None:
        from llmplan.report.sweep import picture

        return picture(rows, axes)
    from llmplan.report.sweep_svg import sweep_svg

    return sweep_svg(rows, axes, pair)


@dataclass(slots=True)
class Seen:
    """Counts of a sweep: plans answered, answers that are no, and why the first of those is."""

    answered: int = 0
    no: int = 0
    why: str = ""

    def counted(self, rows: Iterable[SweepRow]) -> Iterator[SweepRow]:
        """The rows, counted as they come."""
        from llmplan.report.sweep import why_no

        for row in rows:
            if row.summary is not None:
                self.answered += 1
                if not row.summary.is_yes:
                    self.no += 1
                    self.why = self.why or why_no(row.summary)
            yield row


app.command("sweep", cls=PlanCommand)(plan_options(_sweep))
