"""How a dataset is divided: every source on one side, by seed, by hand or by the folds of its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import streamlit as st

from samplemind_core.store import Dataset
from samplemind_core.store.records import BETWEEN_LABELS, SPLITS
from samplemind_core.ui import parts, words
from samplemind_core.ui.state import error_boundary, owner, theme, workspace

if TYPE_CHECKING:
    from samplemind_core.data.findings import LabelScore, Leakage, ProposedGroup, Score
    from samplemind_core.data.review import Review

SPLIT_WORDS = {"train": "train", "val": "validation", "test": "test"}
Sources = Mapping[str, Mapping[str, Mapping[str, int]]]


def show_splits(dataset: Dataset, found: Review | None) -> None:
    """Draw the split per class and source, how much the test set is known from training, and what changes it."""
    sources = workspace().store.datasets.sources(dataset.id)
    counts = workspace().store.datasets.counts(dataset.id)
    left, right = st.columns([3, 2])
    with left, st.container(border=True, height="stretch"):
        parts.section("Split by class")
        from samplemind_core.charts.signals import class_balance_figure

        parts.figure(class_balance_figure(counts, theme()), key=f"split-balance-{dataset.id}")
    with right, st.container(border=True, height="stretch"):
        _again(dataset, found)
    _leakage(found)
    _sources(dataset, sources)
    _proposal(dataset, found)
    _folds(dataset)


# -- leakage -------------------------------------------------------------------------------------


def _leakage(found: Review | None) -> None:
    from samplemind_core.data.findings import LabelScore

    leakage = found.report.leakage if found else None
    parts.section("How much the test set is known from training")
    if leakage is None or found is None:
        st.caption("Not measured yet: check the dataset under Health.")
        return
    if not found.fresh:
        st.caption("Measured before the last change; check the dataset again under Health.")
    st.markdown(parts.safe(leakage.sentence))
    with st.grid(4, min_column_width=170):
        _share("Twins in training", len(leakage.twins_in_train), leakage, "whose very sound is also in training")
        _share("Pack-mates in training", len(leakage.mates_in_train), leakage, "of a source that is also in training")
        several = isinstance(leakage.naive, LabelScore)
        if leakage.naive or leakage.safe:
            _score("mAP, random split" if several else "Accuracy, random split", leakage.naive)
            _score("mAP, sources whole" if several else "Accuracy, sources kept whole", leakage.safe)
    if leakage.naive or leakage.safe:
        what = "mAP (mean average precision)" if several else "accuracy"
        st.caption(f"Both are the {what} of a quick baseline: {parts.safe(leakage.baseline)}.")


def _share(label: str, number: int, leakage: Leakage, meaning: str) -> None:
    st.metric(label, f"{number:,}", border=True, help=f"Test samples {meaning}, of {leakage.num_test:,}.")


def _score(label: str, score: Score | LabelScore | None) -> None:
    if score is None:
        st.metric(label, "–", border=True)
        return
    spread = f"95 % interval of the mean {words.percent(score.low)} to {words.percent(score.high)}"
    times = words.plural(score.repeats, "split")
    st.metric(label, words.percent(score.value), border=True, help=f"{spread}, from {times}.")


# -- sources -------------------------------------------------------------------------------------


def _sources(dataset: Dataset, sources: Sources) -> None:
    parts.section("Sources")
    straddling = [name for name, counts in sources.items() if len(_sides(counts)) > 1]
    st.caption(
        "A source is a pack, a machine or a recording. Samples of one source sound alike: a test set that shares "
        "sources with training measures memory."
    )
    if straddling:
        number = words.plural(len(straddling), "source")
        has = "has" if len(straddling) == 1 else "have"
        st.markdown(f":material/warning: {number} {has} samples in more than one split.")
    else:
        st.markdown(":material/check_circle: Every source is in one split only.")
    rows = [
        {
            "Source": name,
            "Samples": sum(sum(row.values()) for row in counts.values()),
            "Classes": ", ".join(f"{name} {number}" for name, number in _by_class(dataset, counts).items()),
            **{SPLIT_WORDS[split].capitalize(): sum(row.get(split, 0) for row in counts.values()) for split in SPLITS},
            "One split": len(_sides(counts)) < 2,
        }
        for name, counts in sources.items()
    ]
    rows.sort(key=lambda row: (row["One split"], -int(str(row["Samples"]))))
    chosen = st.dataframe(
        rows,
        hide_index=True,
        height=min(420, 40 + 35 * len(rows)),
        key=f"sources-{dataset.id}-{dataset.version}",
        on_select="rerun",
        selection_mode="multi-row",
        column_config={"One split": st.column_config.CheckboxColumn("One split", help="Whether all are in one split.")},
    )
    picked = [str(rows[place]["Source"]) for place in chosen["selection"]["rows"]]
    _merge(dataset, picked)


def _by_class(dataset: Dataset, counts: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Return how many samples of a source are of each class; one with several labels counts for each."""
    found: dict[str, int] = {}
    for label, row in sorted(counts.items()):
        for name in label.split(BETWEEN_LABELS) if dataset.multi_label else (label,):
            found[name] = found.get(name, 0) + sum(row.values())
    return dict(sorted(found.items()))


