"""Images and sound in prompts: their tokens as part of the input, and the time that encoders take before them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import maximum, real
from llmplan.formulas.step import host_bound_seconds
from llmplan.model.encoder_input import EncoderInput
from llmplan.model.images import cut_image, read_size
from llmplan.model.layer import Layer
from llmplan.model.model import Model
from llmplan.model.sound import cut_sound
from llmplan.records import dataclass, replace
from llmplan.setup.layout import Layout
from llmplan.work.elementwise import operations
from llmplan.work.flow import Flow
from llmplan.work.kernels import Kernels, Precisions, Software, kernels_of
from llmplan.work.layer import Parts, forward

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num
    from llmplan.serving.plan import ServingPlan
    from llmplan.setup.draft import Draft
    from llmplan.software.coefficients import Coefficients

DEFAULT_SIZE = "1024x1024"
"""Of an image whose size is not given."""
WHOLE = Layout()
"""Every device of a replica has the encoders whole, as memory counts them, and works on all images and sounds."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """An encoder of a replica, and what of one request it works on.

    layers: that patches or positions pass; projector: that tokens pass; kernels: in 16 bits, which encoders stay in;
    count: images or sounds of one request that are encoded [1]; each: one of them.
    """

    layers: tuple[Layer, ...]
    projector: Layer
    kernels: Kernels
    count: float
    each: EncoderInput


def image_options(draft: Draft, model: Model) -> tuple[str | None, EncoderInput | None]:
    """The size of the images and what one of them is to the model; faults where there can be none."""
    options = draft.options
    if options.images is None:
        if options.image_size is not None:
            draft.fault("image_size goes with images, and none are given", "image_size")
        return None, None
    if model.vision is None:
        draft.fault(f"images: {_why_none(model, 'cuts images')}", "images", "model")
        return None, None
    if options.image_size is None:
        draft.assume("image_size", DEFAULT_SIZE, "none was given")
    size = options.image_size or DEFAULT_SIZE
    return size, cut_image(model.vision.rule, *read_size(size))


def sound_options(draft: Draft, model: Model) -> EncoderInput | None:
    """What the sound of a prompt is to the model; faults where there can be none, or not so much."""
    seconds = draft.options.audio_seconds
    if seconds is None:
        return None
    if model.sound is None:
        draft.fault(f"audio_seconds: {_why_none(model, 'cuts sound')}", "audio_seconds", "model")
        return None
    rule = model.sound.rule
    if rule.max_seconds is not None and seconds > rule.max_seconds:
        draft.fault(
            f"audio_seconds: {model.name} hears {rule.max_seconds:g} s at once, not {seconds:g}; "
            "longer sound is several requests",
            "audio_seconds",
        )  # fmt: skip
        return None
    if rule.inside and draft.options.input_tokens is not None:
        draft.fault(f"input_tokens: {model.name} reads sound alone; leave them out", "input_tokens", "audio_seconds")
    return cut_sound(rule, seconds)


def _why_none(model: Model, verb: str) -> str:
    if not model.tower_parameters:
        return f"{model.name} has no encoder of {verb.rpartition(' ')[2]} that is known"
    family = f" ({model.family})" if model.family else ""
    return f"how {model.name}{family} {verb} into tokens is not known; without, count them in input_tokens"


def encoders_of(plan: ServingPlan, numbers: Coefficients) -> tuple[Encoder, ...]:
    """Encoders of a replica whose requests have images or sound; none for text alone.

    What stands in the part of a prompt that is cached already is not encoded again.
    """
    model, work, wide = plan.model, plan.workload, "bf16"
    read = work.computed_tokens / work.input_tokens if work.prefix_hit else 1.0
    given = []
    if model.vision is not None and plan.image is not None:
        given.append((model.vision.layers, model.vision.projector, real(work.images or 0), plan.image))
    if model.sound is not None and model.sound.projector is not None and plan.sound is not None:
        given.append((model.sound.layers, model.sound.projector, 1.0, plan.sound))
    if not given:
        return ()
    kernels = kernels_of(plan.device, Precisions(wide, wide, wide, wide), Software(), numbers)
    kernels = replace(kernels, products=kernels.wide)
    return tuple(Encoder(layers, last, kernels, count * read, each) for layers, last, count, each in given)


def encoders_seconds(encoders: tuple[Encoder, ...], requests: Num, operation_host_seconds: Num) -> Num:
    """Time to encode the images and the sound of so many requests [s]; of a part of one, that part."""
    seconds: Num = 0.0
    for encoder in encoders:
        seconds = seconds + _seconds(encoder, requests, operation_host_seconds)
    return seconds


def _seconds(encoder: Encoder, requests: Num, operation_host_seconds: Num) -> Num:
    """Patches pass the encoder as tokens of a prompt pass a layer, every image, tile or window a sequence of its own.

    It is not captured in graphs, and the longer of device and host counts. Ignored: decoding, resizing and copying
    the image, the spectrogram of the sound.
    """
    together, each = maximum(requests, 1.0), encoder.each
    length = real(each.patches) / real(each.sequences)
    tokens = together * encoder.count * (each.tokens + each.seen)
    work = Parts()
    launches: Num = 0.0
    for layer in encoder.layers:
        count = real(layer.count)
        passed = Flow(together * encoder.count * each.patches, length)
        work = work + forward(layer, passed, WHOLE, encoder.kernels) * count
        launches = launches + count * operations(layer)
    work = work + forward(encoder.projector, Flow(tokens, length), WHOLE, encoder.kernels)
    seconds = host_bound_seconds(work.total, launches * operation_host_seconds)
    return seconds * requests / together
