"""Reads command lines from shell scripts: variables, arrays, here-documents; nothing is executed."""

from __future__ import annotations

import re
import shlex
from dataclasses import field

from llmplan.records import dataclass

_ASSIGNED = re.compile(r"(?:export\s+)?([A-Za-z_]\w*)(\+?)=(.*)\Z", re.DOTALL)
_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)(?:\[[@*]\])?(?::[-=]([^}]*))?\}|\$([A-Za-z_]\w*)")
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")
_TARGET = re.compile(r">\s*([^\s<>]+)")


@dataclass(slots=True)
class Script:
    """Its commands as words, each with its line, and the files that it writes."""

    commands: list[list[tuple[str, int]]] = field(default_factory=list)
    files: dict[str, tuple[str, int]] = field(default_factory=dict)


def read_script(text: str) -> Script:
    """The commands of a script, its variables put in where they were set to plain words.

    >>> read_script("TP=8\\nvllm serve m \\\\\\n  -tp $TP  # all").commands
    [[('vllm', 2), ('serve', 2), ('m', 2), ('-tp', 3), ('8', 3)]]
    """
    script, known = Script(), dict[str, list[str]]()
    lines = text.splitlines()
    index = 0
    while index < len(lines):
        line, start = lines[index], index
        index += 1
        if line.strip().startswith("#") or not line.strip():
            continue
        if (mark := _HEREDOC.search(line)) is not None:
            end = next((at for at in range(index, len(lines)) if lines[at].strip() == mark[2]), len(lines))
            if (name := _TARGET.search(line)) is not None:
                script.files[name[1].strip("'\"")] = ("\n".join(lines[index:end]) + "\n", index)
            index = end + 1
            continue
        words = _words(line, start)
        while index < len(lines) and (_goes_on(lines[index - 1]) or _open_array(words)):
            if not lines[index].strip().startswith("#"):
                words += _words(lines[index], index)
            index += 1
        _take(words, script, known)
    return script


def _goes_on(line: str) -> bool:
    return line.rstrip().endswith("\\")


def _open_array(words: list[tuple[str, int]]) -> bool:
    """Whether `NAME=(` has not been closed yet."""
    opened = bool(words) and re.match(r"(?:export\s+)?[A-Za-z_]\w*\+?=\(", words[0][0]) is not None
    return opened and not any(word.endswith(")") and not word.endswith("$)") for word, _ in words)


def _words(line: str, index: int) -> list[tuple[str, int]]:
    """The words of a line; where its quotes do not close, it is cut at blanks."""
    text = line.rstrip()
    text = text[:-1] if text.endswith("\\") else text
    try:
        words = shlex.split(text, comments=True)
    except ValueError:
        words = text.split()
    return [(word, index + 1) for word in words]


def _take(words: list[tuple[str, int]], script: Script, known: dict[str, list[str]]) -> None:
    """Takes one statement: stores an assignment, or keeps a command."""
    while words and words[0][0] in ("export", "exec", "sudo", "nohup", "time", "env"):
        words = words[1:]
    before: list[tuple[str, int]] = []
    while words and (found := _ASSIGNED.match(words[0][0])) is not None:
        name, more, value = found[1], found[2], found[3]
        if value.startswith("("):
            inside = [(value[1:], words[0][1]), *words[1:]]
            items = [word.removesuffix(")") for word, _ in inside]
            filled = [one for item in items if item for one in _filled(item, known)]
            known[name] = [*known.get(name, []), *filled] if more else filled
            return
        rest = shlex.split(value) if " " in value else [value]
        filled = [one for item in rest for one in _filled(item, known)]
        known[name] = [*known.get(name, []), *filled] if more else filled
        before.append((f"{name}={' '.join(filled)}", words[0][1]))
        words = words[1:]
    if words:
        filled_words = [(one, line) for word, line in words for one in _filled(word, known)]
        script.commands.append([*before, *_without_shell(filled_words)])


def _without_shell(words: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """`srun ... bash -c 'vllm serve ...'` as one command."""
    for index, (word, line) in enumerate(words[:-2]):
        if word.rpartition("/")[2] in ("bash", "sh") and words[index + 1][0] in ("-c", "-lc"):
            return [*words[:index], *_words(words[index + 2][0].replace("\\\n", " "), line - 1)]
    return words


def _filled(word: str, known: dict[str, list[str]]) -> list[str]:
    """A word with its variables put in; one that is a variable alone may become several, an unknown one stays."""
    alone = _VARIABLE.fullmatch(word)
    if alone is not None and (alone[1] or alone[3]) in known:
        return [one for item in known[alone[1] or alone[3]] for one in item.split()]

    def put(match: re.Match[str]) -> str:
        name = match[1] or match[3]
        if name in known:
            return " ".join(known[name])
        return match[2] if match[2] is not None else match[0]

    return [_VARIABLE.sub(put, word)]
