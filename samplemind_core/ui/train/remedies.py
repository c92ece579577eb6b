"""What can be done about a verdict: each remedy is a change of settings, started as a new run with one click."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from samplemind_core.config import RunConfig, apply_changes, flatten
from samplemind_core.store import Run
from samplemind_core.ui import parts
from samplemind_core.ui.places import go
from samplemind_core.ui.state import error_boundary, is_mine, owner, workspace
from samplemind_core.ui.train.differences import differences, value_words

MOST = 4


@dataclass(frozen=True)
class Remedy:
    """One thing to try: its name, why it may help, and the settings that are it."""

    name: str
    title: str
    why: str
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def link(self) -> str:
        """The changes as a link to a new run gives them (``set=…``)."""
        return ",".join(
            f"{path}={value:g}" if isinstance(value, float) else f"{path}={'' if value is None else value}"
            for path, value in self.changes.items()
        )


def remedies(verdict: str, config: RunConfig) -> list[Remedy]:
    """Return what to try about a verdict, the most likely first; nothing that the settings already hold.

    Parameters
    ----------
    verdict : str
        As :func:`training.health.assess` names it.
    config : RunConfig
        The settings of the run.
    """
    known = {remedy.name: remedy for remedy in _all(config)}
    wanted = _FOR.get(verdict, ())
    return [known[name] for name in wanted if name in known][:MOST]


_FOR: dict[str, tuple[str, ...]] = {
    "overfitting": ("augment", "decay", "smaller", "dropout"),
    "underfitting": ("longer", "larger", "faster", "freer"),
    "plateau": ("onecycle", "slower", "larger", "longer"),
    "unstable": ("slower", "clip", "onecycle"),
    "diverging": ("much_slower", "clip"),
    "not_learning": ("much_slower", "faster"),
}
"""Remedies by verdict, the most likely first."""


def _all(config: RunConfig) -> list[Remedy]:
    train, augment, model = config.train, config.augment, config.model
    stronger = {
        "augment.time_shift_ms": max(50.0, min(200.0, 2 * augment.time_shift_ms)),
        "augment.freq_mask_bins": max(12, min(32, 2 * augment.freq_mask_bins)),
        "augment.time_mask_ms": max(120.0, min(400.0, 2 * augment.time_mask_ms)),
        "augment.mixup_alpha": max(0.2, augment.mixup_alpha),
    }
    rate, decay = train.lr, train.weight_decay
    found = [
        Remedy("augment", "More augmentation", "Each epoch hears every sample more changed than before.", stronger),
        Remedy(
            "decay",
            "More weight decay",
            "Each step pulls every weight a little harder towards zero.",
            {"train.weight_decay": min(0.5, max(1e-2, _round(5 * decay)))},
        ),
        Remedy(
            "smaller",
            "Smaller network",
            "It has less room to remember single samples.",
            {"model.width": max(0.125, model.width / 2)},
        ),
        Remedy(
            "dropout",
            "More dropout",
            "More of what the network found is hidden at each step.",
            {"model.dropout": min(0.6, round(model.dropout + 0.2, 3))},
        ),
        Remedy("longer", "Train longer", "It was still learning.", {"train.epochs": min(10_000, 2 * train.epochs)}),
        Remedy("larger", "Larger network", "It has more room to learn.", {"model.width": min(8.0, 2 * model.width)}),
        Remedy("faster", "Higher learning rate", "Each step goes further.", {"train.lr": min(10.0, _round(3 * rate))}),
        Remedy(
            "freer",
            "Less regularisation",
            "Less is hidden from the network while it learns.",
            {"model.dropout": 0.0, "train.weight_decay": min(decay, 1e-4), "augment.mixup_alpha": 0.0},
        ),
        Remedy("slower", "Lower learning rate", "Each step is more careful.", {"train.lr": _round(rate / 3)}),
        Remedy("much_slower", "Learning rate ÷ 10", "Each step is far more careful.", {"train.lr": _round(rate / 10)}),
        Remedy("clip", "Gradient clipping", "No single batch can throw the weights far.", {"train.grad_clip": 1.0}),
        Remedy(
            "onecycle",
            "One-cycle schedule",
            "The rate rises, then falls to nearly nothing, which settles the weights.",
            {"train.schedule": "onecycle"},
        ),
    ]
    current = flatten(config)
    return [one for one in found if any(current[path] != value for path, value in one.changes.items())]


def _round(value: float) -> float:
    """Return a number that somebody would type."""
    return float(f"{value:.2g}")


def draw_remedies(run: Run, verdict: str) -> None:
    """Draw what can be done about a verdict as buttons; nothing where nothing needs doing."""
    config = RunConfig.model_validate(run.config)
    offered = remedies(verdict, config)
    take = verdict == "overfitting" and run.best_epoch is not None
    if not offered and not take and verdict != "suspicious":
        return
    st.caption("What may help, each as a new run with this one change:" if offered else "What may help:")
    with st.container(horizontal=True, key="remedies"):
        if take:
            _take_best(run)
        for remedy in offered:
            help_text = f"{remedy.why} {_words(config, remedy.changes)}"
            if st.button(remedy.title, key=f"remedy-{remedy.name}", icon=":material/healing:", help=help_text):
                st.query_params.from_dict(
                    {"new": "1", "dataset": run.dataset_id, "based_on": run.id, "set": remedy.link}
                )
                st.rerun()
        if verdict in ("suspicious", "not_learning") and st.button(
            "Check the dataset", key="remedy-dataset", icon=":material/fact_check:", help="Copies, leakage, odd labels."
        ):
            go("data", dataset=run.dataset_id, section="health")


def _take_best(run: Run) -> None:
    title = f"{'Stop and take' if run.status == 'running' else 'Take'} epoch {run.best_epoch}"
    text = "The checkpoint of the epoch with the lowest validation loss is kept; this opens it in Diagnostics."
    if st.button(title, key="remedy-take", icon=":material/flag:", help=text):
        with error_boundary():
            if run.status == "running" and is_mine(run.owner):
                workspace().stop(run.id, by=owner())
            go("diagnostics", dataset=run.dataset_id, a=f"{run.id}:best")


def _words(config: RunConfig, changes: Mapping[str, Any]) -> str:
    rows = differences(config, apply_changes(config, changes))
    return "; ".join(f"{parts.safe(row.sentence)} (was {value_words(row.before)})" for row in rows) + "."
