"""The folders of catalogue entries that a command reads, and the one that it writes into: `--catalog`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CatalogFolders = Annotated[
    list[Path] | None,
    typer.Option("--catalog", metavar="DIR", help="Folder of your own catalogue entries; may be given more than once."),
]
CatalogTarget = Annotated[
    Path | None,
    typer.Option("--catalog", metavar="DIR", help="Folder to write into; default: yours, which every command reads."),
]
