"""Two plans, one after the other: which options and which figures changed, and by more than the error bands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from llmplan.answer.answer import Answer
from llmplan.records import dataclass
from llmplan.search.measures import MEASURES
from llmplan.software.band import Interval
from llmplan.version import __version__
from llmplan.vocabulary import Amount


@dataclass(frozen=True, kw_only=True)
class WordChange:
    """An option of the plan; left out where it was not there."""

    before: Any = None
    after: Any = None


@dataclass(frozen=True, kw_only=True)
class FigureChange:
    """A figure of both, SI base units; left out where it is not known or does not apply."""

    before: Interval | None = None
    after: Interval | None = None
    ratio: Amount | None = None
    """After over before."""
    beyond_error: bool
    """Whether the error bands of the two do not overlap."""
    worse: bool
    """Whether it went the wrong way, by however little."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What changed from one plan to another."""

    schema: Literal["llmplan.diff/1"] = "llmplan.diff/1"
    llmplan_version: str = __version__
    words: dict[str, WordChange]
    """Options of the plan that changed, by name."""
    figures: dict[str, FigureChange]
    """Memory, time, throughput, cost and what else both have, by the names of `compare --by`."""
    verdict: WordChange
    """Whether it fits memory: `fits`, `marginal` or `does not fit`."""
    before: Answer
    after: Answer


def difference(before: Answer, after: Answer) -> Difference:
    """What changed from one answer to another."""
    return Difference(
        words=dict(_words(before.inputs, after.inputs)), figures=dict(_figures(before, after)),
        verdict=WordChange(before=before.result.verdict, after=after.result.verdict), before=before, after=after,
    )  # fmt: skip


def _words(before: dict[str, Any], after: dict[str, Any]) -> Iterator[tuple[str, WordChange]]:
    for name in dict.fromkeys((*before, *after)):
        if before.get(name) != after.get(name):
            yield name, WordChange(before=before.get(name), after=after.get(name))


def _figures(before: Answer, after: Answer) -> Iterator[tuple[str, FigureChange]]:
    """Every measure that one of the two has; latency is the step of trainings, and is named so."""
    training = before.inputs["workload"] != "serve" and after.inputs["workload"] != "serve"
    for name, measure in MEASURES.items():
        if name == "devices" or (name == "latency" and training):
            continue
        one = measure.figure(before) if measure.applies(before) else None
        other = measure.figure(after) if measure.applies(after) else None
        if one is None and other is None:
            continue
        ratio = other.value / one.value if one is not None and other is not None and one.value else None
        worse = ratio is not None and (ratio > 1 if measure.less else ratio < 1)
        yield name, FigureChange(before=one, after=other, ratio=ratio, beyond_error=_apart(one, other), worse=worse)


def _apart(one: Interval | None, other: Interval | None) -> bool:
    return one is not None and other is not None and (other.low > one.high or other.high < one.low)
