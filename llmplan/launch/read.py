"""Reads a command line, a script or configuration files of a framework as options of a plan, each with its place."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from llmplan.documents import Document, lenient_json
from llmplan.errors import Fault, InputError
from llmplan.files import read_text
from llmplan.launch import text
from llmplan.launch.dynamo import PREFILL, pool_options, pools_of, words_of_container
from llmplan.launch.facts import words_of
from llmplan.launch.pairs import Item, same, spelled
from llmplan.launch.quantities import model_devices, whole
from llmplan.launch.shell import MOST, Script, read_script
from llmplan.launch.target import Frame, Target, frames, keys_of
from llmplan.launch.write import PLAN
from llmplan.records import dataclass
from llmplan.setup.options import VOCABULARY

COMMAND = "command line"
SUFFIXES = (".json", ".yaml", ".yml", ".toml")


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read: a document in the words of a plan, and what nothing was made of, each with its place.

    by_recipe: words that a recipe decides, and nothing that was read.
    """

    document: Document
    unread: tuple[Item, ...]
    by_recipe: tuple[str, ...] = ()


@dataclass(slots=True)
class _Found:
    """replicas: of what the items start, where a graph says so; prefill: words of the pool that reads prompts."""

    items: list[Item] = field(default_factory=list)
    rest: dict[str, Any] = field(default_factory=dict)
    replicas: int | None = None
    prefill: dict[str, Any] = field(default_factory=dict)


def read_launch(target: Target, words: Sequence[str], given: Mapping[str, Any], stdin: str | None = None) -> Reading:
    """The plan of a command line (`words`), or of the files that they name.

    given: words that other options say, which what is read may follow from; stdin: what `-` stands for.
    """
    found = _Found()
    for name, content in _texts(words, stdin):
        _read_text(target, content, name, found)
    if not found.items and not found.rest:
        _read_command(target, [(word, 1) for word in words], COMMAND, found)
    return _reading(target, found, given)


def _texts(words: Sequence[str], stdin: str | None) -> Iterator[tuple[str, str]]:
    """The contents of the files that the words name, if all of them are files."""
    if list(words) == ["-"]:
        yield "standard input", stdin or ""
    elif words and all(os.path.isfile(word) for word in words):
        yield from ((word, read_text(word)) for word in words)
    elif len(words) == 1 and (words[0].endswith(SUFFIXES) or words[0].endswith(".sh")):
        raise InputError(Fault("no such file", words[0]))
    elif not words:
        raise InputError("--from: give the command line behind --, a file, or - for standard input")


def _read_text(target: Target, content: str, name: str, found: _Found) -> None:
    if len(content) > MOST:
        raise InputError(Fault(f"has more than the {MOST} characters of a file that starts a run", name))
    _take_rest(content, name, found)
    if name.endswith(SUFFIXES) or _is_data(content):
        _read_data(target, content, name, found)
        return
    script = read_script(content, name)
    for file, (body, above) in script.files.items():
        if file.endswith(SUFFIXES):
            items = text.document_items(text.read_document(body, f"{name} ({file})"))
            found.items += [Item(one.key, one.value, (one.line or 1) + above, name) for one in items]
    _read_script(target, script, name, found)


