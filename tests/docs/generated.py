"""Parts of the documentation that are made from the code: whole pages, and tables between two marks.

A table stands between `<!-- begin NAME -->` and `<!-- end NAME -->`; NAME is one of `TABLES`.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import yaml
from pages import ROOT

import llmplan
from llmplan.answer.rows import BESIDE
from llmplan.calibration import kernels
from llmplan.launch.target import targets
from llmplan.records import names
from llmplan.report.schemas import field_texts, json_schema
from llmplan.setup.codes import CODES
from llmplan.setup.limits import Limits
from llmplan.setup.options import FLAGS, VOCABULARY
from tests.plan.test_rooms import MODULES, PLACES, ROOMS, imported, room

TAKES = {
    "array": "list, with commas between",
    "object": "text or mapping",
    "number string": "number with its unit",
    "number": "number",
    "string": "text",
}
"""Types of a schema, the first that a key has all of."""
_TABLE = re.compile(r"(<!-- begin ([\w-]+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)


WARNINGS = """\
# Warnings

A warning is data: a code and a sentence, in the table of an estimate and under `warnings` in its JSON. It never changes
the exit code. A code keeps its meaning for ever; a new warning takes a new number. In the sentences below, words in
braces are filled in.

`llmplan explain LP010` prints one paragraph of this page, which is made from
[`llmplan/setup/codes.py`](../llmplan/setup/codes.py); `make pages` rewrites it.
"""


def warnings_page() -> str:
    """`docs/warnings.md`: every code, its sentence and its paragraph."""
    return "\n".join([WARNINGS, *(_paragraph(code) for code in CODES)])


def _paragraph(code: str) -> str:
    one = CODES[code]
    return f"## {code}: {one.title}\n\n> {one.in_general}\n\n{one.doc}\n"


def options_table() -> str:
    """Every word of a plan: option, key, what it takes, what it means, in the panels of the help."""
    properties = json_schema("plan")["properties"]
    lines: list[str] = []
    panel = ""
    for name, told in VOCABULARY.items():
        if told["panel"] != panel:
            panel = told["panel"]
            lines += ["", f"**{panel}**", "", "| option | key | takes | meaning |", "| --- | --- | --- | --- |"]
        option = f"--{name.replace('_', '-')}"
        option = f"{option}`, `--no-{option[2:]}" if name in FLAGS else option
        takes = _takes(properties[name], name)
        lines.append(_row(f"`{option}`", f"`{name}`", takes, told["description"]))
    return "\n".join(lines[1:]) + "\n"


def _takes(schema: dict[str, Any], name: str) -> str:
    """What a key takes, from its JSON Schema."""
    if name in FLAGS:
        return "true, false"
    parts = [inner for part in schema.get("anyOf", [schema]) for inner in part.get("anyOf", [part])]
    for part in parts:
        if "enum" in part:
            return ", ".join(f"`{word}`" for word in part["enum"])
        if part.get("type") == "integer":
            return f"whole number {part['minimum']} to {part['maximum']:,}".replace(",", " ")
    types = {part.get("type", "object") for part in parts}
    return next(text for words, text in TAKES.items() if types >= set(words.split()))


def limits_table() -> str:
    """Limits for `--check`."""
    texts = field_texts(Limits)
    lines = ["| key | holds for |", "| --- | --- |"]
    return "\n".join(lines + [_row(f"`{name}`", texts.get(name, "as named")) for name in names(Limits)]) + "\n"


def numbers_table() -> str:
    """Fitted coefficients of a stack, from `numbers.yaml`."""
    table = yaml.safe_load((ROOT / "hardware_catalog" / "numbers.yaml").read_text(encoding="utf-8"))
    lines = ["| coefficient | unit | prior | at most | meaning |", "| --- | --- | --- | --- | --- |"]
    for name, item in table.items():
        prior, ceiling = f"{item['prior']:g}", f"{item['ceiling']:g}"
        lines.append(_row(f"`{name}`", item["unit"], prior, ceiling, item["meaning"]))
    return "\n".join(lines) + "\n"


def launchers_table() -> str:
    """Frameworks that plans are started with, from `hardware_catalog/launchers/`."""
    lines = ["| `--for` | framework | version | workloads | writes | cannot |", "| --- | --- | --- | --- | --- | --- |"]
    for one in targets():
        writes = f"`{one.file}` and a command" if one.file else "a command"
        cannot = ", ".join(f"`{name}`" for name in one.cannot if name in VOCABULARY)
        lines.append(_row(f"`{one.id}`", one.name, one.version, ", ".join(one.workloads), writes, cannot))
    return "\n".join(lines) + "\n"


def answer_table(name: str) -> str:
    """Keys of an estimate's JSON below `result`, with the texts of their schema; name: of the class."""
    parts = json_schema("estimate")["$defs"]
    lines = ["| key | meaning |", "| --- | --- |"]
    for paths, text in _keys(parts[name], parts, ""):
        lines.append(_row(", ".join(f"`{path}`" for path in paths), text))
    return "\n".join(lines) + "\n"


