"""Models of many plans as one whose numbers are arrays, of those that differ in sizes alone."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

from llmplan.model.layer import Layer
from llmplan.model.model import Model
from llmplan.records import replace
from llmplan.setup.many import kind_of, stacked


def model_of(plans: Sequence[Any], index: Any = slice(None)) -> Model:
    """The model of many plans; its numbers are arrays along `index` where there are several of one structure."""
    import numpy as np

    ones = {id(plan.model): plan.model for plan in plans}
    models: list[Model] = list(ones.values())
    if len(models) == 1:
        return models[0]
    places = {name: place for place, name in enumerate(ones)}
    return stacked(models, np.array([places[id(plan.model)] for plan in plans])[index])


@lru_cache(maxsize=1024)
def structure(model: Model) -> str:
    """What models have in common that may be stacked: everything but their names and sizes.

    What formulas choose by stands in it as it is. It is a text, of which a plan costs no more than a comparison.
    """
    nameless = replace(model, name="", family="", warnings=())
    cached = [(core.cache_elements == 0, core.cache_window) for layer in model.layers for core in layer.cores]
    # where layers of several kinds share a cache, their numbers say how many places it has for each
    counts = [layer.count for layer in model.layers] if len(set(cached)) > 1 else []
    exact = model.stored, model.tower_parameters > 0, cached, counts
    return repr([kind_of(nameless), exact, *map(_choices, model.layers)])


def _choices(layer: Layer) -> Hashable:
    """What formulas of a layer choose by."""
    products = tuple(one.inputs == other.inputs for one, other in pairwise(layer.linears))  # which may run as one
    banks = tuple((linear.experts, linear.active) for linear in layer.linears)
    cores = tuple((core.latent, core.context) for core in layer.cores)
    return products, banks, cores, layer.norms, layer.residuals
