from __future__ import annotations

import json
import re
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import pytest
from plotly.colors import qualitative

from samplemind_core import charts
from samplemind_core.charts.signals import hz_to_mel, mel_band_centres_hz, mel_to_hz
from samplemind_core.charts.style import contrast, ink, mix, palette, plural, safe, text_on
from samplemind_core.config import FeatureConfig
from samplemind_core.errors import ConfigError, DataError

NAMES = ["kick", "snare", "clap"]
MATRIX = [[40, 2, 0], [5, 30, 5], [0, 0, 0]]
THEMES = ("light", "dark")


def epochs(num: int, speed: float = 0.2) -> list[dict[str, Any]]:
    return [
        {
            "epoch": i,
            "train_loss": float(np.exp(-speed * i)),
            "val_loss": float(np.exp(-speed * i)) + 0.1,
            "train_accuracy": 1 - 0.5 * float(np.exp(-speed * i)),
            "val_accuracy": 0.9 - 0.5 * float(np.exp(-speed * i)),
            "lr": 1e-3 * 0.5**i,
        }
        for i in range(1, num + 1)
    ]


def report(label: str, recall: float | None, **changes: Any) -> SimpleNamespace:
    base = {"label": label, "precision": 0.5, "recall": recall, "f1": 0.6, "recall_interval": (0.4, 0.95)}
    return SimpleNamespace(**(base | changes))


def every_figure(theme: str) -> dict[str, go.Figure]:
    reports = [report("kick", 0.8), report("snare", None), report("clap", 0.5)]
    features = FeatureConfig(n_mels=40)
    return {
        "loss": charts.loss_figure(epochs(9), theme, best_epoch=4),
        "accuracy": charts.accuracy_figure(epochs(9), theme),
        "lr": charts.learning_rate_figure(epochs(9), theme),
        "overlay": charts.overlay_figure([("a", epochs(9)), ("b", epochs(4))], "loss", theme),
        "confusion": charts.confusion_figure(MATRIX, NAMES, theme),
        "difference": charts.confusion_difference_figure(MATRIX, [[41, 1, 0], [5, 30, 5], [0, 0, 0]], NAMES, theme),
        "confidence": charts.confidence_figure([0.1, 0.7, 0.2], NAMES, theme),
        "metric": charts.class_metric_figure({"a": reports, "b": reports}, "recall", theme),
        "waveform": charts.waveform_figure(np.sin(np.arange(9_000) / 50), 22_050, (0.0, 0.2), theme),
        "log_mel": charts.log_mel_figure(np.full((40, 12), -30.0), features, theme),
        "balance": charts.class_balance_figure({"kick": {"train": 7, "val": 2}, "snare": {"test": 1}}, theme),
    }


def words(figure: go.Figure) -> str:
    return " | ".join(annotation.text for annotation in figure.layout.annotations)


@pytest.mark.parametrize("theme", THEMES)
def test_every_figure_is_titled_described_and_in_our_colours(theme: str) -> None:
    plotly_colors = {color.lower() for color in qualitative.Plotly + qualitative.D3}
    colors = palette(theme)
    for name, figure in every_figure(theme).items():
        assert figure.layout.xaxis.title.text, name
        assert figure.layout.yaxis.title.text, name
        alt = figure.layout.meta["alt"]
        assert re.fullmatch(r"[A-Z0-9].+\.", alt), (name, alt)
        assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
        assert figure.layout.hoverlabel.bgcolor == colors.surface
        assert figure.layout.font.color == colors.text
        used = {color.lower() for color in re.findall(r"#[0-9A-Fa-f]{6}", figure.to_json())}
        assert not used & plotly_colors, name
        for trace in figure.data:
            own = trace.line.color if trace.type == "scatter" and "lines" in trace.mode else None
            assert own or (trace.type == "heatmap" and trace.colorscale) or trace.marker.color is not None, name


@pytest.mark.parametrize("theme", THEMES)
def test_every_figure_survives_json(theme: str) -> None:
    for figure in every_figure(theme).values():
        text = figure.to_json()
        assert "NaN" not in text
        again = pio.from_json(text)
        assert json.loads(again.to_json()) == json.loads(text)
        assert again.layout.meta["alt"] == figure.layout.meta["alt"]


