"""Reads command lines from shell scripts: variables, arrays, here-documents; nothing is executed."""

from __future__ import annotations

import re
import shlex
from dataclasses import field

from llmplan.errors import Fault, InputError
from llmplan.records import dataclass

MOST = 2**17
"""Characters of a file that starts a run, and of all that variables put into one."""
_ASSIGNED = re.compile(r"(?:export\s+)?([A-Za-z_]\w*)(\+?)=(.*)\Z", re.DOTALL)
_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)(?:\[[@*]\])?(?::[-=]([^}]{0,999}))?\}|\$([A-Za-z_]\w*)")
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")
_TARGET = re.compile(r">\s*([^\s<>]+)")


@dataclass(slots=True)
class Script:
    """Its commands as words, each with its line, and the files that it writes."""

    commands: list[list[tuple[str, int]]] = field(default_factory=list)
    files: dict[str, tuple[str, int]] = field(default_factory=dict)


@dataclass(slots=True)
class _Variables:
    """Words by the variable that was set to them; left: characters that they may still put in."""

    file: str
    known: dict[str, list[str]] = field(default_factory=dict)
    left: int = MOST

    def put(self, name: str, line: int) -> list[str]:
        """The words of a known variable; an InputError where scripts grow without end."""
        words = self.known[name]
        self.left -= sum(map(len, words))
        if self.left < 0:
            raise InputError(
                Fault(f"variable {name[:60]!r} grows beyond the {MOST} characters of a script", self.file, line)
            )
        return words


def read_script(text: str, name: str = "") -> Script:
    """The commands of a script, its variables put in where they were set to plain words; name: of its file.

    >>> read_script("TP=8\\nvllm serve m \\\\\\n  -tp $TP  # all").commands
    [[('vllm', 2), ('serve', 2), ('m', 2), ('-tp', 3), ('8', 3)]]
    """
    script, variables = Script(), _Variables(name)
    lines = text.splitlines()
    index = 0
    while index < len(lines):
        line, start = lines[index], index
        index += 1
        if line.strip().startswith("#") or not line.strip():
            continue
        if (mark := _HEREDOC.search(line)) is not None:
            end = next((at for at in range(index, len(lines)) if lines[at].strip() == mark[2]), len(lines))
            if (file := _TARGET.search(line)) is not None:
                script.files[file[1].strip("'\"")] = ("\n".join(lines[index:end]) + "\n", index)
            index = end + 1
            continue
        words = _words(line, start)
        closed = _closes_array(words)
        while index < len(lines) and (_goes_on(lines[index - 1]) or (_opens_array(words) and not closed)):
            if not lines[index].strip().startswith("#"):
                more = _words(lines[index], index)
                words += more
                closed = closed or _closes_array(more)
            index += 1
        _take(words, script, variables)
    return script


def _goes_on(line: str) -> bool:
    return line.rstrip().endswith("\\")


def _opens_array(words: list[tuple[str, int]]) -> bool:
    """Whether a statement begins with `NAME=(`."""
    return bool(words) and re.match(r"(?:export\s+)?[A-Za-z_]\w*\+?=\(", words[0][0]) is not None


def _closes_array(words: list[tuple[str, int]]) -> bool:
    return any(word.endswith(")") and not word.endswith("$)") for word, _ in words)


def _words(line: str, index: int) -> list[tuple[str, int]]:
    """The words of a line; where its quotes do not close, it is cut at blanks."""
    text = line.rstrip()
    text = text[:-1] if text.endswith("\\") else text
    try:
        words = shlex.split(text, comments=True)
    except ValueError:
        words = text.split()
    return [(word, index + 1) for word in words]


def _take(words: list[tuple[str, int]], script: Script, variables: _Variables) -> None:
    """Takes one statement: stores an assignment, or keeps a command."""
    while words and words[0][0] in ("export", "exec", "sudo", "nohup", "time", "env"):
        words = words[1:]
    before: list[tuple[str, int]] = []
    while words and (found := _ASSIGNED.match(words[0][0])) is not None:
        name, more, value, line = found[1], found[2], found[3], words[0][1]
        array = value.startswith("(")
        if array:
            items = [(word.removesuffix(")"), at) for word, at in [(value[1:], line), *words[1:]]]
        else:
            items = _words(value, line - 1) if " " in value else [(value, line)]
        filled = [one for item, at in items if item or not array for one in _filled(item, at, variables)]
        if not more:
            variables.known[name] = []
        variables.known.setdefault(name, []).extend(filled)
        if array:
            return
        before.append((f"{name}={' '.join(filled)}", line))
        words = words[1:]
    filled_words = [(one, line) for word, line in words for one in _filled(word, line, variables)]
    if filled_words:
        script.commands.append([*before, *_without_shell(filled_words)])


def _without_shell(words: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """`srun ... bash -c 'vllm serve ...'` as one command."""
    for index, (word, line) in enumerate(words[:-2]):
        if word.rpartition("/")[2] in ("bash", "sh") and words[index + 1][0] in ("-c", "-lc"):
            return [*words[:index], *_words(words[index + 2][0].replace("\\\n", " "), line - 1)]
    return words


def _filled(word: str, line: int, variables: _Variables) -> list[str]:
    """A word with its variables put in; one that is a variable alone may become several, an unknown one stays."""
    alone = _VARIABLE.fullmatch(word)
    if alone is not None and (alone[1] or alone[3]) in variables.known:
        return [one for item in variables.put(alone[1] or alone[3], line) for one in item.split()]

    def put(match: re.Match[str]) -> str:
        name = match[1] or match[3]
        if name in variables.known:
            return " ".join(variables.put(name, line))
        return match[2] if match[2] is not None else match[0]

    return [_VARIABLE.sub(put, word)]
