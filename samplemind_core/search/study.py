"""What a search is: its plan, its trials so far, and which settings mattered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from samplemind_core.config import PRESETS, RunConfig, flatten
from samplemind_core.errors import ConfigError
from samplemind_core.search.space import Dimension, Value, applied, check_dimensions, dimension_from

if TYPE_CHECKING:
    import optuna

    from samplemind_core.store import Epoch, Search, Store

Objective = Literal["val_loss", "val_accuracy", "val_map"]
Pruner = Literal["median", "hyperband", "none"]
TrialState = Literal["running", "complete", "pruned", "failed", "waiting"]
OBJECTIVES: dict[Objective, str] = {
    "val_loss": "validation loss",
    "val_accuracy": "validation accuracy",
    "val_map": "mean average precision",
}
"""What a search can make better, in words; all of it is measured on validation clips."""
PRUNERS: tuple[Pruner, ...] = ("median", "hyperband", "none")
MIN_FOR_IMPORTANCE = 10
"""Complete trials below which nothing is said of what mattered: the best quarter of them is compared."""


@dataclass(frozen=True)
class Plan:
    """What is searched and how.

    Attributes
    ----------
    config : RunConfig
        The settings that every trial starts from, and the first trial where they lie in the ranges.
    dimensions : tuple of Dimension
        What trials change.
    objective : {'val_loss', 'val_accuracy', 'val_map'}
        The best epoch's; a loss is made small, accuracy and mean average precision (mAP, where clips have several
        labels) large.
    num_folds : int
        0 judges on the dataset's validation split. Otherwise training and validation clips together are dealt
        into so many folds, whole sources each, and a trial is the mean over them. Test clips take no part.
    pruner : {'median', 'hyperband', 'none'}
        What ends trials early that do worse than others did at the same epoch.
    seed : int
    """

    config: RunConfig
    dimensions: tuple[Dimension, ...]
    objective: Objective = "val_loss"
    num_folds: int = 0
    pruner: Pruner = "median"
    seed: int = 0

    @property
    def minimises(self) -> bool:
        """Whether less is better."""
        return self.objective == "val_loss"

    @property
    def num_steps(self) -> int:
        """How many epochs a trial has at most, over all its folds."""
        return max(1, self.num_folds) * self.config.train.epochs

    def check(self) -> Plan:
        """Return the plan, or say what is wrong with it; raises :class:`ConfigError`."""
        check_dimensions(self.config, self.dimensions)
        for name, value, known in (("objective", self.objective, OBJECTIVES), ("pruner", self.pruner, PRUNERS)):
            if value not in known:
                raise ConfigError(f"There is no {name} '{value}'.", f"Choose one of: {', '.join(known)}.")
        if self.num_folds and not 3 <= self.num_folds <= 20:
            raise ConfigError(f"A search takes 3 to 20 folds, got {self.num_folds}.", "0 takes the validation split.")
        return self

    def check_labels(self, *, several_labels: bool) -> None:
        """Raise :class:`ConfigError` if the objective or a loss to try is for the other kind of clips."""
        fitting = objectives_for(several_labels=several_labels)
        if self.objective not in fitting:
            has = "several labels" if several_labels else "one label"
            raise ConfigError(
                f"Trials cannot be judged by {OBJECTIVES[self.objective]}, as the clips of this dataset have {has}.",
                f"Choose one of: {', '.join(f'{name} ({OBJECTIVES[name]})' for name in fitting)}.",
            )
        losses = set()
        for config in (self.config, *self._with_each_choice()):
            config.train.check_loss(several_labels=several_labels)
            losses.add("asymmetric" if config.train.loss == "asymmetric" else "plain")
        if len(losses) > 1 and self.minimises:
            raise ConfigError(
                "The asymmetric loss and binary cross-entropy are different measures: which is lower says nothing.",
                "Judge trials by mean average precision (val_map), or search one loss.",
            )

    def _with_each_choice(self) -> list[RunConfig]:
        return [
            applied(self.config, {one.path: choice})
            for one in self.dimensions
            if one.path in ("train.loss", "train.class_balance", "train.monitor")
            for choice in one.choices
        ]

    def value(self, epoch: Epoch) -> float:
        """Return an epoch's objective."""
        if self.objective == "val_map":
            return float(epoch.health["val_map"])
        return epoch.val_loss if self.minimises else epoch.val_accuracy

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain JSON types."""
        return {
            **asdict(self),
            "config": self.config.model_dump(mode="json"),
            "dimensions": [dimension.as_dict() for dimension in self.dimensions],
        }


def objectives_for(*, several_labels: bool) -> tuple[Objective, ...]:
    """Return what trials can be judged by on clips with one label or with several, the usual one first."""
    return ("val_map", "val_loss") if several_labels else ("val_loss", "val_accuracy")


def plan_from(fields: dict[str, Any]) -> Plan:
    """Return a plan from what :meth:`Plan.as_dict` gave."""
    return Plan(
        **{
            **fields,
            "config": RunConfig.model_validate(fields["config"]),
            "dimensions": tuple(dimension_from(one) for one in fields["dimensions"]),
        }
    )


@dataclass(frozen=True)
class TrialResult:
    """One trial: its settings and how it went.

    ``value`` is the objective's, None while it runs or where it failed; for a pruned trial the best it had.
    ``steps`` are (step, best value so far); ``error`` says in words why it failed.
    """

    number: int
    state: TrialState
    value: float | None
    settings: dict[str, Value]
    steps: tuple[tuple[int, float], ...]
    seconds: float | None
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return asdict(self)


@dataclass(frozen=True)
class Found:
    """What a search has found so far.

    ``importance`` is the share of each setting in what made the best trials good (PED-ANOVA), empty while
    there are too few trials to say.
    """

    plan: Plan
    trials: tuple[TrialResult, ...]
    importance: dict[str, float]

    @property
    def best(self) -> TrialResult | None:
        """The best complete trial, if there is one."""
        return best_trial(self.trials, minimise=self.plan.minimises)

    @property
    def best_config(self) -> RunConfig | None:
        """The settings of the best trial."""
        return None if self.best is None else applied(self.plan.config, self.best.settings)

    def best_changes(self) -> dict[str, Any]:
        """Return every setting in which the best trial differs from the preset that the search started from."""
        config = self.best_config
        if config is None:
            return {}
        known = PRESETS.get(config.preset)
        before = flatten(known.config) if known else {}
        # Epochs that few clips asked for are asked for again wherever these settings go.
        left_out = {"preset", "train.epochs"} if config.train.min_steps else {"preset"}
        return {
            path: value for path, value in flatten(config).items() if path not in left_out and before.get(path) != value
        }


def num_trained_on(sizes: Mapping[str, int], num_folds: int) -> int:
    """Return about how many clips a trial's network is trained on, from the sizes of a dataset's splits."""
    if not num_folds:
        return sizes.get("train", 0)
    return (sizes.get("train", 0) + sizes.get("val", 0)) * (num_folds - 1) // num_folds


def best_trial(trials: Sequence[TrialResult], *, minimise: bool) -> TrialResult | None:
    """Return the complete trial with the best value; None where there is none."""
    done = [trial for trial in trials if trial.state == "complete" and trial.value is not None]
    return min(done, key=lambda trial: (trial.value or 0.0) * (1 if minimise else -1), default=None)


def open_study(store: Store, search: Search, plan: Plan) -> optuna.Study:
    """Return Optuna's study of a search, made where it is new."""
    import optuna

    from samplemind_core.search.journal import StoreJournal

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.JournalStorage(StoreJournal(store, search.id))
    # Drawing goes on from a seed of its own: a resumed search does not draw what it drew before.
    drawn = store.searches.num_entries(search.id)
    return optuna.create_study(
        storage=storage,
        study_name=search.id,
        direction="minimize" if plan.minimises else "maximize",
        sampler=optuna.samplers.TPESampler(seed=(plan.seed * 1_000_003 + drawn) % 2**32),
        pruner=_pruner(plan),
        load_if_exists=True,
    )


