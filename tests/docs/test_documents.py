"""The documentation is whole and fresh: links, warnings, vocabulary, tables made from the code, accuracy."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from generated import fresh, warnings_page, words
from pages import DOCS, EXAMPLES, ROOT, blocks, commands, lines_of, name, pages

from llmplan.cli.main import COMMANDS
from llmplan.version import __version__

pytestmark = pytest.mark.frozen

PICTURE = (
    "llmplan compare --model llama-3.1-70b --hardware a100,h100,h200 --devices 64 --seq-len 8192 --global-batch 512 "
    "--stack megatron-core --fit --format svg"
)
TEXTS = [*pages(), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
_LINK = re.compile(r"\[[^\]\[]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`[^`\n]*`")


def _prose(page: Path) -> str:
    """A page without its blocks and without code in its lines."""
    lines = lines_of(page)
    for block in blocks(lines):
        lines[block.first : block.last] = [""] * (block.last - block.first)
    return "\n".join(lines)


def _anchors(page: Path) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", _prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", TEXTS, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(_CODE.sub(lambda match: match[0].replace("](", "] ("), _prose(page))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        inside = target.is_relative_to(ROOT)
        if not inside or not target.exists() or (anchor and target.suffix == ".md" and anchor not in _anchors(target)):
            broken.append(link)
    assert not broken


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    listed = {link.partition("#")[0] for link in _LINK.findall(index)}
    parts = {"README.md", "accuracy-notes.md", "accuracy-serving-notes.md"}  # the index, and what accuracy pages hold
    assert {page.name for page in DOCS.glob("*.md")} - parts <= listed


def test_every_command_is_shown() -> None:
    shown = {command.text.split()[1] for page in pages() for command in commands(lines_of(page))}
    assert set(COMMANDS) <= shown


def test_files_that_are_printed_are_the_examples() -> None:
    """A `yaml` block that starts with `# NAME` holds what docs/examples/NAME holds."""
    compared = 0
    for page in pages():
        for block in blocks(lines_of(page)):
            first = block.lines[0].removeprefix("# ").strip() if block.lines else ""
            if block.language == "yaml" and (EXAMPLES / first).is_file() and first:
                printed = yaml.safe_load("\n".join(block.lines))
                assert printed == yaml.safe_load((EXAMPLES / first).read_text(encoding="utf-8")), (
                    f"{name(page)}: {first}"
                )
                compared += 1
    assert compared


def test_warnings_are_fresh(update: bool) -> None:
    page = DOCS / "warnings.md"
    if update:
        page.write_text(warnings_page(), encoding="utf-8")
    assert page.read_text(encoding="utf-8") == warnings_page()


@pytest.mark.parametrize(
    "page", [page for page in pages() if "<!-- begin" in page.read_text(encoding="utf-8")], ids=name
)
def test_tables_are_fresh(page: Path, update: bool) -> None:
    text = page.read_text(encoding="utf-8")
    if update and fresh(text) != text:
        page.write_text(fresh(text), encoding="utf-8")
    assert page.read_text(encoding="utf-8") == fresh(text)


def test_every_word_is_in_the_nomenclature() -> None:
    both = "".join((DOCS / page).read_text(encoding="utf-8") for page in ("nomenclature.md", "answers.md"))
    known = set(re.findall(r"`([^`\n]+)`", both))
    assert not sorted(words() - known)


def test_accuracy_pages_are_fresh(monkeypatch: pytest.MonkeyPatch, update: bool) -> None:
    """As `python -m llmplan.calibration pages` writes them from the entries and the stored left-out predictions."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("LLMPLAN_CATALOG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(ROOT / "none"))
    from llmplan.calibration.accuracy import pages

    for page, text in pages().items():
        if update:
            (DOCS / page).write_text(text, encoding="utf-8")
        assert _text(page) == text, page


def test_published_layouts_are_those_of_the_measured_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    from llmplan.calibration.layouts import PATH, layouts_table
    from llmplan.catalog.catalog import Catalog

    assert PATH.read_text("utf-8") == layouts_table(Catalog(()))


def test_left_out_figures_of_the_readme_are_those_of_the_accuracy_pages(update: bool) -> None:
    tables = {}
    for page in ("accuracy.md", "accuracy-serving.md"):
        for title, median, inside in re.findall(
            r"^## ([^\n]*)\n\n[^\n]*\n[^\n]*\n\| all \|[^|]*\|([^|]*)\|[^|]*\|[^|]*\|([^|]*)\|", _text(page), re.M
        ):
            tables.setdefault(title, (median.strip(" %"), inside.strip(" %")))
    wanted = {
        "training throughput": tables["Training throughput"][0],
        "training throughput inside the 80 % band": tables["Training throughput"][1],
        "time per output token": tables["Time per output token"][0],
        "time to first token": tables["Time to first token"][0],
        "output tokens a second": tables["Output tokens a second"][0],
        "whole request": tables["Whole request, or static batch"][0],
    }
    readme = (ROOT / "README.md").read_text("utf-8")
    head, mark, rest = readme.partition("<!-- left out -->\n")
    assert mark
    if update:
        for what, value in wanted.items():
            rest = re.sub(rf"^\| {what} \|[^|]*\|$", f"| {what} | {value} % |", rest, count=1, flags=re.M)
        (ROOT / "README.md").write_text(head + mark + rest, encoding="utf-8")
    assert dict(re.findall(r"^\| (.*) \| ([\d.]+) % \|$", rest, re.M)) == wanted


def _text(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def test_the_picture_of_the_readme_is_fresh(run: Callable[[str], tuple[int, str]], update: bool) -> None:
    picture, (_, drawn) = DOCS / "compare.svg", run(PICTURE)
    if update:
        picture.write_text(drawn, encoding="utf-8")
    assert picture.read_text(encoding="utf-8") == drawn


def test_the_readme_is_short() -> None:
    assert len(lines_of(ROOT / "README.md")) < 150


def test_versions_agree() -> None:
    """The one in `llmplan/version.py` is the one that is cited and described."""
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(__version__)}\b", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)


def test_words_of_the_code_are_there() -> None:
    """Each word of the glossary is a class of the room, or module, that the glossary names."""
    part = _text("nomenclature.md").split("## Terms of the code")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| .* \| (`\w+`(?:, `\w+`)*) \|$", part, re.M)
    assert len(rows) > 20
    for names, rooms in rows:
        places = [ROOT / "llmplan" / room for room in re.findall(r"\w+", rooms)]
        files = [
            path for place in places for path in (place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")])
        ]
        code = "\n".join(path.read_text("utf-8") for path in files)
        for word in re.findall(r"\w+", names):
            assert re.search(rf"^class {word}\b", code, re.M), word