def test_unknown_theme_is_refused() -> None:
    with pytest.raises(ConfigError, match="'light' or 'dark'"):
        charts.loss_figure(epochs(2), "sepia")  # type: ignore[arg-type]


def test_charts_import_neither_torch_nor_pandas() -> None:
    code = (
        "import sys, samplemind_core.charts; "
        "print([m for m in ('torch', 'pandas', 'librosa', 'sklearn', 'scipy', 'streamlit') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Style


@pytest.mark.parametrize("theme", THEMES)
def test_classes_and_runs_never_wear_the_colours_of_splits(theme: str) -> None:
    splits = [charts.split_color(split, theme) for split in ("train", "val", "test")]
    assert splits == list(palette(theme).categorical[:3])
    for color in (charts.class_color, charts.run_color):
        first = [color(i, theme) for i in range(21)]
        assert len(set(first)) == 21
        assert not set(first) & set(splits)
        assert first[:7] == [color(i, theme) for i in range(7)]
        assert set(first[:7]) == set(palette(theme).categorical[3:])
        assert color(21, theme) == color(0, theme)


@pytest.mark.parametrize("theme", THEMES)
def test_words_can_be_read(theme: str) -> None:
    colors = palette(theme)
    assert len(colors.categorical) == 10
    assert contrast(colors.muted, colors.background) >= 4.5
    for color in colors.categorical:
        assert contrast(ink(color, theme), colors.background) >= 4.5
        assert contrast(text_on(color, theme), color) >= 3.0
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert mix("#000000", "#FF8000", 0.5) == "#804000"


def test_names_are_shortened_in_the_middle_and_never_markup() -> None:
    assert safe("instrument number 17", 10) == "instru…17"
    assert safe("instrument", 10) == "instrument"
    assert safe("<b>hot</b> & cold") == "&lt;b&gt;hot&lt;/b&gt; &amp; cold"
    assert (plural(1, "clip"), plural(1_200, "class")) == ("1 clip", "1,200 classes")


# Curves


def test_loss_and_accuracy_draw_both_splits_by_meaning() -> None:
    figure = charts.accuracy_figure(epochs(5))
    train, val = figure.data
    assert (train.name, train.line.dash, train.line.color) == ("train", "solid", charts.split_color("train"))
    assert (val.name, val.line.dash, val.line.color) == ("validation", "dash", charts.split_color("val"))
    assert list(train.x) == [1, 2, 3, 4, 5]
    assert list(val.y) == pytest.approx([100 * row["val_accuracy"] for row in epochs(5)])
    assert figure.layout.yaxis.title.text == "Accuracy (%)"
    assert charts.loss_figure(epochs(5)).layout.yaxis.title.text == "Loss (nats)"
    assert [annotation.text for annotation in figure.layout.annotations] == ["validation", "train"]
    assert not figure.layout.showlegend


def test_columns_do_as_well_as_rows() -> None:
    rows = epochs(4)
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    assert charts.loss_figure(columns).to_json() == charts.loss_figure(rows).to_json()
    with pytest.raises(DataError, match="each of 4 epochs"):
        charts.loss_figure(columns | {"val_loss": [1.0]})


@pytest.mark.parametrize("draw", [charts.loss_figure, charts.accuracy_figure, charts.learning_rate_figure])
@pytest.mark.parametrize("nothing", [[], {}])
def test_no_epochs_is_a_sentence(draw: Any, nothing: Any) -> None:
    figure = draw(nothing)
    assert len(figure.data) == 0
    assert "after the first epoch" in words(figure)
    assert figure.layout.meta["alt"] == figure.layout.annotations[0].text


def test_one_epoch_shows_as_a_point() -> None:
    figure = charts.loss_figure(epochs(1), best_epoch=1)
    assert all("markers" in trace.mode for trace in figure.data)
    low, high = figure.layout.xaxis.range
    assert low < 1 < high
    assert charts.loss_figure(epochs(2)).data[0].mode == "lines"


def test_missing_values_leave_a_gap_that_is_told() -> None:
    rows = epochs(6)
    rows[2]["val_loss"] = float("nan")
    rows[3]["train_loss"] = None
    rows[4]["val_loss"] = float("inf")
    figure = charts.loss_figure(rows)
    train, val = figure.data
    assert [value is None for value in train.y] == [False, False, False, True, False, False]
    assert [value is None for value in val.y] == [False, False, True, False, True, False]
    assert not val.connectgaps
    assert val.mode == "lines+markers", "epoch 4 has no neighbour to be joined to"
    assert "3 epochs without a finite value" in words(figure)
    assert "null" in figure.to_json()


def test_a_run_without_validation_has_no_gaps() -> None:
    rows = [{"epoch": row["epoch"], "train_loss": row["train_loss"]} for row in epochs(4)]
    figure = charts.loss_figure(rows)
    assert [trace.name for trace in figure.data] == ["train"]
    assert "without a finite value" not in words(figure)


def test_all_values_missing_is_a_sentence() -> None:
    rows = [{"epoch": 1, "train_loss": float("nan"), "val_loss": None}]
    assert "None of the 1 epoch has a finite loss" in words(charts.loss_figure(rows))


def test_best_epoch_is_marked() -> None:
    figure = charts.loss_figure(epochs(9), best_epoch=4)
    ring = figure.data[-1]
    assert (ring.x[0], ring.y[0]) == (4, pytest.approx(epochs(9)[3]["val_loss"]))
    assert figure.layout.shapes[0].x0 == 4
    assert "best: epoch 4" in words(figure)
    assert "best in epoch 4" in figure.layout.meta["alt"]


def test_learning_rate_is_logarithmic_and_passes_over_zero() -> None:
    rows = epochs(5)
    rows[0]["lr"] = 0.0
    figure = charts.learning_rate_figure(rows)
    assert figure.layout.yaxis.type == "log"
    assert figure.data[0].y[0] is None
    assert "1 epoch without" in words(figure)
    assert "0.0001" in figure.layout.yaxis.ticktext


def test_overlay_has_a_colour_per_run_and_a_dash_per_split() -> None:
    figure = charts.overlay_figure([("first", epochs(5)), ("second", epochs(3))], "accuracy")
    curves = [trace for trace in figure.data if trace.x[0] is not None]
    assert [(trace.name, trace.line.dash) for trace in curves] == [
        ("first", "solid"),
        ("first", "dash"),
        ("second", "solid"),
        ("second", "dash"),
    ]
    assert {trace.line.color for trace in curves if trace.name == "second"} == {charts.run_color(1)}
    assert {annotation.text for annotation in figure.layout.annotations} == {"first", "second"}
    assert "first reaches the best validation accuracy" in figure.layout.meta["alt"]


def test_overlay_of_many_runs_falls_back_to_a_legend() -> None:
    figure = charts.overlay_figure([(f"run {i}", epochs(3)) for i in range(8)], "loss")
    listed = [trace.name for trace in figure.data if trace.showlegend]
    assert listed == [*(f"run {i}" for i in range(8)), "train", "validation"]
    assert not figure.layout.annotations


def test_overlay_counts_the_gaps_of_each_run() -> None:
    rows = epochs(4)
    rows[1]["train_loss"] = rows[1]["val_loss"] = float("nan")
    assert "2 epochs without" in words(charts.overlay_figure([("a", rows), ("b", epochs(6)), ("c", rows)], "loss"))


def test_overlay_of_runs_without_validation_has_no_labels_to_place() -> None:
    rows = [{"epoch": row["epoch"], "train_loss": row["train_loss"]} for row in epochs(4)]
    figure = charts.overlay_figure([("bare", rows)], "loss")
    assert words(figure) == "bare"
    assert figure.layout.meta["alt"].endswith("without validation.")


def test_overlay_edges() -> None:
    assert "curves of the chosen runs" in words(charts.overlay_figure([], "loss"))
    assert "curves of the chosen runs" in words(charts.overlay_figure([("new", [])], "loss"))
    with pytest.raises(ConfigError, match="one of loss, accuracy, map"):
        charts.overlay_figure([], "speed")  # type: ignore[arg-type]


def test_markup_in_names_stays_text() -> None:
    figure = charts.overlay_figure([("<a href='x'>run</a>", epochs(3))], "loss")
    assert "<a" not in words(figure)
    assert "<a" not in figure.data[0].name
    hover = charts.confusion_figure([[1]], ["<b>x</b>"]).data[1].hovertext[0]
    assert "<b>" not in hover


# Confusion


def test_confusion_cells_carry_text_colour_and_clicks() -> None:
    figure = charts.confusion_figure(MATRIX, NAMES)
    heatmap, markers = figure.data
    assert list(heatmap.text[0]) == ["40", "2", ""]
    z = np.array(heatmap.z)
    assert z[0, 0] > z[1, 1] > 0, "right answers by the share of their row"
    assert z[0, 1] < 0
    assert z[1, 0] < z[0, 1], "5 of 40 is a heavier error than 2 of 42"
    assert (z[2] == 0).all()
    assert heatmap.hoverinfo == "skip"
    assert markers.marker.symbol == "square"
    assert [list(row) for row in markers.customdata[:2]] == [["kick", "kick", 40], ["kick", "snare", 2]]
    assert (markers.x[1], markers.y[1]) == (1, 0)
    assert markers.hovertext[1] == "2 of 42 kick clips (5 %) taken for snare"
    assert markers.hovertext[8] == "There are no clap clips"
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1], "the first class on top"
    assert "takes snare for kick (5 clips)" in figure.layout.meta["alt"]


