"""The example notebook runs, cell after cell, and shows what it holds."""

from __future__ import annotations

import ast
import base64
import io
import json
from typing import Any

import pytest
from pages import EXAMPLES

pytestmark = pytest.mark.frozen

NOTEBOOK = EXAMPLES / "planning.ipynb"


def cells() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return found


def last_value(source: str, names: dict[str, Any]) -> Any:
    """Runs a cell; the value of the expression at its end, None where there is none."""
    tree = ast.parse(source)
    shown = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(NOTEBOOK), "exec"), names)
    return None if shown is None else eval(compile(ast.Expression(shown.value), str(NOTEBOOK), "eval"), names)


def output(value: Any) -> dict[str, Any]:
    """What a notebook holds of a value, as Jupyter asks for it."""
    html = getattr(value, "_repr_html_", lambda: None)()
    return {"text/plain": repr(value)} | ({} if html is None else {"text/html": html})


def texts(cell: dict[str, Any]) -> list[dict[str, str]]:
    """The outputs of a cell that are text."""
    found = [{kind: "".join(text) for kind, text in one["data"].items()} for one in cell["outputs"]]
    return [{kind: text for kind, text in one.items() if kind.startswith("text/")} for one in found]


@pytest.mark.usefixtures("folder")
def test_the_notebook_runs_and_shows_what_it_holds(update: bool) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    found = cells()
    shown = []
    for cell in found:
        if cell["cell_type"] == "code":
            value = last_value("".join(cell["source"]), names)
            shown.append((cell, value, [] if value is None else [output(value)]))
    assert len(shown) > 8
    stale = [cell["id"] for cell, _, wanted in shown if texts(cell) != wanted]
    if update and stale:
        for number, (cell, value, wanted) in enumerate(shown, 1):
            for data in wanted:
                if hasattr(value, "savefig"):
                    value.savefig(picture := io.BytesIO(), format="png", dpi=72)
                    data["image/png"] = base64.b64encode(picture.getvalue()).decode()
            cell["execution_count"] = number
            cell["outputs"] = [
                {"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": data}
                for data in wanted
            ]
        whole = json.loads(NOTEBOOK.read_text(encoding="utf-8")) | {"cells": found}
        NOTEBOOK.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        stale = []
    assert not stale, "cells whose output is not what they show (LLMPLAN_UPDATE_DOCS=1 writes it)"


def test_the_notebook_is_one_that_jupyter_reads() -> None:
    whole = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (whole["nbformat"], whole["nbformat_minor"]) == (4, 5)
    assert whole["metadata"]["kernelspec"]["name"] == "python3"
    assert len({cell["id"] for cell in whole["cells"]}) == len(whole["cells"])
    for cell in whole["cells"]:
        assert cell["cell_type"] in ("markdown", "code")
