"""Whether `@reboot` is still to be decided for this boot of this host."""

from __future__ import annotations

from collections.abc import Callable

from jobscheduler.cluster.lease import Standing

MAX_REBOOT_AGE_S = 900.0  # seconds since the boot of a host after which no `@reboot` is due any more


class BootKnowledge:
    """What a node knows of `@reboot` and this boot: true if it was decided, or if its time is over.

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
