"""Spans of time, from a first to a last instant, both inclusive, and what remains of them. Pure.

Lists of spans are given and returned in order, none touching another.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from operator import itemgetter

Span = tuple[datetime, datetime]
"""From the first instant to the last, both inclusive."""

TICK = timedelta(microseconds=1)
"""The smallest step of time that there is here."""


def unite(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return what lies in any of the spans, which may come in any order and overlap; empty ones are left out."""
    found: list[Span] = []
    for first, last in sorted(spans):
        if last < first:
            continue
        if found and first <= found[-1][1] + TICK:
            found[-1] = found[-1][0], max(found[-1][1], last)
        else:
            found.append((first, last))
    return tuple(found)


def subtract(spans: Iterable[Span], taken: Iterable[Span]) -> tuple[Span, ...]:
    """Return what lies in `spans` and in none of `taken`."""
    left = list(unite(spans))
    for first, last in taken:
        if last < first:
            continue
        rest: list[Span] = []
        for one in left:
            if last < one[0] or one[1] < first:
                rest.append(one)
            else:
                rest += [part for part in ((one[0], first - TICK), (last + TICK, one[1])) if part[0] <= part[1]]
        left = rest
    return tuple(left)


def clip(spans: Iterable[Span], first: datetime, last: datetime) -> tuple[Span, ...]:
    """Return what lies in `spans` from `first` to `last`."""
    cut = ((max(one[0], first), min(one[1], last)) for one in spans)
    return tuple(one for one in cut if one[0] <= one[1])


def span_at(at: datetime, spans: Sequence[Span]) -> Span | None:
    """Return the span that an instant lies in."""
    place = bisect_right(spans, at, key=itemgetter(0))
    return spans[place - 1] if place and at <= spans[place - 1][1] else None


def overlap(spans: Iterable[Span], first: datetime, last: datetime) -> timedelta:
    """Return how much of the time from `first` to `last` lies in the spans."""
    return sum((one[1] - one[0] for one in clip(spans, first, last)), timedelta(0))


def spans_text(spans: Iterable[Span]) -> str:
    """Write spans as text, to the microsecond: a claim of more or less than that would be wrong."""
    return ";".join(f"{first.isoformat()},{last.isoformat()}".replace("+00:00", "Z") for first, last in spans)


def spans_in(text: str) -> tuple[Span, ...]:
    """Read spans from what `spans_text` wrote. Raises ValueError."""
    pairs = (one.split(",") for one in text.split(";") if one)
    return tuple((datetime.fromisoformat(first), datetime.fromisoformat(last)) for first, last in pairs)