def test_confusion_in_percent_of_the_row() -> None:
    figure = charts.confusion_figure([[999, 1], [0, 0]], ["kick", "snare"], mode="row_percent")
    assert [list(row) for row in figure.data[0].text] == [[">99", "<1"], ["", ""]]
    assert "% of its clips" in figure.layout.yaxis.title.text


@pytest.mark.parametrize("size", [1, 2, 20])
def test_confusion_of_few_and_many_classes(size: int) -> None:
    figure = charts.confusion_figure(np.eye(size, dtype=int), [f"class {i}" for i in range(size)])
    assert len(figure.data[1].x) == size * size
    assert 240 <= figure.layout.height <= 640
    assert 8 <= figure.data[0].textfont.size <= 14
    assert "most common error" not in figure.layout.meta["alt"]


def test_confusion_edges() -> None:
    assert "once clips have been classified" in words(charts.confusion_figure(np.zeros((3, 3)), NAMES))
    for matrix in ([[1, 2]], [[1.5, 0], [0, 1]], [[-1, 0], [0, 1]], [[np.nan, 0], [0, 1]]):
        with pytest.raises(DataError):
            charts.confusion_figure(matrix, ["a", "b"])
    with pytest.raises(ConfigError, match="row_percent"):
        charts.confusion_figure([[1]], ["a"], mode="percent")  # type: ignore[arg-type]


