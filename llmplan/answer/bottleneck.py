"""What a step waits for: seconds by resource, how busy each is, and what 10 % more of it would change.

All from one evaluation of the step with numbers that remember how they were made (`llmplan.answer.resources`); only
whether more memory would save recomputation is tried.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from llmplan.answer.resources import MORE, RESOURCES, saved
from llmplan.answer.waits import BUBBLE, STRAGGLERS, Waits, waits_of
from llmplan.records import dataclass
from llmplan.setup.codes import warning
from llmplan.setup.layout import RECOMPUTE
from llmplan.setup.plan import PlanWarning
from llmplan.vocabulary import Amount

if TYPE_CHECKING:
    from llmplan.training.estimate import TrainingEstimate

CAPACITY, STORAGE = "memory_capacity", "storage"


@dataclass(frozen=True, slots=True)
class Elasticity:
    """What 10 % more of a resource would change."""

    step_seconds: Amount
    speedup: Amount
    """Speed over that of now."""
    fits: bool


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """What holds a training back; everything by resource."""

    resource: str
    """What most of the step waits for; `memory_capacity` where the plan does not fit, `storage` where data are read
    slower than they are used."""
    seconds: dict[str, Amount]
    """The step by resource; they sum to it."""
    utilization: dict[str, Amount]
    """Share of each resource's capacity that is in use (of the step's time, of the usable memory), hidden or not."""
    elasticity: dict[str, Elasticity]
    advice: PlanWarning
    """What to do about it, with a code that `llmplan explain` has a paragraph about."""

    def share(self, resource: str) -> float:
        """Share of the step that waits for a resource [1]."""
        return self.seconds.get(resource, 0.0) / sum(self.seconds.values())


def bottleneck(answer: TrainingEstimate, load: float | None = None, waits: Waits | None = None) -> Bottleneck:
    """What holds an estimate's plan back; load: what reading data takes of the storage [1], None = not known; waits:
    of the plan, where they are at hand."""
    step, waits = answer.step.value, waits or waits_of(answer.plan)
    both = {**waits.waited, **waits.idle}
    seconds = {name: value for name, value in both.items() if value > 0.0}
    # a link that stands for both networks, as between CPUs, is counted twice where one passes on what the other brings
    used = {name: min(max(value, 0.0) / step, 1.0) for name, value in waits.worked.items()}
    used |= {"compute": answer.hfu, CAPACITY: answer.peak.value / answer.usable_bytes}
    left = {name: saved(max(waits.felt[name], 0.0) / step) for name in RESOURCES}
    elasticity = {name: Elasticity(step * value, 1.0 / value, answer.fits) for name, value in left.items()}
    elasticity[CAPACITY] = _roomier(answer, waits)
    if load is not None:
        used[STORAGE] = load
        elasticity[STORAGE] = Elasticity(step, min(MORE, max(1.0, load)), answer.fits)  # the step itself reads nothing
    resource = max(seconds, key=lambda name: seconds[name])
    if answer.peak.value > answer.usable_bytes:
        resource = CAPACITY
    elif load is not None and load > 1:
        resource = STORAGE
    share = used[resource] if resource in (CAPACITY, STORAGE) else seconds[resource] / step
    return Bottleneck(resource, seconds, used, elasticity, _advice(answer, resource, share))


def _roomier(answer: TrainingEstimate, waits: Waits) -> Elasticity:
    """With 10 % more memory: whether the plan fits, and the step with the least recomputation that fits then."""
    step, room = answer.step.value, answer.usable_bytes + (MORE - 1.0) * answer.capacity_bytes
    fits = answer.peak.value <= room and answer.plan.host_holds(answer.memory.host_bytes)
    if not fits or answer.plan.layout.recompute == "none":
        return Elasticity(step, 1.0, fits)
    now = after = step
    for recompute in RECOMPUTE[: RECOMPUTE.index(answer.plan.layout.recompute)]:
        peak, seconds = waits.eased(recompute)
        now, after = (
            (min(now, seconds) if peak <= answer.usable_bytes else now),
            (min(after, seconds) if peak <= room else after),
        )
    return Elasticity(step * after / now, now / after, fits)


def _advice(answer: TrainingEstimate, resource: str, share: float) -> PlanWarning:
    """Advice on the bottleneck, with a code."""
    code, remedy = _REMEDIES[resource]
    return warning(code, share=f"{share:.0%}", whole="the step", remedy=remedy(answer))


def _about_compute(answer: TrainingEstimate) -> str:
    layout, again = answer.plan.layout, answer.hfu - answer.mfu
    if layout.recompute != "none" and answer.mfu > 0:
        return f"recompute {layout.recompute} adds {again / answer.mfu:.0%} to the work; less of it, if memory allows"
    return "more or faster devices, or a narrower precision; little else helps"


def _about_memory_bandwidth(answer: TrainingEstimate) -> str:
    layout = answer.plan.layout
    if layout.tp > 1:
        return f"a lower tp than {layout.tp} or a larger micro-batch than {layout.micro_batch} makes larger products"
    return f"a larger micro-batch than {layout.micro_batch}, fused kernels, or memory that is faster"


def _about_scale_up(answer: TrainingEstimate) -> str:
    layout = answer.plan.layout
    if layout.tp > 1 and layout.tp >= layout.ep:
        return f"a lower tp than {layout.tp}, or more tokens a micro-batch to hide communication"
    return (
        f"a lower ep than {layout.ep}"
        if layout.ep > 1
        else "a larger global batch, so that gradients are exchanged less often"
    )


def _about_scale_out(answer: TrainingEstimate) -> str:
    layout, domain = answer.plan.layout, answer.plan.device.scale_up.domain
    wide = [f"{name} {value}" for name, value in (("tp", layout.tp), ("ep", layout.ep)) if value > domain]
    if wide:
        return f"keep {' and '.join(wide)} inside the domain of {domain} devices"
    if layout.zero == 3:
        return "zero 1 or 2 with pipeline stages moves parameters less often than zero 3"
    return "a larger global batch, so that gradients are exchanged less often"


def _about_bubble(answer: TrainingEstimate) -> str:
    layout, batch = answer.plan.layout, answer.plan.workload.global_batch
    rounds = batch // (layout.dp * layout.micro_batch)
    return f"{rounds} micro-batches for pp {layout.pp} x vp {layout.vp}: raise vp or the global batch, or lower pp"


def _about_host(answer: TrainingEstimate) -> str:
    larger = f"a larger micro-batch than {answer.plan.layout.micro_batch}"
    return f"kernels are too small for the host to keep up: {larger}, or graphs"


def _about_stragglers(answer: TrainingEstimate) -> str:
    return f"the slowest of {answer.plan.devices} devices sets the pace: find and replace slow nodes"


def _about_capacity(answer: TrainingEstimate) -> str:
    return "--check says which changes would make it fit"


def _about_storage(answer: TrainingEstimate) -> str:
    return f"faster storage than that of {answer.plan.cluster.id}, or data that are kept on the nodes"


_REMEDIES: dict[str, tuple[str, Callable[[TrainingEstimate], str]]] = {
    CAPACITY: ("LP030", _about_capacity),
    "compute": ("LP031", _about_compute),
    "memory_bandwidth": ("LP032", _about_memory_bandwidth),
    "scale_up_network": ("LP033", _about_scale_up),
    "scale_out_network": ("LP034", _about_scale_out),
    BUBBLE: ("LP035", _about_bubble),
    "host": ("LP036", _about_host),
    STRAGGLERS: ("LP037", _about_stragglers),
    STORAGE: ("LP038", _about_storage),
}
