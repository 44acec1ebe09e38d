"""The answer of `fit`: its fields are the keys of the JSON, the texts under them its documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from llmplan.answer.answer import Answer
from llmplan.answer.data import SameAs
from llmplan.answer.limits import LimitAnswer
from llmplan.answer.shown import Shown
from llmplan.answer.summary import ChiefFigures
from llmplan.records import dataclass
from llmplan.search.found import Counts
from llmplan.setup.options import PlanOptions
from llmplan.version import __version__
from llmplan.vocabulary import Amount

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How one of the best does."""

    rank: int
    as_good_within_error: bool
    """Whether its error band and the first's overlap in the objective."""
    objective: dict[str, float]
    """The objective, under a key with its unit."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Ranked(Answer, Standing):
    """One of the best: its estimate, and how it does."""


@dataclass(frozen=True, kw_only=True)
class _OfPlan:
    inputs: Annotated[dict[str, Any], SameAs(PlanOptions)]
    """The plan, complete."""


@dataclass(frozen=True, kw_only=True)
class Summary(ChiefFigures, _OfPlan):
    """A plan and its chief figures; `estimate` on the plan gives the rest."""

    capacity_requests_per_second: Amount | None = None
    """With every place taken, all devices."""
    utilization: Amount | None = None
    """Of that capacity, or of the places."""


@dataclass(frozen=True, kw_only=True)
class FrontPoint(Summary):
    """One that no other one beats in both objectives."""

    objectives: dict[str, float]
    """Both, under keys with their units."""


@dataclass(frozen=True, kw_only=True)
class FrontAnswer:
    """The Pareto front of two objectives, in the order of the first."""

    objectives: tuple[str, str]
    results: tuple[FrontPoint, ...]


@dataclass(frozen=True, kw_only=True)
class Miss(Summary):
    """One that does not do, by least."""

    largest_part: str
    """Of the memory."""
    stable: bool | None = None
    """In serving: whether it keeps up with the request rate."""
    limits: dict[str, LimitAnswer]
    """Of the search, by name."""


@dataclass(frozen=True, kw_only=True)
class SubjectAnswer(Summary):
    """The best of one device and stack, or where none of it does, what misses by least."""

    rank: int | None = None
    """Among those that do; left out where it does not."""
    does: bool
    """Whether it fits and keeps up with the load, the targets and the limits."""
    objective: dict[str, float] | None = None
    """Where it does: the objective, under a key with its unit."""
    as_good_within_error: bool = False
    """Whether its error band and the first's overlap in the objective."""
    stable: bool | None = None
    """In serving: whether it keeps up with the request rate."""
    limits: dict[str, LimitAnswer]
    """Of the search, by name."""


@dataclass(frozen=True, kw_only=True)
class ChangeAnswer(Summary):
    """A change to what was asked after which there is an answer, and the best then."""

    change: str


@dataclass(frozen=True, kw_only=True)
class NextAnswer:
    """The first value that does not do."""

    value: int
    peak_bytes: Amount | None = None
    """What it would need, where memory alone decides."""


@dataclass(frozen=True, kw_only=True)
class MaximizeAnswer:
    """The most of one quantity at a fixed layout."""

    what: str
    word: str
    """Of the plan, which was raised."""
    value: int | None = None
    """Left out where not even the least does."""
    next: NextAnswer | None = None


@dataclass(frozen=True, kw_only=True)
class MinimizeAnswer:
    """The least of one quantity at a fixed layout."""

    what: str
    word: str
    """Of the plan, which was lowered."""
    value: Amount | None = None
    """Left out where not even the most does."""


@dataclass(frozen=True, kw_only=True, repr=False)
class FitAnswer(Shown):
    """Answer of `fit`: the best layouts; where none fits, the nearest misses and the changes that would help."""

    schema: Literal["llmplan.fit/2"] = "llmplan.fit/2"
    llmplan_version: str = __version__
    inputs: dict[str, Any]
    """What was asked, as the options of a plan; lists and ranges as they were given."""
    objective: str | None = None
    limits: dict[str, float | bool] | None = None
    devices: tuple[int, ...] | None = None
    """Sizes that were tried."""
    max_devices: int | None = None
    """Instead: up to which the smallest was looked for."""
    assumptions: tuple[str, ...] | None = None
    search: Counts | None = None
    results: tuple[Ranked | Answer, ...]
    """Those whose whole memory band fits before marginal ones, and of each the best first; none where nothing does."""
    simplest: Ranked | None = None
    """Less model parallelism than the best, and within 2 % of it in the objective."""
    marginal: Ranked | None = None
    """What would be first if its memory were sure, where it is marginal and the first surely fits."""
    nothing_surely_fits: bool | None = None
    """True where none fits with its whole memory band."""
    each: tuple[SubjectAnswer, ...] | None = None
    """Where several devices or stacks were asked about: each at its best, then those of which nothing does."""
    left_out: tuple[str, ...] | None = None
    """Of the devices and stacks that were asked about, those that cannot run this, a sentence each."""
    pareto: FrontAnswer | None = None
    nearest_misses: tuple[Miss, ...] | None = None
    """Where nothing does."""
    changes: tuple[ChangeAnswer, ...] | None = None
    """Where nothing does: what would."""
    maximize: MaximizeAnswer | None = None
    """With `--maximize`, instead of a search."""
    minimize: MinimizeAnswer | None = None
    """With `--minimize memory-fraction`, instead of one."""

    def headline(self) -> str:
        """The best and how fast it is, or that there is none."""
        model = self.inputs["model"] if isinstance(self.inputs["model"], str) else "the model"
        if not self.results:
            return f"nothing fits {model} on {self.inputs['hardware']}; see .changes and .nearest_misses"
        best = self.results[0]
        inputs = best.inputs
        layout = " ".join(
            f"{name} {inputs[name]}" for name in ("tp", "pp", "cp", "ep", "dp", "dcp") if inputs.get(name, 1) > 1
        )
        where = f"{inputs['devices']} x {inputs['hardware']}"
        return f"{best.result.model.name} on {where}, best {layout or 'one device'}: {best.result.speed()}"