def test_difference_colours_by_better_and_worse() -> None:
    before, after = [[8, 2], [1, 9]], [[10, 0], [3, 7]]
    figure = charts.confusion_difference_figure(before, after, ["a", "b"])
    heatmap, markers = figure.data
    z = np.array(heatmap.z)
    assert z[0, 0] > 0, "more right answers are good"
    assert z[0, 1] > 0, "fewer errors are good"
    assert z[1, 0] < 0
    assert z[1, 1] < 0
    assert [list(row) for row in heatmap.text] == [["+2", "−2"], ["+2", "−2"]]
    assert markers.hovertext[1] == "2 a clips taken for b by A, 0 by B"
    assert "as many clips right" in figure.layout.meta["alt"]
    with pytest.raises(DataError, match="same clips"):
        charts.confusion_difference_figure(before, [[1, 0], [0, 1]], ["a", "b"])


# Confidence and metrics


def test_confidence_is_sorted_and_the_first_wears_its_class_colour() -> None:
    figure = charts.confidence_figure([0.004, 0.9961, 0.0], NAMES)
    bars = figure.data[0]
    assert list(bars.customdata) == ["snare", "kick", "clap"]
    assert list(bars.x) == pytest.approx([99.61, 0.4, 0.0])
    assert list(bars.text) == ["99.6 %", "< 1 %", "0 %"]
    assert bars.marker.color[0] == charts.class_color(1)
    assert bars.marker.color[1] == bars.marker.color[2]
    assert figure.layout.meta["alt"] == "Confidence by class: snare first with 99.6 %, then kick with < 1 %."
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]