def _sides(counts: Mapping[str, Mapping[str, int]]) -> set[str]:
    return {split for row in counts.values() for split, number in row.items() if number}


def _merge(dataset: Dataset, picked: list[str]) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        into = st.text_input(
            "Name of the source that the chosen ones become",
            key=f"merge-into-{dataset.id}",
            max_chars=300,
            placeholder=picked[0] if picked else "Choose rows above",
            disabled=not picked,
        )
        number = words.plural(len(picked), "source")
        label = f"Merge {number}" if len(picked) > 1 else "Rename the source"
        if st.button(label, key="merge-sources", icon=":material/group_work:", disabled=not picked):
            with error_boundary():
                workspace().edit(dataset.id, by=owner(), base=dataset.version).merge_sources(
                    picked, into.strip() or picked[0]
                )
                st.rerun()
    st.caption("To take a source apart, choose its samples under Samples and name another source (g).")


def _proposal(dataset: Dataset, found: Review | None) -> None:
    """Offer sources that were recognised from names, folders and twins."""
    groups = found.report.groups if found and found.fresh else ()
    if not groups:
        return
    parts.section("Proposed sources")
    st.caption("Recognised from folders, names and sounds that are the same. Choose rows, or take all of them.")
    rows = [
        {
            "Source": group.name,
            "Samples": len(group.clips),
            "Now": ", ".join(group.sources[:4]) + (f" and {len(group.sources) - 4} more" * (len(group.sources) > 4)),
            "Why": "; ".join(group.reasons),
        }
        for group in groups
    ]
    chosen = st.dataframe(
        rows,
        hide_index=True,
        height=min(320, 40 + 35 * len(rows)),
        key=f"proposal-{dataset.id}-{dataset.version}",
        on_select="rerun",
        selection_mode="multi-row",
    )
    picked = [groups[place] for place in chosen["selection"]["rows"]] or list(groups)
    whole = "all " if len(picked) == len(groups) > 1 else ""
    label = f"Take {whole}{words.plural(len(picked), 'proposed source')}"
    if st.button(label, key="take-proposal", icon=":material/check:"):
        with error_boundary():
            _take(dataset, picked)
            st.rerun()


def _take(dataset: Dataset, groups: list[ProposedGroup]) -> None:
    wanted = {clip_id: group.name for group in groups for clip_id in group.clips}
    editor = workspace().edit(dataset.id, by=owner(), base=dataset.version)
    editor.regroup(wanted, f"took {words.plural(len(groups), 'proposed source')}")


# -- splitting anew ------------------------------------------------------------------------------


def _again(dataset: Dataset, found: Review | None) -> None:
    parts.section("Split anew")
    # Equal sounds stay equal, whatever changed in the dataset since they were found.
    twins = found.report.twins if found else ()
    with st.form(f"resplit-{dataset.id}", border=False):
        share = st.slider(
            "Train up to, validation up to (%)",
            min_value=10,
            max_value=95,
            value=(70, 85),
            help="Left of the first handle: training. Between both: validation. Right of the second: test.",
        )
        seed = st.number_input("Seed", min_value=0, max_value=2**31 - 1, value=dataset.seed)
        whole = st.toggle(
            "Keep every source in one split", value=True, help="Turn off only to see how much it flatters."
        )
        done = st.form_submit_button("Split anew", icon=":material/call_split:")
    st.caption(
        "Sounds that the health report found to be the same stay together."
        if found
        else "Only identical sounds are known to be the same: check the dataset under Health to find near duplicates."
    )
    if done:
        with error_boundary():
            train, val = share[0] / 100, (share[1] - share[0]) / 100
            fractions = (train, round(val, 4), round(1 - train - val, 4))
            editor = workspace().edit(dataset.id, by=owner(), base=dataset.version)
            editor.resplit(seed=int(seed), fractions=fractions, grouping="given" if whole else "none", twins=twins)
            st.rerun()


def _folds(dataset: Dataset) -> None:
    folds: dict[str, int] = {}
    for clip in workspace().clips(dataset.id):
        if clip.fold is not None:
            folds[clip.fold] = folds.get(clip.fold, 0) + 1
    if len(folds) < 3:
        return
    parts.section("Folds of the manifest")
    names = sorted(folds, key=lambda name: (len(name), name))
    st.caption("The list that was imported divides its samples itself: " + ", ".join(
        f"{parts.safe(name)} ({folds[name]:,})" for name in names[:20]
    ))  # fmt: skip
    with st.form(f"folds-{dataset.id}", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        val = st.multiselect("Validation", names, default=names[-2:-1])
        test = st.multiselect("Test", names, default=names[-1:])
        done = st.form_submit_button("Split by these folds")
    if done:
        with error_boundary():
            workspace().edit(dataset.id, by=owner(), base=dataset.version).split_by_fold(val=val, test=test)
            st.rerun()
