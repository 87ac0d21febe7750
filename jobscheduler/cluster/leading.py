"""Has the scheduler lead while this node holds the lease, and stand by otherwise.

1. Every step compares the term for which the scheduler leads with the one that the node holds now, by its own clock.
2. Before it leads, the scheduler syncs with its files, and what the leaders before have left is read. What it then
   decides counts only while the term lasts, because each claim names the term.
3. A claim that was given up leaves a slot undecided that the scheduler takes for decided. Then it stands by, and leads
   anew: so the slot is accounted for as part of a gap.
4. Without the database the runs at work go on, until others may take them for lost: `CutOff` then ends them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from jobscheduler.cluster.cut_off import CutOff
from jobscheduler.cluster.lease import MAX_SKEW_S, Standing
from jobscheduler.cluster.values import Term
from jobscheduler.database.errors import Unavailable
from jobscheduler.model import EventLogger, Level, RecoveredState
from jobscheduler.model.cluster_view import Role

RETRY_S = 1.0  # seconds from a takeover that failed to the next try


class Schedule(Protocol):
    """What a node needs of the scheduler that it has. No method but `lead` and `sync` waits."""

    def sync(self) -> object:
        """Bring the jobs in line with their sources."""

    def lead(self, state: RecoveredState | None, still_leads: Callable[[], bool]) -> bool:
        """Decide from now on; return whether it does. `still_leads` is asked when no sync is under way any more."""

    def stand_by(self) -> object:
        """Decide nothing from now on. Runs at work go on."""

    def hand_over(self) -> object:
        """Write a last checkpoint, and decide nothing from that moment on. Runs at work go on."""


class Terms(Protocol):
    """What a node needs of the account when its scheduler begins to lead, leads and ends to."""

    def recovered(self) -> RecoveredState | None:
        """Read what the leaders before have left.

        Raises:
            Unavailable: the database cannot be used.

        """

    def begin(self, term: Term) -> object:
        """Take decisions of this term from now on. No slot is decided at this moment."""

    def note_led(self) -> object:
        """Note that the scheduler leads: from now on the outcomes of runs are taken that others have left."""

    @property
    def lacks_claims(self) -> bool:
        """Whether claims were given up since `begin`."""

    def write_last(self, hand_over: Callable[[], object]) -> object:
        """Take what `hand_over` has to say at last, and leave the outcomes from now on to the next leader."""

    def end(self) -> object:
        """Take no more decisions."""


class Leading:
    """The steps by which a scheduler leads and stands by. Thread: one for `step`; any for the others."""

    def __init__(
        self,
        node: str,
        schedule: Schedule,
        terms: Terms,
        standing: Callable[[], Standing],
        cut_off: CutOff,
        on_role: Callable[[Role], object],
        log_event: EventLogger,
    ) -> None:
        """`standing` returns how the node stands to the lease; `on_role` gets what it does when that changes."""
        self._node = node
        self._schedule = schedule
        self._terms = terms
        self._standing = standing
        self._cut_off = cut_off
        self._on_role = on_role
        self._log_event = log_event
        self._term: Term | None = None
        self._retry_at = 0.0
        self._leaves_for: str | None = None

    @property
    def term(self) -> Term | None:
        """The term for which the scheduler leads; None while it stands by. It may be over by now."""
        return self._term

    def leave(self, reason: str = "stopping") -> None:
        """Lead no more: the service ends, or has lost its place."""
        self._leaves_for = reason

    @property
    def has_left(self) -> bool:
        """Whether it leads no more, after `leave`."""
        return self._leaves_for is not None and self._term is None

    def step(self, now: float) -> None:
        """Do what is to be done now."""
        self._give_way(now)
        self._cut_off.step(now)
        if self._term is None and self._leaves_for is None and now >= self._retry_at:
            self._take_over(now)

    def _give_way(self, now: float) -> None:
        """Stand by if another node may lead by now, or if what was decided is not sure."""
        if self._term is None:
            return
        reason = self._reason_to_stand_by(self._standing(), now)
        if reason is None:
            return
        if self._leaves_for is not None and self._standing().term_at(now) == self._term:
            self._terms.write_last(self._schedule.hand_over)
        self._terms.end()
        self._schedule.stand_by()
        term, self._term = self._term, None
        self._on_role(Role.STANDBY)
        level = Level.WARNING if self._leaves_for is None else Level.INFO
        self._log_event(level, "cluster.stands_by", node=self._node, term=term.number, reason=reason)

    def _reason_to_stand_by(self, standing: Standing, now: float) -> str | None:
        if self._leaves_for is not None:
            return self._leaves_for
        if standing.term_at(now) == self._term:
            return "claims" if self._terms.lacks_claims else None
        if abs(standing.skew) > MAX_SKEW_S:
            return "clock"
        seen = standing.seen  # by another answer than that of its own renewals: silence tells nothing of other nodes
        return "replaced" if seen is not None and seen.term != self._term else "unavailable"

    def _take_over(self, now: float) -> None:
        """Lead, if this node holds the lease."""
        term = self._standing().term_at(now)
        if term is None:
            return
        self._retry_at = now + RETRY_S
        self._schedule.sync()
        try:
            state = self._terms.recovered()
        except Unavailable as reason:
            self._log_event(Level.WARNING, "cluster.not_read", problem=str(reason), help=reason.help)
            return
        self._terms.begin(term)
        if self._schedule.lead(state, lambda: self._standing().term == term and self._leaves_for is None):
            self._terms.note_led()
            self._term = term
            self._on_role(Role.LEADER)
            settled = None if state is None else state.checkpoint.settled
            self._log_event(Level.INFO, "cluster.leads", node=self._node, term=term.number, settled=settled)
        else:
            self._terms.end()
