"""The lookout over the jobs directory, on the file thread: the watch stays on what the path means, passes are made.

Once a second it is seen whether the path still means the same directory. That is a single question to the system as
long as the answer is the same as when all was last found well: a service that has nothing to do is to cost nothing.
Each question is made through the guard, so that a directory that does not answer is asked by one lost thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from jobscheduler.jobs.reconciler import Reconciler
from jobscheduler.jobs.watcher import State, Watch
from jobscheduler.model import Level
from jobscheduler.runlog import RunLog
from jobscheduler.service.startup import Claim
from jobscheduler.util.hang_guard import HangGuard, Hung

T = TypeVar("T")


class Lookout:
    """Keeps the watch on the right directory, and tells the log when that is not possible, once, and when it is.

    `thing` is what the guard calls the directory.
    """

    def __init__(
        self, watch: Watch, reconciler: Reconciler, claim: Claim, log: RunLog, guard: HangGuard, thing: str
    ) -> None:
        self._guard = guard
        self._thing = thing
        self._is_doubted = False
        self._watch = watch
        self._reconciler = reconciler
        self._claim = claim
        self._log = log
        self._well: object = None
        self._fault = ""
        self._told_holder: int | None = None
        self.is_blind = False
        """Whether changes are not heard of, so that everything is looked at each second."""

    @property
    def is_shared(self) -> bool:
        """Whether another service uses the same directory."""
        return self._told_holder is not None

    def tend(self) -> None:
        """See whether all is as it was when it was last found well; if not, look closely."""
        if self.is_shared:
            self._claim_anew()
        is_doubted, self._is_doubted = self._is_doubted, False
        seen = self._ask(self._watch.glance, None)
        if is_doubted or seen is None or seen != self._well or not self._reconciler.is_whole():
            self._well = seen if self._look_closely() else None

    def doubt(self) -> None:
        """Have the next `tend` look closely, whatever it sees. Any thread may do that."""
        self._is_doubted = True

    def _ask(self, question: Callable[[], T], unanswered: T) -> T:
        """Ask something about the directory, and return `unanswered` if it does not answer."""
        try:
            return self._guard.call(self._thing, question)
        except Hung:
            return unanswered

    def look(self, look: Callable[[], None]) -> None:
        """Have a pass made. One that fails is told by the next `tend`, which looks at everything."""
        try:
            look()
        except Exception as error:
            self._fault = f"a pass failed: {text_of(error)}"
            self.doubt()

    def _look_closely(self) -> bool:
        """Put the watch where it belongs, and see whether the directory is there; tell whether all is well.

        While it cannot be watched, or a pass fails, everything is looked at each second; the trouble and its end are
        told once.
        """
        state, problem = self._ask(self._watch.tend, (State.BLIND, ""))
        if state is not State.CLEAR:
            self._claim_anew()
        fault, self._fault = self._fault, ""
        self._degrade(problem or fault)
        is_clear = state is State.CLEAR and not fault
        self.look(self._reconciler.check if is_clear else self._reconciler.look_at_everything)
        self._degrade(self._fault)
        if self.is_blind and state is not State.BLIND and not problem and not self._fault:
            self._log.event(Level.INFO, "watch.restored")
            self.is_blind = False
        return is_clear and not self._fault

    def _claim_anew(self) -> None:
        """Lock the directory that the path means now; if another service has that, both would run its jobs."""
        holder = self._ask(self._claim.renew, self._told_holder)
        if holder is not None and holder != self._told_holder:
            help_ = "two services on one directory run every job twice: stop one of them"
            self._log.event(Level.ERROR, "directory.shared", pid=holder or None, help=help_)
        self._told_holder = holder

    def _degrade(self, problem: str) -> None:
        if problem and not self.is_blind:
            self._log.event(Level.WARNING, "watch.degraded", problem=problem)
            self.is_blind = True


def text_of(error: BaseException) -> str:
    """Write an error on one line."""
    return f"{type(error).__name__}: {error}"
