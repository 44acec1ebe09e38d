"""`dataclass` as the standard library has it, for classes that cost nothing before they are used.

What the standard library writes for a class is source text that is compiled, and a cold start imports a hundred classes
to fill the half of them. So a class here gets its slots at once, and its fields and `__init__` with the first record;
what compares, hashes and shows a record is the same function for all of them. That a record is frozen
is held by the type checker alone, which makes records cheap to fill as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass", "names", "replace"]

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
        """The class, with slots where it shall have some; its fields and `__init__` are those of a twin made later."""
        hints = get_annotations(cls)
        given = {name: cls.__dict__[name] for name in (*hints, "__post_init__") if name in cls.__dict__}
        if slots:
            cls = _slotted(cls, hints)

        def make():
            bases = tuple(base for base in cls.__bases__ if hasattr(base, FIELDS))
            named = {"__doc__": cls.__doc__, "__module__": cls.__module__, "__annotations__": hints}
            twin = dataclasses.dataclass(eq=False, repr=False, kw_only=kw_only)(
                type(cls.__name__, bases, given | named)
            )
            for name in () if slots else hints.keys() & given.keys():  # what stands for `field(...)` is its default
                if name in twin.__dict__:
                    setattr(cls, name, twin.__dict__[name])
                else:
                    delattr(cls, name)
            cls.__init__, cls.__match_args__ = twin.__init__, twin.__match_args__
            cls.__dataclass_params__, cls.__dataclass_fields__ = twin.__dataclass_params__, twin.__dataclass_fields__

        def init(self, *values, **named):
            make()
            self.__init__(*values, **named)

        cls.__init__, cls.__dataclass_fields__ = init, _FieldsWhenUsed(make)
        return cls

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
        """In the place of a class's `__dataclass_fields__` until somebody asks for them."""

        def __init__(self, make):
            self.make = make

        def __get__(self, record, cls):
            self.make()
            return getattr(cls, FIELDS)

    def replace(record, /, **changes):
        """The record with other values, copied field by field: a third of the time that `__init__` takes."""
        new, fields = object.__new__(record.__class__), record.__dataclass_fields__
        any(map(setattr, repeat(new), fields, map(getattr, repeat(record), fields)))  # setattr gives None
        for name, value in changes.items():
            if name not in fields:
                raise TypeError(f"{record.__class__.__name__} has no {name}")
            setattr(new, name, value)
        return new


def names(record: Any) -> Iterable[str]:
    """The names of the fields of a record, or of a class of them."""
    found: dict[str, Any] = record.__dataclass_fields__
    return found


def _values(record: Any) -> tuple[Any, ...]:
    fields = record.__dataclass_fields__.values()
    return tuple([getattr(record, field.name) for field in fields if field.compare])


def _eq(self: Any, other: object) -> bool:
    same = other.__class__ is self.__class__
    return (self is other or _values(self) == _values(other)) if same else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _repr(self: Any) -> str:
    shown = [field.name for field in self.__dataclass_fields__.values() if field.repr]
    return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"
