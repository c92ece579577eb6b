"""What to try next on your own data: a few experiments, with the settings that they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from samplemind_core.config import PRESETS, RunConfig, flatten
from samplemind_core.learn.cures import CURES
from samplemind_core.store.records import Dataset, Run
from samplemind_core.training.remedies import Case, remedies_for

MORE_EPOCHS = 2.5
"""How much longer a network that has not learned enough is trained."""
MOST_EPOCHS = 10_000


@dataclass(frozen=True)
class Step:
    """Something to try: where it is done, and what is filled in there.

    ``place`` is a page; ``query`` its parameters; ``chapter`` the one that explains why, if any.
    """

    name: str
    title: str
    why: str
    button: str
    place: str
    query: Mapping[str, str] = field(default_factory=dict)
    chapter: str = ""


@dataclass(frozen=True)
class Standing:
    """A finished run and what its curves said at the end."""

    run: Run
    verdict: str
    has_checkpoint: bool


def next_steps(datasets: Sequence[Dataset], standings: Sequence[Standing]) -> list[Step]:
    """Return what is worth doing next, the most useful first.

    Parameters
    ----------
    datasets : sequence of Dataset
        Newest first.
    standings : sequence of Standing
        Finished runs, newest first.
    """
    if not datasets:
        return [
            Step(
                "bring",
                "Bring your samples",
                "A folder with one subfolder for each class is all it takes. Keep packs in folders of their own, so "
                "that the split can keep them apart.",
                "Bring a folder",
                "data",
                chapter="reading",
            ),
            Step(
                "demo",
                "Or begin with made-up sounds",
                "A drum kit that is synthesised within a minute, to try every page before your own folders are sorted.",
                "Make the demo dataset",
                "home",
                chapter="hearing",
            ),
        ]
    known = {item.id for item in datasets}
    own = [item for item in standings if item.run.dataset_id in known]
    if not own:
        return [_first(datasets[0])]
    newest = own[0]
    steps = [_for_verdict(newest)]
    best = [item for item in own if item.has_checkpoint]
    if best:
        steps.append(_mistakes(best[0], several=_dataset_of(best[0], datasets).multi_label))
    mates = [item for item in best if item.run.dataset_id == newest.run.dataset_id]
    if len(mates) > 1:
        steps.append(_compare(mates[0], mates[1]))
    if _dataset_of(newest, datasets).kind == "audio":
        steps += _smaller_picture(newest)
    steps.append(_other_preset(newest))
    if best:
        steps.append(
            Step(
                "classify",
                "Ask it about a sample it has never heard",
                "Not one of the packs that it learned from. Watch how sure it is, not only what it says.",
                "Classify a sample",
                "classify",
                {"checkpoint": f"{best[0].run.id}:best"},
                "reading",
            )
        )
    return steps


def changes_text(config: RunConfig, changes: Mapping[str, Any]) -> tuple[str, str]:
    """Return the preset and the changes to it that make ``config`` with ``changes``, as the Train page reads them."""
    name = config.preset if config.preset in PRESETS else next(iter(PRESETS))
    base, wanted = flatten(PRESETS[name].config), {**flatten(config), **changes}
    different = {path: value for path, value in wanted.items() if value != base[path]}
    return name, ",".join(f"{path}={'' if value is None else value}" for path, value in different.items())


def _first(dataset: Dataset) -> Step:
    return Step(
        "first",
        "Train your first network",
        "The quick preset is a small network and a good start. Watch the two curves: while both fall, it learns.",
        "Train it",
        "train",
        {"new": "1", "dataset": dataset.id, "preset": "quick"},
        "overfitting",
    )


def _train(standing: Standing, changes: Mapping[str, Any]) -> dict[str, str]:
    preset, text = changes_text(RunConfig.model_validate(standing.run.config), changes)
    return {"new": "1", "dataset": standing.run.dataset_id, "preset": preset} | ({"set": text} if text else {})


def _for_verdict(standing: Standing) -> Step:
    config, name = RunConfig.model_validate(standing.run.config), standing.run.name
    more = _harder(config)
    augmented = {path: value for path, value in more.items() if path.startswith("augment.")}
    stronger = "stronger augmentation" if config.augment.enabled else "augmentation"
    if standing.verdict in ("overfitting", "overconfident"):
        with_what = [
            *([stronger] if augmented else []),
            *(["more weight decay"] if "train.weight_decay" in more else []),
            "an end when validation stops improving",
        ]
        return Step(
            "cure",
            f"Cure the overfitting of {name}",
            f"The same run with {' and '.join(filter(None, [', '.join(with_what[:-1]), with_what[-1]]))}.",
            "Train it again",
            "train",
            _train(standing, {**more, **CURES["stop"].changes}),
            "overfitting",
        )
    if standing.verdict == "suspicious":
        return Step(
            "check",
            f"Look at what {name} learned from",
            "Its curves are not those of an honest split: the health report finds sounds that stand on both sides of "
            "it, and labels that do not fit.",
            "Check the dataset",
            "data",
            {"dataset": standing.run.dataset_id},
            "reading",
        )
    if standing.verdict in ("diverging", "unstable"):
        return Step(
            "calm",
            f"Calm down {name}",
            "Its loss ran away: the steps were too large. The same run with a tenth of the learning rate.",
            "Train it again",
            "train",
            _train(standing, {"train.lr": float(f"{config.train.lr / 10:.2g}")}),
            "learning-rate",
        )
    longer = min(MOST_EPOCHS, max(config.train.epochs + 1, round(MORE_EPOCHS * config.train.epochs)))
    if standing.verdict in ("underfitting", "not_learning", "plateau"):
        return Step(
            "longer",
            f"Give {name} more time",
            f"It has not learned what the clips could teach. The same run for {longer} epochs.",
            "Train it longer",
            "train",
            _train(standing, {"train.epochs": longer}),
            "overfitting",
        )
    return Step(
        "augment",
        f"Make {name} sturdier",
        f"It looks healthy. {f'{stronger.capitalize()} and {longer}' if augmented else longer} epochs often help on "
        "packs that it has never heard.",
        "Train it again",
        "train",
        _train(standing, {**augmented, "train.epochs": longer}),
        "overfitting",
    )


def _harder(config: RunConfig) -> dict[str, Any]:
    """Return what makes a run harder to learn by heart than it was: more augmentation, more weight decay."""
    return {
        path: value
        for remedy in remedies_for("overfitting", Case(config, 0, 0))
        for path, value in remedy.changes.items()
        if path.startswith("augment.") or path == "train.weight_decay"
    }


def _dataset_of(standing: Standing, datasets: Sequence[Dataset]) -> Dataset:
    return next(item for item in datasets if item.id == standing.run.dataset_id)


def _mistakes(standing: Standing, *, several: bool) -> Step:
    where = "Choose a label that it misses or names wrongly" if several else "Click a cell of the confusion matrix"
    return Step(
        "mistakes",
        "Listen to its mistakes",
        f"{where}. Often the label is wrong, not the network.",
        "Look closer",
        "diagnostics",
        {"dataset": standing.run.dataset_id, "a": f"{standing.run.id}:best", "split": "val"},
        "reading",
    )


def _compare(a: Standing, b: Standing) -> Step:
    return Step(
        "compare",
        f"Is {a.run.name} really better than {b.run.name}?",
        "Both on the same clips: a difference of a point or two may be luck.",
        "Compare them",
        "diagnostics",
        {"dataset": a.run.dataset_id, "a": f"{a.run.id}:best", "b": f"{b.run.id}:best", "split": "val"},
        "reading",
    )


def _smaller_picture(standing: Standing) -> list[Step]:
    """Return the step to half the mel bands, where there are any to spare."""
    config = RunConfig.model_validate(standing.run.config)
    bands = max(16, config.features.n_mels // 2)
    if bands >= config.features.n_mels:
        return []
    return [
        Step(
            "smaller",
            "Does it need so fine a picture?",
            f"The same run with {bands} mel bands instead of {config.features.n_mels}. If validation stays the same, "
            "you save half the work.",
            "Try it",
            "train",
            _train(standing, {"features.n_mels": bands}),
            "hearing",
        )
    ]


def _other_preset(standing: Standing) -> Step:
    other = next(preset for name, preset in PRESETS.items() if name != standing.run.config.get("preset"))
    return Step(
        "preset",
        f"Try the {other.title.lower()} preset",
        other.summary,
        "Train it",
        "train",
        {"new": "1", "dataset": standing.run.dataset_id, "preset": other.name},
        "inside",
    )
