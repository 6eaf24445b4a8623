"""What pages of reports are made of: one HTML file that needs nothing else."""

import base64
import html
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#202024;max-width:76rem;margin:2rem auto;padding:0 1rem}
h1{margin-bottom:.2rem}.wide{overflow-x:auto;margin:.5rem 0 1.5rem}table{border-collapse:collapse}
th,td{padding:.25rem .6rem;border-bottom:1px solid #ddd;text-align:right}td{white-space:nowrap}
th:first-child,td:first-child,.words{text-align:left;white-space:normal}img,svg{max-width:100%}svg{height:auto}
.passed{color:#1a7f37}.failed{color:#c81e1e}.unknown{color:#8a6100}
.verdict{padding:.8rem 1rem;border-left:.5rem solid;background:#f6f6f8;font-size:1.15rem}small{color:#6e6e76}
@media (prefers-color-scheme:dark){body{background:#18181b;color:#e8e8ea}.verdict{background:#26262b}
th,td{border-color:#3a3a40}.passed{color:#5fd07a}.failed{color:#ff7b7b}.unknown{color:#e0b050}}
"""


def html_page(title: str, parts: Sequence[str]) -> str:
    """The whole page. ``parts``: HTML below its heading."""
    name, body = html.escape(title), "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body>\n<h1>{name}</h1>\n{body}\n</body></html>\n"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]], words: Collection[int] = ()) -> str:
    """Cells are HTML; the head is plain text. Numbers stand on the right; columns in ``words`` are read, from the left.

    A table that is wider than the page is moved by itself.
    """

    def line(kind: str, cells: Iterable[str]) -> str:
        set_left = ' class="words"'
        tags = ((f"{kind}{set_left if place in words else ''}", cell) for place, cell in enumerate(cells))
        return "<tr>" + "".join(f"<{tag}>{cell}</{kind}>" for tag, cell in tags) + "</tr>"

    lines = "".join(line("td", row) for row in rows)
    return f'<div class="wide"><table>{line("th", map(html.escape, head))}{lines}</table></div>'


def plot(x: Sequence[float], lines: Sequence[tuple[str, Sequence[float], str]], below: str, beside: str) -> str:
    """Lines (name, y, colour) over ``x``, in a frame that fits them; ``below`` and ``beside`` name the axes."""
    values = [one for _, line, _ in lines for one in line]
    low, high = min(values), max(values)
    spread = max(high - low, 1e-6)

    def at(px: float, py: float) -> str:
        return f"{60 + 440 * (px - x[0]) / max(x[-1] - x[0], 1e-9):.1f},{230 - 200 * (py - low) / spread:.1f}"

    drawn = "".join(
        f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{" ".join(map(at, x, line))}"/>'
        f'<text x="515" y="{40 + 22 * number}" font-size="13" fill="{colour}">{html.escape(name)}</text>'
        for number, (name, line, colour) in enumerate(lines)
    )
    labels = (
        f'<text x="55" y="34" text-anchor="end" font-size="12" fill="currentColor">{high:.3f}</text>'
        f'<text x="55" y="232" text-anchor="end" font-size="12" fill="currentColor">{low:.3f}</text>'
        f'<text x="60" y="252" font-size="12" fill="currentColor">{x[0]:.3g}</text>'
        f'<text x="500" y="252" text-anchor="end" font-size="12" fill="currentColor">'
        f"{x[-1]:.3g}   {html.escape(below)}</text>"
        f'<text x="60" y="16" font-size="12" fill="currentColor">{html.escape(beside)}</text>'
        '<path d="M60 30V230H500" fill="none" stroke="#999"/>'
    )
    return f'<svg viewBox="0 0 700 260" width="700" role="img">{labels}{drawn}</svg>'


def rejection_plot(curve: Mapping[str, Any], beside: str) -> str:
    """A rejection curve as :class:`core.evaluation.rejection.RejectionCurve` writes it, between best and random."""
    flat = [curve["random"]] * len(curve["fractions"])
    lines = (
        ("worst first (ideal)", curve["ideal"], "#888"),
        ("most uncertain first", curve["by_uncertainty"], "#0087c3"),
        ("any order", flat, "#c81e1e"),
    )
    return plot(curve["fractions"], lines, "part dropped", beside)


def picture(png: bytes, words: str) -> str:
    """A PNG inside the page. ``words``: for those who do not see it."""
    return f'<img alt="{html.escape(words)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def note(words: str) -> str:
    """Small print."""
    return f"<p><small>{html.escape(words)}</small></p>"


def digits(value: float | None) -> str:
    """Four of them, of a value that may be of any size; a dash for what is not known."""
    return "–" if value is None or not np.isfinite(value) else f"{value:.4g}"


def number(value: float | None, digits: int = 3) -> str:
    """A dash for what is not known."""
    return "–" if value is None or not np.isfinite(value) else f"{value:.{digits}f}"
