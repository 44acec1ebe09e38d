"""A comparison in the formats of other programs: Markdown, CSV, workflow commands of GitHub."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llmplan.answer.answer import Answer
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


_SHOWN = ("step", "first token", "per token", "tokens/s", "MFU", "days", "cost", "devices billed", "USD/1k requests")


def github_lines(found: Sequence[TextRow], comparison: Comparison) -> list[str]:
    """Workflow commands: an error for what cannot be planned or does not fit, a warning for what is marginal."""
    lines = []
    for row, one in zip(found, comparison.results, strict=True):
        if not isinstance(one, Answer):
            lines.append(_command("error", row.name, row.why))
        elif not one.fits:
            lines.append(_command("error", row.name, f"does not fit: {row.cells['memory']}"))
        elif one.result.verdict == "marginal":
            lines.append(_command("warning", row.name, f"memory is marginal: {row.cells['memory']}"))
        else:
            said = ", ".join(f"{name} {row.cells[name]}" for name in _SHOWN if name in row.cells)
            lines.append(_command("notice", row.name, said))
    return lines


def _command(kind: str, title: str, message: str) -> str:
    """`::kind title=...::message`, escaped as the runner wants it."""
    title = title.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A").replace(":", "%3A").replace(",", "%2C")
    message = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::{kind} title={title}::{message}"
