"""Many answers at once: how many of each class, and how sure they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from samplemind_core.charts.style import LABEL_SIZE_PX, Theme, axis, class_color, empty_figure, figure, palette, safe


def class_counts_figure(
    by_label: Mapping[str | None, int], class_names: Sequence[str], theme: Theme = "light", *, none: str
) -> go.Figure:
    """Draw how many files were called what, most first.

    Parameters
    ----------
    by_label : mapping of str or None to int
        Files by class; None counts those that are none of the classes.
    class_names : sequence of str
        The checkpoint's classes, which give the colours.
    theme : {'light', 'dark'}
    none : str
        What stands for none of the classes.
    """
    total = sum(by_label.values())
    if not total:
        return empty_figure("No file was given a class.", theme)
    colors = palette(theme)
    places = {name: place for place, name in enumerate(class_names)}
    rows = sorted(by_label.items(), key=lambda item: (-item[1], item[0] or ""))
    names = [none if label is None else label for label, _ in rows]
    counts = [count for _, count in rows]
    bars = go.Bar(
        x=counts,
        y=list(range(len(rows))),
        orientation="h",
        marker={
            "color": [class_color(places[label], theme) if label in places else colors.muted for label, _ in rows],
            "cornerradius": 4,
            "line": {"width": 0},
        },
        text=[f"{count:,}" for count in counts],
        textposition="outside",
        textfont={"size": LABEL_SIZE_PX, "color": colors.text},
        cliponaxis=False,
        hovertext=[
            f"{safe(name)}: {count:,} ({100 * count / total:.0f} %)" for name, count in zip(names, counts, strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        hoverlabel={"bgcolor": colors.surface},
    )
    said = ", ".join(f"{name} {count:,}" for name, count in zip(names, counts, strict=True))
    return figure(
        [bars],
        theme,
        f"Files by class: {said}.",
        max(180, 30 * len(rows) + 64),
        bargap=0.32,
        dragmode=False,
        margin={"l": 8, "r": 56, "t": 8, "b": 8},
        xaxis=axis(theme, "Files", rangemode="tozero", fixedrange=True),
        yaxis=axis(
            theme,
            "",
            tickvals=list(range(len(rows))),
            ticktext=[safe(name) for name in names],
            autorange="reversed",
            showgrid=False,
            fixedrange=True,
            automargin=True,
        ),
    )


def confidence_histogram_figure(histogram: Sequence[int], theme: Theme = "light") -> go.Figure:
    """Draw how many answers were how sure.

    Parameters
    ----------
    histogram : sequence of int
        Counts in equally wide bins of confidence from 0 to 1.
    theme : {'light', 'dark'}
    """
    total = sum(histogram)
    if not total:
        return empty_figure("No file was given a confidence.", theme)
    colors = palette(theme)
    width = 100 / len(histogram)
    bars = go.Bar(
        x=[(place + 0.5) * width for place in range(len(histogram))],
        y=list(histogram),
        width=0.9 * width,
        marker={"color": colors.accent, "line": {"width": 0}, "cornerradius": 2},
        hovertext=[
            f"{place * width:.0f}–{(place + 1) * width:.0f} % sure: {count:,}" for place, count in enumerate(histogram)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        hoverlabel={"bgcolor": colors.surface},
    )
    sure = sum(count for place, count in enumerate(histogram) if place * width >= 90)
    return figure(
        [bars],
        theme,
        f"Confidence of {total:,} answers: {100 * sure / total:.0f} % of them at 90 % or more.",
        220,
        dragmode=False,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        xaxis=axis(theme, "Confidence (%)", range=[0, 100], tickvals=[0, 25, 50, 75, 100], fixedrange=True),
        yaxis=axis(theme, "Files", rangemode="tozero", fixedrange=True),
    )
