"""The account as a scheduler finds it that begins to lead, and whose decisions it then takes."""

from __future__ import annotations

from collections.abc import Callable

from jobscheduler.cluster.accounting import ClusterAccounting
from jobscheduler.cluster.lease import Standing
from jobscheduler.cluster.recovery import AccountRecovery
from jobscheduler.cluster.values import Term
from jobscheduler.model import RecoveredState

MAX_REBOOT_AGE_S = 900.0  # seconds since the boot of a host after which no `@reboot` is due any more


class BootKnowledge:
    """Whether `@reboot` is still to be decided for this boot of this host.

    It is decided by the node that leads when its own host has just booted. Where another node leads at that time, it
    has nothing to do with this boot, and a later takeover has nothing to make up for.
    """

    def __init__(self, instance: str, *, is_known: bool, uptime: Callable[[], float]) -> None:
        """`is_known`: the log of this node shows a service of this boot. `uptime` is in seconds."""
        self._instance = instance
        self._is_known = is_known
        self._uptime = uptime

    def note_standing(self, standing: Standing) -> None:
        """Note who leads."""
        seen = standing.seen
        if seen is not None and not seen.is_free and seen.term.instance != self._instance:
            self._is_known = True

    def note_led(self) -> None:
        """Note that this node leads."""
        self._is_known = True

    def __bool__(self) -> bool:
        return self._is_known or self._uptime() > MAX_REBOOT_AGE_S


class AccountPast:
    """Reads what the leaders before have left, and says to the account from when this node decides.

    Thread: that of the node.
    """

    def __init__(self, accounting: ClusterAccounting, recovery: AccountRecovery, boot: BootKnowledge) -> None:
        self._accounting = accounting
        self._recovery = recovery
        self._boot = boot

    @property
    def lacks_claims(self) -> bool:
        """Whether claims were given up since `begin`."""
        return self._accounting.lacks_claims

    def begin(self, term: Term) -> None:
        """Take decisions of this term from now on."""
        self._accounting.lead(term)
        self._boot.note_led()

    def note_led(self) -> None:
        """Note that the scheduler leads, and knows what the leaders before have left."""
        self._accounting.note_led()

    def end(self) -> None:
        """Take no more decisions."""
        self._accounting.stand_by()

    def recovered(self) -> RecoveredState | None:
        """Read what the leaders before have left.

        Raises:
            Unavailable: the database cannot be used.

        """
        return self._recovery.recovered(knows_boot=bool(self._boot))
