"""`dataclass` as the standard library has it, for classes that cost little.

What the standard library makes of a class takes half a millisecond, and a cold start imports a hundred classes to fill
the half of them. So a class here gets its slots at once, its `__init__` with the first record, and the fields of the
standard library when somebody asks for them; what compares, hashes and shows a record is the same function for all.
That a record is frozen is held by the type checker alone, which makes records cheap to fill as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import MISSING, Field
from functools import cache
from itertools import repeat
from typing import TYPE_CHECKING, Any

__all__ = [
    "dataclass",
    "declared",
    "defaults",
    "fields_of",
    "filled",
    "given",
    "mapped",
    "names",
    "replace",
    "to_plain",
]

if TYPE_CHECKING:
    from dataclasses import dataclass, replace
else:
    import dataclasses
    from inspect import get_annotations

    FIELDS = "__dataclass_fields__"

    def dataclass(cls=None, /, *, frozen=False, slots=False, kw_only=False, eq=True, repr=True):
        """The class as a dataclass: `fields`, `replace` and `is_dataclass` know it."""

        def made(cls):
            shared = {"__repr__": _repr} if repr else {}
            if eq:
                shared |= {"__eq__": _eq, "__hash__": _hash if frozen else None}
            for name, method in shared.items():
                if name not in cls.__dict__:
                    setattr(cls, name, method)
            return _made_when_used(cls, slots, kw_only)

        return made if cls is None else made(cls)

    def _made_when_used(cls, slots, kw_only):
        """The class, with slots where it shall have some; `__parts__`: what is given for each field, and how it is."""
        hints = get_annotations(cls)
        given = {name: cls.__dict__[name] for name in hints if name in cls.__dict__}
        if slots:
            cls = _slotted(cls, hints)
        for name, value in () if slots else given.items():  # what stands for `field(...)` is its default
            if isinstance(value, Field) and value.default is MISSING:
                delattr(cls, name)
            elif isinstance(value, Field):
                setattr(cls, name, value.default)
        parts = {name: part for base in cls.__mro__[:0:-1] for name, part in base.__dict__.get("__parts__", {}).items()}
        cls.__parts__ = parts | {name: (given.get(name, MISSING), kw_only) for name in hints}
        cls.__in_dict__ = not any(one.__dict__.get("__slots__") for one in cls.__mro__)
        cls.__compared__ = _said(cls.__parts__, "compare")
        cls.__match_args__ = tuple(name for name, (_, by_name) in cls.__parts__.items() if not by_name)

        def init(self, *values, **named):
            cls.__init__ = _init_of(cls)
            cls.__init__(self, *values, **named)

        cls.__init__, cls.__dataclass_fields__ = init, _FieldsWhenUsed(hints, given, kw_only)
        cls.__pydantic_serializer__ = _SerializerWhenUsed()
        return cls

    def _init_of(cls):
        """The `__init__` that the standard library would write."""
        heads, body, known = {False: ["self"], True: []}, [], {"MISSING": MISSING}
        for name, (given, by_name) in cls.__parts__.items():
            factory = given.default_factory if isinstance(given, Field) else MISSING
            default = given.default if isinstance(given, Field) else given
            optional = default is not MISSING or factory is not MISSING
            heads[by_name].append(f"{name}=_default_{name}" if optional else name)
            known |= {f"_default_{name}": default, f"_make_{name}": factory}
            value = name if factory is MISSING else f"_make_{name}() if {name} is MISSING else {name}"
            body.append(f"self.{name} = {value}")
        if hasattr(cls, "__post_init__"):
            body.append("self.__post_init__()")
        head = ", ".join([*heads[False], *(["*", *heads[True]] if heads[True] else [])])
        exec(f"def __init__({head}):\n " + "\n ".join(body or ["pass"]), known)
        return known["__init__"]

    def _slotted(cls, hints):
        """The class anew with its annotated fields as slots."""
        inherited = {name for base in cls.__mro__[1:] for name in getattr(base, "__slots__", ())}
        slots = tuple(name for name in hints if name not in inherited)
        left_out = {*hints, "__dict__", "__weakref__"}
        kept = {name: value for name, value in cls.__dict__.items() if name not in left_out}
        new = type(cls)(cls.__name__, cls.__bases__, {**kept, "__slots__": slots})
        new.__qualname__ = cls.__qualname__
        return new

    class _FieldsWhenUsed:
        """In the place of a class's `__dataclass_fields__` until somebody asks for them: those of a twin are taken."""

        def __init__(self, hints, given, kw_only):
            self.hints, self.given, self.kw_only = hints, given, kw_only

        def __get__(self, record, asking):
            cls = next(one for one in asking.__mro__ if one.__dict__.get(FIELDS) is self)
            bases = tuple(base for base in cls.__bases__ if hasattr(base, FIELDS))
            named = {"__doc__": cls.__doc__, "__module__": cls.__module__, "__annotations__": self.hints}
            shared = {name: value for name, value in self.given.items() if isinstance(value, (dict, list))}
            made = {name: dataclasses.field(default_factory=value.copy) for name, value in shared.items()}
            twin = type(cls.__name__, bases, self.given | made | named)
            twin = dataclasses.dataclass(init=False, eq=False, repr=False, kw_only=self.kw_only)(twin)
            cls.__dataclass_params__, cls.__dataclass_fields__ = twin.__dataclass_params__, twin.__dataclass_fields__
            return cls.__dataclass_fields__

    class _SerializerWhenUsed:
        """What `pydantic_core.to_json` asks a record for: its fields, be their values what they are."""

        def __get__(self, record, cls):
            from pydantic_core import SchemaSerializer, core_schema

            fields = [core_schema.dataclass_field(name, core_schema.any_schema()) for name in names(cls)]
            arguments = core_schema.dataclass_args_schema(cls.__name__, fields)
            serializer = SchemaSerializer(core_schema.dataclass_schema(cls, arguments, list(names(cls))))
            cls.__pydantic_serializer__ = serializer
            return serializer

    def replace(record, /, **changes):
        """The record with other values, copied field by field: a third of the time that `__init__` takes."""
        new, parts = object.__new__(record.__class__), record.__parts__
        in_dict = record.__in_dict__
        if in_dict:
            new.__dict__ = values = record.__dict__ | changes
            if parts.keys() >= values.keys():
                return new
        if not parts.keys() >= changes.keys():
            raise TypeError(f"{record.__class__.__name__} has no {' or '.join(changes.keys() - parts.keys())}")
        if in_dict:  # without what was worked out of the fields once
            new.__dict__ = {name: value for name, value in values.items() if name in parts}
        else:
            values = map(getattr, repeat(record), parts)
            any(map(setattr, repeat(new), parts, map(changes.get, parts, values)))  # setattr gives None
        return new


