"""How encoders cut an image: patches of a grid, or tiles, by the rules of the families' own image processors.

Whole numbers of one image, never arrays: the rules round, and some choose among a list of grids. `height`, `width`
[px]; a cell is the square of patches that becomes one token; results are (rows, columns) [1].
"""

from __future__ import annotations

import math
from collections.abc import Iterable

HALF_OF_TILES = 0.5
"""Share of a grid's pixels above which an image takes it rather than a smaller one of the same shape [1] (InternVL,
arXiv 2404.16821, section 3.3, and its `find_closest_aspect_ratio`)."""
_DIGITS = 7
"""After the point, to which LLaVA-NeXT rounds before it cuts off [1]."""

Grid = tuple[int, int]

SHRUNK_RATIO = 1.1
"""Ratio of sides from which a grid of cells is interpolated [1] (LLaVA-OneVision)."""


def native_cells(height: int, width: int, cell: int, least: int, most: int) -> Grid:
    """Cells [1] of an image that keeps its size, rounded to whole cells, within limits on pixels.

    Sides are round(side / cell); above `most` or below `least` pixels both are scaled by sqrt(limit / pixels) and
    rounded down or up. cell: pixels of a cell's side [px]; least, most: pixels of an image [px].
    Result: (rows, columns) [1]. Qwen2-VL (arXiv 2409.12191, section 2.1), `smart_resize`.

    >>> native_cells(1024, 1024, 28, 3136, 12845056), native_cells(2160, 3840, 32, 65536, 2**22)
    ((37, 37), (48, 85))
    """
    rows, columns = max(1, round(height / cell)), max(1, round(width / cell))
    pixels = rows * columns * cell * cell
    if most >= pixels >= least:
        return rows, columns
    if pixels > most:
        shrunk = math.sqrt(height * width / most)
        return max(1, math.floor(height / shrunk / cell)), max(1, math.floor(width / shrunk / cell))
    grown = math.sqrt(least / (height * width))
    return math.ceil(height * grown / cell), math.ceil(width * grown / cell)


def longest_cells(height: int, width: int, cell: int, longest: int) -> Grid:
    """Cells [1] of an image whose longer side is at most `longest`, the last ones filled up.

    ceil(floor(side x scale) / cell), scale = min(1, longest / longer side). cell, longest: of a side [px].
    Result: (rows, columns) [1]. Pixtral (arXiv 2410.07073, section 2.2), `get_resize_output_image_size`.

    >>> longest_cells(1024, 1024, 16, 1024), longest_cells(3000, 1500, 28, 1540)
    ((64, 64), (55, 28))
    """
    ratio = max(height / longest, width / longest)
    if ratio > 1:
        height, width = math.floor(height / ratio), math.floor(width / ratio)
    return max(1, math.ceil(height / cell)), max(1, math.ceil(width / cell))


