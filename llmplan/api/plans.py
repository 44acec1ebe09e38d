"""Plans as Python has them: a `Plan`, a mapping of its options, or the path of a plan file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from llmplan.answer.resolve import AnyPlan, resolve
from llmplan.catalog.catalog import Catalog
from llmplan.documents import Document
from llmplan.errors import Fault, InputError
from llmplan.files import read_documents
from llmplan.setup.options import PlanOptions
from llmplan.setup.plan import Setup
from llmplan.setup.request import Request, request, requests


class Plan(PlanOptions):
    """What one plan says, with the keys of a plan file: `Plan(model="llama-3.1-8b", hardware="h100", devices=8)`.

    Options that are left out get a stated default when the plan is estimated. InputError names every option that is
    wrong.
    """

    if not TYPE_CHECKING:  # a type checker knows the options that a plan has

        def __init__(self, **words):
            self.__dict__.update(request(words).options.__dict__)

        def __setattr__(self, name, value):
            if name != "__dict__":  # as a whole, where a record is copied
                raise AttributeError(f"a plan is not changed: plan.but({name}=...) is the same with another {name}")
            object.__setattr__(self, name, value)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Plan:
        """The one plan of a YAML or JSON file."""
        return cls(**one_request(path).options.stated())

    def __repr__(self) -> str:
        parts = (f"{name}={value!r}" for name, value in self.stated().items())
        return f"{type(self).__name__}({', '.join(parts)})"

    def but(self, **changes: Any) -> Plan:
        """The same plan with other options; None takes one away."""
        given = {**self.stated(), **changes}
        return type(self)(**{name: value for name, value in given.items() if value is not None})


AsPlan: TypeAlias = Plan | PlanOptions | Setup | Mapping[str, Any] | str | os.PathLike[str]
"""What stands for one plan."""


def one_request(path: str | os.PathLike[str]) -> Request:
    """The one plan of a file."""
    found = requests(read_documents(Path(path)), {})
    if len(found) != 1:
        raise InputError(Fault(f"holds {len(found)} plans, and one is estimated at a time", str(path)))
    return found[0]


def asked(plan: AsPlan) -> Request | AnyPlan:
    """A plan as what it asks for; one that is complete as it is."""
    if isinstance(plan, Setup):
        return plan  # type: ignore[return-value]
    if isinstance(plan, PlanOptions):
        return Request(plan)
    return request(plan) if isinstance(plan, Mapping) else one_request(plan)


def complete(plan: AsPlan, catalog: Catalog) -> AnyPlan:
    """A plan with all that it leaves out filled in."""
    wanted = asked(plan)
    return resolve(wanted, catalog) if isinstance(wanted, Request) else wanted


def words(plan: AsPlan) -> dict[str, Any]:
    """What a plan says, as a mapping."""
    if isinstance(plan, Mapping):
        return dict(plan)
    wanted = asked(plan)
    return wanted.options.stated() if isinstance(wanted, Request) else wanted.as_options()


def documents(path: str | os.PathLike[str]) -> list[Document]:
    """The documents of a plan file; InputError where it holds none."""
    found = list(read_documents(Path(path)))
    if not found:
        raise InputError(Fault("holds no plan", str(path)))
    return found
