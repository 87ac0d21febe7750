"""Which jobs a request for the list wants: by id, pattern or tag, and by the words that apply to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qs

from jobscheduler.model.selection import TAG_PREFIX, Selector, selectors
from jobscheduler.status.shown_status import all_words, has_word
from jobscheduler.status.snapshot import JobStatus

_MAX_FIELDS = 1000  # of a query string, which the bound of a request's head also limits


@dataclass(frozen=True, slots=True)
class JobQuery:
    """A job is wanted if any selector selects it, any tag is its own, and any word applies to it.

    No selectors, no tags or no words mean that there is no such condition. With `due_by` only jobs are wanted whose
    next slot is not later. `only_timetables` asks for what decides slots, and for nothing else.
    """

    selectors: tuple[Selector, ...] = ()
    tags: tuple[Selector, ...] = ()
    words: frozenset[str] = frozenset()
    only_timetables: bool = False
    due_by: datetime | None = None

    @property
    def ids(self) -> frozenset[str] | None:
        """The ids that are asked for, if all selectors are ids; None if any job may be wanted."""
        ids = [selector.job_id for selector in self.selectors]
        return frozenset(job_id for job_id in ids if job_id) if ids and all(ids) else None

    def wants(self, job: JobStatus) -> bool:
        """Return whether a job is wanted."""
        is_named = not self.selectors or any(selects(selector, job) for selector in self.selectors)
        has_tag = not self.tags or any(selects(tag, job) for tag in self.tags)
        is_due = self.due_by is None or (job.next is not None and job.next <= self.due_by)
        return is_named and has_tag and is_due and (not self.words or self._has_word(all_words(job)))

    def _has_word(self, its: frozenset[str]) -> bool:
        return any(has_word(its, word) for word in self.words)

    def unmatched(self, jobs: Iterable[JobStatus]) -> tuple[Selector, ...]:
        """Return the selectors and tags that select none of all jobs."""
        left = {*self.selectors, *self.tags}
        for job in jobs:
            left -= {selector for selector in left if selects(selector, job)}
            if not left:
                break
        return tuple(selector for selector in (*self.selectors, *self.tags) if selector in left)


EVERY_JOB = JobQuery()


def selects(selector: Selector, job: JobStatus) -> bool:
    """Return whether a selector selects a job. A refused file has no id: its name counts, with or without suffix."""
    tags = job.job.tags if job.job is not None else ()
    names = (job.id,) if job.id is not None else (job.file, job.file.removesuffix(".json"))
    return any(selector.matches(name, tags) for name in names)


def parse_query(text: str) -> JobQuery:
    """Return the query that a query string makes: `job=`, `tag=`, `state=`, `due_by=`, and `view=timetable`.

    Raises:
        ValueError: it has too many fields, or `due_by` is no instant with an offset.

    """
    fields: Mapping[str, list[str]] = parse_qs(text, max_num_fields=_MAX_FIELDS)
    return JobQuery(
        selectors(fields.get("job", ())),
        selectors(f"{TAG_PREFIX}{tag}" for tag in fields.get("tag", ())),
        frozenset(fields.get("state", ())),
        "timetable" in fields.get("view", ()),
        _instant(fields["due_by"][-1]) if "due_by" in fields else None,
    )


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("an instant has an offset")
    return at
