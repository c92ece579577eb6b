"""What Diagnostics can do without a browser: doubtful labels, calibration and robustness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from samplemind_core.commands_labels import calibration_rows, doubt_rows, show_calibration, show_doubts
from samplemind_core.terminal import Json, OtherDataset, Split, err, failing, out, print_json, progress, table
from samplemind_core.workspace import Workspace

if TYPE_CHECKING:
    from samplemind_core.evaluation.changed_clips import Curve

SETTLED = ("val", "test")
"""Where calibration is fitted and where it is held against new samples."""


def errors(
    checkpoint: Annotated[str, typer.Argument(metavar="RUN[:best|last|EPOCH]")],
    dataset: OtherDataset = None,
    split: Split = "test",
    most: Annotated[int, typer.Option(min=1, help="How many samples are listed at most.")] = 50,
    as_json: Json = False,
) -> None:
    """List the samples whose labels are probably wrong, the most doubtful first.

    Where the run was cross-validated (Labels on the Diagnostics page), all its samples are doubted by
    networks that never heard them; otherwise the samples of the split are, by the checkpoint. Where samples
    have several labels, each that is probably missing or should not be there is listed.
    """
    from samplemind_core.evaluation.label_doubts import LabelDoubts

    with failing(as_json), err.status("Doubting labels"):
        found, clips, basis = Workspace().label_errors(checkpoint, dataset=dataset, split=split)
    answers = {"checkpoint": checkpoint, "basis": basis, "num_clips": found.num_clips}
    answers["num_estimated"] = found.num_estimated
    if isinstance(found, LabelDoubts):
        doubts = found.doubts[:most]
        if as_json:
            print_json(
                answers
                | {"mean_ap": found.mean_ap, "left_out": list(found.left_out), "doubts": doubt_rows(doubts, clips)}
            )
            return
        out.print(
            f"{len(found.doubts):,} labels of {found.num_clips:,} samples are probably missing or wrong ({basis}, "
            f"whose mean average precision is {found.mean_ap:.1%}: the lower, the more of these are its own mistakes).",
            markup=False,
        )
        show_doubts(doubts, found.left_out, clips)
        return
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
        print_json(answers | {"issues": rows})
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
    """Fit a checkpoint's temperature on its validation samples, keep it, and show what it does on the test split.

    Where samples have several labels, the confidence of each is measured as it is: they share no temperature.
    """
    from samplemind_core.training.checkpoints import require_own

    with failing(as_json), err.status("Calibrating"):
        workspace = Workspace()
        run, kept = workspace.resolve(checkpoint)
        require_own(workspace.root / kept.path)
        by_label = None
        if workspace.dataset(run.dataset_id).multi_label:
            by_label = {split: workspace.label_calibration(checkpoint, split=split) for split in SETTLED}
        else:
            temperature = workspace.calibrate(checkpoint)
            measured = {split: workspace.calibration(checkpoint, split=split) for split in SETTLED}
    if by_label is not None:
        if as_json:
            print_json({"checkpoint": checkpoint, "temperature": None, **calibration_rows(by_label)})
        else:
            show_calibration(by_label)
        return
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


def robustness(
    checkpoint: Annotated[str, typer.Argument(metavar="RUN[:best|last|EPOCH]")],
    dataset: OtherDataset = None,
    split: Split = "test",
    clips: Annotated[int, typer.Option(min=1, help="At most so many clips, evenly over the classes.")] = 120,
    as_json: Json = False,
) -> None:
    """Measure accuracy and recall under gain, pitch, tempo, MP3, filters, noise, rooms, silence and cuts.

    Where samples have several labels: mean average precision, and average precision and recall of each label.
    """
    from samplemind_core.evaluation.label_robustness import LabelRobustness
    from samplemind_core.evaluation.probes import PROBES

    with failing(as_json), progress() as report:
        found = Workspace().robustness(checkpoint, dataset=dataset, split=split, count=clips, progress=report)
    if as_json:
        print_json({"checkpoint": checkpoint, **found.as_dict()})
        return
    clean, count = found.clean.score, len(found.clip_ids)
    if isinstance(found, LabelRobustness):
        said = f"mean average precision {clean:.1%} on {count} clips when clean"
    else:
        said = f"{clean:.1%} of {count} clips right when clean"
    out.print(f"{said} ({found.split})", markup=False)
    rows, curves = [], cast("tuple[Curve[Any], ...]", found.curves)
    for curve in sorted(curves, key=lambda curve: curve.worst.score):
        steps = [f"{PROBES[curve.probe].label(step.level)} {step.score:.1%}" for step in curve.steps]
        rows.append((curve.title, f"{curve.worst.score:.1%}", ", ".join(steps)))
    table(("change", "worst", "steps"), rows)
