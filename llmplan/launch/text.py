"""Writes and reads keys and values as text: flags, overrides, JSON, YAML, TOML."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from llmplan.documents import (
    TOO_DEEP,
    Document,
    is_too_deep,
    lenient_json,
    parse_json,
    parse_yaml,
    to_yaml,
)
from llmplan.errors import Fault, InputError
from llmplan.launch.pairs import Item, spelled

_NUMBER = re.compile(r"-?\d+(?:_\d+)*(\.\d+)?([eE][+-]?\d+)?\Z")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([kKmM])\Z")
_THOUSANDS = {"k": 10**3, "m": 10**6, "K": 2**10, "M": 2**20}
"""As the argument parsers of vLLM and SGLang read them (`human_readable_int`)."""
_OVERRIDE = re.compile(r"\+{0,2}([A-Za-z_][\w.]*)=(.*)\Z", re.DOTALL)
WIDTH = 100


def arguments(pairs: Iterable[tuple[str, Any]], form: str) -> list[str]:
    """Keys and values as words of a command line."""
    found: list[str] = []
    for key, value in pairs:
        if form == "overrides":
            found.append(f"{key}={_scalar(value)}")
        elif value is True:
            found.append(key)
        elif isinstance(value, (list, tuple)):
            found += [key, *map(_scalar, value)]
        else:
            found += [key, _scalar(value)]
    return found


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_scalar, value)) + "]"
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def command_text(words: Sequence[str], starts: Sequence[str] = ()) -> str:
    """A command on lines that end in a backslash: each option with its value on one, and each program of `starts`."""
    lines: list[str] = []
    current = ""
    for word in words:
        quoted = word if re.fullmatch(r"[\w$./:=@,+-]+", word) else shlex.quote(word)
        option = word.startswith("-") and len(word) > 2 and not _NUMBER.match(word)
        if current and (option or word in starts or len(current) + len(quoted) > WIDTH):
            lines.append(current)
            current = f"  {quoted}"
        else:
            current = f"{current} {quoted}" if current else quoted
    return " \\\n".join([*lines, current]) + "\n"


def file_text(pairs: Iterable[tuple[str, Any]], name: str) -> str:
    """Dotted keys as a nested mapping."""
    nested: dict[str, Any] = {}
    for key, value in pairs:
        *path, last = key.split(".")
        place = nested
        for step in path:
            place = place.setdefault(step, {})
        place[last] = list(value) if isinstance(value, tuple) else value
    if name.endswith(".json"):
        return json.dumps(nested, indent=2) + "\n"
    return _toml(nested) if name.endswith(".toml") else to_yaml(nested)


def _toml(data: Mapping[str, Any], path: str = "") -> str:
    """Tables of plain values; a value of JSON is one of TOML too."""
    own = [f"{key} = {json.dumps(value)}\n" for key, value in data.items() if not isinstance(value, dict)]
    below = [_toml(value, f"{path}.{key}".lstrip(".")) for key, value in data.items() if isinstance(value, dict)]
    head = f"[{path}]\n" if path and own else ""
    return "\n".join(part for part in (head + "".join(own), *below) if part)


def read_words(
    words: Sequence[tuple[str, int]], switches: frozenset[str], lists: frozenset[str], file: str, *, modules: bool
) -> Iterator[Item]:
    """Items of a command line; a word that no option takes has the key "".

    switches: options that take no value; lists: those that take all words up to the next option; modules: whether -m
    stands before a module of Python.
    """
    index = 0
    while index < len(words):
        word, line = words[index]
        index += 1
        override = _OVERRIDE.match(word)
        if override is not None:
            yield from _flat(override[1], _typed(override[2], line, file), line, file)
            continue
        if not _is_option(word) or word == "-u" or (word == "-m" and modules):
            yield Item("", word, line, file)
            continue
        key, equals, value = word.partition("=")
        values = [value] if equals else []
        most = 0 if equals else 1 if spelled(key) not in lists else len(words)
        if spelled(key) in switches and (index == len(words) or words[index][0].lower() not in ("true", "false")):
            most = 0
        while len(values) < most and index < len(words) and not _is_option(words[index][0]):
            values.append(words[index][0])
            index += 1
        typed = [_typed(one, line, file) for one in values]
        yield from _flat(key, True if not typed else typed[0] if len(typed) == 1 else typed, line, file)


def _is_option(word: str) -> bool:
    return word.startswith("-") and len(word) > 1 and not _NUMBER.match(word)


def _typed(text: str, line: int, file: str) -> Any:
    """A word of a command line as a number, flag, list or text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if _NUMBER.match(text) and isfinite(number := float(text)):
        return int(number) if number.is_integer() and "." not in text and "e" not in text.lower() else number
    if (size := _SIZE.match(text)) is not None and isfinite(number := float(size[1]) * _THOUSANDS[size[2]]):
        return int(number)
    if text.startswith(("[", "{")):
        try:
            return lenient_json(text, file, line)
        except ValueError:
            return [part.strip(" '\"") for part in text.strip("[]").split(",")] if text[0] == "[" else text
    return text


def _flat(key: str, value: Any, line: int | None, file: str) -> Iterator[Item]:
    """A nested value as keys with dots."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from _flat(f"{key}.{name}" if key else str(name), one, line, file)
    else:
        yield Item(key, value, line, file)


def read_document(text: str, file: str) -> Document:
    """A file of JSON, YAML or TOML as data; an InputError with its line where it is broken."""
    stripped = text.lstrip()
    if file.endswith(".toml") or (not stripped.startswith(("{", "[[")) and re.search(r"^\[[\w.]+\]\s*$", text, re.M)):
        return _toml_document(text, file)
    if stripped.startswith("{") and not file.endswith((".yaml", ".yml")):
        return parse_json(text, file)
    documents = parse_yaml(text, file)
    if not documents or not isinstance(documents[0].data, dict):
        raise InputError(Fault("holds no keys with values", file))
    return documents[0]


def _toml_document(text: str, file: str) -> Document:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        raise InputError(Fault(f"is not valid TOML: {error}", file, int(found[1]) if found else None)) from None
    except RecursionError:
        raise InputError(Fault(TOO_DEEP, file)) from None
    except ValueError:
        raise InputError(Fault("holds a number with too many digits", file)) from None
    if is_too_deep(data):
        raise InputError(Fault(TOO_DEEP, file))
    return Document(data, file, _toml_lines(text))


def _toml_lines(text: str) -> dict[tuple[str | int, ...], int]:
    lines: dict[tuple[str | int, ...], int] = {(): 1}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if (head := re.match(r"\s*\[([\w.]{1,999})\]", line)) is not None:
            table = tuple(head[1].split("."))
            lines[table] = number
        elif (key := re.match(r"\s*([\w.-]{1,999})\s*=", line)) is not None:
            lines[(*table, *key[1].split("."))] = number
    return lines


def document_items(document: Document) -> Iterator[Item]:
    """Items of a file, each with its line."""

    def walk(data: Any, path: tuple[str, ...]) -> Iterator[Item]:
        if isinstance(data, Mapping):
            for key, value in data.items():
                yield from walk(value, (*path, str(key)))
        else:
            yield Item(".".join(path), data, document.line(path), document.file)

    if not isinstance(document.data, Mapping):
        raise InputError(Fault("holds no keys with values", document.file, document.line(())))
    yield from walk(document.data, ())
