"""What a step waits for, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmplan.answer.bottleneck import Bottleneck

_SHOWN = 0.005  # shares below half a percent round to nothing
_FELT = 0.0005  # gains below a twentieth of a percent do


def bottleneck_lines(found: Bottleneck) -> Iterator[str]:
    """The shares of the step, and what a tenth more of each resource would bring."""
    whole = sum(found.seconds.values())
    waits = sorted(found.seconds.items(), key=lambda item: -item[1])
    shares = [f"{_name(name)} {value / whole:.0%}" for name, value in waits if value / whole >= _SHOWN]
    yield "of the step: " + ", ".join(shares)
    gains = sorted(found.elasticity.items(), key=lambda item: -item[1].speedup)
    felt = [f"{_name(name)} {one.speedup - 1:+.1%}" for name, one in gains if one.speedup - 1 >= _FELT]
    yield "10% more brings: " + (", ".join(felt) or "nothing")


def _name(resource: str) -> str:
    return resource.replace("_", " ")
