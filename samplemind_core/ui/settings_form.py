"""A form of every setting, made from the configuration's own descriptions, ranges and defaults."""

from __future__ import annotations

import functools
import math
from typing import Any

import streamlit as st

from samplemind_core.config import NETWORKS, PRESETS, SECTIONS, RunConfig, apply_changes, fingerprint, flatten
from samplemind_core.ui import words
from samplemind_core.ui.hints import hint, hints

COMMON = ("train.epochs", "train.batch_size", "train.lr", "model.name")
_TITLES = {"features": "Features", "augment": "Augmentation", "model": "Network", "train": "Training"}


def settings_form(start: RunConfig) -> RunConfig:
    """Draw the common settings, and all others folded away; return ``start`` with what was changed.

    Raises
    ------
    ConfigError
        Naming every setting that cannot be used as it stands.
    """
    values = flatten(start)
    # What is chosen here belongs to where it started from: another preset, or a link, brings its own values.
    # The amount of augmentation has a control of its own, and choosing another one leaves the rest as it is.
    known = PRESETS.get(start.preset)
    rest = start if known is None else start.model_copy(update={"augment": known.config.augment})
    key = start.preset if known and known.config == rest else f"{start.preset}-{fingerprint(rest)[:8]}"
    amount = key if rest == start else f"{key}-{fingerprint(start.augment)[:8]}"
    chosen: dict[str, Any] = {}
    with st.container(horizontal=True):
        for path in COMMON:
            chosen[path] = _field(key, path, values[path])
    hints("epoch", "batch_size", "learning_rate", "optimiser")
    with st.expander("All settings"):
        for section, title in _TITLES.items():
            st.markdown(f"**{title}**")
            if section == "features":
                hint("log_mel")
            with st.grid(3, min_column_width=220):
                for name in SECTIONS[section].model_fields:
                    path = f"{section}.{name}"
                    if path not in COMMON:
                        chosen[path] = _field(amount if section == "augment" else key, path, values[path])
    return apply_changes(start, {path: value for path, value in chosen.items() if value != values[path]})


@functools.cache
def _schema(section: str) -> dict[str, Any]:
    return dict(SECTIONS[section].model_json_schema()["properties"])


def describe(path: str) -> dict[str, Any]:
    """Return a setting's JSON schema, an optional one's as that of its value with ``optional`` set."""
    section, name = path.split(".")
    schema = dict(_schema(section)[name])
    kinds = [kind for kind in schema.get("anyOf", ()) if kind.get("type") != "null"]
    return schema | kinds[0] | {"optional": True} if kinds else schema


def _field(group: str, path: str, value: Any) -> Any:
    schema = describe(path)
    shared: dict[str, Any] = {"key": f"setting-{group}-{path}", "help": schema.get("description")}
    label = words.setting(path.split(".")[1])
    options = tuple(NETWORKS) if path == "model.name" else schema.get("enum")
    if options:
        options = options if value in options else [*options, value]  # a link may name what no preset does
        titles = NETWORKS if path == "model.name" else {}
        return st.selectbox(
            label, options, index=list(options).index(value), format_func=lambda name: titles.get(name, name), **shared
        )
    if schema["type"] == "boolean":
        return st.toggle(label, value, **shared)
    if schema["type"] == "string":
        return st.text_input(label, value, **shared)
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    shared["placeholder"] = "off" if schema.get("optional") else None
    if schema["type"] == "integer":
        return st.number_input(label, _as(int, low), _as(int, high), _as(int, value), step=1, format="%d", **shared)
    bounds = _as(float, low), _as(float, high), _as(float, value)
    return st.number_input(label, *bounds, step=_step(value, high), format="%g", **shared)


def _as(kind: type[Any], value: Any) -> Any:
    return None if value is None else kind(value)


def _step(value: float | None, high: float | None) -> float:
    if value:
        return float(10.0 ** math.floor(math.log10(abs(value))))
    return 0.05 if high is not None and high <= 2 else 1.0
