"""Several devices and stacks in one question: each pair is a question of its own; what cannot run is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from llmplan.errors import Fault, InputError
from llmplan.records import dataclass, replace
from llmplan.search.choices import SUBJECTS, names_of
from llmplan.setup.named import device_file

if TYPE_CHECKING:
    from llmplan.catalog.catalog import Catalog
    from llmplan.search.ask import Ask
    from llmplan.setup.plan import Setup

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Subjects(Generic[T]):
    """What was made of each pair of a device and a stack, by the options that set it apart; left_out: why not of
    others, a sentence each."""

    found: tuple[tuple[Mapping[str, str], T], ...]
    left_out: tuple[str, ...]


def has_many(ask: Ask) -> bool:
    """Whether several devices or stacks are asked about."""
    return any(option in ask.given for option in SUBJECTS)


def each_subject(ask: Ask, catalog: Catalog, make: Callable[[Ask], T]) -> Subjects[T]:
    """Makes something of the question for every device with every stack that was listed.

    An unknown name is a fault of the question, and so is whatever speaks against the only pair or against all of them;
    where several were asked about, what speaks against one of them leaves that one out.
    """
    lists = {option: names_of(option, ask.given[option]) for option in SUBJECTS if option in ask.given}
    check_names(lists, catalog)
    found: list[tuple[Mapping[str, str], T]] = []
    faults: list[tuple[str, InputError]] = []
    for names in product(*lists.values()):
        options = dict(zip(lists, names, strict=True))
        rest = {option: value for option, value in ask.given.items() if option not in lists}
        one = replace(ask, wanted=ask.wanted.changed(**options), given=rest)
        try:
            found.append(({option: name for option, name in options.items() if len(lists[option]) > 1}, make(one)))
        except InputError as error:
            faults.append((" with ".join(names), error))
    if not found:
        if len(faults) == 1:
            raise faults[0][1]
        raise InputError([Fault(f"{name}: {fault.message}") for name, error in faults for fault in error.faults])
    return Subjects(tuple(found), tuple(f"{name}: {error.faults[0].message}" for name, error in faults))


def made_for(plan: Setup) -> None:
    """Raises InputError where the stack does not run on the device: `estimate` only warns, but a choice is left out."""
    vendors = plan.stack.vendors
    if vendors and plan.device.vendor not in vendors:
        raise InputError(f"{plan.stack.id} runs on devices of {' and '.join(vendors)}, not of {plan.device.vendor}")


def merged_notes(found: Iterable[tuple[Mapping[str, str], Sequence[str]]]) -> list[str]:
    """Sentences about several subjects, each once, with the names of those that it is about where it is not all."""
    lines: dict[str, list[Mapping[str, str]]] = {}
    every: list[Mapping[str, str]] = []
    for options, sentences in found:
        every.append(options)
        for sentence in sentences:
            lines.setdefault(sentence, []).append(options)
    return [sentence + _about(about, every) for sentence, about in lines.items()]


def _about(about: list[Mapping[str, str]], every: list[Mapping[str, str]]) -> str:
    """` (h100, h200)`: the fewest options that tell these subjects from the others; nothing where there are no
    others."""
    if len(about) == len(every):
        return ""
    for option in SUBJECTS:
        names = list(dict.fromkeys(options[option] for options in about if option in options))
        if names and [options for options in every if options.get(option) in names] == about:
            return f" ({', '.join(names)})"
    return f" ({', '.join(' '.join(options.values()) for options in about)})"


def check_names(lists: Mapping[str, Sequence[Any]], catalog: Catalog, *, download: bool = False) -> None:
    """Raises InputError with all names that nothing has: a slip of the keyboard is no alternative."""
    from llmplan.catalog.load_model import find_model

    finders: dict[str, Callable[[str], object]] = {
        "hardware": lambda name: device_file(name, catalog),
        "cluster": lambda name: catalog.find("clusters", name),
        "stack": lambda name: catalog.find("stacks", name),
        "model": lambda name: find_model(name, catalog, download=download),
    }
    faults: list[Fault] = []
    for option, find in finders.items():
        for name in lists.get(option, ()):
            try:
                if isinstance(name, str):  # a model may stand there whole
                    find(name)
            except InputError as error:
                faults += error.faults
    if faults:
        raise InputError(faults)
