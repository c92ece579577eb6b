"""What to do about a verdict: changes of settings for a new run, or something to do with this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from samplemind_core.config import RunConfig

Action = Literal["", "take_best", "more_epochs", "check_data"]
"""``take_best``: use the best checkpoint. ``more_epochs``: let this run go on. ``check_data``: look at the dataset."""

FEWEST_WIDTHS = 0.25
LONGER = 2


@dataclass(frozen=True)
class Remedy:
    """One thing to try.

    Parameters
    ----------
    title : str
        What a button says.
    why : str
        What it is good for, in one sentence.
    changes : mapping
        Settings of a new run by dotted path, as :func:`~samplemind_core.config.apply_changes` takes them; may be
        empty.
    action : str
        What can be done besides, or instead of, a new run.
    """

    title: str
    why: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    action: Action = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the remedy as JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class Case:
    """What remedies are chosen by: the run's settings, its best and latest epoch, and the class it knows least."""

    config: RunConfig
    best_epoch: int
    epoch: int
    weakest_class: str = ""


def remedies_for(verdict: str, case: Case) -> tuple[Remedy, ...]:
    """Return what to try, the most promising first; none for a verdict that asks for nothing."""
    return tuple(_BY_VERDICT[verdict](case)) if verdict in _BY_VERDICT else ()


def _overfitting(case: Case) -> Iterator[Remedy]:
    yield from _best(case)
    yield from _augmentation(case)
    yield from _decay(case)
    yield from _smaller(case)
    yield from _data(case)


def _overconfident(case: Case) -> Iterator[Remedy]:
    yield from _best(case)
    if case.config.train.label_smoothing < 0.05:
        yield Remedy(
            "Soften the labels",
            "A label that leaves 5 % to the other classes keeps the network from being surer than it should be.",
            {"train.label_smoothing": 0.05},
        )
    yield from _augmentation(case)
    yield from _decay(case)


def _underfitting(case: Case) -> Iterator[Remedy]:
    yield from _longer(case, "Its losses were still falling, or had too few steps to fall.")
    yield from _faster(case)
    yield from _larger(case)


def _plateau(case: Case) -> Iterator[Remedy]:
    yield from _faster(case)
    yield from _larger(case)
    yield from _check("Look at the labels", "Clips that carry a wrong label set a limit to what can be learned.")


def _not_learning(case: Case) -> Iterator[Remedy]:
    yield from _check("Look at the labels", "Where labels do not belong to the sounds there is nothing to learn.")
    yield from _calmer(case)
    yield from _faster(case)


def _unstable(case: Case) -> Iterator[Remedy]:
    yield from _calmer(case)
    if case.config.train.grad_clip is None:
        yield Remedy(
            "Limit the steps", "No single batch can then throw the weights far away.", {"train.grad_clip": 1.0}
        )
    yield from _best(case)


def _suspicious(case: Case) -> Iterator[Remedy]:
    yield from _check(
        "Look at the split", "The health report finds sounds that stand on both sides of it, and odd labels."
    )


_BY_VERDICT: dict[str, Callable[[Case], Iterator[Remedy]]] = {
    "overfitting": _overfitting,
    "overconfident": _overconfident,
    "underfitting": _underfitting,
    "plateau": _plateau,
    "not_learning": _not_learning,
    "unstable": _unstable,
    "diverging": _unstable,
    "suspicious": _suspicious,
}


# -- single remedies, each only where it changes something -----------------------------------------


def _best(case: Case) -> Iterator[Remedy]:
    if case.best_epoch < case.epoch:
        yield Remedy(
            f"Take epoch {case.best_epoch}",
            "It did best on validation there, and its weights are kept as the best checkpoint.",
            action="take_best",
        )


def _augmentation(case: Case) -> Iterator[Remedy]:
    now, features = case.config.augment, case.config.features
    longest_ms = min(1_000.0, 200 * features.duration_s)  # a fifth of what the network hears
    bands = max(1, features.n_mels // 8, round(1.5 * now.freq_mask_bins))
    wanted = {
        "augment.time_shift_ms": min(longest_ms, max(50.0, 1.5 * now.time_shift_ms)),
        "augment.freq_mask_bins": min(64, features.n_mels // 4, bands),
        "augment.time_mask_ms": min(longest_ms, max(60.0 * features.duration_s, 1.5 * now.time_mask_ms)),
        "augment.gain_db": min(12.0, 0.4 * features.top_db, max(4.0, 1.5 * now.gain_db)),
    }
    if now.enabled:
        wanted["augment.mixup_alpha"] = 0.2
    changes = {
        path: round(value, 1) if isinstance(value, float) else value
        for path, value in wanted.items()
        if value > getattr(now, path.split(".")[1])
    }
    if changes:
        yield Remedy(
            "More augmentation" if now.enabled else "Switch augmentation on",
            "Each epoch then hears every clip a little changed, which is hard to learn by heart.",
            changes,
        )


def _decay(case: Case) -> Iterator[Remedy]:
    train = case.config.train
    decoupled = train.optimizer == "adamw"  # elsewhere the decay is part of the gradient and acts far more strongly
    wanted = min(0.3, max(0.05, 3 * train.weight_decay)) if decoupled else min(0.01, max(5e-4, 3 * train.weight_decay))
    if wanted > train.weight_decay:
        yield Remedy(
            "More weight decay",
            "Every step pulls the weights towards zero, so that only what pays off again and again stays.",
            {"train.weight_decay": _short(wanted)},
        )


def _smaller(case: Case) -> Iterator[Remedy]:
    if case.config.model.width > FEWEST_WIDTHS:
        yield Remedy(
            "Smaller network",
            "Fewer weights can remember fewer clips; they have to make do with what the clips have in common.",
            {"model.width": max(FEWEST_WIDTHS, _short(case.config.model.width / 2))},
        )


def _data(case: Case) -> Iterator[Remedy]:
    whose = f" of '{case.weakest_class}'" if case.weakest_class else ""
    why = "It is the class that validation recognises least; " if whose else ""
    yield Remedy(
        f"Add clips{whose}", f"{why}clips from other packs help more than further ones of the same.".capitalize(),
        action="check_data",
    )  # fmt: skip


def _longer(case: Case, why: str) -> Iterator[Remedy]:
    epochs = min(10_000, LONGER * case.config.train.epochs)
    if epochs > case.config.train.epochs:
        yield Remedy("Train longer", why, {"train.epochs": epochs}, "more_epochs")


def _larger(case: Case) -> Iterator[Remedy]:
    if case.config.model.width < 2:
        yield Remedy(
            "Larger network",
            "More weights can tell finer differences apart.",
            {"model.width": min(2.0, 2 * case.config.model.width)},
        )


def _faster(case: Case) -> Iterator[Remedy]:
    usual = {"sgd": 0.03}.get(case.config.train.optimizer, 3e-3)
    if case.config.train.lr < usual:
        yield Remedy(
            "Higher learning rate",
            "Its steps may be too small to get anywhere in this many epochs.",
            {"train.lr": _short(min(usual, 10 * case.config.train.lr))},
        )


def _calmer(case: Case) -> Iterator[Remedy]:
    if case.config.train.lr > 1e-5:
        yield Remedy(
            "Lower learning rate",
            "Its steps may be so large that each undoes what the one before learned.",
            {"train.lr": _short(case.config.train.lr / 10)},
        )


def _check(title: str, why: str) -> Iterator[Remedy]:
    yield Remedy(title, why, action="check_data")


def _short(value: float) -> float:
    return float(f"{value:.2g}")
