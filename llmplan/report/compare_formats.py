"""A comparison in the formats of other programs: Markdown and CSV; `github` writes workflow commands."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llmplan.answer.data import to_data
from llmplan.report.compare import TextRow, columns, legend

if TYPE_CHECKING:
    from llmplan.search.comparison import Comparison


def markdown(found: Sequence[TextRow]) -> str:
    """The rows as a table of GitHub's Markdown."""
    planned = [row for row in found if not row.why]
    heads = columns(planned)
    lines = []
    if planned:
        lines += [_line(["", *heads]), _line(["---", *("---:" for _ in heads)])]
        lines += [_line([row.name, *(row.cells.get(name, "") for name in heads)]) for row in planned]
        lines += [line for text in legend(planned) for line in ("", text)]
    failed = [row for row in found if row.why]
    lines += [""] if failed and planned else []
    lines += [f"- **{_escaped(row.name)}** {_escaped(row.why)}" for row in failed]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _escaped(text: str) -> str:
    """Text that cannot end a cell or start markup."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def csv_text(found: Comparison) -> str:
    """One line an alternative, numbers in SI base units as in JSON, under the same keys joined by dots."""
    flat = [_flat(to_data(one)) for one in found.results]
    heads = list(dict.fromkeys(name for one in flat for name in one))
    out = io.StringIO()
    writer = csv.DictWriter(out, heads, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return out.getvalue()


def _flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested data as one level; lists of words are joined, lists of offers are left to JSON."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            found |= _flat(value, f"{name}.")
        elif isinstance(value, list):
            if all(isinstance(item, str) for item in value):
                found[name] = "; ".join(value)
        else:
            found[name] = str(value).lower() if isinstance(value, bool) else value
    return found
