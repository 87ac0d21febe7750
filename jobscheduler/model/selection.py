"""What selects jobs, wherever a command or a request takes a job: an id, a pattern, a tag, or all. Pure.

| text            | selects                                                          |
|-----------------|------------------------------------------------------------------|
| `report-001`    | the job of this id                                               |
| `billing-*`     | the jobs whose ids match: `*` any text, `?` a character, `[ab]`  |
| `tag:backup`    | the jobs that have this tag; a pattern of tags after `tag:`      |
| `*`             | all jobs                                                         |
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache

ALL = "*"  # the text that selects all jobs
TAG_PREFIX = "tag:"  # what a tag has in front; no id of a job contains a colon
MAX_SELECTOR_CHARS = 200  # a longer text selects nothing

_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Selector:
    """One text that selects jobs. Equal texts are equal selectors."""

    text: str

    @property
    def job_id(self) -> str | None:
        """The id, if it selects one job by its id."""
        return None if self.tag is not None or _is_pattern(self.text) else self.text

    @property
    def tag(self) -> str | None:
        """The tag, or pattern of tags, that it selects by; None if it selects by id."""
        return self.text.removeprefix(TAG_PREFIX) if self.text.startswith(TAG_PREFIX) else None

    def matches(self, job_id: str, tags: Collection[str] = ()) -> bool:
        """Return whether it selects a job."""
        tag = self.tag
        if tag is None:
            return _matches(self.text, job_id)
        return any(_matches(tag, known) for known in tags)

    def __str__(self) -> str:
        return "all jobs" if self.text == ALL else self.text


def selectors(texts: Iterable[str]) -> tuple[Selector, ...]:
    """Return the selectors of these texts, each once."""
    return tuple(map(Selector, dict.fromkeys(texts)))


def is_selected(wanted: Collection[Selector], job_id: str, tags: Collection[str] = ()) -> bool:
    """Return whether any of these selectors selects a job."""
    return any(selector.matches(job_id, tags) for selector in wanted)


def _is_pattern(text: str) -> bool:
    return not _WILDCARDS.isdisjoint(text)


def _matches(pattern: str, text: str) -> bool:
    if not _is_pattern(pattern):
        return pattern == text
    return len(pattern) <= MAX_SELECTOR_CHARS and _compiled(pattern).match(text) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))