def test_confidence_edges() -> None:
    assert "no confidence" in words(charts.confidence_figure([np.nan, 0.5, 0.5], NAMES))
    assert "no confidence" in words(charts.confidence_figure([], []))
    assert len(charts.confidence_figure([1.0], ["kick"]).data[0].x) == 1
    with pytest.raises(DataError, match="one probability per class"):
        charts.confidence_figure([0.5, 0.5], NAMES)
    with pytest.raises(DataError, match="from 0 to 1"):
        charts.confidence_figure([3.0, -1.0, 0.2], NAMES)


def test_class_metrics_have_whiskers_and_say_what_is_undefined() -> None:
    first = [report("kick", 0.8), report("snare", None)]
    second = [report("kick", 0.6), report("snare", 0.5)]
    figure = charts.class_metric_figure({"A": first, "B": second}, "recall")
    a, b = figure.data
    assert a.x[0] == pytest.approx(80)
    assert a.x[1] is None
    assert (a.error_x.array[0], a.error_x.arrayminus[0]) == pytest.approx((15, 40))
    assert a.marker.symbol != b.marker.symbol
    assert a.marker.color != b.marker.color
    assert a.y[0] < b.y[0], "the checkpoints lie in lanes"
    assert words(figure) == "no clips"
    assert a.hovertext[0] == "A: recall of kick 80.0 %, 95 % interval 40 to 95 %"
    assert "lowest in A for kick, 80 %" in figure.layout.meta["alt"]
    assert charts.class_metric_figure({"A": first}, "f1").data[0].error_x.array is None


def test_class_metrics_edges() -> None:
    assert "once a checkpoint has been evaluated" in words(charts.class_metric_figure({}))
    with pytest.raises(DataError, match="'B' has others"):
        charts.class_metric_figure({"A": [report("kick", 1.0)], "B": [report("tom", 1.0)]})
    with pytest.raises(ConfigError, match="At most 7"):
        charts.class_metric_figure({str(i): [report("kick", 1.0)] for i in range(8)})
    with pytest.raises(ConfigError, match="metric must be"):
        charts.class_metric_figure({}, "accuracy")  # type: ignore[arg-type]


# Signals


def test_waveform_envelope_keeps_every_peak_in_few_points() -> None:
    rng = np.random.default_rng(0)
    waveform = rng.uniform(-0.1, 0.1, 100_003).astype(np.float32)
    waveform[77_777], waveform[5] = 0.9, -0.8
    figure = charts.waveform_figure(waveform, 44_100, (0.25, 1.5))
    trace = figure.data[0]
    assert len(trace.x) <= 2_000
    assert (max(trace.y), min(trace.y)) == (np.float32(0.9), np.float32(-0.8))
    assert trace.x[int(np.argmax(trace.y))] == pytest.approx(77_777 / 44_100, abs=0.002)
    shade = figure.layout.shapes[0]
    assert (shade.x0, shade.x1) == (0.25, 1.5)
    assert "peak of 0.90" in figure.layout.meta["alt"]


def test_short_waveform_is_drawn_sample_by_sample() -> None:
    figure = charts.waveform_figure([0.0, 2.0, -1.0], 10)
    assert list(figure.data[0].x) == pytest.approx([0.0, 0.1, 0.2])
    assert figure.layout.yaxis.range[1] > 2.0, "overs are not cut off"
    assert charts.waveform_figure([0.5], 10).data[0].mode == "markers"


