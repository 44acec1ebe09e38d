"""Images in prompts: their tokens as part of the input, and the time that the encoder takes before them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llmplan.formulas.numeric import maximum, real
from llmplan.formulas.step import host_bound_seconds
from llmplan.model.images import ImageCut, cut_image, read_size
from llmplan.model.model import Model, Vision
from llmplan.records import dataclass
from llmplan.setup.layout import Layout
from llmplan.work.elementwise import operations
from llmplan.work.flow import Flow
from llmplan.work.kernels import Kernels, Precisions, Software, kernels_of
from llmplan.work.layer import Parts, forward

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num
    from llmplan.machine.hardware import Device
    from llmplan.serving.plan import ServingWorkload
    from llmplan.setup.draft import Draft
    from llmplan.software.coefficients import Coefficients

DEFAULT_SIZE = "1024x1024"
"""Of an image whose size is not given."""
WHOLE = Layout()
"""Every device of a replica has the encoder whole, as memory counts it, and works on all images."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """The encoder of a replica, and the images of one request.

    kernels: in 16 bits, which encoders stay in; images: of one request, that are encoded [1]; cut: one of them.
    """

    vision: Vision
    kernels: Kernels
    images: float
    cut: ImageCut


def image_words(draft: Draft, model: Model) -> tuple[str | None, ImageCut | None]:
    """The size of the images and what one of them is to the model; faults where there can be none."""
    said = draft.options
    if said.images is None:
        if said.image_size is not None:
            draft.fault("image_size goes with images, and none are given", "image_size")
        return None, None
    if model.vision is None:
        draft.fault(f"images: {_why_none(model)}", "images", "model")
        return None, None
    if said.image_size is None:
        draft.assume("image_size", DEFAULT_SIZE, "none was given")
    size = said.image_size or DEFAULT_SIZE
    return size, cut_image(model.vision.rule, *read_size(size))


def _why_none(model: Model) -> str:
    if not model.tower_parameters:
        return f"{model.name} has no encoder of images that is known"
    family = f" ({model.family})" if model.family else ""
    return f"how {model.name}{family} cuts images into tokens is not known; without images, count them in input_tokens"


def encoder_of(
    model: Model, device: Device, numbers: Coefficients, work: ServingWorkload, cut: ImageCut | None
) -> Encoder | None:
    """The encoder of a replica whose requests have images; None for text alone.

    Images in the part of a prompt that is cached already are not encoded again.
    """
    if work.images is None or cut is None or model.vision is None:
        return None
    images = real(work.images)
    if work.prefix_hit:
        images = images * work.computed_tokens / work.input_tokens
    wide = "bf16"
    kernels = kernels_of(device, Precisions(wide, wide, wide, wide), Software(), numbers)
    return Encoder(model.vision, replace(kernels, products=kernels.wide), images, cut)


def encoder_seconds(encoder: Encoder, requests: Num, operation_host_seconds: Num) -> Num:
    """Time to encode the images of so many requests [s]; of a part of one, that part.

    Patches pass the encoder as tokens of a prompt pass a layer, every image or tile a sequence of its own; it is not
    captured in graphs, and the longer of device and host counts. Ignored: decoding, resizing and copying the image.
    """
    together, cut = maximum(requests, 1.0), encoder.cut
    length = real(cut.patches) / real(cut.sequences)
    patches, tokens = together * encoder.images * cut.patches, together * encoder.images * cut.tokens
    work, launches = Parts(), 0.0
    for layer in encoder.vision.layers:
        count = real(layer.count)
        work = work + forward(layer, Flow(patches, length), WHOLE, encoder.kernels) * count
        launches = launches + count * operations(layer)
    work = work + forward(encoder.vision.projector, Flow(tokens, length), WHOLE, encoder.kernels)
    seconds = host_bound_seconds(work.total, launches * operation_host_seconds)
    return seconds * requests / together
