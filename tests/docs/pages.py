"""The documentation as data: pages, fenced blocks, and the commands in them with the output shown below.

A command is a line of a `console` or `bash` block that starts with `llmplan `, with or without `$ ` before it;
a line that ends in a backslash goes on. It has to exit with 0, or with N where `# exit code N` stands behind it.
The output that is shown for it is what follows in the same block (where commands have a `$ `), or a `text` block
right after a block whose last command it is. A line `...` in it stands for any lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"
PROMPT, ELISION = "$ ", "..."
_FENCE = re.compile(r"(```+|~~~+)\s*([\w-]*)\s*\Z")
_EXIT = re.compile(r"\s+#\s*exit code (\d+)\s*\Z")


@dataclass(frozen=True)
class Block:
    """A fenced block; first: index of its first line within the fence, last: of the closing fence."""

    language: str
    first: int
    last: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Command:
    """A command line of a page; shown: the lines (from, to) of the page that show its output, None = not shown."""

    text: str
    line: int
    code: int
    shown: tuple[int, int] | None


def pages() -> list[Path]:
    """README and every page of docs/."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def lines_of(page: Path) -> list[str]:
    """The lines of a page."""
    return page.read_text(encoding="utf-8").splitlines()


def examples(lines: list[str]) -> list[Block]:
    """Blocks with examples in Python, `>>>` before each line."""
    return [
        block for block in blocks(lines)
        if block.language in ("pycon", "python") and any(line.startswith(">>>") for line in block.lines)
    ]  # fmt: skip


def programs(lines: list[str]) -> list[Block]:
    """Blocks of plain Python."""
    return [
        block for block in blocks(lines)
        if block.language == "python" and not any(line.startswith(">>>") for line in block.lines)
    ]  # fmt: skip


def name(page: Path) -> str:
    """A page as messages and test ids name it."""
    return str(page.relative_to(ROOT))


def blocks(lines: list[str]) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found: list[Block] = []
    fence, language, first = "", "", 0
    for index, line in enumerate(lines):
        match = _FENCE.match(line.strip())
        if match is None:
            continue
        if not fence:
            fence, language, first = match[1], match[2], index + 1
        elif match[1] == fence and not match[2]:
            found.append(Block(language, first, index, tuple(lines[first:index])))
            fence = ""
    return found


def commands(lines: list[str]) -> list[Command]:
    """The commands of a page that start with `llmplan `."""
    found: list[Command] = []
    everything = blocks(lines)
    for number, block in enumerate(everything):
        if block.language not in ("console", "bash"):
            continue
        after = everything[number + 1] if number + 1 < len(everything) else None
        if (
            after is None
            or after.language != "text"
            or any(line.strip() for line in lines[block.last + 1 : after.first - 1])
        ):
            after = None
        parts = list(_parts(block))
        for text, start, end in parts:
            inside = (end, _end_of_output(block, end) if _has_prompts(block) else end)
            shown = inside if inside[0] < inside[1] else None
            if shown is None and end == parts[-1][2] and after is not None:
                shown = (after.first, after.last)
            if text.startswith("llmplan "):
                match = _EXIT.search(text)
                found.append(Command(_EXIT.sub("", text), start + 1, int(match[1]) if match else 0, shown))
    return found


def _has_prompts(block: Block) -> bool:
    return any(line.startswith(PROMPT) for line in block.lines)


def _parts(block: Block) -> Iterator[tuple[str, int, int]]:
    """Command lines of a block, continued ones joined: text, index of the first line, index after the last."""
    prompts = _has_prompts(block)
    index = 0
    while index < len(block.lines):
        line, start = block.lines[index], index
        index += 1
        if (prompts and not line.startswith(PROMPT)) or not line.strip() or line.startswith("#"):
            continue
        text = line.removeprefix(PROMPT)
        while text.endswith("\\") and index < len(block.lines):
            text = text[:-1].rstrip() + " " + block.lines[index].removeprefix("> ").strip()
            index += 1
        yield text.strip(), block.first + start, block.first + index


def _end_of_output(block: Block, start: int) -> int:
    """The index after the output that starts at `start`: at the next prompt or the end, without empty lines there."""
    end = start
    while end < block.last and not block.lines[end - block.first].startswith(PROMPT):
        end += 1
    while end > start and not block.lines[end - 1 - block.first].strip():
        end -= 1
    return end


def tidy(text: str) -> list[str]:
    """Lines without blanks at their ends, and without empty lines before and after."""
    return [line.rstrip() for line in text.strip("\n").rstrip().splitlines()]


def matches(shown: list[str], printed: list[str]) -> bool:
    """Whether what is shown is what was printed, `...` standing for any lines.

    >>> matches(["a", "...", "d"], ["a", "b", "c", "d"]), matches(["a", "c"], ["a", "b", "c"])
    (True, False)
    """
    wanted = [".*" if line.strip() == ELISION else re.escape(line) for line in shown]
    pattern = "\n".join(wanted).replace("\n.*\n", "\n(?:.*\n)?")
    return re.fullmatch(pattern, "\n".join(printed), re.DOTALL) is not None


def renewed(shown: list[str], printed: list[str]) -> list[str]:
    """What is shown, as printed now; what one `...` leaves out stays left out. Others than that stay as they are."""
    gaps = [index for index, line in enumerate(shown) if line.strip() == ELISION]
    if not gaps:
        return printed
    if len(gaps) > 1:
        return shown
    head, tail = gaps[0], len(shown) - gaps[0] - 1
    return [*printed[:head], shown[gaps[0]], *(printed[-tail:] if tail else [])]
