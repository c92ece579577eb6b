"""What Diagnostics can do without a browser: doubtful labels and calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from samplemind_core.terminal import Json, OtherDataset, Split, err, failing, out, print_json, table
from samplemind_core.workspace import Workspace

if TYPE_CHECKING:
    from samplemind_core.evaluation.multi_label import LabelEvaluation


def errors(
    checkpoint: Annotated[str, typer.Argument(metavar="RUN[:best|last|EPOCH]")],
    dataset: OtherDataset = None,
    split: Split = "test",
    most: Annotated[int, typer.Option(min=1, help="How many samples are listed at most.")] = 50,
    as_json: Json = False,
) -> None:
    """List the samples whose labels are probably wrong, the most doubtful first.

    Where the run was cross-validated (Labels on the Diagnostics page), all its samples are doubted by
    networks that never heard them; otherwise the samples of the split are, by the checkpoint.
    """
    with failing(as_json), err.status("Doubting labels"):
        found, clips, basis = Workspace().label_errors(checkpoint, dataset=dataset, split=split)
    issues = [issue for issue in found.issues if issue.flagged][:most]
    if as_json:
        rows: list[dict[str, Any]] = [
            {
                "clip_id": issue.clip_id,
                "name": clips[issue.clip_id].name,
                "label": issue.label,
                "suggested": issue.suggested,
                "quality": issue.quality,
                "label_probability": issue.label_probability,
                "suggested_probability": issue.suggested_probability,
            }
            for issue in issues
        ]
        answers = {"checkpoint": checkpoint, "basis": basis, "num_clips": found.num_clips}
        print_json(answers | {"num_estimated": found.num_estimated, "issues": rows})
        return
    out.print(
        f"About {found.num_estimated:,} of {found.num_clips:,} labels are probably wrong ({basis}).", markup=False
    )
    if issues:
        table(
            ("sample", "label", "suggested", "of the label", "of the suggestion", "id"),
            [
                (
                    clips[issue.clip_id].name,
                    issue.label,
                    issue.suggested,
                    f"{issue.label_probability:.1%}",
                    f"{issue.suggested_probability:.1%}",
                    issue.clip_id,
                )
                for issue in issues
            ],
        )


def calibrate(
    checkpoint: Annotated[str, typer.Argument(metavar="RUN[:best|last|EPOCH]")], as_json: Json = False
) -> None:
    """Fit a checkpoint's temperature on its validation samples, keep it, and show what it does on the test split."""
    with failing(as_json), err.status("Calibrating"):
        workspace = Workspace()
        temperature = workspace.calibrate(checkpoint)
        measured = {split: workspace.calibration(checkpoint, split=split) for split in ("val", "test")}
    if as_json:
        rows = {
            split: {"before": before.as_dict(), "after": after.as_dict()} for split, (before, after) in measured.items()
        }
        print_json({"checkpoint": checkpoint, "temperature": temperature, **rows})
        return
    out.print(f"Temperature {temperature:.3f}, kept with the checkpoint.", markup=False)
    table(
        ("split", "samples", "calibration error", "before", "Brier score", "before"),
        [
            (
                split,
                after.num_clips,
                f"{after.ece:.1%} ({after.ece_interval[0]:.1%} to {after.ece_interval[1]:.1%})",
                f"{before.ece:.1%}",
                f"{after.brier:.3f}",
                f"{before.brier:.3f}",
            )
            for split, (before, after) in measured.items()
        ],
    )


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
