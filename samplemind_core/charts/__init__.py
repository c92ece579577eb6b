"""Figures: one function each, data in, ``plotly.graph_objects.Figure`` out.

Every figure carries a one-sentence text alternative in ``figure.layout.meta["alt"]``.
"""

from samplemind_core.charts.confidence import class_metric_figure, confidence_figure
from samplemind_core.charts.confusion import confusion_difference_figure, confusion_figure
from samplemind_core.charts.curves import accuracy_figure, learning_rate_figure, loss_figure, overlay_figure
from samplemind_core.charts.signals import class_balance_figure, log_mel_figure, waveform_figure
from samplemind_core.charts.style import class_color, palette, run_color, split_color

__all__ = [
    "accuracy_figure",
    "class_balance_figure",
    "class_color",
    "class_metric_figure",
    "confidence_figure",
    "confusion_difference_figure",
    "confusion_figure",
    "learning_rate_figure",
    "log_mel_figure",
    "loss_figure",
    "overlay_figure",
    "palette",
    "run_color",
    "split_color",
    "waveform_figure",
]