def _keys(part: dict[str, Any], parts: dict[str, Any], path: str) -> Iterator[tuple[list[str], str]]:
    """Keys with a text, those of a part below it; the others together, for their names say it."""
    plain, nested = [], []
    for name, field in part.get("properties", {}).items():
        inner = next((found for found in _references(field) if found != "Interval"), None)
        text = field.get("description", parts[inner].get("description", "") if inner else "")
        if inner:
            many = "*." if "additionalProperties" in str(field) else ""
            nested.append((name, text, inner, f"{path}{name}.{many}"))
        elif text:
            yield [path + name], text
        else:
            plain.append(path + name)
    if plain:
        yield plain, "as named"
    for name, text, inner, below in nested:
        yield [path + name], text
        yield from _keys(parts[inner], parts, below)


def _references(field: Any) -> Iterable[str]:
    return re.findall(r"#/\$defs/(\w+)", str(field))[:1]


def rooms_table() -> str:
    """The packages in the order in which they may import each other, and what each does import."""
    used: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        used.setdefault(room(name), set()).update(room(other) for other in imported(path))
    lines = ["| package | what is in it | imports |", "| --- | --- | --- |"]
    for name in (name for together in ROOMS for name in together):
        says = (importlib.import_module(f"llmplan.{name}").__doc__ or "").partition("\n")[0]
        imports = ", ".join(f"`{other}`" for other in PLACES if other != name and other in used[name])
        lines.append(_row(f"[`{name}`](../llmplan/{name})", says, imports))
    return "\n".join(lines) + "\n"


def public_table() -> str:
    """What `from llmplan import ...` gives, with the first sentence of its documentation."""
    lines = ["| name | what it is |", "| --- | --- |"]
    for name in sorted(llmplan.__all__, key=lambda name: (not name[0].islower(), name.lower())):
        found = getattr(llmplan, name)
        call = f"{name}{_parameters(found)}" if inspect.isfunction(found) else name
        says = "The version." if name == "__version__" else " ".join((found.__doc__ or "").split("\n\n")[0].split())
        lines.append(_row(f"`{call}`", says))
    return "\n".join(lines) + "\n"


def _parameters(function: Any) -> str:
    """A function's parameters with their defaults, without their types."""
    signature = inspect.signature(function)
    plain = [one.replace(annotation=one.empty) for one in signature.parameters.values()]
    return str(signature.replace(parameters=plain, return_annotation=signature.empty))


def kernels_table() -> str:
    """Errors of the catalogue's curves on measured kernels, as `python -m llmplan.calibration kernels` prints them."""
    folder = ROOT / "hardware_catalog" / "microbenchmarks"
    return "\n\n".join(kernels.errors(cases(folder)) for cases in kernels.KINDS.values()) + "\n"


def words() -> set[str]:
    """Every word that nomenclature.md must hold: options, columns beside them, parts of memory and time."""
    schema = json_schema("estimate")["$defs"]
    parts = {
        key for name in ("MemoryAnswer", "TimeAnswer") for key in schema[name]["properties"]["parts"]["properties"]
    }
    return {*VOCABULARY, *names(Limits), *BESIDE, *parts}


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in cells)} |"


TABLES: dict[str, Callable[[], str]] = {
    "options": options_table,
    "limits": limits_table,
    "training-answer": lambda: answer_table("TrainingResult"),
    "serving-answer": lambda: answer_table("ServingResult"),
    "coefficients": numbers_table,
    "launchers": launchers_table,
    "rooms": rooms_table,
    "public": public_table,
    "kernels": kernels_table,
}


def fresh(text: str) -> str:
    """A page with its tables as the code makes them now; a KeyError for a table that is not known."""
    return _TABLE.sub(lambda match: f"{match[1]}\n{TABLES[match[2]]()}\n{match[3]}", text)
