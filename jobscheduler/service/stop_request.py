"""The order to end the service, while the service follows it."""

from __future__ import annotations

from collections.abc import Callable

from jobscheduler.service.mailbox import Mailbox


class StopRequest:
    """An order to end. The parts of the service poll it while they wait for what still runs."""

    def __init__(self, mailbox: Mailbox, keep_alive: Callable[[], object]) -> None:
        """`keep_alive` is called at each poll, so that the watchdog stays content."""
        self._mailbox = mailbox
        self._keep_alive = keep_alive
        self._is_urgent = False

    def poll(self) -> bool:
        """Keep the service alive, take a further signal if there is one, and return whether any has come so far."""
        self._keep_alive()
        self._is_urgent |= self._mailbox.take_stop()
        return self._is_urgent
