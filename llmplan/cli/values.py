"""Values of options that plainly are what their options take, passed on without pydantic.

Typer, since 0.29, has pydantic convert every value, a text too; to import it takes a third of a cold start.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup


class PlainValues:
    """In the place of Typer's converter of a parameter, which takes over where a value is not plain."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """What Typer asks a converter for."""
        descriptor = param.type_descriptor
        kind, info = descriptor.annotation, descriptor.parameter_info
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        with suppress(ValueError):
            if kind is str and type(value) is str:
                return value
            if kind is Path and _is_plain_path(value):
                return Path(value)
            if kind == list[Path] and all(map(_is_plain_path, value)):
                return [Path(path) for path in value]
            from llmplan.plain import plainly

            found = plainly([*value] if isinstance(value, tuple) else value, kind)  # arguments come as one
            within = (info.min is None or found >= info.min) and (info.max is None or found <= info.max)
            if within and info.parser is None and not info.clamp:
                return found
        param._runtime_param = None
        return param.get_runtime_param().coerce(value, param=param, ctx=ctx)


PLAIN = PlainValues()


def _is_plain_path(value: Any) -> bool:
    """Whether a file or folder can be read, or is not there: no option here asks for more."""
    return type(value) is str and (os.access(value, os.R_OK) or not os.path.exists(value))


class _Plainly:
    """A command whose parameters take plain values; an older Typer, which has no pydantic, does so by itself."""

    def get_params(self, ctx: Any) -> list[Any]:
        """As for any command."""
        found: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in found:
            if getattr(param, "_runtime_param", PLAIN) is None:
                param._runtime_param = PLAIN
        return found


class PlainCommand(_Plainly, TyperCommand):
    """A command of Typer's whose parameters take plain values."""


class PlainGroup(_Plainly, TyperGroup):
    """A group of Typer's whose parameters take plain values."""
