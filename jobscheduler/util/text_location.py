"""Where a problem lies in a text: line, column, and an excerpt that shows no secret."""

from __future__ import annotations

from dataclasses import dataclass, replace

from jobscheduler.model import Problem
from jobscheduler.util.redact import mask_secrets

EXCERPT_CHARS = 100  # of an offending line in a problem
MASKED_BEFORE = 16 * 1024  # characters before an excerpt in which a secret may begin that reaches into it


@dataclass(frozen=True, slots=True)
class Location:
    """A location in a text: line and column (from 1, in characters), the line itself, and where its carets go."""

    line: int
    column: int
    excerpt: str
    caret: int
    width: int


def located(problem: Problem, location: Location | None) -> Problem:
    """Return a problem with its location, if that is known."""
    if location is None:
        return problem
    return replace(
        problem,
        line=location.line,
        column=location.column,
        excerpt=location.excerpt,
        caret=location.caret,
        width=location.width,
    )


def location_at(text: str, offset: int, width: int = 1) -> Location:
    """Return the location of an offset in characters. Secrets in its line are masked before it is cut around that."""
    offset = max(0, min(offset, len(text)))
    start = text.rfind("\n", 0, offset) + 1
    end = text.find("\n", offset)
    line = text[start : end if end >= 0 else len(text)].rstrip("\r")
    caret = offset - start
    left = max(0, caret - EXCERPT_CHARS // 2) if len(line) > EXCERPT_CHARS else 0
    shown = masked_part(text, start + left, min(len(line) - left, EXCERPT_CHARS))
    excerpt = "".join(c if c.isprintable() else " " if c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in shown)
    return Location(
        line=text.count("\n", 0, offset) + 1,
        column=caret + 1,
        excerpt=("…" if left else "") + excerpt + ("…" if left + EXCERPT_CHARS < len(line) else ""),
        caret=caret - left + bool(left),
        width=max(1, min(width, left + EXCERPT_CHARS - caret, len(line) - caret)),
    )


def masked_part(text: str, offset: int, length: int) -> str:
    """Return a part of a text with stars in the place of secrets, also of those that begin before it."""
    before = max(0, offset - MASKED_BEFORE)
    return mask_secrets(text[before : offset + length])[offset - before :]
