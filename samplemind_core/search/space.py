"""Which settings a search may change, and how far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from samplemind_core.config import AUGMENT_PRESETS, SECTIONS, RunConfig, apply_changes, flatten, setting_paths
from samplemind_core.errors import ConfigError

if TYPE_CHECKING:
    from optuna.trial import Trial

NOT_SEARCHED = frozenset({"train.epochs", "train.seed", "train.device", "train.num_devices", "train.save_every"})
"""Settings that are no question of better or worse."""

AUGMENT = "augment"
"""Searched as one: a whole amount of augmentation by its name."""

Value = float | int | str | bool | None


@dataclass(frozen=True)
class Dimension:
    """One setting and the values that it may take: a range, or choices.

    Attributes
    ----------
    path : str
        The setting's dotted path.
    low, high : float, optional
        The range, both ends included, in the setting's unit.
    log : bool
        Whether values are drawn evenly over orders of magnitude.
    integer : bool
    choices : tuple
        The values where it is no range.
    """

    path: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    integer: bool = False
    choices: tuple[Value, ...] = ()

    def suggest(self, trial: Trial) -> Value:
        """Return the value that a trial proposes."""
        if self.choices:
            chosen: Value = trial.suggest_categorical(self.path, list(self.choices))
            return chosen
        assert self.low is not None
        assert self.high is not None
        if self.integer:
            return trial.suggest_int(self.path, round(self.low), round(self.high), log=self.log)
        return trial.suggest_float(self.path, self.low, self.high, log=self.log)

    def holds(self, value: Any) -> bool:
        """Return whether a value is one that this dimension can take."""
        if self.choices:
            return value in self.choices
        return isinstance(value, int | float) and self.low is not None and self.low <= value <= (self.high or self.low)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return asdict(self) | {"choices": list(self.choices)}


def dimension_from(fields: Mapping[str, Any]) -> Dimension:
    """Return a dimension from what :meth:`Dimension.as_dict` gave."""
    return Dimension(**{**fields, "choices": tuple(fields["choices"])})


def usual_dimensions(config: RunConfig) -> dict[str, Dimension]:
    """Return the dimensions that are worth searching first, around where a configuration stands."""
    train = config.train
    found = (
        Dimension("train.lr", low=train.lr / 10, high=min(10.0, train.lr * 10), log=True),
        Dimension("train.weight_decay", low=1e-5, high=0.3, log=True),
        Dimension("train.label_smoothing", low=0.0, high=0.2),
        Dimension("train.batch_size", choices=tuple(sorted({16, 32, 64, 128, train.batch_size}))),
        Dimension("model.width", low=0.5, high=2.0),
        Dimension("model.dropout", low=0.0, high=0.6),
        Dimension(AUGMENT, choices=tuple(AUGMENT_PRESETS)),
    )
    return {dimension.path: dimension for dimension in found}


def parse_dimension(text: str) -> Dimension:
    """Return a dimension from ``lr=1e-4:1e-1:log``, ``dropout=0:0.5`` or ``batch_size=16,32,64``.

    Raises
    ------
    ConfigError
        If it reads otherwise, or names no setting that can be searched.
    """
    advice = "For example: lr=1e-4:1e-1:log, dropout=0:0.5 or batch_size=16,32,64."
    name, equals, rest = (part.strip() for part in text.partition("="))
    if not equals or not rest:
        raise ConfigError(f"Expected a setting and its values, got '{text}'.", advice)
    path = setting_paths().get(name, name)
    if path == AUGMENT:
        return Dimension(path, choices=tuple(part.strip() for part in rest.split(",")))
    if path not in setting_paths().values() or path.startswith("features.") or path in NOT_SEARCHED:
        raise ConfigError(
            f"'{name}' cannot be searched.", "Settings of training, network and augmentation can, all but a few."
        )
    integer = _kinds(path) == {"integer"}
    if ":" not in rest:
        return Dimension(path, choices=tuple(_value(part.strip(), integer) for part in rest.split(",")))
    low, _, end = rest.partition(":")
    high, _, scale = end.partition(":")
    try:
        return Dimension(path, float(low), float(high), log={"": False, "log": True}[scale], integer=integer)
    except (ValueError, KeyError):
        raise ConfigError(f"Expected low:high or low:high:log, got '{rest}'.", advice) from None


def check_dimensions(config: RunConfig, dimensions: Iterable[Dimension]) -> tuple[Dimension, ...]:
    """Return dimensions as they are, or say what is wrong with them.

    Raises
    ------
    ConfigError
        If there are none, one comes twice, a range is empty, a value is none that the setting can take, or would end
        every run with the other settings.
    """
    found = tuple(dimensions)
    if not found:
        raise ConfigError(
            "Expected at least one setting to search, got none.", "Choose one, such as the learning rate."
        )
    paths = [dimension.path for dimension in found]
    if len(set(paths)) < len(paths):
        raise ConfigError(f"A setting comes twice: {', '.join(paths)}.", "Name each once.")
    for one in found:
        if one.choices:
            ends: tuple[Value, ...] = one.choices
        elif one.low is None or one.high is None or not one.low < one.high or (one.log and one.low <= 0):
            least = "above 0" if one.log else "below the upper end"
            raise ConfigError(
                f"The range of {one.path} is {one.low} to {one.high}.",
                f"Its lower end has to be {least}, the upper above it.",
            )
        else:
            ends = (one.low, one.high)
        for end in ends:
            applied(config, {one.path: round(end) if one.integer and isinstance(end, float) else end}).check()
    return found


def applied(config: RunConfig, values: Mapping[str, Value]) -> RunConfig:
    """Return a configuration with a trial's values.

    Raises
    ------
    ConfigError
        If a setting cannot take its value.
    """
    changes = dict(values)
    amount = changes.pop(AUGMENT, None)
    if amount is not None:
        if amount not in AUGMENT_PRESETS:
            raise ConfigError(
                f"There is no amount of augmentation '{amount}'.", f"Choose of: {', '.join(AUGMENT_PRESETS)}."
            )
        config = config.model_copy(update={"augment": AUGMENT_PRESETS[str(amount)].config})
    return apply_changes(config, changes)


def starting_point(config: RunConfig, dimensions: Iterable[Dimension]) -> dict[str, Value] | None:
    """Return the configuration's own values as a first trial; None where they lie outside the ranges."""
    amount = next((name for name, preset in AUGMENT_PRESETS.items() if preset.config == config.augment), None)
    flat = flatten(config) | {AUGMENT: amount}
    values = {dimension.path: flat[dimension.path] for dimension in dimensions}
    return values if all(dimension.holds(values[dimension.path]) for dimension in dimensions) else None


def _kinds(path: str) -> set[str]:
    section, name = path.split(".")
    schema = SECTIONS[section].model_json_schema()["properties"][name]
    return {kind.get("type", "") for kind in schema.get("anyOf", (schema,))} - {"null"}


def _value(text: str, integer: bool) -> Value:
    if text.lower() in {"none", "true", "false"}:
        return {"none": None, "true": True, "false": False}[text.lower()]
    try:
        return int(text) if integer else float(text)
    except ValueError:
        return text
