"""`llmplan compare`: alternatives side by side, each as `estimate` gives it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from llmplan.answer.data import dumps
from llmplan.catalog.catalog import open_catalog
from llmplan.cli.gate import Check, check_comparison, place, write_comparison
from llmplan.cli.plan_input import holds_many, plan_documents
from llmplan.cli.plan_options import CatalogFolders, PlanCommand, plan_options
from llmplan.errors import Fault, InputError
from llmplan.setup.request import request, requests

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmplan.catalog.catalog import Catalog
    from llmplan.report.github import Places
    from llmplan.search.comparison import Alternative, Comparison
    from llmplan.setup.request import Request

LISTED = (
    "model", "hardware", "cluster", "stack", "devices", "precision", "seq_len", "global_batch", "micro_batch", "tp",
    "pp", "vp", "cp", "ep", "zero", "recompute", "optimizer", "batch", "weight_precision", "kv_precision",
)  # fmt: skip
"""Options that take several values here, each an alternative."""
LISTS = dict.fromkeys(LISTED, "One value, or several to compare, with commas.")
OF_FIT = {"time": "latency", "memory-headroom": "memory"}
"""Objectives of `fit` that are measures under another name here."""
MOST = 100_000  # all are held, to be ranked; `sweep` writes row by row

app = typer.Typer(add_completion=False)

Plans = Annotated[
    list[str] | None,
    typer.Option("--plan", metavar="FILE", help="Plan file; may be given more than once. An option wins over it."),
]


def _compare(
    given: Mapping[str, Any],
    *,
    plan: Plans = None,
    catalog: CatalogFolders = None,
    fit: Annotated[bool, typer.Option("--fit", help="Each at its own best layout instead of the one given.")] = False,
    by: Annotated[
        Literal[
            "throughput",
            "step",
            "mfu",
            "ttft",
            "tpot",
            "latency",
            "memory",
            "devices",
            "days",
            "cost",
            "energy",
            "carbon",
            "time",
            "memory-headroom",
        ]
        | None,
        typer.Option(
            "--by", "--objective", help="Rank by this, what fits first; default: in the order given. Words of fit too."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    output: Annotated[
        Literal["table", "json", "jsonl", "csv", "markdown", "github", "svg"],
        typer.Option("--format", help="For people, programs, pull requests, or a workflow's log and job summary."),
    ] = "table",
    check: Check = False,
) -> None:
    """Compare hardware, models, precisions, sizes, stacks or whole plans, each as `estimate` gives it.

    llmplan compare --model llama-3.1-70b --hardware a100,h100,h200 --devices 64 --tokens 2e12 --fit --by cost

    llmplan compare --plan docs/examples/a.yaml --plan docs/examples/b.yaml

    llmplan compare --plan docs/examples/plan.yaml --hardware h100,h200 --check --format markdown
    """
    from llmplan.search.comparison import NotPlanned, compare

    opened = open_catalog(catalog or ())
    wanted = list(_alternatives(plan or [], given, opened))
    found = compare(wanted, opened, fit=fit, by=None if by is None else OF_FIT.get(by, by))
    failed = [one for one in found.results if isinstance(one, NotPlanned)]
    if len(failed) == len(found.results):
        raise InputError([Fault(f"{one.name}: {problem}") for one in failed for problem in one.problems])
    _write(found, "json" if as_json else output, {one.name: place(one.request) for one in wanted})
    if check:
        check_comparison(found)


def _alternatives(plans: Sequence[str], given: Mapping[str, Any], catalog: Catalog) -> Iterator[Alternative]:
    """Every plan with every combination of the lists; InputError for names that no catalogue knows."""
    from llmplan.search.comparison import Alternative

    lists = {name: _items(name, given[name]) for name in LISTED if name in given}
    _check_names(lists, catalog, download=bool(given.get("download")))
    many = {name for name, items in lists.items() if len(items) > 1}
    if math.prod(len(items) for items in lists.values()) * max(1, len(plans)) > MOST:
        raise InputError(f"more than {MOST} alternatives are too many to rank; `sweep` writes row by row")
    seen: dict[str, int] = {}
    paths: list[str | None] = [*plans] or [None]
    for path in paths:
        documents = None if path is None else plan_documents(path)  # once: standard input cannot be read again
        for words in itertools.product(*lists.values()):
            chosen = dict(zip(lists, words, strict=True))
            said = {**given, **chosen}
            found = [request(said)] if documents is None else requests(documents, said)
            several = documents is not None and holds_many(documents)
            for number, one in enumerate(found, 1):
                label = {name: chosen[name] for name in chosen if name in many}
                name = _name(path, number if several else None, len(plans) > 1 or several, label, one)
                seen[name] = seen.get(name, 0) + 1
                yield Alternative(name if seen[name] == 1 else f"{name} ({seen[name]})", label, one)


def _items(name: str, text: str) -> list[str]:
    """`a,b` as two; a model's path with a comma is one, where it exists."""
    if name == "model" and _exists(text):
        return [text]
    return [item.strip() for item in text.split(",") if item.strip()] or [text]


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # too long for a file system, or a NUL
        return False


def _check_names(lists: Mapping[str, list[str]], catalog: Catalog, *, download: bool) -> None:
    """A name that nothing has is a slip of the keyboard, not an alternative."""
    from llmplan.catalog.load_model import find_model
    from llmplan.setup.named import device_file

    faults: list[Fault] = []
    finders: dict[str, Callable[[str], object]] = {
        "hardware": lambda name: device_file(name, catalog),
        "cluster": lambda name: catalog.find("clusters", name),
        "stack": lambda name: catalog.find("stacks", name),
        "model": lambda name: find_model(name, catalog, download=download),
    }
    for kind, find in finders.items():
        for name in lists.get(kind, ()):
            try:
                find(name)
            except InputError as error:
                faults += error.faults
    if faults:
        raise InputError(faults)


def _name(path: str | None, number: int | None, by_plan: bool, label: Mapping[str, str], one: Request) -> str:
    """What an alternative is called: its file where there are several, and the words that set it apart."""
    parts = []
    if path is not None and (by_plan or not label):
        stem = "standard input" if path == "-" else Path(path).stem
        parts.append(stem if number is None else f"{stem} {number}")
    parts += [
        f"{name} {value}" if value.isdigit() else Path(value).stem if "/" in value else value
        for name, value in label.items()
    ]
    return ", ".join(parts) or str(one.options.hardware or "plan")


def _write(found: Comparison, output: str, places: Places) -> None:
    from llmplan.report import compare as report
    from llmplan.report import compare_formats as formats

    if output == "json":
        typer.echo(dumps(found))
    elif output == "jsonl":
        for one in found.results:
            typer.echo(dumps(one, indent=None))
    elif output == "csv":
        typer.echo(formats.csv_text(found), nl=False)
    elif output == "svg":
        _draw(found)
    elif output == "table":
        report.print_compare(report.rows(found))
    else:
        write_comparison(found, output, places)


def _draw(found: Comparison) -> None:
    from llmplan.answer.training import TrainingResult
    from llmplan.report.svg import svg
    from llmplan.search.comparison import Compared

    answers = [(one.name, one.result) for one in found.results if isinstance(one, Compared)]
    trainings = [(name, one) for name, one in answers if isinstance(one, TrainingResult)]
    if not trainings:
        raise InputError("--format svg draws trainings, and none of these could be planned as one")
    typer.echo(svg(trainings), nl=False)


app.command("compare", cls=PlanCommand)(plan_options(_compare, lists=LISTS))
