"""The layouts that a plan leaves open, in the order to try them, and defaults for batch, sharding and experts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from llmplan.formulas.numeric import real
from llmplan.model.model import Model
from llmplan.records import dataclass, replace
from llmplan.setup.checks import ends_in_whole_rounds
from llmplan.setup.draft import Draft
from llmplan.setup.layout import RECOMPUTE, SHARD_ALL, Layout
from llmplan.setup.options import PlanOptions
from llmplan.software.recipe import TrainingRecipe
from llmplan.training.choose import Again, Rungs, degrees
from llmplan.training.plan import TrainingPlan
from llmplan.training.published import nearest_published
from llmplan.training.recompute import SHARDS, chunk_layers
from llmplan.training.states import CAST
from llmplan.vocabulary import Guess, Recompute

FULL = 4096
"""Tokens a micro-batch up to which the default grows: products with as many rows reach within a few per cent of
the rate of larger ones on the devices that were measured (`efficiency.matmul` of the catalogue)."""
GROWN = 8
"""Times the default micro-batch that are tried where fewer micro-batches exchange less."""
EIGHTHS = 8
"""Steps in which a stage's layers are computed again where a default does not fit: coarse, but of any model few."""
ROUNDS = 4
"""Micro-batches a pipeline stage where the batch is not given: the bubble is then a fifth of the step."""
STEP_TOKENS = 4 * 2**20
"""Of a step of pre-training where the batch is not given: GPT-3 of 175B took 3.2M (arXiv:2005.14165, table 2.1), Llama
2 of every size and Llama 3 at first 4M (arXiv:2307.09288, section 2.2; 2407.21783, section 3.4.1)."""