def _is_data(content: str) -> bool:
    """Whether it is a file of keys and values, not a script, judged by its first line."""
    lines = [line for line in content.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    first = lines[0].strip() if lines else ""
    if first.startswith(("{", "[")) or first == "---":
        return True
    key, colon, value = first.partition(":")
    return bool(colon) and key.replace("_", "").replace("-", "").isalnum() and (not value or value[0] == " ")


def _read_data(target: Target, content: str, name: str, found: _Found) -> None:
    """A file of keys and values, or a Kubernetes resource, which contains the command."""
    document = text.read_document(content, name)
    for pool in pools_of(document):
        its = _Found()
        _read_started(target, pool.command, name, its)
        if pool.role == PREFILL:
            words = words_of(target, None, its.items, _counts(target, its, {})).words
            found.prefill = pool_options(words, pool.replicas, name)
        else:
            found.items, found.replicas = its.items, pool.replicas
    if found.items:
        return
    command = _container(document.data)
    if command:
        _read_started(target, command, name, found)
    else:
        found.items += text.document_items(document)


def _read_started(target: Target, command: list[str], name: str, found: _Found) -> None:
    """What a container is started with: a command, or a shell with a script."""
    if command[0] not in ("sh", "bash", "/bin/sh", "/bin/bash"):
        _read_command(target, [(word, 1) for word in command], name, found)
        return
    script = read_script(command[-1], name)
    _read_script(target, script, name, found)
    for file, (body, _) in script.files.items():
        found.items += text.document_items(text.read_document(body, file))


def _container(data: Any) -> list[str]:
    """The command of the first container of a resource of Kubernetes; empty for any other data."""
    if isinstance(data, dict):
        containers = data.get("containers")
        if isinstance(containers, list) and containers and isinstance(containers[0], dict):
            return words_of_container(containers[0])
        return next((words for value in data.values() if (words := _container(value))), [])
    if isinstance(data, list):
        return next((words for value in data if (words := _container(value))), [])
    return []


def _read_script(target: Target, script: Script, name: str, found: _Found) -> None:
    """The command of a script of which the target knows most options."""
    known = {spelled(key) for setting in (*target.settings, *target.shape) for key in keys_of(setting)}

    def score(command: list[tuple[str, int]]) -> int:
        started = " ".join(word for word, _ in command)
        keys = (word.partition("=")[0] for word, _ in command if word.startswith("-") or "=" in word)
        names = sum(spelled(name) in known for name in keys)
        return names + 100 * (target.program[-1] in started) + (command[0][0] in frames())

    if script.commands:
        _read_command(target, max(script.commands, key=score), name, found)


def _read_command(target: Target, words: list[tuple[str, int]], name: str, found: _Found) -> None:
    """Options of a command, those of its frame among them; the first plain word after the program where one counts."""
    settings = (*target.settings, *target.shape)
    known = {spelled(key) for setting in settings for key in keys_of(setting)}
    switches = {spelled(key) for key in target.switches}
    for setting in settings:
        if setting.default is False or setting.default is True:
            switches |= {spelled(key) for key in keys_of(setting)}
        for keys in (*setting.choices.values(), *(one.keys for one in setting.alternatives)):
            switches |= {spelled(key) for key, value in keys.items() if value is True}
    lists = frozenset(spelled(key) for setting in settings if setting.joined == "spaces" for key in keys_of(setting))
    items = list(text.read_words(words, frozenset(switches), lists, name, modules="m" not in known))
    plain = [item for item in items if not item.key]
    if target.positional and target.program[-1] in [item.value for item in plain]:
        after = [item.value for item in plain].index(target.program[-1]) + 1
        if after < len(plain):
            model = plain[after]
            found.items.append(Item(target.settings[0].also[0], model.value, model.line, name))
    mine = known | {spelled(key) for frame in frames().values() for one in frame.settings for key in keys_of(one)}
    found.items += [item for item in items if item.key and (not item.key.isupper() or spelled(item.key) in mine)]
    # a variable that nothing sets may hold any options
    found.items += [Item(str(one.value), True, one.line, name) for one in plain if str(one.value).startswith("$")]


def _take_rest(content: str, name: str, found: _Found) -> None:
    """The options that the framework lacks, as `launch` wrote them into a comment."""
    for number, line in enumerate(content.splitlines(), 1):
        if line.startswith(PLAN):
            try:
                rest = lenient_json(line.removeprefix(PLAN), name, number)
            except ValueError:
                raise InputError(Fault("what stands behind `# plan:` is not JSON", name, number)) from None
            if not isinstance(rest, dict):
                raise InputError(Fault("what stands behind `# plan:` is no mapping", name, number))
            found.rest |= rest


def _reading(target: Target, found: _Found, given: Mapping[str, Any]) -> Reading:
    """The words: what the target implies, over it the rest of a plan, over it what stands there."""
    known = {**found.rest, **given}
    frame = _frame(target)
    known |= _counts(target, found, known)
    read = words_of(target, frame, found.items, known)
    if "devices" not in known and "devices" not in read.words and (one := model_devices(read.words)) is not None:
        read = words_of(target, frame, found.items, {**known, "devices": one})  # one replica, and the batch that it has
    rest = {name: value for name, value in found.rest.items() if name in VOCABULARY}
    options = {**rest, **read.words}
    options |= {name: value for name, value in rest.items() if same(target.settings, name, value, options[name])}
    if "devices" in given and "dp" not in read.places:  # more of them than one replica takes are replicas
        options.pop("dp", None)
    options.setdefault("stack", target.stacks[0])
    if len(target.workloads) == 1:
        options.setdefault("workload", target.workloads[0])
    if found.replicas is not None:
        options |= _in_graph(options, found.replicas, found.prefill)
    lines: dict[tuple[str | int, ...], int] = {(): 1}
    for word, item in read.places.items():
        if item.line is not None:
            lines[(word,)] = item.line
    file = next((item.file for item in found.items if item.file), COMMAND)
    unread = tuple(item for item in read.unread if item.value is not None)
    return Reading(
        Document(options, file, lines),
        unread,
        tuple(name for name in target.by_recipe if name not in {*options, *known}),
    )


def _in_graph(words: Mapping[str, Any], replicas: int, prefill: Mapping[str, Any]) -> dict[str, Any]:
    """Options of all replicas and pools, from those of one replica and their number."""
    dp = (whole(words, "dp") or 1) * replicas
    devices = (model_devices(words) or 1) * dp + int(prefill.get("prefill_devices", 0))
    return {"dp": dp, "devices": devices, **prefill}


def _frame(target: Target) -> Frame:
    """Every name that some frame has for nodes and devices; they do not contradict each other."""
    own = {spelled(key) for setting in target.settings for key in keys_of(setting)} | {*map(spelled, target.ignored)}
    settings = [setting for frame in frames().values() for setting in frame.settings if spelled(setting.key) not in own]
    ignored = tuple(name for frame in frames().values() for name in frame.ignored)
    return Frame(program=(), settings=tuple(settings), ignored=ignored, sources=())


def _counts(target: Target, found: _Found, known: Mapping[str, Any]) -> dict[str, Any]:
    """Layers and experts of the model, where a name of the target counts in them and the model has a name."""
    if not {"virtual_layers", "looped", "copied_experts"} & {*target.relations}:
        return {}
    from llmplan.catalog.load_model import find_model

    model = known.get("model") or words_of(target, None, found.items).words.get("model")
    if not isinstance(model, str):
        return {}
    try:
        spec = find_model(model).spec
        return {"model_layers": spec.layers, "model_experts": spec.experts}
    except InputError:
        return {}
