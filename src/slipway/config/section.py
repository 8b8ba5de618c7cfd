"""What every section of an environment's `x-slipway` block has in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section in which every key is stated, none is unknown, and no value is converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections that may stand where a key has this type: one, one of several, or none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is Annotated:
        yield from sections(get_args(annotation)[0])
    else:
        for each in get_args(annotation):
            yield from sections(each)
