"""Says in time that the runs of this node live, learns which of them have to end, and judges those of other nodes.

1. A run that the account no longer gives this node is lost to it: it ends here, and its outcome does not count.
2. Without the database this node cannot know whether its runs are judged to be lost. It ends them after three quarters
   of the time after which they are, on the leader as elsewhere.
3. After the database was away every worker is silent. So a leader judges only when it has itself reached the database
   for as long as a silent worker is given.

Example: with 60 s, a beat is due each 5 s; without the database all runs end after 45 s; workers are judged after 60 s.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from jobscheduler.cluster import attempts, verdicts
from jobscheduler.cluster.account import Account
from jobscheduler.cluster.values import Attempt, Beat, Identity, Key, Term
from jobscheduler.database.errors import Unavailable

MAX_INTERVAL_S = 5.0  # seconds from one beat to the next, at most

QUIET_INTERVALS = 2.5  # intervals for which nothing at work is believed: the next look of the node comes before

_END_AFTER = 0.75  # of the time after which a silent worker is lost


@dataclass(frozen=True, slots=True)
class RunNews:
    """What has become of the runs of this node: those lost to it, and those that have to end, each with its reason."""

    lost: tuple[Attempt, ...] = ()
    stop: tuple[tuple[Attempt, Beat], ...] = ()


def news_of(own: Iterable[Attempt], alive: dict[Key, Beat]) -> RunNews:
    """Compare the attempts that this node has begun with what the account says (pure)."""
    lost, stop = [], []
    for attempt in own:
        beat = alive.get(attempt.key)
        if beat is None or beat.attempt != attempt.attempt:
            lost.append(attempt)
        elif beat.stop is not None:
            stop.append((attempt, beat))
    return RunNews(tuple(lost), tuple(stop))


class Beats:
    """The beats of one node. `step` makes those that are due.

    `has_others`: the last look has seen runs of other instances at work, or such as are still to be logged. A node
    without runs leaves a beat out when the beat of the node has just seen that no run at all is at work.

    Thread: one; `is_cut_off` any.
    """

    def __init__(
        self,
        account: Account,
        identity: Identity,
        lost_after: float,
        term: Callable[[], Term | None],
        monotonic: Callable[[], float],
    ) -> None:
        """`lost_after` is in seconds; `term` returns the term for which this node leads now."""
        self._account = account
        self._identity = identity
        self._lost_after = lost_after
        self._term = term
        self._monotonic = monotonic
        self._reached_at = monotonic()
        self._reached_since: float | None = None
        self.has_others = True
        self._quiet_until = 0.0
        self.interval = min(MAX_INTERVAL_S, lost_after / 4)

    def is_cut_off(self, now: float) -> bool:
        """Return whether the database was away for so long that the runs of this node have to end."""
        return now - self._reached_at >= _END_AFTER * self._lost_after

    def step(self, own: Collection[Attempt]) -> RunNews:
        """Say that these attempts live; return what has become of them. Judge the silent, on the leader.

        Raises:
            Unavailable: the database cannot be used.

        """
        sent_at = self._monotonic()
        if not own and sent_at < self._quiet_until:
            return RunNews()
        try:
            pulse = self._account.perform(attempts.beat, self._identity, has_own=bool(own))
        except Unavailable:
            self.note_silence()
            raise
        since = self._note_reached(sent_at)
        term = self._term()
        is_sure = sent_at - since >= self._lost_after
        if term is not None and is_sure and pulse.silence >= self._lost_after:
            self._account.perform(verdicts.judge, term, self._lost_after)
            self.has_others = True  # those that are lost have ended, and are to be logged
        else:
            self.has_others = pulse.has_others
        return news_of(own, dict(pulse.own))

    def note_look(self, sent_at: float, *, is_quiet: bool) -> None:
        """Note that another look has reached the database; `is_quiet`: no run of any node is at work or ended."""
        self._note_reached(sent_at)
        self._quiet_until = sent_at + QUIET_INTERVALS * self.interval if is_quiet else 0.0
        self.has_others = self.has_others and not is_quiet

    def note_silence(self) -> None:
        """Note that the database could not be used."""
        self._reached_since, self._quiet_until = None, 0.0

    def _note_reached(self, sent_at: float) -> float:
        """Note that the database was reached; return since when it always was, as far as this node knows.

        After a pause of the process that is not known.
        """
        if self._reached_since is None or sent_at - self._reached_at > _END_AFTER * self._lost_after:
            self._reached_since = sent_at
        self._reached_at = sent_at
        return self._reached_since
