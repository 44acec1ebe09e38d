"""What an option costs that a run does not give: predictions of measured runs with the option, and without it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple, get_args

from llmplan.answer.rows import Row, read_rows, row_plan
from llmplan.calibration.runs import FILES
from llmplan.catalog.catalog import Catalog
from llmplan.errors import InputError
from llmplan.records import replace
from llmplan.training.memory import training_memory
from llmplan.training.plan import TrainingPlan
from llmplan.training.step import training_time
from llmplan.vocabulary import Guess

OF_A_DEVIATION = 1.28
"""Half the width of the middle 80 % of normal errors over their deviation [1]."""


class Silence(NamedTuple):
    """An option, the groups of runs that say it, and the half widths that errors of its silence alone would ask for, of
    step time and of peak memory, on a logarithmic scale [1]."""

    word: str
    groups: int
    training: float
    memory: float


def silences(catalog: Catalog) -> Iterator[Silence]:
    """Every option that may be guessed: what the stack's recipe in its place changes, groups weighing equally."""
    rows = [row for row in read_rows(FILES[0]) if row.cells.get("stack")]
    for option in get_args(Guess):
        groups: dict[object, list[tuple[float, float]]] = defaultdict(list)
        for row in rows:
            if row.cells.get(option) and (found := _moved(row, option, catalog)):
                groups[row.group].append(found)
        if groups:
            means = [
                math.sqrt(
                    sum(sum(one[place] ** 2 for one in part) / len(part) for part in groups.values()) / len(groups)
                )
                for place in (0, 1)
            ]
            yield Silence(option, len(groups), *(OF_A_DEVIATION * one for one in means))


def _moved(row: Row, option: str, catalog: Catalog) -> tuple[float, float] | None:
    """Logarithms by which time and memory move when the row does not say the option; None for a row of no use."""
    silent = replace(row, cells={name: cell for name, cell in row.cells.items() if name != option})
    try:
        given, left_out = (_figures(one, catalog) for one in (row, silent))
    except InputError:
        return None
    return math.log(left_out[0] / given[0]), math.log(left_out[1] / given[1])


def _figures(row: Row, catalog: Catalog) -> tuple[float, float]:
    plan = row_plan(row, catalog, row.cells["stack"])
    assert isinstance(plan, TrainingPlan)
    return float(training_time(plan).step_seconds), float(training_memory(plan).peak_bytes)
