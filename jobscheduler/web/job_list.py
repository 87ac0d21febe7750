"""Select, sort, count and page the jobs of a list. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from jobscheduler.status.shown_status import SEVERITY, ShownStatus, has_word, worst
from jobscheduler.status.snapshot import JobStatus
from jobscheduler.web.overview import Entry
from jobscheduler.web.page_query import PageQuery

PER_PAGE = 100  # jobs, or files, on one page of a list
MAX_TAGS = 12  # tags that are offered to select by, the most frequent ones
NEAR_PAGES = 2  # numbers of pages that are offered on either side of the present one


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a list: its jobs, and its position in the list. `numbers` are pages to go to; None is a gap."""

    jobs: Sequence[JobStatus]
    number: int
    pages: int
    found: int
    first: int
    numbers: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class JobList:
    """The selected jobs in order, and what each state and tag would select of those that the search finds."""

    jobs: Sequence[JobStatus]
    states: Sequence[tuple[str, int]]
    tags: Sequence[tuple[str, int]]
    found: int


def list_jobs(entries: Sequence[Entry], query: PageQuery) -> JobList:
    """Return the jobs that a query selects. The counts of states follow search and tag, those of tags the state."""
    text = query.q.lower()
    matching = [entry for entry in entries if _matches(entry[0], text)] if text else entries
    tagged = [entry for entry in matching if query.tag in _tags_of(entry[0])] if query.tag else matching
    in_state = [entry for entry in matching if has_word(entry[1], query.state)] if query.state else matching
    chosen = [entry for entry in tagged if has_word(entry[1], query.state)] if query.state else tagged
    return JobList(_sorted(chosen, query.sort), _states(tagged, query.state), _tags(in_state, query.tag), len(tagged))


def _matches(job: JobStatus, text: str) -> bool:
    description = job.job.description if job.job else ""
    return text in (job.id or "").lower() or text in description.lower() or text in job.file.lower()


def _tags_of(job: JobStatus) -> tuple[str, ...]:
    return job.job.tags if job.job else ()


def _states(entries: Iterable[Entry], chosen: str) -> list[tuple[str, int]]:
    """Return each word that some jobs have, with their number, the worst first."""
    combinations = Counter(words for _, words in entries)
    counts: Counter[str] = Counter()
    for words, count in combinations.items():
        counts.update({word: count for word in words if has_word(words, word)})
    return [(word.value, counts[word.value]) for word in ShownStatus if counts[word.value] or word.value == chosen]


def _tags(entries: Iterable[Entry], chosen: str) -> list[tuple[str, int]]:
    """Return the most frequent tags with their numbers of jobs, by name, and the chosen one."""
    counts = Counter(tag for job, _ in entries for tag in _tags_of(job))
    offered = {tag for tag, _ in counts.most_common(MAX_TAGS)} | ({chosen} if chosen else set())
    return sorted((tag, counts[tag]) for tag in offered)


def _sorted(entries: Sequence[Entry], order: str) -> list[JobStatus]:
    if order == "status":
        return _worst_first(entries)
    return sorted((job for job, _ in entries), key=_KEYS[order])


def _worst_first(entries: Sequence[Entry]) -> list[JobStatus]:
    """Return the jobs by severity; those that fail by when they began to, the latest first: that is the news."""
    by_words: dict[frozenset[str], list[JobStatus]] = {}
    for job, words in entries:
        by_words.setdefault(words, []).append(job)
    groups: dict[ShownStatus, list[JobStatus]] = {}
    for words, jobs in by_words.items():
        groups.setdefault(worst(words), []).extend(jobs)
    for status, jobs in groups.items():
        jobs.sort(key=_since_key if status is ShownStatus.FAILING else _name)
    return [job for status in sorted(groups, key=SEVERITY.__getitem__) for job in groups[status]]


def _name(job: JobStatus) -> str:
    return job.id or job.file


def _since_key(job: JobStatus) -> tuple[float, str]:
    since = job.failing_since or (job.last.at if job.last else None)
    return -since.timestamp() if since else 0.0, _name(job)


def _start_key(job: JobStatus) -> tuple[bool, float, str]:
    start = None if job.paused else job.start or job.next
    return start is None, start.timestamp() if start else 0.0, _name(job)


_KEYS: dict[str, Callable[[JobStatus], Any]] = {
    "job": _name,
    "last": lambda job: (-job.last.at.timestamp() if job.last else 0.0, _name(job)),
    "took": lambda job: (-(job.last.duration or 0.0) if job.last else 1.0, _name(job)),
    "next": _start_key,
}


def list_page(jobs: Sequence[JobStatus], page: str) -> ListPage:
    """Return one page of a list; the nearest one if there is no such page."""
    pages = max(1, -(-len(jobs) // PER_PAGE))
    number = min(pages, max(1, int(page))) if page.isascii() and page.isdigit() and len(page) < 9 else 1
    first = (number - 1) * PER_PAGE
    return ListPage(jobs[first : first + PER_PAGE], number, pages, len(jobs), first, _numbers(number, pages))


def _numbers(number: int, pages: int) -> tuple[int | None, ...]:
    """Return the first page, those near the present one, and the last, with gaps between."""
    near = range(max(1, number - NEAR_PAGES), min(pages, number + NEAR_PAGES) + 1)
    wanted = sorted({1, *near, pages})
    shown: list[int | None] = []
    for page in wanted:
        if shown and page - (shown[-1] or 0) > 1:
            shown.append(None)
        shown.append(page)
    return tuple(shown)
