"""Which checkpoint is really better, on the same samples, and where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from samplemind_core.config import RunConfig, flatten
from samplemind_core.server import clip_url
from samplemind_core.store import Checkpoint, Run
from samplemind_core.ui import measure, parts, words
from samplemind_core.ui.player import Sound, player_list
from samplemind_core.ui.state import choose, error_boundary, theme, workspace

if TYPE_CHECKING:
    from samplemind_core.evaluation.metrics import Evaluation

MAX_HEARD = 50
SPLIT_WORDS = {"test": "Test", "val": "Validation"}


def main() -> None:
    parts.header("Diagnostics", "One checkpoint in depth, or two on the same samples.")
    store = workspace()
    trained = {run.dataset_id for run in store.runs() if store.checkpoints(run.id)}
    datasets = {item.id: parts.dataset_label(item) for item in store.datasets() if item.id in trained}
    if not datasets:
        parts.empty_state(
            "Confusions, per-class scores and comparisons will be here, once a network has been trained.",
            "Train one",
            "train",
            key="diagnostics-train",
            icon=":material/model_training:",
        )
        return
    ref_a, ref_b, split = picks(datasets)
    names = ("A", "B")
    run_a, kept_a = store.resolve(ref_a)
    chosen = [(names[0], run_a, kept_a, ref_a)]
    if ref_b and ref_b != ref_a:
        run_b, kept_b = store.resolve(ref_b)
        chosen.append((names[1], run_b, kept_b, ref_b))
    evaluations = []
    with st.spinner("Measuring on the same samples", show_time=True):
        for _, _, _, ref in chosen:
            evaluations.append(measure.evaluation(ref, split))
        if len(chosen) == 2:
            verdict(ref_a, ref_b, split)
    scores(chosen, evaluations)
    curves([(name, run) for name, run, _, _ in chosen])
    classes(evaluations, [name for name, *_ in chosen])
    confusions(evaluations, [name for name, *_ in chosen])
    hear(
        {name: ref for name, _, _, ref in chosen},
        dict(zip([name for name, *_ in chosen], evaluations, strict=True)),
        split,
    )
    if len(chosen) == 2:
        settings(run_a, chosen[1][1])


def picks(datasets: dict[str, str]) -> tuple[str, str, str]:
    with st.container(border=True):
        left, right = st.columns([3, 2], vertical_alignment="bottom")
        with left:
            dataset_id = choose("Dataset", datasets, "dataset")
        with right:
            wanted = st.query_params.get("split", "test")
            split = st.segmented_control(
                "Measured on",
                list(SPLIT_WORDS),
                format_func=lambda name: SPLIT_WORDS[name],
                default=wanted if wanted in SPLIT_WORDS else "test",
                required=True,
                key="diagnostics-split",
                help="Choose between checkpoints by validation. The test split is for reporting, not for choosing.",
            )
        options = parts.checkpoint_options(workspace(), dataset_id)
        left, right = st.columns(2)
        with left:
            ref_a = choose("Checkpoint A", options, "a")
        with right:
            ref_b = choose("Checkpoint B", {"": "None: look at A alone"} | options, "b", default=other(options, ref_a))
        if split == "test":
            st.caption("The test split is for reporting. A checkpoint that was chosen by it looks better than it is.")
    st.query_params["split"] = split or "test"
    return ref_a, ref_b, split or "test"


def other(options: dict[str, str], ref: str) -> str:
    """Return the best checkpoint of another run, the most useful thing to compare with."""
    run_id = ref.partition(":")[0]
    return next((key for key in options if key.endswith(":best") and not key.startswith(f"{run_id}:")), "")


def verdict(ref_a: str, ref_b: str, split: str) -> None:
    result = measure.comparison(ref_a, ref_b, split)
    word = {"a": "A is better", "b": "B is better", "undecided": "Undecided"}[result.verdict]
    icon = ":material/balance:" if result.verdict == "undecided" else ":material/check_circle:"
    with st.container(border=True):
        st.badge(word, icon=icon, color="gray" if result.verdict == "undecided" else "green")
        # The page calls them A and B; references are for command lines.
        st.markdown(parts.safe(result.sentence.replace(ref_b, "B").replace(ref_a, "A")))
        st.caption(
            f"Both are right on {result.both_right:,} samples and both wrong on {result.both_wrong:,}. "
            f"Only A is right on {result.only_a:,}, only B on {result.only_b:,}."
        )


def scores(chosen: Sequence[tuple[str, Run, Checkpoint, str]], evaluations: Sequence[Evaluation]) -> None:
    columns = st.columns(len(chosen))
    for column, (name, run, kept, _), result in zip(columns, chosen, evaluations, strict=True):
        with column, st.container(border=True):
            title = f"{name} · {run.name}" if len(chosen) > 1 else run.name
            parts.section(title)
            st.caption(f"Epoch {kept.epoch}, measured on {words.plural(result.num_clips, 'sample')}")
            low, high = result.accuracy_interval
            with st.grid(3, min_column_width=120):
                st.metric("Accuracy", words.percent(result.accuracy))
                st.metric(
                    "Balanced accuracy",
                    words.percent(result.balanced_accuracy),
                    help="The mean recall of all classes: rare classes count as much as common ones.",
                )
                st.metric("Macro F1", words.percent(result.macro_f1), help="The mean F1 of all classes.")
            st.caption(f"Accuracy with 95 % interval {words.percent(low)} to {words.percent(high)} (Wilson)")


def curves(runs: Sequence[tuple[str, Run]]) -> None:
    from samplemind_core.charts.curves import accuracy_figure, loss_figure, overlay_figure

    rows = [(f"{name} {run.name}", [epoch.as_dict() for epoch in workspace().epochs(run.id)]) for name, run in runs]
    alone = len({run.id for _, run in runs}) == 1
    left, right = st.columns(2)
    with left, st.container(border=True):
        parts.section("Loss")
        best = runs[0][1].best_epoch
        figure = loss_figure(rows[0][1], theme(), best) if alone else overlay_figure(rows, "loss", theme())
        parts.figure(figure, key="diagnostics-loss")
    with right, st.container(border=True):
        parts.section("Accuracy")
        figure = accuracy_figure(rows[0][1], theme(), best) if alone else overlay_figure(rows, "accuracy", theme())
        parts.figure(figure, key="diagnostics-accuracy")


def classes(evaluations: Sequence[Evaluation], names: Sequence[str]) -> None:
    from samplemind_core.charts.confidence import class_metric_figure

    with st.container(border=True):
        parts.section("By class")
        shown = {"recall": "Recall", "precision": "Precision", "f1": "F1"}
        metric = st.segmented_control(
            "Score",
            list(shown),
            format_func=lambda key: shown[key],
            default="recall",
            required=True,
            key="class-score",
            label_visibility="collapsed",
        )
        reports = {name: result.per_class for name, result in zip(names, evaluations, strict=True)}
        parts.figure(class_metric_figure(reports, metric or "recall", theme()), key="diagnostics-classes")
        with st.expander("As a table"):
            class_table(evaluations, names)


def class_table(evaluations: Sequence[Evaluation], names: Sequence[str]) -> None:
    table: dict[str, list[object]] = {"Class": [report.label for report in evaluations[0].per_class]}
    table["Samples"] = [report.support for report in evaluations[0].per_class]
    for name, result in zip(names, evaluations, strict=True):
        for score in ("precision", "recall", "f1"):
            title = f"{'F1' if score == 'f1' else score.capitalize()}{f' {name}' if len(names) > 1 else ''}"
            table[title] = [words.percent(getattr(report, score)) for report in result.per_class]
    st.dataframe(table, hide_index=True, alt="Precision, recall and F1 by class")


def confusions(evaluations: Sequence[Evaluation], names: Sequence[str]) -> None:
    from samplemind_core.charts.confusion import confusion_difference_figure, confusion_figure

    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Confusions", anchor=False, width="stretch")
        shown = {"counts": "Samples", "row_percent": "% of the true class"}
        mode = st.segmented_control(
            "Cells",
            list(shown),
            format_func=lambda key: shown[key],
            default="counts",
            required=True,
            key="confusion-mode",
            label_visibility="collapsed",
        )
    columns = st.columns(max(2, len(evaluations)))
    for column, result, name in zip(columns, evaluations, names, strict=False):
        with column, st.container(border=True):
            st.markdown(f"**{name}**")
            figure = confusion_figure(result.confusion, result.class_names, theme(), mode or "counts")
            parts.figure(figure, key=f"confusion-{name}", on_click=partial(choose_cell, name))
    if len(evaluations) == 2 and evaluations[0].class_names == evaluations[1].class_names:
        with st.expander("What changes from A to B"):
            a, b = evaluations
            figure = confusion_difference_figure(a.confusion, b.confusion, a.class_names, theme())
            parts.figure(figure, key="confusion-difference")


def choose_cell(name: str) -> None:
    """Take the cell that was clicked in a confusion matrix."""
    points = st.session_state[f"confusion-{name}"]["selection"]["points"]
    if points and points[0].get("customdata"):
        label, predicted, _ = points[0]["customdata"]
        st.session_state.update({"cell-of": name, "cell-true": label, "cell-predicted": predicted})


def hear(refs: dict[str, str], evaluations: dict[str, Evaluation], split: str) -> None:
    """Draw the samples behind one cell: the one that was clicked, or the commonest confusion."""
    names = list(refs)
    class_names = list(evaluations[names[0]].class_names)
    worst = commonest_confusion(evaluations[names[0]])
    for key, options, default in (
        ("cell-of", names, names[0]),
        ("cell-true", class_names, worst[0]),
        ("cell-predicted", class_names, worst[1]),
    ):
        if st.session_state.get(key) not in options:
            st.session_state[key] = default
    with st.container(border=True):
        parts.section("Hear the samples of a cell")
        st.caption("Click a cell above, or choose it here.")
        columns = st.columns(3 if len(names) > 1 else 2)
        with columns[0]:
            label = st.selectbox("True class", class_names, key="cell-true")
        with columns[1]:
            predicted = st.selectbox("Predicted class", class_names, key="cell-predicted")
        name = names[0]
        if len(names) > 1:
            with columns[2]:
                name = st.selectbox("Predicted by", names, key="cell-of")
        found = measure.cell(refs[name], split, label, predicted)
        if not found:
            st.caption(f"No {parts.safe(label)} was called {parts.safe(predicted)}.")
            return
        said = "rightly named" if label == predicted else f"called {parts.safe(predicted)}"
        most = "" if len(found) <= MAX_HEARD else f" The {MAX_HEARD} surest are shown."
        st.caption(f"{words.plural(len(found), 'sample')} of {parts.safe(label)} {said}, the surest first.{most}")
        rows = [(workspace().store.datasets.clip(clip_id), sure) for clip_id, sure in found[:MAX_HEARD]]
        details = [
            (f"{words.confidence(sure)} sure", clip.source if clip.source != clip.name else "") for clip, sure in rows
        ]
        if all(clip.file for clip, _ in rows):
            sounds = [
                Sound(clip_url(clip.id or 0), clip.name, detail)
                for (clip, _), detail in zip(rows, details, strict=True)
            ]
            player_list(sounds, key="cell-clips")
        else:
            parts.facts({clip.name: detail[0] for (clip, _), detail in zip(rows, details, strict=True)})


def commonest_confusion(evaluation: Evaluation) -> tuple[str, str]:
    """Return true and predicted class of the largest cell off the diagonal; the first class where all is right."""
    names = evaluation.class_names
    cells = [
        (count, names[row], names[column])
        for row, counts in enumerate(evaluation.confusion)
        for column, count in enumerate(counts)
        if row != column
    ]
    count, label, predicted = max(cells)
    return (label, predicted) if count else (names[0], names[0])


def settings(run_a: Run, run_b: Run) -> None:
    a, b = (flatten(RunConfig.model_validate(run.config)) for run in (run_a, run_b))
    different = {name: f"{a[name]} → {b[name]}" for name in a if a[name] != b[name]}
    with st.container(border=True):
        parts.section("Settings that differ, A → B")
        if different:
            parts.facts(different)
        else:
            st.caption("Both were trained with the same settings.")


with error_boundary():
    main()
