"""What the curves say where clips have several labels: verdicts by losses and mean average precision.

Whether a clip's whole set of labels is right is too strict a measure to judge a network by, so that the rules
of :mod:`~samplemind_core.training.health` on accuracies give way to rules on the loss and on mAP:

* *suspicious*: a tenth of the validation clips are, by their spectrograms, training clips as well.
* *diverging*: validation loss above that of even odds for every label by half, and rising.
* *not learning*: after eight epochs, mAP on training clips within 5 points of ranking them at random.
* *overfitting*: Prechelt's generalisation loss above 5 %, where the rise is outside the noise of the validation
  loss and the loss on the same training clips still falls.
* *underfitting*: past 60 % of the epochs, mAP on training clips below 70 % and validation within 10 points of it.
* *healthy* otherwise; *too early* before the fourth epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median_low

from samplemind_core.config import RunConfig
from samplemind_core.store.records import Epoch
from samplemind_core.training.health import GAP_LIMIT, MIN_EPOCHS, TITLES, Verdict, VerdictName
from samplemind_core.training.remedies import Case, remedies_for

GL_LIMIT = 5.0  # percent; Prechelt's lenient threshold
CHANCE_MARGIN = 0.05
LEARNED = 0.7


def assess_several(
    epochs: Sequence[Epoch],
    *,
    guessing_loss: float,
    chance_map: float,
    config: RunConfig,
    known: str = "",
    best_epoch: int | None = None,
    weakest_class: str = "",
) -> Verdict:
    """Return the verdict on a run after its latest epoch.

    Parameters
    ----------
    epochs : sequence of Epoch
        Every epoch so far, in order; at least one. Their ``health`` holds ``probe_loss``, ``val_loss_se``,
        ``probe_map`` and ``val_map``.
    guessing_loss : float
        Loss of even odds for every label.
    chance_map : float
        Mean average precision of a random order: the mean share of clips that have a label.
    config : RunConfig
        Settings of the run, for its planned length and what could be changed.
    known : str, optional
        What is suspicious about the split, if anything; see :func:`~samplemind_core.training.health.known_already`.
    best_epoch : int, optional
        The epoch whose weights are kept as the best; that of the lowest validation loss by default.
    weakest_class : str, optional
        The label that validation finds least.
    """
    now = epochs[-1]
    val = [median_low([epoch.val_loss for epoch in epochs[max(0, i - 2) : i + 1]]) for i in range(len(epochs))]
    best = min(range(len(val)), key=val.__getitem__)
    # The median lags by up to two epochs; people are told of the lowest epoch of the curve they see.
    lowest = min(range(best + 1), key=lambda place: epochs[place].val_loss)
    kept = epochs[lowest].epoch if best_epoch is None else best_epoch
    rise = 100 * (val[-1] / val[best] - 1) if val[best] > 0 else 0.0
    train_map, val_map = now.health.get("probe_map", 0.0), now.health.get("val_map", 0.0)
    gap = train_map - val_map

    def verdict(name: VerdictName, reason: str, onset: int | None = None) -> Verdict:
        return Verdict(
            verdict=name,
            title=TITLES[name],
            reason=reason,
            gap=gap,
            gap_noise=GAP_LIMIT,
            generalisation_loss=rise,
            onset=onset,
            remedies=remedies_for(name, Case(config, kept, now.epoch, weakest_class)),
        )

    if known:
        return verdict("suspicious", known)
    if len(epochs) < MIN_EPOCHS:
        return verdict("too_early", f"A verdict needs at least {MIN_EPOCHS} epochs.")
    if val[-1] > 1.5 * guessing_loss and val[-1] > val[-2] > val[-3]:
        return verdict(
            "diverging",
            f"Validation loss is {val[-1]:.2f} and rising; even odds for every label would give {guessing_loss:.2f}. "
            "Lower the learning rate.",
        )
    if len(epochs) >= 2 * MIN_EPOCHS and train_map <= chance_map + CHANCE_MARGIN:
        return verdict(
            "not_learning",
            f"After {now.epoch} epochs mean average precision on training clips is {100 * train_map:.0f} %; a "
            f"random order gives {100 * chance_map:.0f} %. Check the labels, or change the learning rate.",
        )
    noise = 2 * max(now.health["val_loss_se"], epochs[best].health["val_loss_se"])
    memorising = now.health["probe_loss"] < epochs[best].health["probe_loss"]
    if rise > GL_LIMIT and val[-1] - val[best] > noise and memorising:
        return verdict(
            "overfitting",
            f"Since epoch {epochs[lowest].epoch} validation loss has risen by {rise:.0f} % ({val[best]:.2f} to "
            f"{val[-1]:.2f}) while training loss went on falling ({epochs[best].health['probe_loss']:.2f} to "
            f"{now.health['probe_loss']:.2f}): the network memorises its training clips.",
            onset=epochs[min(lowest + 1, len(epochs) - 1)].epoch,
        )
    if now.epoch >= 0.6 * config.train.epochs and train_map < LEARNED and gap <= GAP_LIMIT:
        return verdict(
            "underfitting",
            f"Mean average precision on training clips is only {100 * train_map:.0f} % and validation is no worse: "
            "the network has not learned what the clips could teach. Train longer, raise the learning rate, or use "
            "a larger network.",
        )
    return verdict(
        "healthy",
        f"Mean average precision is {100 * train_map:.0f} % on training and {100 * val_map:.0f} % on validation "
        "clips, and validation loss has not risen beyond its noise.",
    )
