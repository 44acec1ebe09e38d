"""`Answer.why`: where a figure of an answer comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llmplan.answer.data import to_data
from llmplan.answer.explain import Explained, explain
from llmplan.answer.explanation import explanation
from llmplan.answer.resolve import plan_from
from llmplan.answer.shown import Shown
from llmplan.answer.terms import terms_named
from llmplan.catalog.catalog import open_catalog
from llmplan.records import dataclass

if TYPE_CHECKING:
    from llmplan.catalog.catalog import Catalog


@dataclass(frozen=True, slots=True, repr=False)
class Why(Shown):
    """The calculation behind a figure, down to formulas, options and fields of the catalogue; `print` shows all of it.

    depth: levels of calls that the text shows; None = three of one figure, one of many.
    """

    found: Explained
    depth: int | None = None

    def headline(self) -> str:
        """The figures, with their units."""
        return ", ".join(
            f"{name} = {float(value):.6g} {self.found.terms[name].unit}" for name, value in self.found.values.items()
        )

    def to_dict(self) -> dict[str, Any]:
        """What `llmplan explain --json` writes: every operation of the calculation."""
        found: dict[str, Any] = to_data(explanation(self.found))
        return found

    def __str__(self) -> str:
        return self.to_text()


def why(inputs: Mapping[str, Any], term: str, depth: int | None, catalog: Catalog | None) -> Why:
    """A figure of the plan of these options, explained; `all` explains every figure."""
    opened = catalog or open_catalog()
    plan = plan_from(inputs, catalog=opened)
    return Why(explain(plan, opened, terms_named(term, plan)), depth)
