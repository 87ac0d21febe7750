"""Whether this node leads: a value that changes with each answer of the database, and with nothing else (pure).

1. The lease is one row in the database, and only the database's clock says whether it has expired.
2. A node that holds it counts on it up to a deadline of its own clock that is never set. The deadline is anchored at
   the moment before the request was sent, so an answer that is late, or a process that was frozen, only shortens it.
   It lies before the end of the lease, so a node stops by itself before another one may begin.
3. Safety is not in here: every claim names its term, and the database refuses a term that is over.

Example: with a lease of 6 s, a request sent at 100.0 and answered at 101.5 makes the node lead until 105.0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from math import ceil

from jobscheduler.cluster.lease_rows import LeaseRow
from jobscheduler.cluster.values import Term

LOOK_S = 0.8  # seconds from one look of the leader to the next, at most: it also tells that people ask something

STANDBY_LOOK_S = 2.0  # seconds from one look of a node that stands by to the next, at most

MAX_SKEW_S = 30.0  # seconds that a leader's clock may differ from the database's; slots are due by the leader's clock


class Question(Enum):
    """What to ask the database next."""

    LOOK = "look"
    TAKE = "take"
    RENEW = "renew"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """The times of a lease that holds for `lease` seconds."""

    lease: float

    @property
    def renewal(self) -> float:
        """Seconds from one renewal to the next: two may fail before the lease ends."""
        return 0.4 * self.lease

    @property
    def leader_look(self) -> float:
        """Seconds from one look of the leader to the next; a renewal takes the place of every so many."""
        return self.renewal / ceil(round(self.renewal / LOOK_S, 6))

    @property
    def look(self) -> float:
        """Seconds from one look of a node that stands by to the next; it also looks when the lease may run out."""
        return min(STANDBY_LOOK_S, self.lease / 4)

    @property
    def margin(self) -> float:
        """Seconds before the end of the lease at which its holder stops."""
        return min(1.0, self.lease / 6)

    @property
    def retry(self) -> float:
        """Seconds from a request that failed to the next one."""
        return min(1.0, self.lease / 6)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a node stands to the lease. Times are seconds of a clock that is never set.

    `term` is held until `deadline`; ask `term_at`, which compares them. It is renewed at about `renew_at`. `seen` is
    the lease as the database last had it, at `seen_at`. `skew` is how far this host's clock is ahead of the database's.
    `is_closing`: the node ends.
    """

    instance: str
    times: LeaseTimes
    next_at: float
    term: Term | None = None
    deadline: float = 0.0
    renew_at: float = 0.0
    seen: LeaseRow | None = None
    seen_at: float | None = None
    skew: float = 0.0
    is_closing: bool = False

    def term_at(self, now: float) -> Term | None:
        """Return the term for which this node leads at `now`, None if it does not."""
        return self.term if now < self.deadline else None

    @property
    def may_lead(self) -> bool:
        """Whether the node may take or keep the lease."""
        return not self.is_closing and abs(self.skew) <= MAX_SKEW_S

    def question(self, now: float) -> Question | None:
        """Return what to ask the database at `now`, None if nothing yet."""
        leads = self.term_at(now) is not None
        if leads and not self.may_lead:
            return Question.RELEASE
        if self.is_closing or now < self.next_at:
            return None
        if leads:
            is_due = self.seen is None or now >= self.renew_at - self.times.leader_look / 2
            return Question.RENEW if is_due else Question.LOOK
        is_free = self.seen is not None and self.seen.is_free
        return Question.TAKE if is_free and self.may_lead else Question.LOOK

    def closing(self) -> Standing:
        """Return the standing of a node that ends: it gives the lease back and takes none."""
        return replace(self, is_closing=True)

    def answered(
        self, sent_at: float, row: LeaseRow, now: float, skew: float = 0.0, *, is_renewed: bool = False
    ) -> Standing:
        """Return the standing after an answer to a question that was sent at `sent_at`.

        The row alone says whether this node leads, also after an earlier request whose answer was lost. `is_renewed`:
        the question was to take or to renew the lease.
        """
        latest = replace(self, seen=row, seen_at=now, skew=skew)
        deadline = sent_at + row.left - self.times.margin
        if row.term.instance != self.instance or deadline <= now:
            return replace(latest, term=None, deadline=0.0, next_at=now + self._wait_of_standby(latest))
        renew_at = sent_at + self.times.renewal if is_renewed else self.renew_at
        next_at = sent_at + self.times.leader_look
        return replace(latest, term=row.term, deadline=deadline, renew_at=renew_at, next_at=next_at)

    def _wait_of_standby(self, latest: Standing) -> float:
        """Return in how many seconds a node looks again: at once if it may take the lease, else when that may end."""
        row = latest.seen
        if row is None or not row.is_free:
            return self.times.look if row is None else min(self.times.look, row.left)
        return 0.0 if latest.may_lead and not self._has_just_tried(row) else self.times.look

    def failed(self, now: float) -> Standing:
        """Return the standing after a question without an answer. What was known of the lease is no longer sure."""
        wait = self.times.retry if self.term_at(now) is not None else self.times.look
        return replace(self, seen=None, next_at=now + wait)

    def _has_just_tried(self, row: LeaseRow) -> bool:
        """Return whether the lease was free before, too: then taking it has failed, and it is tried after a while."""
        return self.seen is not None and self.seen.is_free and self.seen.term == row.term
