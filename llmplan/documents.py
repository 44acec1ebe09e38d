"""Parses YAML and JSON that may be broken or hostile, and remembers the line of every key.

Every fault becomes an `InputError` that names file and line. Nothing here knows what the data mean; `llmplan.schema`
checks that.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import field
from functools import lru_cache
from typing import Any

import yaml

from llmplan.errors import Fault, InputError
from llmplan.records import dataclass

MAX_NODES = 200_000  # values after aliases are expanded: a YAML bomb passes this at once
MAX_DEPTH = 60
_DEPTH_OF_STACK = 5000  # collections within each other that libyaml's composer surely manages
_LEAST_OF_VALUE = 2  # characters that a value takes
_EVENTS_READ_AGAIN = 50_000  # about a second; a broken file that is longer keeps what libyaml says of it
SHOWN = 60  # characters of a bad value in a message
TOO_MANY = "expands to more values than any plan has"
TOO_DEEP = "is nested too deeply"

# YAML 1.1 reads 010 as 8 and 1:30 as 90: nobody who plans means that
_SURPRISING = re.compile(r"[-+]?(0[0-9_]+|[0-9][0-9_]*(:[0-5]?[0-9])+)(\.[0-9_]*)?\Z")

_RESOLVER = yaml.resolver.Resolver()
_TEXT = "tag:yaml.org,2002:str"  # of most values, which are what they are written as
_FLOW_STYLE = re.compile(r"[\s\[{]*[A-Za-z_][\w-]*\s*:")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads safely, in C where there is a libyaml; a catalogue has the same words in every file."""

    resolve = staticmethod(lru_cache(maxsize=8192)(_RESOLVER.resolve))

    def descend_resolver(self, parent: Any, index: Any) -> None:
        """Tags hang on no path."""

    def ascend_resolver(self) -> None:
        """The same."""


Path_ = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """Parsed data, where it came from, and the line of each key and item by its path."""

    data: Any
    file: str
    lines: dict[Path_, int] = field(default_factory=dict)

    def line(self, path: Path_) -> int | None:
        """The line of `path`, or of its nearest ancestor that has one."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return None


class _RefusedError(Exception):
    """What JSON allows and a plan does not."""


def _refuse(token: str) -> Any:
    raise _RefusedError(f"{token} is not a finite number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = [key for key, _ in pairs if key in seen or seen.add(key)]  # type: ignore[func-returns-value]
        raise _RefusedError(f"key {twice[0]!r} stands twice")
    return result


_DECODER = json.JSONDecoder(parse_constant=_refuse, object_pairs_hook=_unique)


def parse_json(text: str, file: str, first_line: int = 1) -> Document:
    """JSON, refusing NaN, infinity and repeated keys; lines only for the document as a whole."""

    try:
        data = _DECODER.decode(text)
    except _RefusedError as error:
        raise InputError(Fault(str(error), file, first_line)) from None
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise InputError(Fault(f"is not valid JSON: {error.msg} (column {error.colno})", file, line)) from None
    except RecursionError:
        raise InputError(Fault(TOO_DEEP, file, first_line)) from None
    except ValueError:
        raise InputError(Fault("holds a number with too many digits", file, first_line)) from None
    if len(text) > _LEAST_OF_VALUE * MAX_NODES and is_too_large(data):
        raise InputError(Fault(TOO_MANY, file, first_line))
    if text.count("[") + text.count("{") > MAX_DEPTH and is_too_deep(data):
        raise InputError(Fault(TOO_DEEP, file, first_line))
    return Document(data, file, {(): first_line})


def lenient_json(text: str | bytes, file: str, line: int | None = None) -> Any:
    """JSON as Python's own module reads it, with Infinity and keys that stand twice.

    A ValueError where it is none; an InputError where it is nested deeper than anything that is read here.
    """
    try:
        data = json.loads(text)
    except RecursionError:
        raise InputError(Fault(TOO_DEEP, file, line)) from None
    if is_too_deep(data):
        raise InputError(Fault(TOO_DEEP, file, line))
    return data


def is_too_deep(data: Any) -> bool:
    """Whether collections stand deeper in each other than any plan's: nothing recurses that deep."""
    level = [data]
    for _ in range(MAX_DEPTH):
        level = [item for value in level for item in _items(value)]
    return any(isinstance(value, (dict, list)) for value in level)