def limited_cells(height: int, width: int, patch: int, merge: int, most: int, side: int) -> Grid:
    """Cells [1] of an image that is made smaller, never larger, until its patches are few enough, the last filled up.

    scale = min(1, sqrt(most / patches), side x patch / each side). patch: pixels of a patch's side [px]; merge:
    patches of a cell's side; most: patches of an image; side: of one side [1]. Result: (rows, columns) [1].
    Kimi K2.5 (MoonViT, arXiv 2504.07491, section 2.1), `navit_resize`.

    >>> limited_cells(1024, 1024, 14, 2, 16384, 512), limited_cells(4000, 3000, 14, 2, 16384, 512)
    ((37, 37), (75, 56))
    """
    patches = max(1, height // patch) * max(1, width // patch)
    scale = min(1.0, math.sqrt(most / patches), side * patch / height, side * patch / width)
    cell = merge * patch
    cells = (math.ceil(max(1, min(int(length * scale), side * patch)) / cell) for length in (height, width))
    return next(cells), next(cells)


def budget_cells(height: int, width: int, cell: int, most: int) -> Grid:
    """Cells [1] of an image that is scaled up or down to nearly so many, its shape kept.

    floor(side x sqrt(most x cell^2 / pixels) / cell). cell: pixels of a cell's side [px]; most: cells [1].
    Result: (rows, columns) [1]; a thin image is one cell wide. Gemma 4, `get_aspect_ratio_preserving_size`.

    >>> budget_cells(1024, 1024, 48, 280), budget_cells(1080, 1920, 48, 280)
    ((16, 16), (12, 22))
    """
    scale = math.sqrt(most * cell * cell / (height * width))
    rows, columns = math.floor(scale * height / cell), math.floor(scale * width / cell)
    if rows == 0:
        return 1, min(width // height, most)
    return (rows, columns) if columns else (min(height // width, most), 1)


def grids(least: int, most: int) -> list[Grid]:
    """Grids of least .. most tiles, the smaller first [1].

    >>> grids(1, 3)
    [(1, 1), (2, 1), (1, 2), (3, 1), (1, 3)]
    """
    found = [(rows, columns) for columns in range(1, most + 1) for rows in range(1, most // columns + 1)]
    return sorted((grid for grid in found if grid[0] * grid[1] >= least), key=lambda grid: grid[0] * grid[1])


def nearest_grid(height: int, width: int, tile: int, allowed: Iterable[Grid]) -> Grid:
    """The grid [1] whose shape is nearest to the image's; of equal ones the largest that is not mostly empty.

    min |width / height - columns / rows|. tile: pixels of a tile's side [px]; allowed: grids, the smaller first [1].
    Result: (rows, columns) of tiles [1]. InternVL 1.5 (arXiv 2404.16821, section 3.3), `get_optimal_tiled_canvas`.

    >>> nearest_grid(1024, 1024, 448, grids(1, 12)), nearest_grid(1080, 1920, 448, grids(1, 12))
    ((3, 3), (2, 4))

    Half of the pixels of 2 x 2 tiles are those of a side of 633.6:

    >>> nearest_grid(633, 633, 448, grids(1, 4)), nearest_grid(634, 634, 448, grids(1, 4))
    ((1, 1), (2, 2))
    """
    best, least = (1, 1), math.inf
    for rows, columns in allowed:
        difference = abs(width / height - columns / rows)
        full = height * width > HALF_OF_TILES * tile * tile * rows * columns
        if difference < least or (difference == least and full):
            best, least = (rows, columns), difference
    return best


def fitting_grid(height: int, width: int, tile: int, allowed: Iterable[Grid]) -> Grid:
    """The grid [1] that the image fills with the least enlargement, else the one that shrinks it least.

    scale = min(rows x tile / height, columns x tile / width): the least of those from 1 on, else the greatest; of
    equal ones the grid with fewer tiles. tile: pixels of a tile's side [px]. Result: (rows, columns) of tiles [1].
    Llama 3.2 Vision and Llama 4, `get_best_fit`.

    >>> fitting_grid(1024, 1024, 336, grids(1, 16)), fitting_grid(1024, 1024, 560, grids(1, 4))
    ((4, 4), (2, 2))
    """
    scales = {grid: min(grid[0] * tile / height, grid[1] * tile / width) for grid in allowed}
    larger = [scale for scale in scales.values() if scale >= 1]
    chosen = min(larger) if larger else max(scales.values())
    return min((grid for grid, scale in scales.items() if scale == chosen), key=lambda grid: grid[0] * grid[1])


def covering_grid(height: int, width: int, tile: int, longest: int, limit: int) -> Grid:
    """Tiles [1] that cover an image whose longer side was made `longest`; (1, 1): it is not cut.

    ceil(side / tile). tile, longest: of a side [px]; limit: on the longer side, after that [px].
    Result: (rows, columns) of tiles [1]. Idefics3 (arXiv 2408.12637, section 3.1) and SmolVLM.

    >>> covering_grid(1024, 1024, 364, 1456, 4096), covering_grid(1080, 1920, 512, 2048, 4096)
    ((4, 4), (3, 4))
    """
    longest = min(longest, limit)
    shorter = int(longest / (max(height, width) / min(height, width)))
    shorter += shorter % 2
    few, many = max(1, math.ceil(shorter / tile)), math.ceil(longest / tile)
    return (few, many) if width >= height else (many, few)


def listed_grid(height: int, width: int, tile: int, allowed: Iterable[Grid]) -> Grid:
    """The grid [1] of a list that keeps the most of the image's pixels, of equal ones the one with the least beside it.

    kept = min(pixels of the image scaled into the grid, pixels of the image). tile: pixels of a tile's side [px].
    Result: (rows, columns) of tiles [1]. LLaVA-NeXT (LLaVA 1.6), `select_best_resolution`.

    >>> listed_grid(1024, 1024, 336, [(1, 2), (2, 1), (2, 2), (3, 1), (1, 3)])
    (2, 2)
    """
    best, most, waste = (1, 1), 0, math.inf
    for rows, columns in allowed:
        scale = min(columns * tile / width, rows * tile / height)
        kept = min(int(width * scale) * int(height * scale), width * height)
        beside = rows * columns * tile * tile - kept
        if kept > most or (kept == most and beside < waste):
            best, most, waste = (rows, columns), kept, beside
    return best


def unpadded_cells(height: int, width: int, rows: int, columns: int) -> Grid:
    """Cells [1] of a grid that the image covers, where it is laid into its middle with its shape kept.

    The side that is not filled has side - 2 floor((side - int(scaled)) / 2) cells. rows, columns: of the grid [1].
    Result: (rows, columns) [1]. LLaVA-NeXT (LLaVA 1.6), `_get_unpadded_features`.

    >>> unpadded_cells(1024, 1024, 48, 48), unpadded_cells(1080, 1920, 24, 72)
    ((48, 48), (24, 42))
    """
    if width / height > columns / rows:
        covered = int(round(height * (columns / width), _DIGITS))
        return rows - (rows - covered) // 2 * 2, columns
    covered = int(round(width * (rows / height), _DIGITS))
    return rows, columns - (columns - covered) // 2 * 2


def shrunk_cells(rows: int, columns: int, most: int) -> Grid:
    """Cells [1] of a grid that is interpolated to nearly so many where it has more than 1.21 times as many.

    ratio = sqrt(rows columns / most); each side / ratio, rounded down. rows, columns, most: [1]. Result: [1].
    LLaVA-OneVision, `_get_unpadded_features` (anyres_max_9: 9 tiles of 27 x 27).

    >>> shrunk_cells(162, 162, 6561), shrunk_cells(81, 81, 6561)
    ((81, 81), (81, 81))
    """
    ratio = math.sqrt(rows * columns / most)
    return (int(rows // ratio), int(columns // ratio)) if ratio > SHRUNK_RATIO else (rows, columns)
