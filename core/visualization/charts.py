"""Charts for pictures: bars and lines, drawn with what everything else is drawn with."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from core.visualization import canvas
from core.visualization.canvas import FAINT, PAPER, Colour

BLUE, RED, GREY = (0, 135, 195), (200, 30, 30), (136, 136, 136)
_TEXT, _LINE = 13, 24


def bar_chart(title: str, rows: Sequence[tuple[str, float | None, str]], width: int) -> Image.Image:
    """A bar from 0 to 1 for each row of (name, value, remark); None is drawn as a dash."""
    image = Image.new("RGB", (width, 34 + _LINE * len(rows)), PAPER)
    draw = ImageDraw.Draw(image)
    canvas.write(draw, (0, 6), title, 15)
    left, right = 190, width - 290
    for number, (name, value, remark) in enumerate(rows):
        top = 32 + _LINE * number
        label = canvas.shortened(name, left - 12, _TEXT)
        canvas.write(draw, (left - 10 - canvas.text_width(label, _TEXT), top + 1), label, _TEXT)
        draw.rectangle((left, top + 2, right, top + 16), fill=(236, 236, 240))
        if value is not None and value > 0:
            draw.rectangle((left, top + 2, left + round((right - left) * min(value, 1)), top + 16), fill=BLUE)
        said = f"{'–' if value is None else f'{value:.3f}'}   {remark}"
        canvas.write(draw, (right + 10, top + 1), canvas.shortened(said, width - right - 12, _TEXT), _TEXT, FAINT)
    return image


def line_chart(
    title: str,
    lines: Sequence[tuple[str, Sequence[tuple[float, float]], Colour]],
    below: str,
    width: int = 560,
    height: int = 260,
) -> Image.Image:
    """Lines of (name, points (x, y), colour) in a frame that fits them; ``below`` names the x axis."""
    image = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(image)
    canvas.write(draw, (0, 6), title, 15)
    points = [point for _, line, _ in lines for point in line]
    (x0, x1), (y0, y1) = (_range([point[axis] for point in points]) for axis in (0, 1))
    left, top, right, bottom = 52, 34, width - 190, height - 26

    def at(point: tuple[float, float]) -> tuple[float, float]:
        return left + (right - left) * (point[0] - x0) / (x1 - x0), bottom - (bottom - top) * (point[1] - y0) / (
            y1 - y0
        )

    draw.line((left, top, left, bottom, right, bottom), fill=GREY)
    canvas.write(draw, (0, top - 6), f"{y1:.3f}", 12, FAINT)
    canvas.write(draw, (0, bottom - 8), f"{y0:.3f}", 12, FAINT)
    canvas.write(draw, (left, bottom + 6), f"{x0:g}", 12, FAINT)
    end = f"{x1:g}   {below}"
    canvas.write(draw, (right - canvas.text_width(end, 12), bottom + 6), end, 12, FAINT)
    for number, (name, line, colour) in enumerate(lines):
        if len(line) > 1:
            draw.line([at(point) for point in line], fill=colour, width=2)
        for x, y in map(at, line):
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)
        canvas.write(draw, (right + 14, top + 20 * number), canvas.shortened(name, 174, _TEXT), _TEXT, colour)
    return image


def beside(charts: Sequence[Image.Image], gap: int = 40) -> Image.Image:
    """Charts side by side."""
    width = sum(chart.width for chart in charts) + gap * (len(charts) - 1)
    image = Image.new("RGB", (width, max(chart.height for chart in charts)), PAPER)
    left = 0
    for chart in charts:
        image.paste(chart, (left, 0))
        left += chart.width + gap
    return image


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)
