"""Checks parsed data against a pydantic model, and turns every fault into one with a line."""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from inspect import get_annotations
from itertools import compress
from math import isfinite
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from llmplan.documents import Document
from llmplan.errors import Fault, InputError, did_you_mean
from llmplan.records import defaults


class Spec(BaseModel):
    """Base of everything that is read from a file: frozen, no unknown keys, finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class SpecRecord:
    """The same for classes of many fields, as records: pydantic takes 0.1 ms to make a field of a model.

    What contradicts itself in it is a ValueError of `__post_init__`.
    """

    __slots__ = ()
    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)


class Source(Spec):
    """Where figures come from."""

    what: str
    """Which figures (or `all`)."""
    where: str
    """Title, repository with commit, or address."""


MAX_FAULTS = 100  # of one document in one message; nobody reads more
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")  # how it calls a key that there is not
_BRANCHES = {"constrained-str", "str", "int", "float", "bool"}  # how pydantic calls the branches of a union

SpecT = TypeVar("SpecT", bound=BaseModel | SpecRecord)


def check(document: Document, spec: type[SpecT]) -> SpecT:
    """`document.data` as a `spec`; an InputError with all of its faults otherwise."""
    if not isinstance(document.data, dict):
        raise InputError(
            Fault(f"expected a mapping of keys, got {_kind(document.data)}", document.file, document.line(()))
        )
    try:
        found: SpecT = _by_what_is_said(document.data, spec) or validated(document.data, spec)
        return found
    except ValidationError as error:
        items = [item for item in error.errors(include_url=False) if not _is_other_branch(item)]
        faults = [_fault(item, document, spec) for item in items[:MAX_FAULTS]]
        if len(items) > MAX_FAULTS:
            faults.append(Fault(f"and {len(items) - MAX_FAULTS} more faults", document.file))
        raise InputError(faults) from None


def validated(data: Any, spec: type[SpecT]) -> SpecT:
    """`data` as a `spec`; pydantic's ValidationError otherwise."""
    kind: Any = spec
    found: SpecT = kind.model_validate(data) if issubclass(kind, BaseModel) else _adapter(kind).validate_python(data)
    return found


FEW = 2
_documents: Counter[type] = Counter()


def _by_what_is_said(data: dict[Any, Any], spec: Any) -> Any:
    """`data` as a `spec`, each key checked by itself; None where that is not all that is to be said.

    The schema of a hundred fields takes longer to make than a plan to be estimated, so the first documents of a process
    are checked so. What is at fault, the whole schema says.
    """
    _documents[spec] += 1
    if _documents[spec] > FEW or (issubclass(spec, BaseModel) and spec.__pydantic_decorators__.model_validators):
        return None
    kinds, optional = _kinds(spec), _optional(spec)
    if not data.keys() <= kinds.keys() or not kinds.keys() <= data.keys() | optional:
        return None
    try:
        said = {name: _read(data[name], kinds[name]) for name in data}
        return spec.model_construct(set(said), **said) if issubclass(spec, BaseModel) else spec(**said)
    except ValueError:
        return None


def _kinds(spec: type[Any]) -> dict[str, Any]:
    """The types of the fields."""
    if not issubclass(spec, BaseModel):
        return get_annotations(spec, eval_str=True)
    found: dict[str, Any] = {name: field.annotation for name, field in spec.model_fields.items()}
    rules = {name: field.metadata for name, field in spec.model_fields.items() if field.metadata}
    return found | {name: Annotated[found[name], *said] for name, said in rules.items()}


def _optional(spec: type[Any]) -> Iterable[str]:
    """The names of fields that need not be given."""
    if not issubclass(spec, BaseModel):
        return defaults(spec).keys()
    return [name for name, field in spec.model_fields.items() if not field.is_required()]


def _read(value: Any, kind: Any) -> Any:
    """`value` as a `kind`: as it stands where it plainly is one, else what pydantic makes of it.

    A validator of pydantic's takes about 0.3 ms to make, and the entries of a plan hold eighty kinds of values.
    """
    if isinstance(kind, type) and issubclass(kind, (Spec, SpecRecord)):
        found = _by_what_is_said(value, kind) if isinstance(value, dict) else None
        return found or validated(value, kind)
    origin, parts = get_origin(kind), get_args(kind)
    if origin in _UNIONS and len(parts) == 1 + (NoneType in parts):
        return None if value is None else _read(value, next(part for part in parts if part is not NoneType))
    if origin is dict and isinstance(value, dict):
        return {_read(key, parts[0]): _read(item, parts[1]) for key, item in value.items()}
    if origin is tuple and parts[1:] == (Ellipsis,) and isinstance(value, list):
        return tuple(_read(item, parts[0]) for item in value)
    bare, rules = _ruled(kind)
    found = value
    for rule in rules:
        found = cast(Any, rule.func)(found) if isinstance(rule, BeforeValidator) else found
    found = _plain(found, bare)
    if found is not None and all(_RULES[type(rule)](found, rule) for rule in rules):
        return found
    return _adapter(kind).validate_python(value)


_UNIONS = (Union, UnionType)
_RULES: dict[type, Callable[[Any, Any], bool]] = {
    BeforeValidator: lambda value, rule: True,
    Ge: lambda value, rule: value >= rule.ge,
    Gt: lambda value, rule: value > rule.gt,
    Le: lambda value, rule: value <= rule.le,
    Lt: lambda value, rule: value < rule.lt,
    MinLen: lambda value, rule: len(value) >= rule.min_length,
    MaxLen: lambda value, rule: len(value) <= rule.max_length,
}
_EXACT = 2**53  # whole numbers below it are the same as floats


def _ruled(kind: Any) -> tuple[Any, list[Any]]:
    """What is annotated, and the rules for it; no kind where there are rules that only pydantic keeps."""
    if get_origin(kind) is not Annotated:
        return kind, []
    bare, *said = get_args(kind)
    rules = [rule for one in said for rule in (one.metadata if isinstance(one, FieldInfo) else [one])]
    readers = sum(isinstance(rule, BeforeValidator) for rule in rules)
    return (bare, rules) if readers <= 1 and all(type(rule) in _RULES for rule in rules) else (None, [])


def _plain(value: Any, kind: Any) -> Any:
    """`value` where it is a `kind` without being converted, but for a whole number as a float; else None."""
    if kind is float and type(value) is int and abs(value) < _EXACT:
        return float(value)
    if kind in (str, int, bool) or (kind is float and type(value) is float and isfinite(value)):
        return value if type(value) is kind else None
    return value if get_origin(kind) is Literal and isinstance(value, str) and value in get_args(kind) else None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    own = isinstance(bare, type) and issubclass(bare, (BaseModel, SpecRecord))  # of their own
    return TypeAdapter(kind, config=None if own else ConfigDict(allow_inf_nan=False))


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
        annotation = _kinds(current).get(step)
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        nested = [c for c in candidates if isinstance(c, type) and issubclass(c, (Spec, SpecRecord))]
        if not nested:
            return []
        current = nested[0]
    return list(_kinds(current))


def _kind(data: Any) -> str:
    return {list: "a list", str: "text", type(None): "nothing"}.get(type(data), type(data).__name__)
