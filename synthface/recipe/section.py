"""What every section of a recipe shares: frozen, strict about unknown keys, explicit about which values decide."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

# accelerate's words; YAML reads an unquoted `no` as false
Precision = Annotated[
    Literal["auto", "no", "bf16", "fp16"], BeforeValidator(lambda value: "no" if value is False else value)
]


class Section(BaseModel):
    """A part of a recipe. Unknown keys are refused; the fields' descriptions are the reference documentation."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    def decisive(self) -> dict[str, Any]:
        """The values that decide the bytes of what is made; not counts that only extend it, nor speed settings."""
        values = {}
        for name, field in type(self).model_fields.items():
            extra = field.json_schema_extra
            if isinstance(extra, dict) and extra.get("decisive") is False:
                continue
            value = getattr(self, name)
            values[name] = value.decisive() if isinstance(value, Section) else _plain(value)
        return values


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return value.decisive()
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def free(default: Any, description: str, **limits: Any) -> Any:
    """A field that does not decide any byte: how many, how fast, where."""
    return Field(default, description=description, json_schema_extra={"decisive": False}, **limits)


def decisive(default: Any, description: str, **limits: Any) -> Any:
    """A field on which the bytes of the result depend."""
    return Field(default, description=description, **limits)