def _items(value: Any) -> Collection[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def is_too_large(data: Any) -> bool:
    """Whether there are more values than any plan has."""
    count, waiting = 0, [data]
    while waiting:
        value = waiting.pop()
        children = _items(value)
        count += 1 + len(children)
        if count > 2 * MAX_NODES:  # each child is counted with its parent and by itself
            return True
        waiting.extend(children)
    return False


def parse_yaml(text: str, file: str) -> list[Document]:
    """Every document of a YAML text (JSON is YAML too), with the line of each key."""
    try:
        if _may_exhaust_the_stack(text):
            _refuse_depth(yaml.parse(text, Loader=_Loader), file)
        if len(text) > _LEAST_OF_VALUE * MAX_NODES:
            _refuse_many(yaml.parse(text, Loader=_Loader), file)
        nodes = list(yaml.compose_all(text, Loader=_Loader))
        return [_build(node, file) for node in nodes if node is not None]
    except yaml.MarkedYAMLError as error:
        # newer libyaml stops at a depth of its own, in words of its own; it looks ahead, and so may stop before it
        # hands out the events that show the depth, which the loader in Python never does
        _refuse_depth(itertools.islice(yaml.parse(text, Loader=yaml.SafeLoader), _EVENTS_READ_AGAIN), file)
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "cannot be parsed"
        raise InputError(Fault(f"is not valid YAML: {problem}", file, mark.line + 1 if mark else None)) from None
    except yaml.YAMLError as error:
        reason = str(error).partition("\n")[0]
        raise InputError(Fault(f"is not valid YAML: {reason}", file)) from None
    except RecursionError:
        raise InputError(Fault(TOO_DEEP, file)) from None
    except UnicodeEncodeError:  # an escape in a text within a text
        raise InputError(Fault("holds half a character (a lone surrogate)", file)) from None


def _may_exhaust_the_stack(text: str) -> bool:
    """Whether collections may stand so deep in each other that libyaml's composer, which recurses, runs out of stack.

    Only a text of that many brackets, or with lines that long, can be so deep.
    """
    longest = max(map(len, text.splitlines()), default=0)
    return longest + text.count("[") + text.count("{") >= _DEPTH_OF_STACK


def _refuse_many(events: Iterable[Any], file: str) -> None:
    """An InputError where there are more values than any plan has, before they are made."""
    count = 0
    for event in events:
        count += isinstance(event, (yaml.NodeEvent, yaml.DocumentStartEvent))
        if count > 2 * MAX_NODES:  # a key and a value each
            raise InputError(Fault(TOO_MANY, file, event.start_mark.line + 1))


def _refuse_depth(events: Iterable[Any], file: str) -> None:
    """An InputError where collections stand deeper in each other than any plan's; other faults are left to the caller.

    Events come one by one, without recursion.
    """
    depth = 0
    with contextlib.suppress(yaml.YAMLError):
        for event in events:
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise InputError(Fault(TOO_DEEP, file, event.start_mark.line + 1 if event.start_mark else None))


def parse_documents(text: str, file: str) -> Iterator[Document]:
    """YAML, JSON or JSON lines, told apart by what stands there rather than by the file's name."""
    stripped = text.lstrip()
    if not stripped.startswith(("{", "[")):
        yield from parse_yaml(text, file)
        return
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(lines) > MAX_NODES:
        raise InputError(Fault(TOO_MANY, file, MAX_NODES))
    if len(lines) > 1 and all(line.strip().startswith("{") and line.strip().endswith("}") for _, line in lines):
        for number, line in lines:
            yield parse_json(line, file, number)
        return
    try:
        yield parse_json(text, file)
    except InputError as fault:
        if file.endswith((".yaml", ".yml")) or (is_flow_style(text) and not file.endswith(".json")):
            yield from parse_yaml(text, file)
        else:
            raise fault


def is_flow_style(text: str) -> bool:
    """Whether a text is meant as YAML in braces rather than JSON: its first key has no quotes.

    >>> is_flow_style("{model: llama-3.1-8b}"), is_flow_style('{"model": "llama-3.1-8b"}'), is_flow_style("{torn")
    (True, False, False)
    """
    return _FLOW_STYLE.match(text) is not None


def to_yaml(data: Any) -> str:
    """Plain data as YAML in the order of its keys; read back it is the same data."""
    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, default_flow_style=False, width=100))


def _build(root: yaml.Node, file: str) -> Document:
    """Plain data from a node graph; counts nodes as aliases expand, so a bomb stops early."""
    constructor = yaml.SafeLoader("")
    lines: dict[Path_, int] = {(): root.start_mark.line + 1}
    left = MAX_NODES

    def build(node: yaml.Node, path: Path_) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise InputError(Fault(TOO_MANY, file, node.start_mark.line + 1))
        if isinstance(node, yaml.ScalarNode):
            return node.value if node.tag == _TEXT else _scalar(constructor, node, path, file)
        if len(path) >= MAX_DEPTH:
            raise InputError(Fault(TOO_DEEP, file, node.start_mark.line + 1))
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                lines[(*path, index)] = item.start_mark.line + 1
            return [build(item, (*path, index)) for index, item in enumerate(node.value)]
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key, line = key_node.value, key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise InputError(Fault("a key must be a word", file, line))
            if key in result:
                raise InputError(Fault(f"key {key!r} stands twice", file, line))
            at = (*path, key)
            lines[at] = line
            result[key] = build(value_node, at)
        return result

    return Document(build(root, ()), file, lines)


def _scalar(constructor: Any, node: yaml.Node, path: Path_, file: str) -> Any:
    """A value that is no text; a fault for what YAML 1.1 would read as another number than is written."""
    line = node.start_mark.line + 1
    number = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
    if number and _SURPRISING.match(node.value):
        text = f"{node.value[:SHOWN]!r} is no plain number: leave out leading zeros and colons, or quote it"
        raise InputError(Fault(text, file, line))
    try:
        value = constructor.construct_object(node)
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(
                Fault(f"{'.'.join(map(str, path))}: {node.value[:SHOWN]} is not a finite number", file, line)
            )
        return value
    except (yaml.YAMLError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(Fault(f"{str(node.value)[:SHOWN]!r} cannot be read: {reason}", file, line)) from None