def test_waveform_edges() -> None:
    assert "no sound" in words(charts.waveform_figure([], 22_050))
    broken = np.ones(5_000)
    broken[10:100] = np.nan
    assert max(charts.waveform_figure(broken, 100).data[0].y[:2]) == 1.0
    with pytest.raises(DataError, match="mono"):
        charts.waveform_figure(np.zeros((2, 10)), 22_050)
    with pytest.raises(ConfigError, match="positive"):
        charts.waveform_figure([0.0], 0)
    with pytest.raises(ConfigError, match="end after it starts"):
        charts.waveform_figure([0.0], 10, (2.0, 1.0))


def test_mel_scale_equals_librosa() -> None:
    librosa = pytest.importorskip("librosa")
    frequencies = np.array([0.0, 30.0, 999.0, 1_000.0, 1_001.0, 4_321.0, 11_025.0])
    np.testing.assert_allclose([hz_to_mel(f) for f in frequencies], librosa.hz_to_mel(frequencies))
    np.testing.assert_allclose([mel_to_hz(hz_to_mel(f)) for f in frequencies], frequencies)
    features = FeatureConfig(n_mels=64, fmin_hz=30.0, fmax_hz=8_000.0)
    expected = librosa.mel_frequencies(n_mels=66, fmin=30.0, fmax=8_000.0)[1:-1]
    np.testing.assert_allclose(mel_band_centres_hz(features), expected)


def test_log_mel_is_drawn_in_seconds_and_hertz() -> None:
    features = FeatureConfig()
    picture = np.full((128, 87), -80.0)
    picture[40, 10] = 0.0
    figure = charts.log_mel_figure(picture, features)
    heatmap = figure.data[0]
    assert heatmap.x[10] == pytest.approx(10 * 512 / 22_050)
    assert (heatmap.zmin, heatmap.zmax) == (-80.0, 0.0)
    centre_hz = mel_band_centres_hz(features)[40]
    assert heatmap.customdata[40, 0] == round(centre_hz)
    assert f"{centre_hz:,.0f} Hz at 0.23 s" in figure.layout.meta["alt"]
    ticks = dict(zip(figure.layout.yaxis.ticktext, figure.layout.yaxis.tickvals, strict=True))
    assert np.interp(ticks["2k"], np.arange(128), mel_band_centres_hz(features)) == pytest.approx(2_000, rel=1e-3)
    assert "dB" in heatmap.colorbar.title.text


def test_log_mel_edges() -> None:
    features = FeatureConfig(n_mels=40)
    assert "no picture" in words(charts.log_mel_figure(np.full((40, 3), np.nan), features))
    partly = np.full((40, 3), -10.0)
    partly[:, 0] = np.nan
    assert "at 0.02 s" in charts.log_mel_figure(partly, features).layout.meta["alt"]
    for wrong in (np.zeros((3, 40)), np.zeros((1, 40, 3))):
        with pytest.raises(DataError, match=r"\(40, frames\)"):
            charts.log_mel_figure(wrong, features)


def test_class_balance_stacks_splits_in_their_colours() -> None:
    counts = {"kick": {"train": 70, "val": 15, "test": 15}, "snare": {"train": 7, "spare": 3}, "clap": {}}
    figure = charts.class_balance_figure(counts)
    assert [bar.name for bar in figure.data] == ["train", "validation", "test", "spare"]
    assert list(figure.data[0].x) == [70, 7, 0]
    assert figure.data[1].marker.color == charts.split_color("val")
    assert figure.data[3].marker.color == palette("light").muted
    assert [annotation.text for annotation in figure.layout.annotations] == ["100", "10", "0"]
    assert figure.layout.meta["alt"] == "110 clips in 3 classes: most in kick (100), fewest in clap (0)."
    assert figure.data[0].hovertext[1] == "7 snare clips of 10 in train"


def test_class_balance_edges() -> None:
    assert "after an import" in words(charts.class_balance_figure({}))
    assert "after an import" in words(charts.class_balance_figure({"kick": {"train": 0}}))
    with pytest.raises(DataError, match="negative"):
        charts.class_balance_figure({"kick": {"train": -1}})
