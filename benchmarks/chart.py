"""Charts as SVG, drawn by hand: bars, and lines on logarithmic axes. They can be read on light and dark ground."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from benchmarks.figures import Spread

WIDTH = 720
_COLOURS = ("#3b82f6", "#8b949e", "#d97706", "#10a37f", "#a855f7", "#ef4444", "#0891b2")
_STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #3d444d }
.title { font-size: 15px; font-weight: 600 }
.grid { stroke: #8b949e; stroke-opacity: .3 }
.line { fill: none; stroke-width: 2.5 }
.spread { stroke: #3d444d; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) { text { fill: #d1d7e0 } .spread { stroke: #d1d7e0 } }
</style>"""

Points = Sequence[tuple[float, float]]


def bars(title: str, values: Mapping[str, Spread], unit: str) -> str:
    """Draw one bar a name, with a line from the least to the most figure."""
    left, row, most = 130, 30, max(spread.most for spread in values.values()) or 1.0
    scale = (WIDTH - left - 190) / most
    parts = [_text(10, 22, title, "title")]
    for at, (name, spread) in enumerate(values.items()):
        y = 40 + at * row
        middle, length = y + 10, max(1.0, spread.median * scale)
        parts += [
            _text(left - 8, y + 15, name, anchor="end"),
            f'<rect x="{left}" y="{y}" width="{length:.1f}" height="20" rx="2" fill="{_colour(at)}"/>',
            _line(left + spread.least * scale, middle, left + spread.most * scale, middle, "spread"),
            _text(left + spread.most * scale + 8, y + 15, f"{figure(spread.median)} {unit} {_range(spread)}"),
        ]
    return _svg(50 + len(values) * row, title, parts)


def _range(spread: Spread) -> str:
    return "" if spread.least == spread.most else f"({figure(spread.least)}-{figure(spread.most)})"


def growth(title: str, lines: Mapping[str, Points], across: str, up: str) -> str:
    """Draw lines on two logarithmic axes, with a dashed one for what grows as the number does."""
    left, top, right, bottom = 60, 50, WIDTH - 250, 330
    points = [point for line in lines.values() for point in line]
    low_x, high_x = _decades([x for x, _ in points])
    low_y, high_y = _decades([y for _, y in points])

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            left + (math.log10(x) - low_x) / (high_x - low_x) * (right - left),
            bottom - (math.log10(y) - low_y) / (high_y - low_y) * (bottom - top),
        )

    parts = [_text(10, 22, title, "title"), _text(left, 42, up), _text(right, bottom + 38, across, anchor="end")]
    for power in range(low_x, high_x + 1):
        x, _ = place(10**power, 10**low_y)
        parts += [_line(x, top, x, bottom, "grid"), _text(x, bottom + 18, f"{10**power:,}", anchor="middle")]
    for power in range(low_y, high_y + 1):
        _, y = place(10**low_x, 10**power)
        parts += [_line(left, y, right, y, "grid"), _text(left - 8, y + 4, figure(10**power), anchor="end")]
    steps = min(high_x - low_x, high_y - max(low_y, 0))
    ends = [place(10**low_x, 10 ** max(low_y, 0)), place(10 ** (low_x + steps), 10 ** (max(low_y, 0) + steps))]
    parts.append(_polyline(ends, "grid", 'stroke-dasharray="6 5" stroke="#8b949e" style="stroke-opacity: 1"'))
    drawn = {name: [place(*point) for point in line] for name, line in lines.items()}
    labels = _apart({name: line[-1][1] for name, line in drawn.items()}, 19)
    for at, (name, line) in enumerate(drawn.items()):
        parts.append(_polyline(line, "line", f'stroke="{_colour(at)}"'))
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{_colour(at)}"/>' for x, y in line]
        parts += [
            f'<circle cx="{right + 22}" cy="{labels[name] - 4:.1f}" r="5" fill="{_colour(at)}"/>',
            _text(right + 34, labels[name], name),
        ]
    return _svg(bottom + 50, title, parts)


def courses(title: str, across: str, minutes: Sequence[float], panels: Mapping[str, Sequence[float]]) -> str:
    """Draw what became of some figures over time, one panel below the other, each from zero."""
    left, height, right = 70, 80, WIDTH - 20
    parts = [_text(10, 22, title, "title")]
    for at, (name, values) in enumerate(panels.items()):
        top = 55 + at * (height + 30)
        most, bottom = max(values) * 1.1 or 1.0, top + height
        line = [
            (left + minute / minutes[-1] * (right - left), bottom - value / most * height)
            for minute, value in zip(minutes, values, strict=True)
        ]
        parts += [_text(left, top - 6, name), _line(left, bottom, right, bottom, "grid")]
        parts += [_text(left - 8, bottom + 4, "0", anchor="end"), _line(left, line[-1][1], right, line[-1][1], "grid")]
        parts += [_text(left - 8, line[-1][1] + 4, figure(values[-1]), anchor="end")]
        parts.append(_polyline(line, "line", f'stroke="{_colour(at)}"'))
    end = 55 + len(panels) * (height + 30)
    parts += [_text(left, end - 6, "0"), _text(right, end - 6, f"{minutes[-1]:.0f} {across}", anchor="end")]
    return _svg(end + 4, title, parts)


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten around some numbers, at least one apart."""
    low = math.floor(math.log10(min(values)) + 1e-9)
    return low, max(low + 1, math.ceil(math.log10(max(values)) - 1e-9))


def _apart(heights: Mapping[str, float], least: float) -> dict[str, float]:
    """Move labels down until none covers another."""
    placed: dict[str, float] = {}
    before = -math.inf
    for name in sorted(heights, key=lambda name: heights[name]):
        before = placed[name] = max(heights[name] + 4, before + least)
    return placed


def figure(value: float) -> str:
    """Write a number with three digits that count, and no more zeros than it needs."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _colour(at: int) -> str:
    return _COLOURS[at % len(_COLOURS)]


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _polyline(points: Points, kind: str, more: str) -> str:
    return f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" class="{kind}" {more}/>'


def _svg(height: int, title: str, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    return "\n".join([f'{head} role="img">', f"<title>{escape(title)}</title>", _STYLE, *parts, "</svg>"]) + "\n"
