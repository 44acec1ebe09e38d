"""The functions of `from llmplan import ...`: each command of the command line, with plans and answers as objects."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmplan.answer.answer import Answer, answer
from llmplan.answer.data import to_data
from llmplan.answer.shown import Shown, picture_of, text_of
from llmplan.api.plans import AsPlan, asked, complete, documents, words
from llmplan.catalog.catalog import Catalog, open_catalog, user_folder
from llmplan.errors import InputError
from llmplan.setup.limits import Limits, read_limits

if TYPE_CHECKING:
    from llmplan.answer.resolve import AnyPlan
    from llmplan.answer.summary import PlanSummary
    from llmplan.answer.validate import Validation
    from llmplan.calibration.own import Calibration
    from llmplan.search.answers import FitAnswer
    from llmplan.search.comparison import Comparison
    from llmplan.setup.request import Request

BATCH = 4096
"""Plans that are worked out at once."""


@text_of.register(Shown)
def _(answer: Shown) -> str:
    from llmplan.api.text import text

    return text(answer)


@picture_of.register(Shown)
def _(answer: Shown) -> Any:
    from llmplan.api.pictures import picture

    return picture(answer)


def estimate(plan: AsPlan, *, catalog: Catalog | None = None) -> Answer:
    """Memory, time, bottleneck and cost of a plan, which may be a `Plan`, a mapping of its options, or a file.

    `estimate({"model": "llama-3.1-8b", "hardware": "h100", "devices": 8}).result.memory.peak_bytes.value`
    """
    opened = catalog or open_catalog()
    return answer(complete(plan, opened), opened)


def estimate_many(
    plans: Iterable[AsPlan], *, catalog: Catalog | None = None, summary: bool = False
) -> Iterator[Answer | PlanSummary | InputError]:
    """The answers to many plans, in their order, a batch at a time: what shares model and machine goes together.

    A plan that cannot be answered has its InputError in its place. summary: the main figures alone, ten times as fast.
    """
    from llmplan.answer.many import answers

    opened, waiting = catalog or open_catalog(), iter(plans)
    while batch := list(islice(waiting, BATCH)):
        yield from answers([_asked_or_refused(one) for one in batch], opened, summary=summary)


def _asked_or_refused(plan: AsPlan) -> Request | AnyPlan | InputError:
    try:
        return asked(plan)
    except InputError as error:
        return error


def to_columns(answers: Iterable[Any]) -> dict[str, list[Any]]:
    """Answers as a table, for a data frame: `pandas.DataFrame(llmplan.to_columns(answers))`.

    A column for each figure, named by the keys that lead to it in JSON, joined by dots; None where a row has none. A
    plan that was refused has its faults under `error`. What is a list (assumptions, warnings) is left out.
    """
    rows = [dict(_cells(one)) for one in answers]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _cells(answer: Any) -> Iterator[tuple[str, Any]]:
    waiting = [("", {"error": str(answer)} if isinstance(answer, InputError) else to_data(answer))]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{path}.{name}" if path else name, part) for name, part in reversed(value.items())]
        elif not isinstance(value, list):
            yield path, value


def fit(
    plan: AsPlan, *, objective: str | None = None, limits: Limits | Mapping[str, Any] | str | None = None,
    surely: bool = False, max_devices: int | None = None, top: int = 5, pareto: tuple[str, str] | None = None,
    try_offload: bool = False, try_split: bool = False, maximize: str | None = None, minimize: str | None = None,
    min_output_tokens_per_second: float | None = None, catalog: Catalog | None = None,
) -> FitAnswer:  # fmt: skip
    """The best layouts for a plan, whose options of the layout may be lists or ranges; the options of `llmplan fit`.

    limits: as a plan file has them, such as `{"max_days": 30}`; they win over those of the plan.

    `fit({"model": "llama-3.1-8b", "hardware": "h100", "devices": "8,16", "tp": "1..4"}).results[0].inputs`
    """
    from llmplan.search.api import answered
    from llmplan.search.ask import Ask, Wishes
    from llmplan.search.choices import is_open
    from llmplan.search.written import one_request

    given = {} if isinstance(plan, (str, os.PathLike)) else words(plan)
    opens = {name: value for name, value in given.items() if is_open(name, value)}
    fixed = {name: value for name, value in given.items() if name not in opens}
    wanted, listed = one_request(documents(plan) if isinstance(plan, (str, os.PathLike)) else None, fixed)
    wishes = Wishes(objective, _limits(limits), surely, max_devices, top, pareto, try_offload, try_split)
    return answered(
        Ask(wanted, {**listed, **opens}, wishes), catalog or open_catalog(), maximize=maximize, minimize=minimize,
        least_rate=min_output_tokens_per_second,
    )  # fmt: skip


def _limits(given: Limits | Mapping[str, Any] | str | None) -> Limits:
    from llmplan.documents import Document
    from llmplan.schema import check

    return given if isinstance(given, Limits) else check(Document(dict(read_limits(given or {})), ""), Limits)


def compare(
    *plans: AsPlan, by: str | None = None, fit: bool = False, catalog: Catalog | None = None, **named: AsPlan
) -> Comparison:
    """Plans side by side, each as `estimate` gives it: several, or one in which options have several values.

    by: what to rank by, as `--by` of `llmplan compare`; fit: each at its own best layout. Plans that are given by
    keyword are called by it.

    `compare({"model": "llama-3.1-8b", "hardware": ["a100", "h100"], "devices": 8}, by="throughput")`
    """
    from dataclasses import replace

    from llmplan.search.alternatives import EveryAlternative
    from llmplan.search.comparison import compare as side_by_side

    opened, found, seen = catalog or open_catalog(), [], Counter[str]()
    for name, plan in [*zip(_names(plans), plans, strict=True), *named.items()]:
        a_file = isinstance(plan, (str, os.PathLike))
        source = (str(plan), documents(plan)) if isinstance(plan, (str, os.PathLike)) else (None, None)
        for one in EveryAlternative([source], {} if a_file else words(plan), opened):
            called = one.name if not name else f"{name}, {one.name}" if one.words else name
            seen[called] += 1
            found.append(replace(one, name=called if seen[called] == 1 else f"{called} ({seen[called]})"))
    return side_by_side(found, opened, fit=fit, by=by).whole()


def _names(plans: Sequence[AsPlan]) -> list[str]:
    """What plans are called: the options in which one differs from the others; nothing of a file, whose name it has."""
    texts = [{} if isinstance(one, (str, os.PathLike)) else words(one) for one in plans]
    written = [options for options in texts if options]
    differing = [
        name for name in dict.fromkeys(name for options in written for name in options)
        if any(one.get(name) != written[0].get(name) for one in written)
    ]  # fmt: skip
    return [", ".join(f"{name} {options[name]}" for name in differing if name in options) for options in texts]


def validate(path: str | os.PathLike[str], *, stack: str = "", catalog: Catalog | None = None) -> Validation:
    """Predictions beside every measured run of a CSV (docs/measurements.md), and how far off they are.

    stack: what all rows are planned with, instead of the stack that each names.
    """
    from llmplan.answer.rows import read_rows
    from llmplan.answer.validate import validate as predict
    from llmplan.answer.validate import validation

    return validation(predict(read_rows(Path(path)), catalog or open_catalog(), stack))


def calibrate(
    path: str | os.PathLike[str], stack: str, *, parent: str | None = None, folder: str | os.PathLike[str] | None = None
) -> Calibration:
    """Fits a stack on your own runs, starting from `parent`, the stack that they ran.

    folder: the catalogue that it is written to; the user's, which every command reads, where it is None.
    """
    from llmplan.calibration.own import calibrate as fit_runs

    target = user_folder() if folder is None else Path(folder)
    return fit_runs(Path(path), stack, parent, open_catalog([target] if os.path.isdir(target) else []), target)
