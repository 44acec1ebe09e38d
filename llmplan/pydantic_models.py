"""The records that are read from files as models of pydantic: it says what is wrong, and makes their JSON Schemas.

Imported where a document is not plain, or a schema is asked for: most runs of the program do without.
"""

from __future__ import annotations

from dataclasses import MISSING, Field
from functools import cache
from typing import Any

import pydantic
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic_core import core_schema

from llmplan.plain import RefusedError, kinds_of, made


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@cache
def model_of(record: Any) -> type[BaseModel]:
    """The model of a class of records: the same fields under the same names."""
    fields: Any = {name: (kind, _usual(record.__parts__[name][0])) for name, kind in kinds_of(record).items()}
    return create_model(
        record.__name__, __base__=_Model, __module__=record.__module__, __doc__=record.__doc__, **fields
    )


def _usual(given: Any) -> Any:
    """What pydantic has for the default of a field, and beside it."""
    if given is MISSING:
        return ...
    if not isinstance(given, Field):
        return given
    usual: dict[str, Any] = {"default": given.default, "default_factory": given.default_factory}
    options = {name: value for name, value in usual.items() if value is not MISSING}
    found: Any = pydantic.Field(description=given.metadata.get("description"), **options)
    return found


def validated(data: Any, record: Any) -> Any:
    """`data` as a record; RefusedError with pydantic's errors otherwise."""
    try:
        return _of_model(record, model_of(record).model_validate(data))
    except ValidationError as error:
        raise RefusedError(error.errors(include_url=False)) from None
    except ValueError as error:  # of its `__post_init__`
        raise RefusedError([{"type": "value_error", "loc": (), "msg": str(error), "input": data}]) from None


def schema_of(record: Any, handler: Any) -> Any:
    """The record as a part of another, as pydantic has it."""

    def read(value: Any, inner: Any) -> Any:
        return value if isinstance(value, record) else _of_model(record, inner(value))

    return core_schema.no_info_wrap_validator_function(read, handler.generate_schema(model_of(record)))


def _of_model(record: Any, model: Any) -> Any:
    return made(record, model.__dict__, model.model_fields_set)
