"""What every answer offers in a session of Python: itself as data, in short, as text, in a notebook, as a picture.

Text and pictures are made in rooms above this one; `llmplan.api.calls`, where Python gets answers from, registers how.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from llmplan.answer.data import to_data


@singledispatch
def text_of(answer: Any) -> str:
    """The text that the command line prints for an answer."""
    raise TypeError(f"{type(answer).__name__} has no text")


@singledispatch
def picture_of(answer: Any) -> Any:
    """A figure of matplotlib that shows an answer."""
    raise TypeError(f"{type(answer).__name__} has no picture")


class Shown:
    """An answer. Its fields are the keys of its JSON; `print` shows it in one line."""

    __slots__ = ()

    def headline(self) -> str:
        """What it says, in one line."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """What its JSON holds, as plain dictionaries, lists, numbers and text."""
        found: dict[str, Any] = to_data(self)
        return found

    def to_text(self) -> str:
        """What the command line prints for it."""
        return text_of(self)

    def plot(self) -> Any:
        """A `matplotlib.figure.Figure` of it; needs the extra `plot`."""
        return picture_of(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.headline()}>"

    def _repr_html_(self) -> str:
        from html import escape

        return f'<pre style="line-height: 1.2">{escape(self.to_text())}</pre>'
