"""Schema of an encoder of images: its shape, and the rule by which an image becomes patches and tokens."""

from __future__ import annotations

from typing import Annotated, Literal

from llmplan.rules import Within
from llmplan.schema import Spec

Rule = Literal["whole", "native", "longest", "limited", "budget", "ratio", "canvas", "cover", "listed"]
"""How an image is cut: `whole`: resized to one square; `native`: its own size within limits on pixels; `longest`: its
longer side limited; `limited`: its patches limited; `budget`: scaled to nearly so many cells. Into tiles of a grid:
`ratio`: the grid of the nearest shape; `canvas`: the one that it fills best; `cover`: its longer side a fixed length;
`listed`: one of a list."""

Pixels = Annotated[int, Within(ge=1, le=10**6)]
Area = Annotated[int, Within(ge=1, le=10**12)]
Count = Annotated[int, Within(ge=1, le=10**6)]
Few = Annotated[int, Within(ge=0, le=1000)]

_NEEDS: dict[Rule, tuple[str, ...]] = {
    "whole": ("size",), "native": ("min_pixels", "max_pixels"), "longest": ("size",),
    "limited": ("max_patches", "max_side"), "budget": ("max_cells",), "ratio": ("size", "max_tiles"),
    "canvas": ("size", "max_tiles"), "cover": ("size", "longest"), "listed": ("size", "grids"),
}  # fmt: skip


class VisionSpec(Spec):
    """An encoder of images, a stack of layers over patches; what is left out has the stated default."""

    rule: Rule
    layers: Annotated[int, Within(ge=1, le=10_000)]
    hidden: Annotated[int, Within(ge=1, le=10**6)]
    heads: Annotated[int, Within(ge=1, le=10_000)]
    ffn_hidden: Annotated[int, Within(ge=1, le=10**7)]
    gated_mlp: bool = False
    window: Count | None = None
    """Patches of a window that a patch is compared with; default: all of its image or tile."""
    full_layers: Few = 0
    """Layers that see all where there is a window."""
    class_tokens: Few = 0
    """Tokens of the encoder beside the patches of an image or tile."""

    patch: Pixels
    """Of a patch's side."""
    merge: Count = 1
    """Patches on the side of the square that becomes one token of the language model."""
    size: Pixels | None = None
    """Of the square, the tile's side, or the longest side."""
    min_pixels: Area | None = None
    max_pixels: Area | None = None
    max_patches: Count | None = None
    max_side: Count | None = None
    """Patches of a side."""
    max_cells: Count | None = None
    """Above it a list's grid is shrunk, where it is more than a fifth larger."""
    drop_cells: bool = False
    """Patches that do not fill a cell give no token; default: an image is scaled to whole cells."""
    crossed: bool = False
    """Only layers of cross-attention see the tokens; one stands for them in the prompt. The encoder always has
    `max_tiles`, which see each other (Llama 3.2 Vision)."""
    min_tiles: Count = 1
    max_tiles: Count | None = None
    thumbnail: bool = True
    """Whether the whole image as one tile stands beside several."""
    longest: Pixels | None = None
    """Of the longer side before it is cut into tiles."""
    grids: tuple[tuple[Count, Count], ...] = ()
    """Rows and columns of tiles that may be taken."""
    small_pixels: Area | None = None
    """Up to which an image is one tile of its own size, within `min_pixels` and `max_pixels`."""

    tokens: Count | None = None
    """Of the image, or of one tile; default: one for each merged square of patches."""
    row_tokens: Few = 0
    """Further ones that end a row of cells, or of tiles."""
    tile_tokens: Few = 0
    """Beside each of several tiles, the thumbnail aside."""
    thumbnail_tokens: Few = 0
    image_tokens: Few = 0
    """Around an image."""

    def __post_init__(self) -> None:
        missing = [name for name in _NEEDS[self.rule] if not getattr(self, name)]
        if missing:
            raise ValueError(f"rule {self.rule} needs {', '.join(missing)}")
        if self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of heads ({self.heads})")

    @property
    def cell(self) -> int:
        """Pixels on the side of what becomes one token."""
        return self.patch * self.merge
