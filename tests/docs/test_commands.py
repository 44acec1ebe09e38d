"""Commands and examples of the documentation run, and print what is shown below them."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pages import commands, examples, lines_of, matches, name, pages, programs, renewed, tidy

pytestmark = pytest.mark.frozen

WITH_COMMANDS = [page for page in pages() if commands(lines_of(page))]
WITH_PROGRAMS = [page for page in pages() if programs(lines_of(page))]
WITH_EXAMPLES = [page for page in pages() if examples(lines_of(page))]


def test_commands_are_found() -> None:
    page = """\
```console
$ llmplan catalog list \\
    models
one
two

$ llmplan schema  # exit code 2
```

```text
three
```

```bash
llmplan estimate
cat file
```
""".splitlines()
    found = [(one.text, one.line, one.code, one.shown) for one in commands(page)]
    assert found == [
        ("llmplan catalog list models", 2, 0, (3, 5)),
        ("llmplan schema", 7, 2, (10, 11)),
        ("llmplan estimate", 15, 0, None),
    ]


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        (["a"], ["a"], True),
        (["a"], ["a", "b"], False),
        (["a", "...", "c"], ["a", "c"], True),
        (["a", "...", "c"], ["a", "b", "b", "c"], True),
        (["a", "..."], ["a", "b"], True),
        (["...", "c"], ["a", "c"], True),
        (["a", "...", "d"], ["a", "b", "c"], False),
    ],
)
def test_elision(shown: list[str], printed: list[str], same: bool) -> None:
    assert matches(shown, printed) is same


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name)
def test_commands_run_and_print_what_is_shown(page: Path, run: Callable[[str], tuple[int, str]], update: bool) -> None:
    lines = lines_of(page)
    faults, changed = [], []
    for command in commands(lines):
        code, out = run(command.text)
        place = f"{name(page)}:{command.line}: {command.text}"
        if code != command.code:
            faults.append(f"{place}\nexits with {code}, not {command.code}:\n{out}")
        elif command.shown is not None:
            shown, printed = tidy("\n".join(lines[slice(*command.shown)])), tidy(out)
            if not matches(shown, printed):
                changed.append((command.shown, renewed(shown, printed)))
                faults.append(f"{place}\nprints now (LLMPLAN_UPDATE_DOCS=1 writes it):\n" + "\n".join(printed))
    if update and changed:
        for (start, end), new in reversed(changed):
            lines[start:end] = new
        page.write_text("\n".join(lines) + "\n", encoding="utf-8")
        faults = [fault for fault in faults if "prints now" not in fault]
    assert not faults, "\n\n".join(faults)


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=name)
@pytest.mark.usefixtures("folder")
def test_examples_in_python(page: Path) -> None:
    said: list[str] = []
    names: dict[str, Any] = {}
    runner = doctest.DocTestRunner(verbose=False)
    for block in examples(lines_of(page)):
        text = "\n".join(block.lines) + "\n"
        example = doctest.DocTestParser().get_doctest(text, names, name(page), str(page), block.first)
        runner.run(example, out=said.append, clear_globs=False)
        names = example.globs  # a page is one session
    assert not said, "".join(said)


@pytest.mark.parametrize("page", WITH_PROGRAMS, ids=name)
@pytest.mark.usefixtures("folder")
def test_programs_in_python_run(page: Path) -> None:
    for block in programs(lines_of(page)):
        text = "\n" * block.first + "\n".join(block.lines)  # so that an error names the line of the page
        exec(compile(text, str(page), "exec"), {"__name__": name(page)})