def names(record: Any) -> Iterable[str]:
    """The names of the fields of a record, or of a class of them; none of anything else."""
    found: Iterable[str] = getattr(record, "__parts__", ())
    return found


def fields_of(record: Any) -> dict[str, Any]:
    """The fields of a record by name."""
    return {name: getattr(record, name) for name in names(record)}


def mapped(record: Any, change: Callable[[Any], Any]) -> Any:
    """The record with every field changed."""
    return type(record)(**{name: change(value) for name, value in fields_of(record).items()})


def declared(kind: Any) -> dict[str, Any]:
    """What a class of records gives for each field: its default, a `field(...)`, or MISSING."""
    return {name: given for name, (given, _) in kind.__parts__.items()}


def defaults(kind: Any) -> dict[str, Any]:
    """What the fields of a class of records have where nothing is given; without those that must be given."""
    usual, factories = _usual(kind)
    return usual | {name: factory() for name, factory in factories.items()}


def filled(kind: Any, values: dict[str, Any]) -> Any:
    """A record without slots of checked values; the class has the defaults of the others.

    `__init__` is not called: to make one of a hundred parameters takes as long as to fill a hundred records.
    """
    new, (_, factories) = object.__new__(kind), _usual(kind)
    new.__dict__ = {name: factory() for name, factory in factories.items() if name not in values} | values
    if hasattr(kind, "__post_init__"):
        new.__post_init__()
    return new


@cache
def _usual(kind: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Defaults, and what makes them where they are made anew for each record."""
    known = declared(kind)
    fields = {name: given for name, given in known.items() if isinstance(given, Field)}
    usual = known | {name: given.default for name, given in fields.items()}
    factories: dict[str, Any] = {name: given.default_factory for name, given in fields.items()}
    return _there(usual), _there(factories)


def _there(some: dict[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in some.items() if one is not MISSING}


def to_plain(value: Any) -> Any:
    """A record as a mapping of its fields, and so are those in it; a tuple as a list."""
    if names(value):
        return {name: to_plain(part) for name, part in fields_of(value).items()}
    if isinstance(value, dict):
        return {name: to_plain(part) for name, part in value.items()}
    return [to_plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def given(record: Any) -> dict[str, Any]:
    """The fields of a record that are not as where nothing is given."""
    usual = defaults(type(record))
    return {name: value for name, value in fields_of(record).items() if name not in usual or value != usual[name]}


def _said(parts: Any, what: str) -> tuple[str, ...]:
    """The fields that `field(...)` does not except from what is compared, or shown."""
    return tuple(name for name, (given, _) in parts.items() if not isinstance(given, Field) or getattr(given, what))


def _values(record: Any) -> tuple[Any, ...]:
    return tuple([getattr(record, name) for name in record.__compared__])


def _eq(self: Any, other: object) -> bool:
    same = other.__class__ is self.__class__
    return (self is other or _values(self) == _values(other)) if same else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _repr(self: Any) -> str:
    shown = (f"{name}={getattr(self, name)!r}" for name in _said(self.__parts__, "repr"))
    return f"{type(self).__qualname__}({', '.join(shown)})"
