"""The terms of a node in the account: what the leaders before have left, and from when to when this node decides."""

from __future__ import annotations

from collections.abc import Callable

from jobscheduler.cluster.boot_knowledge import BootKnowledge
from jobscheduler.cluster.decisions import Decisions
from jobscheduler.cluster.recovery import AccountRecovery
from jobscheduler.cluster.values import Term
from jobscheduler.model import RecoveredState

LAST_WAIT_S = 1.0  # seconds that the last checkpoint of a leader may keep the lease from the next one


class AccountTerms:
    """Begins and ends the terms for which this node decides. Thread: that of the node."""

    def __init__(self, decisions: Decisions, recovery: AccountRecovery, boot: BootKnowledge) -> None:
        self._decisions = decisions
        self._recovery = recovery
        self._boot = boot

    def recovered(self) -> RecoveredState | None:
        """Read what the leaders before have left.

        Raises:
            Unavailable: the database cannot be used.

        """
        return self._recovery.recovered(knows_boot=bool(self._boot))

    def begin(self, term: Term) -> None:
        """Take decisions of this term from now on."""
        self._decisions.begin(term)
        self._boot.note_led()

    def note_led(self) -> None:
        """Note that the scheduler leads, and knows what the leaders before have left."""
        self._decisions.term.note_accounted()

    @property
    def lacks_claims(self) -> bool:
        """Whether claims were given up since `begin`."""
        return self._decisions.lacks_claims

    def write_last(self, hand_over: Callable[[], object]) -> None:
        """Have the account take what `hand_over` has to say, while the lease is held; wait for that only a moment.

        An outcome from now on is left to the next leader: the last checkpoint does not count it.
        """
        self._decisions.term.leave_outcomes()
        hand_over()
        self._decisions.wait_taken(LAST_WAIT_S)

    def end(self) -> None:
        """Take no more decisions."""
        self._decisions.term.end()
