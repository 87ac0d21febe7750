"""Charts as SVG, drawn by hand: bars, and lines on logarithmic axes. They can be read on light and dark ground."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.figures import Spread

WIDTH = 720
_LEFT, _RIGHT = 70, WIDTH - 20
_COLOURS = ("#3b82f6", "#8b949e", "#d97706", "#10a37f", "#a855f7", "#ef4444", "#0891b2")
_STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #3d444d }
.title { font-size: 15px; font-weight: 600 }
.grid { stroke: #8b949e; stroke-opacity: .3 }
.line { fill: none; stroke-width: 2.5 }
.dashed { stroke: #8b949e; stroke-width: 1.5; stroke-dasharray: 6 5 }
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


@dataclass(frozen=True, slots=True)
class _Axes:
    """Two logarithmic axes: the powers of ten at their ends, and where they are on the sheet."""

    x: tuple[int, int]
    y: tuple[int, int]
    left: float = 60.0
    top: float = 50.0
    right: float = WIDTH - 250.0
    bottom: float = 330.0

    def at(self, point: tuple[float, float]) -> tuple[float, float]:
        """Where a point is."""
        (low_x, high_x), (low_y, high_y) = self.x, self.y
        across = (math.log10(point[0]) - low_x) / (high_x - low_x)
        up = (math.log10(point[1]) - low_y) / (high_y - low_y)
        return self.left + across * (self.right - self.left), self.bottom - up * (self.bottom - self.top)

    def grid(self) -> Iterator[str]:
        """Draw a line and a number for each power of ten."""
        for power in range(self.x[0], self.x[1] + 1):
            x, _ = self.at((10.0**power, 10.0 ** self.y[0]))
            yield _line(x, self.top, x, self.bottom, "grid")
            yield _text(x, self.bottom + 18, f"{10**power:,}", anchor="middle")
        for power in range(self.y[0], self.y[1] + 1):
            _, y = self.at((10.0 ** self.x[0], 10.0**power))
            yield _line(self.left, y, self.right, y, "grid")
            yield _text(self.left - 8, y + 4, figure(10.0**power), anchor="end")

    def proportion(self) -> str:
        """Draw a dashed line in proportion to the number of jobs, from the first point of a figure."""
        begin = max(self.y[0], 0)
        steps = min(self.x[1] - self.x[0], self.y[1] - begin)
        ends = [self.at((10.0 ** (self.x[0] + step), 10.0 ** (begin + step))) for step in (0, steps)]
        return _polyline(ends, "dashed", "")


def growth(title: str, lines: Mapping[str, Points], across: str, up: str) -> str:
    """Draw lines on two logarithmic axes, with a dashed one for what grows as the number does."""
    points = [point for line in lines.values() for point in line]
    axes = _Axes(_decades([x for x, _ in points]), _decades([y for _, y in points]))
    drawn = {name: [axes.at(point) for point in line] for name, line in lines.items()}
    heights = _apart({name: line[-1][1] for name, line in drawn.items()}, 19)
    parts = [_text(10, 22, title, "title"), _text(axes.left, 42, up), *axes.grid(), axes.proportion()]
    parts.append(_text(axes.right, axes.bottom + 38, across, anchor="end"))
    for at, (name, line) in enumerate(drawn.items()):
        parts.append(_polyline(line, "line", f'stroke="{_colour(at)}"'))
        parts += [_dot(x, y, at) for x, y in line]
        parts += [_dot(axes.right + 22, heights[name] - 4, at), _text(axes.right + 34, heights[name], name)]
    return _svg(int(axes.bottom) + 50, title, parts)


def courses(title: str, across: str, minutes: Sequence[float], panels: Mapping[str, Sequence[float]]) -> str:
    """Draw figures over time, one panel below the other, each from zero."""
    parts, step = [_text(10, 22, title, "title")], 110
    for at, (name, values) in enumerate(panels.items()):
        parts += _panel(name, minutes, values, 55 + at * step, at)
    end = 55 + len(panels) * step
    parts += [_text(_LEFT, end - 6, "0"), _text(_RIGHT, end - 6, f"{minutes[-1]:.0f} {across}", anchor="end")]
    return _svg(end + 4, title, parts)


def _panel(name: str, minutes: Sequence[float], values: Sequence[float], top: float, at: int) -> Iterator[str]:
    bottom, most = top + 80, max(values) * 1.1 or 1.0
    points = zip(minutes, values, strict=True)
    line = [(_LEFT + x / minutes[-1] * (_RIGHT - _LEFT), bottom - y / most * 80) for x, y in points]
    yield _text(_LEFT, top - 6, name)
    for height, value in ((bottom, 0.0), (line[-1][1], values[-1])):
        yield _line(_LEFT, height, _RIGHT, height, "grid")
        yield _text(_LEFT - 8, height + 4, figure(value), anchor="end")
    yield _polyline(line, "line", f'stroke="{_colour(at)}"')


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """Return the powers of ten around some numbers, at least one apart."""
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


def _dot(x: float, y: float, at: int) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{_colour(at)}"/>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _polyline(points: Points, kind: str, more: str) -> str:
    return f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" class="{kind}" {more}/>'


def _svg(height: int, title: str, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    return "\n".join([f'{head} role="img">', f"<title>{escape(title)}</title>", _STYLE, *parts, "</svg>"]) + "\n"
