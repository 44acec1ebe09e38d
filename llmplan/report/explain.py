"""A warning's code for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmplan.setup.codes import Code


def code_text(name: str, code: Code) -> str:
    """A warning's code for people: title, the sentence with its blanks, the paragraph."""
    return f"{name}: {code.title}\n\n  {code.sentence}\n\n{code.doc}\n"
