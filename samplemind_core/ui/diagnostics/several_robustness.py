"""Samples with several labels: what the naming of each withstands, the samples it breaks, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from samplemind_core.ui import parts, words
from samplemind_core.ui.diagnostics.picked import Picked, PickedModel
from samplemind_core.ui.diagnostics.robustness import cards, chance, hear_pairs, with_clean, withstood
from samplemind_core.ui.state import theme

if TYPE_CHECKING:
    from samplemind_core.evaluation.changed_clips import Curve
    from samplemind_core.evaluation.label_robustness import BrokenClip, LabelRobustness, LabelStep

MAX_LINES = 10
_BY = {"average_precision": "Average precision", "recall": "Recall"}


def draw(picked: Picked) -> None:
    """Draw the section."""
    from samplemind_core.evaluation.label_robustness import LabelRobustness

    withstood(picked, LabelRobustness, _draw)


def _draw(picked: Picked, model: PickedModel, found: LabelRobustness) -> None:
    low, high = found.clean.interval
    clean = (
        f"mean average precision {words.percent(found.clean.mean_ap)} ({words.percent(low)} to "
        f"{words.percent(high)}, drawing whole sources, {found.num_sources:,} of them)."
    )
    cards(picked, model, found, found.curves, clean, "Mean average precision", _curve, _broken)


def _curve(found: LabelRobustness, curve: Curve[LabelStep]) -> None:
    from samplemind_core.charts.robustness import withstood_curve_figure
    from samplemind_core.evaluation.probes import PROBES

    probe = PROBES[curve.probe]
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        parts.section(probe.title)
        by = st.segmented_control(
            "By label", list(_BY), format_func=_BY.__getitem__, default="average_precision", required=True,
            key="withstood-by", label_visibility="collapsed",
            help="Average precision looks at the order of the samples only; recall at what reaches the threshold.",
        ) or "average_precision"  # fmt: skip
    steps, labels, before = with_clean(curve, found.clean)
    rows = {name: [getattr(step, by)[place] for step in steps] for place, name in enumerate(found.class_names)}
    known = [name for name, values in rows.items() if None not in values]
    shown = set(sorted(known, key=lambda name: min(rows[name]))[:MAX_LINES])
    # A label that is not drawn keeps its place, so that the others keep their colours.
    lines = {name: values if name in shown else [None] * len(values) for name, values in rows.items()}
    mean_aps, intervals = [step.mean_ap for step in steps], [step.interval for step in steps]
    chart = withstood_curve_figure(
        labels, mean_aps, intervals, lines, before, theme(), probe.title, "Mean average precision",
        "Mean average precision" if by == "average_precision" else "Mean average precision, and recall by label",
    )  # fmt: skip
    parts.figure(chart, key=f"withstood-curve-{curve.probe}-{by}")
    thin = {"average_precision": "average precision of each label", "recall": "recall of each label at its threshold"}
    st.caption(
        f"{probe.about} The thick line is the mean average precision with its 95 % interval, the thin ones "
        f"{thin[by]}" + (f", of the {MAX_LINES} labels that fall the lowest." if len(shown) < len(known) else ".")
    )


def _broken(
    picked: Picked, model: PickedModel, found: LabelRobustness, curve: Curve[LabelStep], step: LabelStep
) -> None:
    from samplemind_core.evaluation.comparison import points
    from samplemind_core.evaluation.probes import PROBES

    label = PROBES[curve.probe].label(step.level)
    parts.section(f"Broken by {curve.title.lower()}, {label}")
    low, high = step.difference_interval
    told = "worse" if step.worse else "no difference that can be told"
    st.caption(
        f"Mean average precision {points(step.difference)} points against clean (95 % interval "
        f"{points(low)} to {points(high)}): {told}. {words.plural(step.broken, 'sample')} with more labels "
        f"wrong, {step.fixed:,} with fewer: {chance(step.p_value, 'exact sign test')}."
    )
    rows = [(broken.clip_id, _said(broken)) for broken in found.broken_clips(step)]
    if rows:
        st.caption("− is a label that is lost, + one that is named wrongly, each with how probable it is now.")
    hear_pairs(picked, model, curve.probe, step.level, rows, repeat=False)


def _said(broken: BrokenClip) -> str:
    """Return which labels are lost and named wrongly, and how probable each is."""
    changes = [("−", *one) for one in broken.lost] + [("+", *one) for one in broken.wrong]
    return ", ".join(f"{sign}{name} {words.confidence(prob)}" for sign, name, prob in changes)
