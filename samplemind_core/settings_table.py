"""The tables of ``docs/SETTINGS.md``: ``python -m samplemind_core.settings_table > docs/SETTINGS.md``."""

from __future__ import annotations

import typing
from collections.abc import Iterable
from typing import Any, Literal

from annotated_types import BaseMetadata, Ge, Gt, Interval, Le, Lt, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from samplemind_core.config import PRESETS, SECTIONS, RunConfig, flatten
from samplemind_core.settings import Limits, Settings

_INTRODUCTION = """# Settings

Made from the code by `python -m samplemind_core.settings_table > docs/SETTINGS.md`; change the code, not this page.

## Settings of a run

Each is given by its full name or, where that says enough, by the last part: `train.lr` or `lr`. On the command line
`--set lr=0.001`; in Python `build_config("quick", {"lr": 0.001})`. An empty value means none. A value out of its range
is refused, never corrected."""
_TITLES = {"features": "Features", "augment": "Augmentation", "model": "Network", "train": "Training"}
_MACHINE = """## Settings of a machine

Environment variables, read at the start. They decide where things are and how much is allowed; nothing here changes
what a run computes."""


def render() -> str:
    """Return the page as Markdown."""
    parts = [_INTRODUCTION]
    for section, model in SECTIONS.items():
        rows = [(f"`{section}.{name}`", *_facts(field)) for name, field in model.model_fields.items()]
        parts += [f"### {_TITLES[section]}", _table(("setting", "default", "allowed", "what it is"), rows)]
    parts += ["## Presets", *_presets()]
    variables = [
        (f"`SAMPLEMIND_{name.upper()}`", *_facts(field))
        for group in (Settings, Limits)
        for name, field in group.model_fields.items()
        if not _is_model(field)
    ]
    parts += [_MACHINE, _table(("variable", "default", "allowed", "what it is"), variables)]
    return "\n\n".join(parts) + "\n"


def _presets() -> list[str]:
    plain = flatten(RunConfig())
    settings = {name: flatten(preset.config) for name, preset in PRESETS.items()}
    differing = [path for path in plain if path != "preset" and len({values[path] for values in settings.values()}) > 1]
    about = "\n".join(f"- **{name}**: {preset.summary}" for name, preset in PRESETS.items())
    rows = [(f"`{path}`", *(_value(values[path]) for values in settings.values())) for path in differing]
    shared = [
        f"`{path}` {_value(value)}"
        for path, value in settings[next(iter(settings))].items()
        if path not in ("preset", *differing) and value != plain[path]
    ]
    rest = "All other settings have their defaults, above"
    return [about, _table(("setting", *PRESETS), rows), f"{rest}{', but for ' if shared else ''}{', '.join(shared)}."]


def _facts(field: FieldInfo) -> tuple[str, str, str]:
    default = field.get_default(call_default_factory=True)
    return _value(default), _allowed(field), field.description or ""


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _allowed(field: FieldInfo) -> str:
    choices, kinds, bounds = _unfold(field.annotation)
    bounds += _bounds(field.metadata)
    if choices:
        text = ", ".join(f"`{choice}`" for choice in choices)
    else:
        names = {int: "whole number", float: "number", bool: "true or false", str: "text"}
        text = " or ".join(dict.fromkeys(names.get(kind, "path") for kind in kinds if kind is not type(None)))
        text = " ".join([text, *bounds])
    return f"{text}, or none" if type(None) in kinds else text


def _unfold(annotation: Any) -> tuple[list[Any], list[type], list[str]]:
    """Return the choices, the plain types and the bounds that an annotation allows."""
    origin = typing.get_origin(annotation)
    if origin is Literal:
        return list(typing.get_args(annotation)), [], []
    if origin is None:
        return [], [annotation], []
    choices: list[Any] = []
    kinds: list[type] = []
    bounds: list[str] = []
    if origin is typing.Annotated:
        inner, *metadata = typing.get_args(annotation)
        bounds += _bounds(_flat(metadata))
        parts: Iterable[Any] = (inner,)
    else:
        parts = typing.get_args(annotation)
    for part in parts:
        more_choices, more_kinds, more_bounds = _unfold(part)
        choices += more_choices
        kinds += more_kinds
        bounds += more_bounds
    return choices, kinds, bounds


def _flat(metadata: Iterable[Any]) -> list[Any]:
    return [item for entry in metadata for item in (entry.metadata if isinstance(entry, FieldInfo) else (entry,))]


def _bounds(metadata: Iterable[Any]) -> list[str]:
    words: list[str] = []
    for rule in metadata:
        match rule:
            case Ge(ge=limit):
                words.append(f"from {_number(limit)}")
            case Gt(gt=limit):
                words.append(f"above {_number(limit)}")
            case Le(le=limit):
                words.append(f"to {_number(limit)}")
            case Lt(lt=limit):
                words.append(f"below {_number(limit)}")
            case MinLen(min_length=1):
                words.append("that is not empty")
            case Interval() | BaseMetadata():
                raise TypeError(f"no words for the rule {rule!r}")
    return words


def _number(value: Any) -> str:
    return f"{value:,}".removesuffix(".0")


def _is_model(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    print(render(), end="")
