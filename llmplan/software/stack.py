"""Catalogue type of a software stack: its defaults, its versions, its fitted coefficients, its bands."""

from dataclasses import field
from functools import cached_property
from typing import Annotated, Any, Literal, TypeVar

from llmplan.errors import did_you_mean
from llmplan.records import dataclass, replace
from llmplan.rules import ReadBy, Within
from llmplan.schema import Source, Spec
from llmplan.software.band import Band, Interval, band_of, unstated_width
from llmplan.software.coefficients import NAMES, RATES, Coefficients
from llmplan.software.distance import Measured, Traits
from llmplan.software.engine import ServingPolicy
from llmplan.software.recipe import TrainingRecipe
from llmplan.software.versions import choose, version_key
from llmplan.units import Bytes
from llmplan.vocabulary import Guess, Recompute, WorkloadKind

SpecT = TypeVar("SpecT", bound=Spec)


def _known(fitted: Any) -> Any:
    """Fitted numbers as they stand; a ValueError for one that nothing reads, and for a rate of nothing."""
    for name, value in fitted.items() if isinstance(fitted, dict) else ():
        if name not in NAMES:
            raise ValueError(f"unknown coefficient {name!r}{did_you_mean(str(name), NAMES)}")
        if value == 0 and name in RATES:
            raise ValueError(f"{name} has to be more than 0, times are divided by it")
    return fitted


Fitted = Annotated[dict[str, Annotated[float, Within(ge=0)]], ReadBy(_known)]
"""Fitted numbers by name, those of `Coefficients`."""


class MemoryModel(Spec):
    """What the stack holds beside model states and activations."""

    context: Bytes
    """CUDA context, libraries, communicators: seen by nvidia-smi, not by the allocator."""
    fragmentation: Annotated[float, Within(ge=0, le=1)] = 0.0
    """Share of allocated memory lost in the allocator's blocks (reserved / allocated - 1)."""
    workspace: Bytes = 0.0
    """Buffers of kernels and libraries."""
    loads_unsharded: bool = False
    """A sharded model is first loaded whole on every device: its peak may be that, not the training."""


class Version(Spec):
    """A version of a stack: the first release that it holds for, and what differs from the entry."""

    version: str
    """As its makers write it."""
    date: str
    """When it was current, YYYY-MM."""
    also: tuple[str, ...] = ()
    """Other names in the record."""
    training: TrainingRecipe | None = None
    policy: ServingPolicy | None = None
    fitted: Fitted = {}


class Rule(Spec):
    """What changed in the engine with a release, and holds until a later rule says otherwise; nothing is fitted."""

    version: str
    """The first release with it."""
    date: str
    """YYYY-MM."""
    also: tuple[str, ...] = ()
    policy: ServingPolicy
    source: str = ""


class StackLayouts(Spec):
    """Layouts that a stack can run, for searches; an option that is absent is not limited."""

    one: tuple[Literal["tp", "pp", "vp", "cp", "ep"], ...] = ()
    """Degrees that stay 1."""
    zero: tuple[int, ...] | None = None
    """Ways to shard over data parallelism."""
    zero_with_pipeline: tuple[int, ...] | None = None
    """The same with pp > 1; absent = as without."""
    sequence_parallel: tuple[bool, ...] | None = None
    """With tp > 1."""
    recompute: tuple[Recompute, ...] | None = None
    recompute_layers: bool = True
    """Whether `full` can be said of some of a stage's layers alone."""
    source: str = ""


SHOWN = 40  # characters of a version that a sentence repeats


@dataclass(frozen=True, slots=True)
class Release:
    """What a stack is in one version; version: empty where the entry tells none apart; rules: of its last rule."""

    version: str
    date: str
    recipe: TrainingRecipe | None
    policy: ServingPolicy | None
    coefficients: Coefficients
    rules: str = ""

    def differs_from(self, asked: str | None) -> str | None:
        """Why another version than the one that was asked for is taken; None where it is that one."""
        if not self.version:
            return None if asked is None else "its entry tells no versions apart"
        if asked is None:
            return "the newest"
        return None if asked == self.version else f"{asked[:SHOWN]!r} is not in the catalogue"


