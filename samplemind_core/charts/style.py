"""How every figure looks: the theme's colours, one base layout, and what a figure shows when it has no data.

One meaning has one colour. The first three colours of the palette belong to the splits (train,
validation, test); classes and runs draw from the others, so that a class is never taken for a split.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any, Literal

import plotly.graph_objects as go

from samplemind_core.errors import ConfigError

Theme = Literal["light", "dark"]

FONT_FAMILY = "Inter, 'Source Sans 3', 'Source Sans', system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
FONT_SIZE_PX = 13
LABEL_SIZE_PX = 12
HEIGHT_PX = 300


@dataclass(frozen=True)
class Palette:
    """The colours of one theme, as hexadecimal RGB.

    Attributes
    ----------
    background, surface : str
        The page and what lies on it: cards, hover labels.
    text, muted : str
        Words that matter; axis titles, ticks and captions.
    border : str
        Grid lines and frames.
    categorical : tuple of str
        The theme's ten categorical colours. The first is also the accent.
    warm : str
        The hue of errors and of change for the worse, always beside a word or a number.
    """

    background: str
    surface: str
    text: str
    muted: str
    border: str
    categorical: tuple[str, ...]
    warm: str

    @property
    def accent(self) -> str:
        """The one colour that draws the eye."""
        return self.categorical[0]


PALETTES: dict[str, Palette] = {
    "light": Palette(
        background="#FBFBFD",
        surface="#F1F1F6",
        text="#1C1B22",
        muted="#6A6875",
        border="#E3E2EA",
        categorical=(
            *("#5B5BD6", "#E5A400", "#0F9D8A", "#D6409F", "#3E63DD"),
            *("#8E8C99", "#B45F06", "#2B9A66", "#A144AF", "#0E7490"),
        ),
        warm="#D9560B",
    ),
    "dark": Palette(
        background="#111116",
        surface="#1B1B22",
        text="#EDECF4",
        muted="#A3A1B0",
        border="#2B2A35",
        categorical=(
            *("#8E8BFF", "#FFC53D", "#3DD6BE", "#FF8DCC", "#70A5FF"),
            *("#A8A6B5", "#FFA057", "#6FDD8B", "#D19DFF", "#5EC8E5"),
        ),
        warm="#FF8A3D",
    ),
}

SPLIT_NAMES = {"train": "train", "val": "validation", "test": "test"}
SPLIT_DASHES = {"train": "solid", "val": "dash", "test": "dot"}
_SPLIT_COLORS = {"train": 0, "val": 1, "test": 2}
# Neighbours in these orders differ in hue and lightness, for readers who do not see all hues.
_CLASS_COLORS = (3, 7, 6, 4, 9, 8, 5)
_RUN_COLORS = (4, 6, 7, 3, 9, 8, 5)


def palette(theme: Theme) -> Palette:
    """Return the colours of a theme.

    Raises
    ------
    ConfigError
        If the theme is neither 'light' nor 'dark'.
    """
    try:
        return PALETTES[theme]
    except KeyError:
        raise ConfigError(f"theme must be 'light' or 'dark', got {theme!r}.", "Choose one of the two.") from None


def split_color(split: str, theme: Theme = "light") -> str:
    """Return the colour of a split; any name besides train, val and test gets the muted one."""
    colors = palette(theme)
    return colors.categorical[_SPLIT_COLORS[split]] if split in _SPLIT_COLORS else colors.muted


def class_color(index: int, theme: Theme = "light") -> str:
    """Return the colour of a class by its index in ``class_names``.

    Seven colours of the palette are free of other meanings. Further classes get them darker, then
    paler (towards the text and the background); from the 22nd on the colours repeat.
    """
    return _spread(index, _CLASS_COLORS, theme)


def run_color(index: int, theme: Theme = "light") -> str:
    """Return the colour of a run or checkpoint by its place in a comparison."""
    return _spread(index, _RUN_COLORS, theme)


def _spread(index: int, order: tuple[int, ...], theme: Theme) -> str:
    colors = palette(theme)
    base = colors.categorical[order[index % len(order)]]
    towards = (None, colors.text, colors.background)[index // len(order) % 3]
    return base if towards is None else mix(base, towards, 0.4)


def mix(color: str, other: str, share: float) -> str:
    """Return ``color`` with a share (0 to 1) of ``other`` mixed in; both as ``#RRGGBB``."""
    pairs = zip(_rgb(color), _rgb(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in pairs)


def translucent(color: str, opacity: float) -> str:
    """Return ``#RRGGBB`` as an ``rgba(…)`` colour."""
    red, green, blue = _rgb(color)
    return f"rgba({red}, {green}, {blue}, {opacity:g})"


def contrast(color: str, other: str) -> float:
    """Return the WCAG contrast ratio of two colours, from 1 (none) to 21 (black on white)."""
    bright, dim = sorted((_luminance(color), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def text_on(color: str, theme: Theme = "light") -> str:
    """Return whichever of the theme's text and background colours reads better on ``color``.

    A near tie goes to the background colour, so that the cells of one diagonal share one ink.
    """
    colors = palette(theme)
    nearly_as_good = 1.25 * contrast(colors.background, color) >= contrast(colors.text, color)
    return colors.background if nearly_as_good else colors.text


def ink(color: str, theme: Theme = "light") -> str:
    """Return ``color`` moved towards the text colour until words in it read well (4.5 : 1) on the page."""
    colors = palette(theme)
    shares = (step / 10 for step in range(11))
    return next(
        (mixed for share in shares if contrast(mixed := mix(color, colors.text, share), colors.background) >= 4.5),
        colors.text,
    )


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _luminance(color: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in _rgb(color))]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def safe(name: str, longest: int | None = None) -> str:
    """Return a name for use inside a figure: never read as markup, and shortened in its middle.

    Names that are alike tend to differ at their ends ("run 7", "run 8"), so both ends stay.
    """
    text = name
    if longest is not None and len(name) > longest:
        tail = longest // 3
        text = f"{name[: longest - tail - 1].rstrip()}…{name[-tail:].lstrip()}"
    return html.escape(text, quote=False)


def plural(number: int, noun: str) -> str:
    """Return '1 clip', '2 clips', '1,200 classes'."""
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"


def axis(theme: Theme, title: str, **changes: Any) -> dict[str, Any]:
    """Return a calm axis: muted words, a thin grid, no zero line."""
    colors = palette(theme)
    return {
        "title": {"text": title, "font": {"size": LABEL_SIZE_PX, "color": colors.muted}, "standoff": 8},
        "tickfont": {"size": LABEL_SIZE_PX, "color": colors.muted},
        "gridcolor": colors.border,
        "linecolor": colors.border,
        "ticks": "",
        "zeroline": False,
        "automargin": True,
    } | changes


def layout(theme: Theme = "light", height: int = HEIGHT_PX, **changes: Any) -> go.Layout:
    """Return the base layout that every figure shares.

    Parameters
    ----------
    theme : {'light', 'dark'}
    height : int
        In px.
    **changes
        Layout attributes that replace the base ones.
    """
    colors = palette(theme)
    base: dict[str, Any] = {
        # An empty template: nothing of Plotly's own look shines through.
        "template": go.layout.Template(),
        "height": height,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "colorway": list(colors.categorical),
        "font": {"family": FONT_FAMILY, "size": FONT_SIZE_PX, "color": colors.text},
        "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
        "hoverlabel": {
            "bgcolor": colors.surface,
            "bordercolor": colors.border,
            "align": "left",
            "namelength": -1,
            "font": {"family": FONT_FAMILY, "size": FONT_SIZE_PX, "color": colors.text},
        },
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "traceorder": "normal",
            "bgcolor": "rgba(0,0,0,0)",
            "font": {"size": LABEL_SIZE_PX, "color": colors.text},
        },
        "showlegend": False,
        "dragmode": "zoom",
        "modebar": {
            "bgcolor": "rgba(0,0,0,0)",
            "color": translucent(colors.muted, 0.6),
            "activecolor": colors.accent,
        },
    }
    return go.Layout(base | changes)


def figure(traces: list[Any], theme: Theme, alt: str, height: int = HEIGHT_PX, **changes: Any) -> go.Figure:
    """Return traces in the base layout, with the text alternative in ``layout.meta['alt']``."""
    return go.Figure(traces, layout(theme, height, meta={"alt": alt}, **changes))


def empty_figure(message: str, theme: Theme, height: int = HEIGHT_PX) -> go.Figure:
    """Return a figure that says in one calm line why there is nothing to draw."""
    hidden = {"visible": False, "range": [0, 1], "fixedrange": True}
    result = figure([], theme, message, height, xaxis=hidden, yaxis=hidden)
    note(result, message, theme, x=0.5, y=0.5, xanchor="center", yanchor="middle")
    return result


def note(target: go.Figure, text: str, theme: Theme, **placement: Any) -> None:
    """Write a muted line into a figure, placed in fractions of the plot unless told otherwise."""
    font = {"size": LABEL_SIZE_PX, "color": palette(theme).muted}
    target.add_annotation(
        {"text": text, "showarrow": False, "font": font, "xref": "paper", "yref": "paper"} | placement
    )
