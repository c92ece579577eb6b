"""A page to send to somebody: one HTML file that opens without a network and prints well."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go


def percent(share: float | None) -> str:
    """Return ``91.4 %`` for 0.914; an en dash where there is no number."""
    return "–" if share is None else f"{100 * share:.1f} %"


class HtmlPage:
    """An HTML page that grows from the top; everything given to it as text is shown as text.

    Parameters
    ----------
    title : str
    """

    def __init__(self, title: str) -> None:
        self._title, self._parts, self._figures = title, list[str](), 0

    def heading(self, text: str, level: int = 2) -> None:
        """Add a heading."""
        self._parts.append(f"<h{level}>{html.escape(text)}</h{level}>")

    def paragraph(self, text: str, kind: str = "") -> None:
        """Add a paragraph; ``kind`` is 'finding', 'quiet' or nothing."""
        self._parts.append(f'<p class="{kind}">{html.escape(text)}</p>')

    def figure(self, figure: go.Figure, title: str = "") -> None:
        """Add a figure with its text alternative."""
        self._figures += 1
        alt = html.escape(str(figure.layout.meta["alt"]), quote=True)
        drawn = figure.to_html(
            full_html=False, include_plotlyjs=False, div_id=f"figure-{self._figures}",
            config=_TOOLS,
        )  # fmt: skip
        caption = f"<figcaption>{html.escape(title)}</figcaption>" if title else ""
        self._parts.append(f'<figure role="img" aria-label="{alt}">{caption}{drawn}</figure>')

    def figures(self, *drawn: tuple[go.Figure, str]) -> None:
        """Add figures with their titles side by side, where the window is wide enough."""
        self._parts.append('<div class="half">')
        for figure, title in drawn:
            self.figure(figure, title)
        self._parts.append("</div>")

    def table(self, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Add a table."""
        head = "".join(f"<th>{html.escape(str(cell))}</th>" for cell in header)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
        self._parts.append(
            f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        )

    def text(self) -> str:
        """Return the page, the drawing library in it."""
        from plotly.offline import get_plotlyjs

        return (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(self._title)}</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<style>{_CSS}</style><script>{get_plotlyjs()}</script></head><body><main>"
            + "\n".join(self._parts)
            + "</main></body></html>"
        )


# Whoever points at a figure may save it as a picture, made in the browser.
_TOOLS = {
    "responsive": True,
    "displaylogo": False,
    "modeBarButtons": [["toImage"]],
    "toImageButtonOptions": {"format": "png", "scale": 3},
}
_CSS = """
body{margin:0;background:#fbfbfd;color:#1c1b22;font:15px/1.5 Inter,system-ui,-apple-system,'Segoe UI',sans-serif}
main{max-width:1080px;margin:0 auto;padding:24px 20px 80px}
h1{font-size:28px;margin:8px 0}h2{font-size:20px;margin:40px 0 12px}
figure{margin:0 0 16px;background:#fff;border:1px solid #e3e2ea;border-radius:12px;padding:12px}
figcaption{font-weight:600;margin:0 4px 8px}
table{border-collapse:collapse;width:100%;font-size:14px}
th,td{text-align:left;padding:6px 12px 6px 0;border-bottom:1px solid #e3e2ea;overflow-wrap:anywhere}
th{color:#6a6875;font-weight:500;overflow-wrap:normal}td{min-width:6em}.wide{overflow-x:auto;margin-bottom:16px}
.finding{font-size:18px}.quiet{color:#6a6875}
.half{display:grid;grid-template-columns:repeat(auto-fit,minmax(320px,1fr));gap:0 16px}
.half figure{min-width:0;overflow:hidden}
@media print{body{background:#fff}main{max-width:none;padding:0}figure,tr{break-inside:avoid}h2{break-after:avoid}}
"""