class Stack(Spec):
    """A training or serving software: `hardware_catalog/stacks/<id>.yaml`."""

    id: str = ""
    name: str
    aliases: tuple[str, ...] = ()
    workloads: tuple[WorkloadKind, ...]
    vendors: tuple[str, ...] = ()
    """Makers of the devices that it runs on, where its documentation names them; empty = not known."""
    training: TrainingRecipe | None = None
    layouts: StackLayouts = field(default_factory=StackLayouts)
    policy: ServingPolicy | None = None
    """How it serves."""
    memory: MemoryModel
    parent: str | None = None
    """The stack that gives every key and coefficient that the entry leaves out; without one, `generic` does
    for coefficients."""
    family: str | None = None
    """Stacks of one family run the same layers and schedules, or do the same work (`engine`: all that serve): a fit
    draws them to what they have in common, and that to the mean over all stacks."""
    versions: tuple[Version, ...] = ()
    """The oldest first; a plan that names none means the newest."""
    rules: tuple[Rule, ...] = ()
    """How the engine changed from release to release, the oldest first."""
    fitted: Fitted = {}
    """Coefficients, which `numbers.yaml` explains; complete where a fit wrote them, and once an entry is loaded."""
    bands: dict[str, Band] = {}
    """By quantity: `step_seconds`, `peak_bytes`, `ttft_seconds`, ..."""
    widening: dict[str, dict[str, float]] = {}
    """By family (`training`, `serving`, `memory`) and distance of a plan from what was measured
    (`software/distance.py`): factor on the logarithms of a band's ends."""
    unstated: dict[str, dict[Guess, Annotated[float, Within(ge=0, le=1)]]] = {}
    """Half width that an option adds to a band where a run does not say it, on a logarithmic scale, by family
    (`training`, `memory`): of `distances.yaml`, the options that every run gives of which that was measured."""
    measured: Measured = field(default_factory=Measured)
    """What runs it was measured on."""
    fitted_on: tuple[str, ...] = ()
    """Publications of the rows that the numbers came from, with how many rows."""
    notes: tuple[str, ...] = ()
    sources: Annotated[tuple[Source, ...], Within(min_length=1)]
    date: str

    @cached_property
    def widening_options(self) -> frozenset[Guess]:
        """Options that widen some band where a run does not say them."""
        return frozenset[Guess]().union(*self.unstated.values())

    def at(self, asked: str | None) -> Release:
        """The stack as of a version; None means the newest."""
        found, policy, rules = choose(self.versions, asked), self.policy, self.rules_at(asked)
        for rule in rules:
            policy = merged(policy, rule.policy)
        last = rules[-1].version if rules else ""
        if found is None:
            return Release("", self.date, self.training, policy, Coefficients.of(self.fitted), last)
        return Release(
            found.version, found.date, merged(self.training, found.training), merged(policy, found.policy),
            Coefficients.of({**self.fitted, **found.fitted}), last,
        )  # fmt: skip

    def rules_at(self, asked: str | None) -> tuple[Rule, ...]:
        """Every rule up to a version, or up to the date of one that has only a name."""
        found = choose(self.versions, asked)
        last = choose(self.rules, asked if found is None or not version_key(found.version)[0] else found.date)
        return self.rules[: self.rules.index(last) + 1] if last is not None else ()

    def band(self, quantity: str, plan: Traits) -> Interval:
        """The 80 % band of a quantity of a plan, around 1, wider for guessed options; many plans are alike."""
        key = id(self), quantity, plan
        if key not in _BANDS:
            if len(_BANDS) >= MOST_KEPT:
                _BANDS.clear()
            unstated = unstated_width(quantity, plan.guessed, self.unstated)
            _BANDS[key] = self, band_of(self.bands, quantity, self.widening, self.distances(plan), unstated)
        return _BANDS[key][1]

    def distances(self, plan: Traits) -> tuple[str, ...]:
        """What sets a plan apart from the runs that the stack was measured on."""
        names = (*self.measured.versions, *(word for one in self.versions for word in (one.version, *one.also)))
        known = not plan.version or plan.version.lower() in (name.lower() for name in names)
        return tuple(self.measured.distances(plan, version_known=known))


MOST_KEPT = 4096
"""Bands that are kept."""
_BANDS: dict[tuple[int, str, Traits], tuple[Stack, Interval]] = {}
"""With the stack that each is of: it is held so that its `id` stays its own."""


def merged(whole: SpecT | None, part: SpecT | None) -> SpecT | None:
    """The whole with what the part says otherwise."""
    if whole is None or part is None:
        return whole
    found = replace(whole, **{name: getattr(part, name) for name in part.given})
    found.__dict__["given"] = whole.given | part.given
    return found
