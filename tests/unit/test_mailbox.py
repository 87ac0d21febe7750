"""The mailbox of the main thread: a storm becomes one message, and the order to end goes first."""

from __future__ import annotations

import os
import signal
import threading

from jobscheduler.service.mailbox import Mailbox, Message


def taken(mailbox: Mailbox) -> list[Message | None]:
    """Everything that is in it, in the order in which it is taken."""
    return [mailbox.take(0.0) for _ in range(6)]


def test_messages_are_taken_in_order_and_a_queued_one_is_not_queued_again() -> None:
    """A storm while the main thread is busy is one message. A message that comes after it was taken is a new one."""
    mailbox = Mailbox()
    for message in [Message.CHECK_DIRECTORY, *[Message.RELOAD] * 150, Message.SETTLE, Message.CHECK_DIRECTORY]:
        mailbox.put(message)
    assert taken(mailbox) == [Message.CHECK_DIRECTORY, Message.RELOAD, Message.SETTLE, None, None, None]
    mailbox.put(Message.RELOAD)
    assert mailbox.take(0.0) == Message.RELOAD


def test_an_order_to_end_goes_before_other_messages_and_each_one_counts() -> None:
    """`is_stopping` sees it before it is taken. The second is an order to hurry, so it is not merged with the first."""
    mailbox = Mailbox()
    for message in [Message.RELOAD, Message.LOG_FILE_BEGUN, Message.TERMINATE, Message.INTERRUPT]:
        assert mailbox.is_stopping() == (message == Message.INTERRUPT)
        mailbox.put(message)
    assert mailbox.is_stopping()
    assert mailbox.take(0.0) == Message.TERMINATE
    assert mailbox.take_stop()
    assert not mailbox.take_stop()
    assert not mailbox.is_stopping()
    assert Message.RELOAD in taken(mailbox)


def test_waiting_ends_with_a_message_from_a_thread_or_a_signal() -> None:
    """The handler runs while the main thread waits."""
    mailbox = Mailbox()
    threading.Timer(0.05, mailbox.put, [Message.CHECK_DIRECTORY]).start()
    assert mailbox.take(30.0) == Message.CHECK_DIRECTORY
    former = signal.signal(signal.SIGUSR1, lambda *_: mailbox.put(Message.TERMINATE))
    try:
        threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGUSR1]).start()
        assert mailbox.take(30.0) == Message.TERMINATE
    finally:
        signal.signal(signal.SIGUSR1, former)
