"""`llmplan launch`: what starts a plan, in the names of a framework."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from llmplan.answer.resolve import resolve_all
from llmplan.catalog.catalog import open_catalog
from llmplan.cli.completion import frameworks
from llmplan.cli.folders import CatalogFolders
from llmplan.cli.plan_input import From, Given, read_requests
from llmplan.cli.plan_options import PlanCommand, PlanFile, plan_options
from llmplan.errors import Fault, InputError

app = typer.Typer(add_completion=False)


def _launch(
    given: Mapping[str, Any],
    *,
    words: Given = None,
    target: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="FRAMEWORK",
            help="vllm, sglang, megatron, ...; `list` names all.",
            autocompletion=frameworks,
        ),
    ] = "list",
    source: From = None,
    plan: PlanFile = None,
    catalog: CatalogFolders = None,
    launcher: Annotated[
        str | None,
        typer.Option("--launcher", metavar="NAME", help="Launcher for many devices: torchrun, srun, kubernetes, ..."),
    ] = None,
    write: Annotated[
        Path | None, typer.Option("--write", metavar="DIR", help="Write its files and start.sh into this folder.")
    ] = None,
) -> None:
    """Write what starts a plan: a command line, and the configuration file where the framework has one.

    llmplan launch --for vllm --model llama-3.3-70b --hardware h100 --devices 4 --workload serve

    llmplan launch --plan docs/examples/plan.yaml --for megatron --launcher srun

    llmplan launch --for sglang --from vllm --hardware h100 -- vllm serve Qwen/Qwen3-32B -tp 2
    """
    from llmplan.launch.frame import framed
    from llmplan.launch.target import target as find_target
    from llmplan.launch.target import targets
    from llmplan.launch.write import meant_for

    if target == "list":
        for one in targets():
            typer.echo(f"{one.id:16} {one.name} {one.version}: {', '.join(one.workloads)}")
        return
    framework, opened = find_target(target), open_catalog(catalog or ())
    wanted, _ = read_requests(plan, given, source, words)
    if len(wanted) != 1:
        raise InputError(Fault(f"holds {len(wanted)} plans; launch starts one", plan))
    (found,) = resolve_all([meant_for(framework, wanted[0])], opened)
    written = framed(found, framework, opened, launcher)
    for note in written.notes:
        typer.echo(f"note: {note}", err=True)
    if write is None:
        typer.echo(written.text, nl=False)
    else:
        written.save(write)


app.command("launch", cls=PlanCommand)(plan_options(_launch))
