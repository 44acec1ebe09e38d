"""`llmplan catalog list|show|check`: what the catalogue holds, and whether it is sound."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from llmplan.catalog.catalog import Catalog, open_catalog
from llmplan.catalog.entries import KINDS, SHOWN, normal, printable
from llmplan.cli.folders import CatalogFolders, CatalogTarget
from llmplan.cli.help import HelpedCommand
from llmplan.cli.values import PlainGroup
from llmplan.errors import InputError, did_you_mean
from llmplan.files import builtin
from llmplan.records import to_plain

app = typer.Typer(
    help="List, show and check devices, clusters, stacks, prices and models.",
    cls=PlainGroup,
    no_args_is_help=True,
    add_completion=False,
)

JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON, in SI base units.")]


@app.command("list", cls=HelpedCommand)
def list_entries(
    kind: Annotated[str, typer.Argument(help="devices, clusters, stacks, prices or models.")] = "devices",
    catalog: CatalogFolders = None,
    as_json: JsonOption = False,
) -> None:
    """List the entries of a kind with their key figures.

    llmplan catalog list

    llmplan catalog list models

    llmplan catalog list prices --json
    """
    from llmplan.report.catalog import print_table
    from llmplan.report.catalog_rows import rows

    kind = _kind(kind)
    found = rows(open_catalog(catalog or ()), kind)
    if as_json:
        _write({"schema": "llmplan.catalog.catalog-list/1", "kind": kind, "entries": found})
    else:
        print_table(kind, found)


@app.command("show", cls=HelpedCommand)
def show_entry(
    name: Annotated[str, typer.Argument(help="Id or alias of an entry of any kind.")],
    kind: Annotated[str | None, typer.Option(help="Look in this kind only.")] = None,
    catalog: CatalogFolders = None,
    as_json: JsonOption = False,
) -> None:
    """Show everything that an entry says, with its sources and its file.

    llmplan catalog show h100

    llmplan catalog show llama-3.1-8b --kind models

    llmplan catalog show megatron-core --json
    """
    from llmplan.report.catalog import print_entry

    opened = open_catalog(catalog or ())
    kinds = [_kind(kind)] if kind else _kinds_with(opened, name)
    if as_json:
        entries = [_entry(opened, each, name) for each in kinds]
        _write({"schema": "llmplan.catalog.catalog-show/1", "entries": entries})
        return
    for each in kinds:
        print_entry(KINDS[each], opened.entry_document(each, name))


@app.command("check", cls=HelpedCommand)
def check_entries(
    catalog: CatalogFolders = None,
    write_aliases: Annotated[
        bool, typer.Option("--write-aliases", help="First write the alias indexes of the built-in entries anew.")
    ] = False,
) -> None:
    """Check every entry: schema, units, dense against sparse, link directions, dates, sources, references.

    llmplan catalog check

    llmplan catalog check --catalog docs/examples/catalog

    llmplan catalog check --write-aliases
    """
    from llmplan.catalog.check import check_catalog
    from llmplan.catalog.check import write_aliases as write_aliases_of

    if write_aliases:
        for kind in KINDS:
            write_aliases_of(builtin(kind))
    report = check_catalog(open_catalog(catalog or ()))
    if report.faults:
        raise InputError(report.faults)
    typer.echo("checked " + ", ".join(f"{count} {kind}" for kind, count in sorted(report.counts.items())))


@app.command("import-prices", cls=HelpedCommand)
def import_prices(
    file: Annotated[Path, typer.Argument(help="vms.csv of SkyPilot's catalogue.", metavar="FILE")],
    provider: Annotated[str, typer.Option("--provider", help="Provider: aws, gcp, runpod, ...")],
    date: Annotated[
        str | None, typer.Option(metavar="DATE", help="Date of the prices (2026-11-27); default: the file's.")
    ] = None,
    currency: Annotated[
        str | None, typer.Option(metavar="EUR=USD", help="Currency of the file, and what one of it costs: EUR=1.16.")
    ] = None,
    catalog: CatalogTarget = None,
) -> None:
    """Read the prices of a provider out of a catalogue of SkyPilot; they replace the built-in ones of that name.

    llmplan catalog import-prices docs/examples/vms.csv --provider verda

    llmplan catalog import-prices docs/examples/vms.csv --provider verda --date 2026-11-27

    llmplan catalog import-prices docs/examples/vms.csv --provider verda --catalog my-catalog
    """
    from datetime import UTC, datetime

    from llmplan.catalog.catalog import user_folder
    from llmplan.catalog.entries import ID
    from llmplan.catalog.skypilot import SkyNames, read_prices
    from llmplan.documents import to_yaml
    from llmplan.files import write_text

    name = normal(provider)
    if not ID.match(name):
        raise InputError(f"--provider: {printable(provider[:SHOWN])!r} cannot be the name of a file")
    if date is not None and not re.fullmatch(r"\d{4}-\d\d-\d\d", date):
        raise InputError(f"--date: {date[:40]!r} is not YYYY-MM-DD")
    opened = open_catalog([catalog] if catalog is not None and os.path.isdir(catalog) else ())
    if date is None and os.path.isfile(file):
        date = datetime.fromtimestamp(file.stat().st_mtime, UTC).date().isoformat()
    found = read_prices(file, name, date or "", opened.table("skypilot", SkyNames), _rate(currency))
    target = (catalog or user_folder()) / "prices" / f"{name}.yaml"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_text(target, to_yaml(found.entry))
    if found.unknown:
        unknown = ", ".join(f"{one} ({count} rows)" for one, count in sorted(found.unknown.items()))
        typer.echo(f"warning: accelerators that the catalogue does not know: {unknown}", err=True)
    devices = len({one["device"] for one in found.entry["prices"]})
    typer.echo(f"wrote {target}: {len(found.entry['prices'])} prices of {devices} devices, of {date}")


def _rate(text: str | None) -> tuple[str, float] | None:
    """`EUR=1.16` as a currency and what one of it is in USD."""
    if text is None:
        return None
    found = re.fullmatch(r"([A-Za-z]{3})=(\d+(?:\.\d+)?)", text.strip())
    if found is None or not float(found[2]):
        raise InputError(f"--currency: {text[:40]!r} is not a currency and its price in USD, such as EUR=1.16")
    return found[1].upper(), float(found[2])


def _kind(word: str) -> str:
    """A kind as written, singular or plural, in any case."""
    wanted = normal(word)
    if wanted == "hardware":  # as the option is called
        return "devices"
    for kind in KINDS:
        if wanted in (kind, kind.removesuffix("s")):
            return kind
    shown = printable(wanted[:SHOWN])
    raise InputError(f'unknown kind "{shown}"{did_you_mean(shown, KINDS)}; there are {", ".join(KINDS)}')


def _kinds_with(catalog: Catalog, name: str) -> list[str]:
    """The kinds in which a name is known; an InputError with the nearest names if there is none."""
    found = []
    for kind in KINDS:
        try:
            catalog.find(kind, name)
        except InputError:
            continue
        found.append(kind)
    if found:
        return found
    known = sorted({known for kind in KINDS for known in catalog.names(kind)})
    shown = printable(normal(name)[:SHOWN])
    raise InputError(f'nothing in the catalogue is called "{shown}"{did_you_mean(shown, known)}')


def _entry(catalog: Catalog, kind: str, name: str) -> dict[str, Any]:
    """An entry with its file; numbers in SI base units, models as written."""
    path = catalog.find(kind, name)
    loaders: dict[str, Any] = {"devices": catalog.device, "clusters": catalog.cluster, "stacks": catalog.stack}
    data: Any
    if kind in loaders:
        data = {key: part for key, part in to_plain(loaders[kind](name)).items() if key != "id"}
    elif kind == "prices":
        data = to_plain(next(prices for prices in catalog.prices() if prices.id == path.stem))
    else:
        data = catalog.entry_document(kind, name).data
    return {"kind": kind, "id": path.stem, "file": str(path), "entry": data}


def _write(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, indent=2, allow_nan=False))
