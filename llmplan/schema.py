"""Checks parsed data against a record of what may be written, and turns every fault into one with a line."""

from dataclasses import field
from itertools import compress
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, dataclass_transform

from llmplan.documents import Document
from llmplan.errors import Fault, InputError, did_you_mean
from llmplan.plain import RefusedError, kinds_of, plainly
from llmplan.records import dataclass, names


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
class Spec:
    """Base of everything that is read from a file: a record without unknown keys, whose numbers are finite.

    What contradicts itself in it is a ValueError of `__post_init__`.
    """

    given: ClassVar[frozenset[str]] = frozenset()
    """Names of the fields that stood where it was read from."""
    if TYPE_CHECKING:
        __dataclass_fields__: ClassVar[dict[str, Any]]

    def __init_subclass__(cls) -> None:
        own = cls.__dict__.get("__init__")
        dataclass(frozen=True, kw_only=True)(cls)
        if own is not None:
            cls.__init__ = own  # type: ignore[method-assign]

    def stated(self) -> dict[str, Any]:
        """The fields that have a value."""
        fields = names(self)
        return {name: value for name, value in self.__dict__.items() if value is not None and name in fields}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """What pydantic asks for."""
        from llmplan.pydantic_models import schema_of

        return schema_of(cls, handler)


class Source(Spec):
    """Where figures come from."""

    what: str
    """Which figures (or `all`)."""
    where: str
    """Title, repository with commit, or address."""


MAX_FAULTS = 100  # of one document in one message; nobody reads more
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")  # how it calls a key that there is not
_BRANCHES = {"constrained-str", "str", "int", "float", "bool"}  # how pydantic calls the branches of a union

SpecT = TypeVar("SpecT", bound=Spec)


def check(document: Document, spec: type[SpecT]) -> SpecT:
    """`document.data` as a `spec`; an InputError with all of its faults otherwise."""
    if not isinstance(document.data, dict):
        raise InputError(
            Fault(f"expected a mapping of keys, got {_kind(document.data)}", document.file, document.line(()))
        )
    try:
        return validated(document.data, spec)
    except RefusedError as error:
        items = [item for item in error.errors if not _is_other_branch(item)]
        faults = [_fault(item, document, spec) for item in items[:MAX_FAULTS]]
        if len(items) > MAX_FAULTS:
            faults.append(Fault(f"and {len(items) - MAX_FAULTS} more faults", document.file))
        raise InputError(faults) from None


def validated(data: Any, spec: type[SpecT]) -> SpecT:
    """`data` as a `spec`; RefusedError otherwise."""
    try:
        found: SpecT = plainly(data, spec)
    except ValueError:
        from llmplan.pydantic_models import validated as by_model

        found = by_model(data, spec)
    return found


def _is_other_branch(item: Any) -> bool:
    """Whether a fault is only that a value is no mapping where text or a mapping may stand: the text's says it."""
    return item["type"] == "dict_type" and any(str(step).startswith("dict[") for step in item["loc"])


def _is_step(step: Any) -> bool:
    """Whether it is a key or an index, and not what pydantic calls a branch of a union."""
    return "[" not in str(step) and step not in _BRANCHES


def _fault(item: Any, document: Document, spec: type[Any]) -> Fault:
    steps = item["loc"]
    named = item["type"] in (*_UNKNOWN, "missing")  # by its last step, be it called like a branch
    kept = [_is_step(step) for step in steps[:-1]] + [named or _is_step(step) for step in steps[-1:]]
    path = tuple(compress(steps, kept))
    name = ".".join(str(step) for step in path)
    if item["type"] in _UNKNOWN:
        known = _keys_at(spec, path[:-1])
        message = f"unknown key {name!r}{did_you_mean(str(path[-1]), known)}"
    elif item["type"] == "missing":
        message = f"key {name!r} is missing"
    else:
        text = item["msg"].removeprefix("Value error, ")
        message = f"{name}: {text[0].lower()}{text[1:]}" if name else text
        if item["type"] not in ("value_error", "assertion_error"):
            message += f", got {str(item['input'])[:60]!r}"
    return Fault(message, document.file, document.line(path))


def _keys_at(spec: type[Any], path: tuple[Any, ...]) -> list[str]:
    """The keys that a nested model knows, for 'did you mean'; the top level's where it is unclear."""
    current: Any = spec
    for step in path:
        annotation = kinds_of(current).get(step)
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        nested = [c for c in candidates if isinstance(c, type) and issubclass(c, Spec)]
        if not nested:
            return []
        current = nested[0]
    return list(kinds_of(current))


def _kind(data: Any) -> str:
    return {list: "a list", str: "text", type(None): "nothing"}.get(type(data), type(data).__name__)
