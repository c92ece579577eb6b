"""What commands print where samples have several labels: scores, doubt and confidence of each label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from samplemind_core.terminal import out, table

if TYPE_CHECKING:
    from samplemind_core.evaluation.label_calibration import LabelCalibration
    from samplemind_core.evaluation.label_doubts import LabelDoubt
    from samplemind_core.evaluation.multi_label import LabelEvaluation
    from samplemind_core.store import Clip


def show_labels(found: LabelEvaluation, split: str) -> None:
    """Print how a checkpoint that names several labels fares."""
    low, high = found.mean_ap_interval
    out.print(
        f"mean average precision {found.mean_ap:.1%} (95 % interval {low:.1%} to {high:.1%}), "
        f"lwlrap {found.lwlrap:.3f}, micro F1 {found.micro_f1:.3f}, macro F1 {found.macro_f1:.3f}, "
        f"exactly the right labels on {found.exact:.1%} of {found.num_clips:,} {split} clips",
        markup=False,
    )
    table(
        ("class", "average precision", "precision", "recall", "F1", "named from", "clips", "found", "missed", "wrong"),
        [
            (
                row.label,
                *(
                    "–" if share is None else f"{share:.3f}"
                    for share in (row.average_precision, row.precision, row.recall, row.f1)
                ),
                f"{row.threshold:.0%}",
                row.support,
                row.found,
                row.missed,
                row.wrong,
            )
            for row in found.per_class
        ],
    )


def show_doubts(doubts: Sequence[LabelDoubt], left_out: Sequence[str], clips: Mapping[int, Clip]) -> None:
    """Print labels that are probably missing or should not be there."""
    if doubts:
        table(
            ("sample", "labels", "suggested", "probability", "id"),
            [
                (
                    clips[doubt.clip_id].name,
                    clips[doubt.clip_id].shown_label,
                    f"without {doubt.label}" if doubt.given else f"{doubt.label} as well",
                    f"{doubt.prob:.1%}",
                    doubt.clip_id,
                )
                for doubt in doubts
            ],
        )
    if left_out:
        out.print(f"Too few samples to doubt: {', '.join(left_out)}.", markup=False)


def doubt_rows(doubts: Sequence[LabelDoubt], clips: Mapping[int, Clip]) -> list[dict[str, Any]]:
    """Return the same as plain JSON types."""
    return [
        {
            "clip_id": doubt.clip_id,
            "name": clips[doubt.clip_id].name,
            "labels": list(clips[doubt.clip_id].labels),
            "label": doubt.label,
            "given": doubt.given,
            "suggested": "remove" if doubt.given else "add",
            "probability": doubt.prob,
            "quality": doubt.quality,
        }
        for doubt in doubts
    ]


def show_calibration(measured: Mapping[str, Sequence[LabelCalibration]]) -> None:
    """Print how far the confidence of each label can be trusted, split by split."""
    out.print(
        "Several labels are not divided by a temperature; each is named from a threshold of its own instead.",
        markup=False,
    )
    table(
        ("split", "label", "samples", "have it", "mean confidence", "calibration error", "Brier score"),
        [
            (
                split,
                one.label or "all",
                one.num_positive if one.label else f"{one.num_answers:,} answers",
                f"{one.share:.1%}",
                f"{one.confidence:.1%}",
                f"{one.ece:.1%} ({one.ece_interval[0]:.1%} to {one.ece_interval[1]:.1%})",
                f"{one.brier:.3f}",
            )
            for split, labels in measured.items()
            for one in labels
        ],
    )


def calibration_rows(measured: Mapping[str, Sequence[LabelCalibration]]) -> dict[str, Any]:
    """Return the same as plain JSON types."""
    return {
        split: {"all": labels[0].as_dict() | {"label": None}, "labels": [one.as_dict() for one in labels[1:]]}
        for split, labels in measured.items()
    }
