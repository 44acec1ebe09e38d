"""The table of warnings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import llmplan
from llmplan.setup.codes import CODES, Code

SOURCES = "".join(path.read_text() for path in Path(llmplan.__file__).parent.rglob("*.py") if path.name != "codes.py")


@pytest.mark.parametrize(("name", "code"), CODES.items())
def test_a_code_is_complete_and_used(name: str, code: Code) -> None:
    assert re.fullmatch(r"LP0\d\d", name)
    assert all((code.title, code.sentence, code.doc.endswith(".")))
    assert f'"{name}"' in SOURCES


def test_every_code_that_is_used_is_in_the_table() -> None:
    assert set(re.findall(r'"(LP\d{3})"', SOURCES)) <= set(CODES)


@pytest.mark.parametrize("code", CODES.values())
def test_a_sentence_of_no_plan_can_be_read(code: Code) -> None:
    assert not re.search(r"[{}]", code.in_general)


def test_in_general_nothing_is_advised() -> None:
    assert CODES["LP031"].in_general == "matrix units take N % of the time"
