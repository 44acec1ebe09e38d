"""Targets of latency: what each is about, and which are missed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num
    from llmplan.serving.loads import Response
    from llmplan.serving.plan import ServingWorkload

TARGETS = {"max_ttft": "ttft", "max_ttft_p95": "p95_ttft", "max_tpot": "tpot"}
"""Words of a plan, and the figure of a `Response` that each limits [s]."""


def targets(work: ServingWorkload) -> dict[str, float]:
    """The targets that were given and apply, by name [s]: what writes nothing has no time per output token."""
    given = {name: getattr(work, name) for name in TARGETS}
    writes = work.output_tokens > 1.0
    return {name: limit for name, limit in given.items() if limit is not None and (writes or "tpot" not in name)}


def figures(answer: Response, work: ServingWorkload) -> dict[str, Num]:
    """What the given targets are about, by their names [s]."""
    return {name: getattr(answer, TARGETS[name]) for name in targets(work)}


def missed(
    work: ServingWorkload, found: Mapping[str, float], *, stable: bool = True
) -> Iterator[tuple[str, float, float]]:
    """Targets that figures do not meet: name without `max_`, figure, limit [s].

    stable: whether the load is kept up with; a queue that grows without end meets no target on the first token.
    """
    for name, limit in targets(work).items():
        value = found[name] if stable or "ttft" not in name else float("inf")
        if value > limit:
            yield name.removeprefix("max_"), value, limit