def read_found(store: Store, search: Search) -> Found:
    """Return what a search has found so far, from its journal."""
    plan = plan_from(search.plan)
    if not store.searches.num_entries(search.id):
        return Found(plan, (), {})
    study = open_study(store, search, plan)
    trials = tuple(_result(trial) for trial in study.get_trials(deepcopy=False))
    return Found(plan, trials, _importance(study, trials, plan))


def _pruner(plan: Plan) -> optuna.pruners.BasePruner:
    import optuna

    if plan.pruner == "median":
        # A one-cycle schedule starts slowly: the first epochs say little of the last.
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=plan.config.train.epochs // 4)
    if plan.pruner == "hyperband":
        least = max(1, plan.config.train.epochs // 9)
        return optuna.pruners.HyperbandPruner(min_resource=least, max_resource=plan.num_steps, reduction_factor=3)
    return optuna.pruners.NopPruner()


def _result(trial: optuna.trial.FrozenTrial) -> TrialResult:
    states: dict[str, TrialState] = {
        "COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting",
    }  # fmt: skip
    value = trial.value if trial.state.name in ("COMPLETE", "PRUNED") else None
    return TrialResult(
        number=trial.number,
        state=states[trial.state.name],
        value=value if value is not None and math.isfinite(value) else None,
        settings=dict(trial.params),
        steps=tuple(sorted(trial.intermediate_values.items())),
        seconds=None if trial.duration is None else trial.duration.total_seconds(),
        error=trial.user_attrs.get("error"),
    )


def _importance(study: optuna.Study, trials: Sequence[TrialResult], plan: Plan) -> dict[str, float]:
    import optuna

    done = [trial for trial in trials if trial.state == "complete"]
    # Where all are equally good there is nothing to explain, and a setting that never varied explains nothing.
    if len(done) < MIN_FOR_IMPORTANCE or len({trial.value for trial in done}) < 2:
        return {}
    varied = [one.path for one in plan.dimensions if len({trial.settings.get(one.path) for trial in done}) > 1]
    if len(varied) < 2:
        return {}
    shares = optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25), params=varied
    )
    return {path: float(share) for path, share in shares.items()}