@dataclass(frozen=True, slots=True)
class OpenLayouts:
    """The part of a layout that is still open."""

    devices: int
    recompute: tuple[Recompute, ...]
    free: bool
    """Whether tp or pp was left open: then the way to shard and smaller micro-batches are too."""
    beyond: tuple[Recompute, ...] = ()
    """More recomputation than the stack's own, where nothing with that fits and none was asked for."""
    default: str | None = None
    """The stack's own, of what is beyond it."""

    @classmethod
    def of(cls, options: PlanOptions, devices: int, base: TrainingPlan) -> OpenLayouts:
        """What these options leave open."""
        prepared = base.recipe.quantized_recompute if options.quantized_base in CAST else None
        layers = RECOMPUTE[-1] if options.recompute_layers else None
        usual = options.recompute or layers or prepared or base.recipe.recompute
        free = options.tp is None or options.pp is None
        every = base.stack.layouts.recompute or RECOMPUTE
        if usual == "auto":
            return cls(devices, every if free else RECOMPUTE, free)
        silent = not (options.recompute or layers) and usual in every
        return cls(devices, (usual,), free, every[every.index(usual) + 1 :] if silent else ())

    def further(self) -> OpenLayouts:
        """What is open where nothing of this fits."""
        return replace(self, recompute=self.beyond, beyond=(), default=self.recompute[0])

    def plans(self, options: PlanOptions, base: TrainingPlan) -> Iterator[Rungs]:
        """Every open plan in the order to try; the caller drops those that contradict themselves."""
        room = self.devices // (options.cp or 1)
        layers, one = base.model.layer_count, base.stack.layouts.one
        for pp, tp in degrees(room, base.device.scale_up.domain, layers, options.tp, options.pp, one):
            if options.dp is not None and tp * pp * options.dp != room:
                continue
            for zero in self._zeros(options, base, room // (tp * pp), pp):
                usual = layout_of(options, base, tp=tp, pp=pp, devices=self.devices, zero=zero, again=self.recompute[0])
                for micro_batch in self._micro_batches(options, base, usual):
                    if options.pp is None and options.global_batch is not None:
                        rounds = options.global_batch // (usual.dp * micro_batch)
                        if not ends_in_whole_rounds(rounds, usual.pp, usual.vp):
                            continue
                    if micro_batch != usual.micro_batch:
                        usual = replace(usual, micro_batch=micro_batch)
                    yield Rungs(self._filled(options, base, usual), list(self._again(base, usual)))

    def _filled(self, options: PlanOptions, base: TrainingPlan, layout: Layout) -> TrainingPlan:
        """The plan with a layout, and a batch where none was given."""
        if options.global_batch == base.workload.global_batch:
            return replace(base, layout=layout)
        batch = options.global_batch or default_batch(layout, accumulated(options, base))
        return replace(base, layout=layout, workload=replace(base.workload, global_batch=batch))

    def _again(self, base: TrainingPlan, layout: Layout) -> Iterator[Again]:
        """Recomputation to try, the least first: beyond the stack's own, and with the degrees given, by eighths."""
        for recompute in self.recompute:
            if recompute == RECOMPUTE[-1] and self.default and not self.free and base.stack.layouts.recompute_layers:
                layers = int(real(chunk_layers(replace(base, layout=layout))))
                for some in sorted({-(-layers * step // EIGHTHS) for step in range(1, EIGHTHS)} - {layers}):
                    yield recompute, some
            yield recompute, layout.recompute_layers

    def _zeros(self, options: PlanOptions, base: TrainingPlan, shards: int, pp: int) -> tuple[int, ...]:
        """Ways to shard, the stack's first: those that shard more after it, as memory asks for them."""
        first = default_zero(options, base.recipe) if options.zero is None else options.zero
        if options.zero is not None or options.offload_parameters or not self.free or shards == 1:
            return (first,)
        layouts = base.stack.layouts
        piped = layouts.zero_with_pipeline if pp > 1 else None
        known = piped or layouts.zero or tuple(range(SHARD_ALL + 1))
        return (first, *(zero for zero in known if zero > first))

    def _micro_batches(self, options: PlanOptions, base: TrainingPlan, usual: Layout) -> list[int]:
        """The default, then what halves it; before it, where each gathers all parameters anew, what doubles it, the
        most first: fewer of them gather less often."""
        if not self.free or options.micro_batch is not None:
            return [usual.micro_batch]
        batch = options.global_batch or accumulated(options, base)
        least, most = usual.micro_batch, usual.micro_batch
        while least % 2 == 0:
            least //= 2
        while (
            usual.zero == SHARD_ALL and most < GROWN * usual.micro_batch and batch % (2 * most * usual.dp) == 0 < batch
        ):
            most *= 2
        return [least << bit for bit in reversed(range((most // least).bit_length()))]

    def compared(self, options: PlanOptions, base: TrainingPlan) -> int:
        """Sequences a step that open plans are timed with [1]: what was asked, or enough for each device."""
        each = self.devices * default_micro_batch(options, base, 1, 1)
        usual = accumulated(options, base)
        return options.global_batch or (whole(usual, each) if usual else ROUNDS * each)


def layout_of(
    options: PlanOptions, base: TrainingPlan, *, tp: int, pp: int, devices: int, zero: int, again: Recompute
) -> Layout:
    """The layout with these degrees; the rest as given, or the stack's."""
    defaults = base.recipe
    cp = options.cp or 1
    dp = devices // (tp * pp * cp)
    divided = options.sequence_parallel
    return Layout(
        tp=tp, pp=pp, cp=cp, dp=dp, vp=options.vp or 1, zero=zero,
        ep=options.ep or default_experts(base.model, dp * cp * tp, base.device.scale_up.domain),
        sequence_parallel=defaults.sequence_parallel and tp > 1 if divided is None else divided,
        micro_batch=options.micro_batch or default_micro_batch(options, base, dp, pp),
        recompute=again, recompute_layers=options.recompute_layers,
        offload_optimizer=bool(options.offload_optimizer),
    )  # fmt: skip


def default_zero(options: PlanOptions, defaults: TrainingRecipe) -> int:
    """The stack's; parameters in host memory are sharded ones."""
    return SHARD_ALL if options.offload_parameters else defaults.zero


@lru_cache(maxsize=4096)
def default_experts(model: Model, group: int, domain: int) -> int:
    """Expert parallelism where none is given: the highest power of two in the domain that divides experts and group."""
    banks = {linear.experts for layer in model.layers for linear in layer.linears if linear.routed}
    ep = 1
    while banks and 2 * ep <= domain and group % (2 * ep) == 0 and all(count % (2 * ep) == 0 for count in banks):
        ep *= 2
    return ep


def default_micro_batch(options: PlanOptions, base: TrainingPlan, dp: int, pp: int) -> int:
    """The stack's, doubled while that fills matrix products and divides the batch; a pipeline wants many small ones."""
    defaults = base.recipe
    size, batch = defaults.micro_batch, options.global_batch
    while pp == 1 and 2 * size * base.workload.seq_len <= FULL and (batch is None or batch % (2 * size * dp) == 0):
        size *= 2
    return size


def accumulated(options: PlanOptions, base: TrainingPlan) -> int:
    """Sequences of a usual step of pre-training [1], which micro-batches add up to; else 0: no accumulation.

    Whoever gives a micro-batch and no batch means what launchers then do: one micro-batch a data-parallel group.
    """
    work = base.workload
    if work.workload != "pretrain" or options.micro_batch is not None or work.optimizer_in_backward:
        return 0
    return max(1, STEP_TOKENS // work.seq_len)


def default_batch(layout: Layout, usual: int = 0) -> int:
    """Sequences a step [1]: a usual number, but at least a micro-batch a data-parallel group, or a busy pipeline; of an
    interleaved schedule whole rounds."""
    group = layout.dp * layout.micro_batch
    rounds = layout.pp if layout.vp > 1 else 1
    return max(whole(usual, group * rounds), group * (ROUNDS * layout.pp if layout.pp > 1 else 1))


def whole(number: int, of: int) -> int:
    """The least multiple of `of` that is no less than the number [1]."""
    return -(-number // of) * of


def assume_layout(draft: Draft, plan: TrainingPlan, open_: OpenLayouts, *, fits: bool) -> None:
    """Assumptions about the layout that was taken."""
    options, layout = draft.options, plan.layout
    why = ""
    if open_.free:
        why = "the fastest that surely fits of the usual layouts" if fits else "nothing fits, and this misses by least"
        draft.assumptions.append(f"tp {layout.tp}, pp {layout.pp}: {why}")
        if published := nearest_published(plan.model, plan.device.id, plan.devices):
            draft.assumptions.append(published)
    if options.recompute is None:
        draft.assume("recompute", layout.recompute, _why_recompute(options, open_, why, fits=fits))
        if layout.recompute_layers is not None and options.recompute_layers is None:
            draft.assume("recompute_layers", layout.recompute_layers, "of each virtual stage, the others keep theirs")
    if plan.recipe.sharded_recompute and layout.zero >= SHARDS and layout.recompute != RECOMPUTE[-1]:
        draft.assume("all layers computed again", "yes", "the stack always does where it shards")
    if options.zero is None:
        if options.offload_parameters:
            why = "offload_parameters needs it"
        elif not open_.free or layout.zero == plan.recipe.zero:
            why = "the stack's default"
        draft.assume("zero", layout.zero, why)
    if options.sequence_parallel is None and layout.tp > 1:
        draft.assume("sequence_parallel", layout.sequence_parallel, "the stack's default with tp > 1")
    if options.ep is None and layout.ep > 1:
        draft.assume("ep", layout.ep, "experts are spread over the devices of the fast domain")
    if options.micro_batch is None:
        filled = layout.micro_batch * plan.workload.seq_len
        whole = layout.micro_batch == plan.recipe.micro_batch
        why = "the stack's default" if whole else f"{filled} tokens at a time fill the matrix products"
        draft.assume("micro_batch", layout.micro_batch, why)
    if options.global_batch is None:
        batch = plan.workload.global_batch
        rounds = batch // (layout.dp * layout.micro_batch)
        each = f"{rounds} micro-batches" if rounds > 1 else "one micro-batch"
        groups = "the one data-parallel group" if layout.dp == 1 else f"each of {layout.dp} data-parallel groups"
        usual = "about 4M tokens, usual in pre-training: " if batch > default_batch(layout) else ""
        draft.assume("global_batch", batch, f"{usual}{each} of {layout.micro_batch} for {groups}")


def guesses(options: PlanOptions, plan: TrainingPlan, open_: OpenLayouts) -> tuple[Guess, ...]:
    """Options that were said to be guesses, or those that a plan with a given layout leaves to the stack's recipe.

    Where the layout is open the plan says what to run, and nothing is guessed.
    """
    layout = plan.layout
    given = options.guessed or ()
    if open_.free or given:
        return given
    matters: dict[Guess, bool] = {
        "recompute": options.recompute_layers is None, "zero": layout.dp > 1, "vp": layout.pp > 1,
        "flash_attention": True, "optimizer": True, "lora_targets": plan.lora,
    }  # fmt: skip
    return tuple([option for option, does in matters.items() if does and getattr(options, option) is None])


def assume_guesses(draft: Draft, plan: TrainingPlan) -> None:
    """Assumptions about options that nobody gave, or said to be guesses."""
    for family, band in (("training", "the step time"), ("memory", "peak memory")):
        own = plan.stack.unstated.get(family, {})
        if widths := [f"{option} ({own[option]:.0%})" for option in plan.guessed if option in own]:
            why = f"all measured runs of the stack state them, so the band of {band} is wider"
            draft.assumptions.append(f"not stated: {', '.join(widths)}; {why}")


def _why_recompute(options: PlanOptions, open_: OpenLayouts, free: str, *, fits: bool) -> str:
    """Why that much is computed again; free: why the whole layout was taken."""
    if options.recompute_layers is not None:
        return "recompute_layers are some of its layers"
    if open_.default is not None:
        more = "the least that does" if fits else "the most there is"
        return f"{open_.default}, the stack's default, does not fit; {more}"
    if len(open_.recompute) == 1:
        return "the stack's default"
    if open_.free:
        return free
    return "the least that fits" if fits else "the most there is"
