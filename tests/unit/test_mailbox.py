"""What waits for the main thread: storms become one message, and the end comes first."""

from __future__ import annotations

import os
import signal
import threading

from jobscheduler.service.mailbox import Mailbox


def taken(mailbox: Mailbox) -> list[str | None]:
    """Everything that is in it, in the order in which it is taken."""
    return [mailbox.take(0.0) for _ in range(6)]


def test_messages_come_in_their_order_and_a_storm_of_one_is_one() -> None:
    """However many came while the main thread was busy; one that comes later is a new one."""
    mailbox = Mailbox()
    for message in ["tend", *["SIGHUP"] * 150, "settle", "tend"]:
        mailbox.put(message)
    assert taken(mailbox) == ["tend", "SIGHUP", "settle", None, None, None]
    mailbox.put("SIGHUP")
    assert mailbox.take(0.0) == "SIGHUP"


def test_the_end_comes_before_all_that_waits_and_each_signal_counts() -> None:
    """It can be seen before it is taken, and the second one, which means haste, is not merged with the first."""
    mailbox = Mailbox()
    for message in ["SIGHUP", "mark", "SIGTERM", "SIGINT"]:
        assert mailbox.is_stopping() == (message == "SIGINT")
        mailbox.put(message)
    assert mailbox.is_stopping()
    assert mailbox.take(0.0) == "SIGTERM"
    assert mailbox.take_stop()
    assert not mailbox.take_stop()
    assert not mailbox.is_stopping()
    assert "SIGHUP" in taken(mailbox)


def test_waiting_ends_with_a_message_from_a_thread_or_a_signal() -> None:
    """The handler runs while the main thread waits."""
    mailbox = Mailbox()
    threading.Timer(0.05, mailbox.put, ["tend"]).start()
    assert mailbox.take(30.0) == "tend"
    former = signal.signal(signal.SIGUSR1, lambda *_: mailbox.put("SIGTERM"))
    try:
        threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGUSR1]).start()
        assert mailbox.take(30.0) == "SIGTERM"
    finally:
        signal.signal(signal.SIGUSR1, former)
