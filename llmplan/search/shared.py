"""Degrees at which devices share the tokens of a prompt (cp) or of a cache (dcp), and which of them a search tries.

A base plan carries its own: `layout.cp`, of the devices that read prompts where those are others, and `workload.dcp`.
"""

from __future__ import annotations

from collections.abc import Iterator

from llmplan.errors import Fault, InputError
from llmplan.records import replace
from llmplan.search.choices import OPEN, Choices
from llmplan.serving.plan import ServingPlan
from llmplan.serving.resolve import cache_copies, cp_problems, dcp_problems
from llmplan.setup.layout import Layout

PROMPTS = ("cp", "prefill_cp")
WORDS = (*PROMPTS, "dcp")
LONG = 8192.0
"""Tokens of a prompt from which sharing is tried where no option asks for it [1]: of shorter ones it saves little."""
DEGREES = (2, 4, 8)
"""What is tried then [1]."""


def each_shared(base: ServingPlan, open_: Choices) -> Iterator[ServingPlan]:
    """The plan with every pair of degrees to try, the one that shares nothing first.

    Raises InputError where one that was given cannot be.
    """
    wanted = {option for option in WORDS if option in open_ and 1 not in open_[option].among((1,))}
    if "dcp" in wanted and len(wanted) > 1:
        raise InputError(Fault("--dcp goes without --cp and --prefill-cp"))
    for cp, dcp in [(cp, dcp) for cp in _cps(base, open_) for dcp in _dcps(base, open_) if 1 in (cp, dcp)]:
        work = base.workload if dcp == 1 else replace(base.workload, dcp=dcp)
        yield replace(base, layout=Layout(cp=cp), workload=work)


def _cps(base: ServingPlan, open_: Choices) -> tuple[int, ...]:
    named = {value for option in PROMPTS for value in open_.get(option, OPEN).values or ()}
    ranges = [open_[option] for option in PROMPTS if option in open_ and open_[option].values is None]
    problems = list(cp_problems(base))
    if ranges or not (named or _is_given(open_) or problems or base.workload.computed_tokens < LONG):
        named |= {value for one in ranges or [OPEN] for value in one.among((1, *DEGREES))}
    if problems and named - {1}:
        option = next(option for option in PROMPTS if option in open_)
        raise InputError([Fault(f"--{option.replace('_', '-')}: {message}") for message, _ in problems])
    return (1, *sorted(named - {1}))  # of pools whose prompts are shared those that write are not


def _dcps(base: ServingPlan, open_: Choices) -> tuple[int, ...]:
    problems, asked = list(dcp_problems(base)), open_.get("dcp")
    if asked is not None and asked.values is not None:
        found = asked.values
    else:
        heads = max((core.heads for layer in base.model.layers for core in layer.cores), default=1)
        most = cache_copies(base.model, heads)
        tries = asked is not None or not (_is_given(open_) or base.workload.computed_tokens < LONG)
        found = (asked or OPEN).among(n for n in (1, *DEGREES) if n <= most) if tries and not problems else (1,)
    if problems and max(found, default=1) > 1:
        raise InputError([Fault(f"--dcp: {message}") for message, _ in problems])
    return found


def goes_with(base: ServingPlan, open_: Choices, *, split: bool) -> bool:
    """Whether what the devices of a base share is asked of one pool, or of two: those have a cache each."""
    cp, option = base.layout.cp, PROMPTS[split]
    asked = (
        cp in open_[option].among((cp,))
        if option in open_
        else cp == 1 or not any(option in open_ for option in PROMPTS)
    )
    return asked and not (split and base.workload.dcp)


def _is_given(open_: Choices) -> bool:
    """Whether a layout was given, and with it that nothing is shared."""
    return "tp" in open_
