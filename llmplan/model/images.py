"""Tokens and patches of one image, by the rule of its model's family."""

from __future__ import annotations

from llmplan.formulas.images import (
    Grid,
    budget_cells,
    covering_grid,
    fitting_grid,
    grids,
    limited_cells,
    listed_grid,
    longest_cells,
    native_cells,
    nearest_grid,
    shrunk_cells,
    unpadded_cells,
)
from llmplan.model.encoder_input import EncoderInput
from llmplan.model.vision_spec import VisionSpec

LARGEST_COVERED = 4096
"""Pixels of a side above which `cover` shrinks an image first (Idefics3, `MAX_IMAGE_SIZE`)."""


def read_size(text: str) -> tuple[int, int]:
    """`1280x720` as (height, width) in pixels.

    >>> read_size("1280x720")
    (720, 1280)
    """
    width, _, height = text.partition("x")
    return int(height), int(width)


def cut_image(vision: VisionSpec, height: int, width: int) -> EncoderInput:
    """Tokens and patches of one image [px]."""
    if vision.crossed:
        return _crossed(vision, height, width)
    if vision.drop_cells:
        return _dropped(vision, longest_cells(height, width, vision.patch, vision.size or 1))
    by_cells = {"native": _native, "longest": _longest, "limited": _limited, "budget": _budget}
    if vision.rule in by_cells:
        return _of_cells(vision, by_cells[vision.rule](vision, height, width))
    if vision.small_pixels is not None and _near_pixels(vision, height, width) <= vision.small_pixels:
        return _of_cells(vision, _native(vision, height, width))
    grid = _grid(vision, height, width)
    return _listed(vision, height, width, grid) if vision.rule == "listed" else _of_tiles(vision, grid, height, width)


def _native(vision: VisionSpec, height: int, width: int) -> Grid:
    return native_cells(height, width, vision.cell, vision.min_pixels or 1, vision.max_pixels or 1)


def _longest(vision: VisionSpec, height: int, width: int) -> Grid:
    return longest_cells(height, width, vision.cell, vision.size or 1)


def _limited(vision: VisionSpec, height: int, width: int) -> Grid:
    return limited_cells(height, width, vision.patch, vision.merge, vision.max_patches or 1, vision.max_side or 1)


def _budget(vision: VisionSpec, height: int, width: int) -> Grid:
    return budget_cells(height, width, vision.cell, vision.max_cells or 1)


def _of_cells(vision: VisionSpec, grid: Grid) -> EncoderInput:
    """An image that is one sequence of whole cells to the encoder."""
    rows, columns = grid
    tokens = rows * (columns + vision.row_tokens) + vision.image_tokens
    return EncoderInput(tokens, 1, rows * columns * vision.merge**2 + vision.class_tokens)


def _dropped(vision: VisionSpec, grid: Grid) -> EncoderInput:
    """An image of whole patches, of which those at the edges may fill no cell (LightOnOCR)."""
    rows, columns = grid
    return EncoderInput((rows // vision.merge) * (columns // vision.merge) + vision.image_tokens, 1, rows * columns)


def _crossed(vision: VisionSpec, height: int, width: int) -> EncoderInput:
    """Tiles that cross-attention sees, and the token that stands for them in the prompt."""
    rows, columns = _grid(vision, height, width)
    patches = _tile_patches(vision)
    return EncoderInput(vision.image_tokens, 1, (vision.max_tiles or 1) * patches, seen=rows * columns * patches)


def _near_pixels(vision: VisionSpec, height: int, width: int) -> int:
    """Pixels of the image with its sides rounded to whole cells."""
    cell = vision.cell
    return max(vision.patch, round(height / cell) * cell) * max(vision.patch, round(width / cell) * cell)


def _grid(vision: VisionSpec, height: int, width: int) -> Grid:
    """Rows and columns of tiles, thumbnail aside."""
    size, most = vision.size or 1, vision.max_tiles or 1
    if vision.rule == "ratio":
        return nearest_grid(height, width, size, grids(vision.min_tiles, most))
    if vision.rule == "canvas":
        return fitting_grid(height, width, size, grids(1, most))
    if vision.rule == "cover":
        return covering_grid(height, width, size, vision.longest or 1, LARGEST_COVERED)
    return listed_grid(height, width, size, vision.grids) if vision.rule == "listed" else (1, 1)


def _of_tiles(vision: VisionSpec, grid: Grid, height: int, width: int) -> EncoderInput:
    """Equal tiles, and the whole image as one more where there are several."""
    rows, columns = grid
    tiles, patches, each = rows * columns, _tile_patches(vision), _tile_tokens(vision)
    if tiles == 1:
        return EncoderInput(each + vision.image_tokens, 1, patches)
    tokens = tiles * (each + vision.tile_tokens) + vision.image_tokens
    tokens += rows * vision.row_tokens
    if not vision.thumbnail:
        return EncoderInput(tokens, tiles, tiles * patches)
    whole, seen = each, patches
    if vision.small_pixels is not None:
        one = _of_cells(vision, _native(vision, height, width))
        whole, seen = one.tokens - vision.image_tokens, one.patches
    return EncoderInput(tokens + whole + vision.thumbnail_tokens, tiles + 1, tiles * patches + seen)


def _listed(vision: VisionSpec, height: int, width: int, grid: Grid) -> EncoderInput:
    """Tiles whose padding is cut off again before the language model; rows of it end with a token (LLaVA-NeXT)."""
    rows, columns = grid
    side = (vision.size or 1) // vision.patch
    covered, wide = unpadded_cells(height, width, rows * side, columns * side)
    if vision.max_cells is not None:
        covered, wide = shrunk_cells(covered, wide, vision.max_cells)
    tokens = covered * (wide + vision.row_tokens) + side * side + vision.image_tokens
    return EncoderInput(tokens, rows * columns + 1, (rows * columns + 1) * _tile_patches(vision))


def _tile_patches(vision: VisionSpec) -> int:
    return ((vision.size or 1) // vision.patch) ** 2 + vision.class_tokens


def _tile_tokens(vision: VisionSpec) -> int:
    if vision.tokens is not None:
        return vision.tokens
    return ((vision.size or 1) // vision.patch // vision.merge) ** 2
