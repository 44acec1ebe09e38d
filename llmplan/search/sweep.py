"""One plan under every combination of some of its words: what each would hold and how fast it would be."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import islice, product
from typing import TYPE_CHECKING, Any, Literal

from llmplan.answer.many import answers
from llmplan.answer.summary import PlanSummary
from llmplan.digits import whole_number
from llmplan.errors import InputError, did_you_mean
from llmplan.records import dataclass, replace
from llmplan.setup.options import VOCABULARY
from llmplan.setup.request import Request, request
from llmplan.setup.written import LENGTHS, read_amount, read_length
from llmplan.version import __version__

if TYPE_CHECKING:
    from llmplan.catalog.catalog import Catalog

BATCH = 4096
"""Combinations that are worked out at once, and no more are held."""
_RANGE = re.compile(r"([^.]+)\.\.([^.+]+)(?:\+(.+))?\Z")
MOST_VALUES = 100_000
"""Of one range; whoever asks for more has mistyped it."""
MOST_VALUE = 10**15
"""The largest number of a range; an option has its own limit, which it tells."""


@dataclass(frozen=True, slots=True)
class Axis:
    """An option of the plan, and the values that it takes in turn."""

    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """One combination: its options, and what its plan would be, or why there is none."""

    schema: Literal["llmplan.sweep/1"] = "llmplan.sweep/1"
    llmplan_version: str = __version__
    vary: dict[str, Any]
    """The options that vary, with their values here."""
    summary: PlanSummary | None = None
    errors: tuple[str, ...] | None = None
    """Why it cannot be planned, such as a degree that does not divide the devices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """All rows of a sweep in one answer."""

    schema: Literal["llmplan.sweeps/1"] = "llmplan.sweeps/1"
    llmplan_version: str = __version__
    results: tuple[SweepRow, ...]


def axis(text: str) -> Axis:
    """`tp=1,2,4`, `devices=8..4096` (doubling) or `seq_len=1k..8k+1k` (in steps) as an axis.

    >>> axis("devices=8..64").values, axis("seq-len=1k..4k+1k").values, axis("hardware=h100,h200").values
    ((8, 16, 32, 64), (1024, 2048, 3072, 4096), ('h100', 'h200'))
    """
    name, sign, listed = text.partition("=")
    name = name.strip().replace("-", "_")
    if not sign or not listed.strip():
        raise InputError(f"--vary: {text[:60]!r} is not an option and its values, such as devices=8..4096 or tp=1,2,4")
    if name not in VOCABULARY:
        raise InputError(f"--vary: unknown option {name[:60]!r}{did_you_mean(name, VOCABULARY)}")
    values = tuple(dict.fromkeys(value for part in listed.split(",") for value in _values(name, part.strip())))
    for value in values:
        request({name: value})  # raises its fault, once and not for every combination
    return Axis(name, values)


def _values(name: str, part: str) -> Iterator[Any]:
    between = _RANGE.match(part)
    if between is None:
        yield part
        return
    read = read_length if name in LENGTHS else read_amount
    low, high, step = (0 if text is None else _whole(read(text), part) for text in between.groups())
    if low > high:
        raise InputError(f"--vary: {part[:60]!r} is an empty range")
    if step and (high - low) // step > MOST_VALUES:
        raise InputError(f"--vary: {part[:60]!r} has more than {MOST_VALUES} values")
    while low <= high:
        yield low
        low = low + step if step else 2 * low


def _whole(value: Any, part: str) -> int:
    number = value if isinstance(value, int) else whole_number(str(value).strip(), MOST_VALUE)
    if number is None or number < 1:
        raise InputError(f"--vary: expected whole numbers such as 8..4096 or 1..8+1, got {part[:60]!r}")
    return number


def combinations(axes: Sequence[Axis]) -> int:
    """How many there are [1]."""
    return math.prod(len(one.values) for one in axes)


def sweep(wanted: Request, axes: Sequence[Axis], catalog: Catalog) -> Iterator[SweepRow]:
    """A row for every combination, the last option running fastest."""
    names = [one.name for one in axes]
    waiting = (dict(zip(names, values, strict=True)) for values in product(*(one.values for one in axes)))
    base = replace(wanted, overridden=wanted.overridden | frozenset(names))
    while batch := list(islice(waiting, BATCH)):
        found = answers([_changed(base, options) for options in batch], catalog, summary=True)
        for options, one in zip(batch, found, strict=True):
            if isinstance(one, InputError):
                yield SweepRow(vary=options, errors=tuple(str(fault) for fault in one.faults))
            else:
                assert isinstance(one, PlanSummary)
                yield SweepRow(vary=options, summary=one)


def _changed(base: Request, options: dict[str, Any]) -> Request | InputError:
    try:
        return base.changed(**options)
    except InputError as error:
        return error
