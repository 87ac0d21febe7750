"""The thread that speaks with the account: it takes decisions there, beats, and does what is due now and then.

While the database is away it tries again each `retry` seconds. What waits still waits, and whether the runs of this
node have to end is asked of the clock, so nothing depends on an answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from jobscheduler.cluster.beats import Beats, RunNews
from jobscheduler.cluster.node_health import NodeLoop
from jobscheduler.cluster.values import Attempt, Fenced
from jobscheduler.database.errors import Unavailable
from jobscheduler.util.text import format_error

RETRY_S = 1.0  # seconds between two tries while the database is away

_CLOSE_WAIT_S = 5.0  # seconds that the end of a service waits for what is still to be written


class Work(Protocol):
    """What waits for the account. `waiting` is set while something does."""

    @property
    def waiting(self) -> threading.Event: ...  # noqa: D102

    def step(self) -> object:
        """Take all that waits to the account.

        Raises:
            Unavailable: the database cannot be used. What waits still waits.

        """

    def keep_unsent(self) -> object:
        """Keep elsewhere what could not be sent, for a start after this process. It must not wait."""


class OwnRuns(Protocol):
    """The runs of a node that are at work. Neither method waits."""

    def own(self) -> Collection[Attempt]:
        """Return the attempts that have begun here and have not ended."""

    def apply(self, news: RunNews) -> object:
        """Do what follows from what has become of them."""


@dataclass
class Chore:
    """Something that is due now and then, such as the removal of old rows. `do` may use the account."""

    interval: float
    do: Callable[[], object]
    next_at: float = field(default=0.0)


class AccountThread:
    """Takes work, beats and chores on one thread. A context manager: leaving it writes what still waits."""

    def __init__(
        self,
        work: Work,
        beats: Beats,
        runs: OwnRuns,
        on_trouble: Callable[[Unavailable | None], object] = lambda _: None,
        chores: Sequence[Chore] = (),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_trouble` gets why the database cannot be used, and None when it can again. It must not wait."""
        self._work = work
        self._beats = beats
        self._runs = runs
        self._on_trouble = on_trouble
        self._monotonic = monotonic
        self._chores = (Chore(beats.interval, self._beat), *chores)
        self._is_in_trouble = False
        self._closing = threading.Event()
        self.loop = NodeLoop("account", self._run, self._closing.is_set)

    def __enter__(self) -> Self:
        self.loop.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._closing.set()
        self._work.waiting.set()
        self.loop.join(_CLOSE_WAIT_S)

    def step(self) -> float:
        """Do what is to be done now; return after how many seconds the next thing is due."""
        now = self._monotonic()
        try:
            self._do_if_due(self._chores[0], now)  # the beat, which notes when the database was away
            self._work.step()
            for chore in self._chores[1:]:
                self._do_if_due(chore, now)
        except Unavailable as reason:
            self._beats.note_silence()
            self._failed(reason)
            return RETRY_S
        except Exception as error:  # a fault of ours, or of a driver: this node may not lead for ever without it
            self._failed(Unavailable(format_error(error)))
            return RETRY_S
        self._tell(None)
        return max(0.0, min(chore.next_at for chore in self._chores) - now)

    def _do_if_due(self, chore: Chore, now: float) -> None:
        """Do a chore whose time has come. One whose lease is over is done by the next leader."""
        if now >= chore.next_at:
            with suppress(Fenced):
                chore.do()
            chore.next_at = now + chore.interval

    def _beat(self) -> None:
        news = self._beats.step(self._runs.own())
        if news != RunNews():
            self._runs.apply(news)

    def _failed(self, reason: Unavailable) -> None:
        self._work.keep_unsent()
        self._tell(reason)

    def _tell(self, reason: Unavailable | None) -> None:
        """Tell that the trouble begins or is over; each once."""
        if (reason is not None) != self._is_in_trouble:
            self._is_in_trouble = reason is not None
            self._on_trouble(reason)

    def _run(self) -> None:
        while not self._closing.is_set():
            self.loop.turn.begin()
            wait = self.step()
            self.loop.turn.end()
            if self._is_in_trouble:
                self._closing.wait(wait)
            else:
                self._work.waiting.wait(wait)
        with suppress(Unavailable):
            self._work.step()
