"""Spans of time, from a first to a last instant, both inclusive: unite, subtract, clip. Pure.

Lists of spans are given and returned in order; none touches another.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from operator import itemgetter

TimeSpan = tuple[datetime, datetime]  # first and last instant, both inclusive

TICK = timedelta(microseconds=1)  # the smallest step between two instants


def unite(spans: Iterable[TimeSpan]) -> tuple[TimeSpan, ...]:
    """Return the time in any of the spans. They may come in any order, overlap, or be empty."""
    united: list[TimeSpan] = []
    for first, last in sorted(spans):
        if last < first:
            continue
        if united and first <= united[-1][1] + TICK:
            united[-1] = united[-1][0], max(united[-1][1], last)
        else:
            united.append((first, last))
    return tuple(united)


def subtract(spans: Iterable[TimeSpan], taken: Iterable[TimeSpan]) -> tuple[TimeSpan, ...]:
    """Return the time in `spans` that is in none of `taken`."""
    left = list(unite(spans))
    for first, last in taken:
        if last < first:
            continue
        left = [part for span in left for part in _without(span, first, last)]
    return tuple(left)


def _without(span: TimeSpan, first: datetime, last: datetime) -> Iterable[TimeSpan]:
    """Return the parts of a span before `first` and after `last`."""
    if last < span[0] or span[1] < first:
        return (span,)
    return (part for part in ((span[0], first - TICK), (last + TICK, span[1])) if part[0] <= part[1])


def clip(spans: Iterable[TimeSpan], first: datetime, last: datetime) -> tuple[TimeSpan, ...]:
    """Return the time in `spans` from `first` to `last`."""
    clipped = ((max(span[0], first), min(span[1], last)) for span in spans)
    return tuple(span for span in clipped if span[0] <= span[1])


def span_at(at: datetime, spans: Sequence[TimeSpan]) -> TimeSpan | None:
    """Return the span that an instant lies in; None if it lies in none."""
    index = bisect_right(spans, at, key=itemgetter(0))
    return spans[index - 1] if index and at <= spans[index - 1][1] else None


def overlap(spans: Iterable[TimeSpan], first: datetime, last: datetime) -> timedelta:
    """Return how much of the time from `first` to `last` lies in the spans."""
    return sum((span[1] - span[0] for span in clip(spans, first, last)), timedelta(0))


def spans_text(spans: Iterable[TimeSpan]) -> str:
    """Write spans as text, exact to the microsecond: rounding would claim too much or too little."""
    return ";".join(f"{first.isoformat()},{last.isoformat()}".replace("+00:00", "Z") for first, last in spans)


def spans_in(text: str) -> tuple[TimeSpan, ...]:
    """Parse the text that `spans_text` wrote. Raises ValueError."""
    pairs = (span.split(",") for span in text.split(";") if span)
    return tuple((datetime.fromisoformat(first), datetime.fromisoformat(last)) for first, last in pairs)
