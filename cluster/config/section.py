"""How a section of the recipe is written: a frozen dataclass whose fields tell what they allow and mean."""

from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeVar, dataclass_transform

from annotated_types import Ge, Lt, MinLen

T = TypeVar("T")

Auto = Literal["auto"]
Path = Annotated[str, MinLen(1)]
Sources = Path | Annotated[tuple[Path, ...], MinLen(1)]
Share = Annotated[float, Ge(0.0), Lt(1.0)]
Positive = Annotated[int, Ge(1)]
FINITE = {"allow_inf_nan": False}


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def section(cls: type[T]) -> type[T]:
    """A group of settings: frozen, by keyword only, unknown keys refused, docstrings of fields kept as descriptions."""
    cls.__pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True}  # type: ignore[attr-defined]
    return dataclass(frozen=True, kw_only=True)(cls)
