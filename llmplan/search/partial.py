"""Layouts between no recomputation and all of it: with the fewest layers computed again that let memory fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from llmplan.records import replace
from llmplan.search.layouts import Layouts, joined
from llmplan.setup.layout import RECOMPUTE
from llmplan.training.many import on_machines
from llmplan.training.memory import training_memory
from llmplan.training.recompute import chunk_layers

if TYPE_CHECKING:
    from llmplan.search.goal import Goal
    from llmplan.search.scores import Scores
    from llmplan.training.plan import TrainingPlan

LEAST, MOST = RECOMPUTE[0], RECOMPUTE[-1]
AT_ONCE = 2_048
"""Numbers of layers that are tried at a time, of all rows together."""


def between(scores: Scores, goal: Goal, devices: int, limit: float) -> Layouts | None:
    """Layouts that fit with all layers computed again and not with none, whose memory may fit with some of them.

    limit: what the objective has to better [1]. A layout's objective with some layers lies between those with none and
    with all, so that pairs of which neither reaches the limit are left out.
    """
    plan, layouts = scores.plan, scores.layouts
    words = layouts.recompute.reshape(-1).tolist()
    if not {LEAST, MOST} <= set(words) or not plan.stack.layouts.recompute_layers:
        return None
    pairs = np.arange(scores.peak.size).reshape(-1, len(words), layouts.shape[-1])
    least, most = (pairs[:, words.index(word), :].reshape(-1) for word in (LEAST, MOST))
    room = _room(plan, goal)
    open_ = np.flatnonzero((scores.peak[most] <= room) & (scores.peak[least] > room))
    least, most = least[open_], most[open_]
    bound = np.minimum(*(goal.keys(scores, devices, index)[0] for index in (least, most)))
    most = most[bound <= limit]
    return layouts.rows(most) if len(most) else None


def with_fewest(asked: Sequence[tuple[TrainingPlan, Layouts, Goal]]) -> list[Layouts]:
    """Rows of `between` of several plans of one kind with the fewest layers with which the whole band fits.

    Those that need all of their layers are left out.
    """
    rows, sizes = joined([layouts for _, layouts, _ in asked])
    plan = on_machines([plan for plan, _, _ in asked], np.repeat(np.arange(len(asked)), sizes))
    layers: Any = np.broadcast_to(chunk_layers(plan.with_layout(rows)), rows.shape)
    fewest = _fewest(plan, rows, layers, np.repeat([_room(plan, goal) for plan, _, goal in asked], sizes))
    ends, some = np.cumsum(sizes)[:-1], fewest < layers
    parts = zip(asked, np.split(fewest, ends), np.split(some, ends), strict=True)
    return [own.rows(np.flatnonzero(less), recompute_layers=few[less]) for (_, own, _), few, less in parts]


def _fewest(plan: TrainingPlan, rows: Layouts, layers: Any, room: Any) -> Any:
    """Fewest layers of a virtual stage that run again where memory fits [1], of layouts that fit with all of them.

    All rows at once, and of few rows several numbers between the ends: every layer more takes no more memory.
    """
    low, high = np.ones_like(layers), layers.copy()
    parts = 1 + max(1, AT_ONCE // len(layers))
    while np.any(low < high):
        tried = low + np.floor((high - low) * (np.arange(1, parts) / parts)[:, None])
        peak = training_memory(plan.with_layout(replace(rows, recompute_layers=tried))).peak_bytes
        fits = peak <= room
        high = np.where(fits, tried, high).min(axis=0)
        low = np.minimum(np.where(fits, low, tried + 1.0).max(axis=0), high)
    return high


def _room(plan: TrainingPlan, goal: Goal) -> float:
    """The largest predicted peak with which a layout surely fits, and keeps a limit on memory [bytes]."""
    room = plan.usable_bytes / plan.interval("peak_bytes", 1.0).high
    return room if goal.limits.max_memory is None else min(room, goal.limits.max_memory)
