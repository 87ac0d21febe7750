"""The process as a whole: its signals, its garbage collector, and its exit."""

from __future__ import annotations

import gc
import os
import select
import signal
import threading
from contextlib import ExitStack, suppress

from jobscheduler.model import Event, Level
from jobscheduler.runlog import LogWriter
from jobscheduler.scheduler import Scheduler
from jobscheduler.service.control_group import enter_leaf
from jobscheduler.service.forced_exit import ForcedExit
from jobscheduler.service.mailbox import Mailbox, Message
from jobscheduler.tasks.command.fd_budget import FD_LIMIT
from jobscheduler.tasks.command.oom_score import OOM_SCORE
from jobscheduler.tasks.command.reaper_thread import REAPER
from jobscheduler.tasks.command.run_groups import RUN_GROUPS
from jobscheduler.util.instants import utc_now

LAST_LINE_WAIT_S = 1.0  # limit of the wait for the last line of the log after a failure
ABORT_WAIT_S = 15.0  # limit of the time that runs have to end after a failure
GC_THRESHOLD = 5_000  # default 700; runs create few cycles, and a full collection stalls all threads
EXIT_LINES_LOST = 1  # exit status: the log could not be written to its end
EXIT_FAILURE = 70  # exit status: a part of the service died


def prepare_process() -> None:
    """Set what belongs to the process: signals of children, control groups, limits, the reaper."""
    _end_at_signals()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # some parents leave it ignored, and exit statuses would be lost
    enter_leaf()
    RUN_GROUPS.take_over()
    FD_LIMIT.raise_limit()
    OOM_SCORE.remember()
    REAPER.keep_reaping()


def _end_at_signals() -> None:
    """Have SIGTERM and SIGINT end the first process of a container before it can stop in order.

    The kernel ignores signals to it that have no handler. Nothing has begun yet that would have to be ended.
    """
    if os.getpid() == 1:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os._exit(0))


def receive_signals(stack: ExitStack, mailbox: Mailbox, drain_timeout: float) -> None:
    """Turn signals into messages. The handlers do nothing else, and a stuck main thread cannot block the end."""
    stack.enter_context(ForcedExit(drain_timeout, _force_exit))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        former = signal.signal(number, lambda number, _: mailbox.put(Message(signal.Signals(number).name)))
        stack.callback(signal.signal, number, former)


def pause_gc(stack: ExitStack) -> None:
    """Switch the garbage collector off for the start, which makes many objects and drops none.

    The objects of modules stay anyway: `tune_gc` need not look at them.
    """
    gc.disable()
    gc.collect(1)
    gc.freeze()
    stack.callback(gc.enable)


def tune_gc() -> None:
    """Switch the garbage collector on again, for few collections without the objects of the start.

    Runs make hardly any cycles, and a collection over ten thousand definitions stops all threads for tens of
    milliseconds.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    gc.enable()


def exit_status(log: LogWriter, scheduler: Scheduler) -> int:
    """Return the exit status. With a thread that is lost to its task, end the process at once."""
    status = EXIT_LINES_LOST if log.lines_lost else 0
    if scheduler.runs.lost_threads():
        os._exit(status)  # the interpreter would wait for the lost thread for ever
    return status


def abort(scheduler: Scheduler, log: LogWriter) -> None:
    """End the process although a part of it is dead or stuck and may hold any lock. Every wait has a limit."""
    thread = threading.Thread(target=scheduler.abort, args=(ABORT_WAIT_S,), daemon=True)
    with suppress(RuntimeError):  # the host has no thread left
        thread.start()
        thread.join(ABORT_WAIT_S)
    last = Event(utc_now(), Level.ERROR, "service.died", (("exit_status", EXIT_FAILURE),))
    log.write_and_wait(last, timeout=LAST_LINE_WAIT_S)
    os._exit(EXIT_FAILURE)


def _force_exit() -> None:
    """End the process although its shutdown hangs. systemd, or the next start, ends the processes of its runs."""
    message = b"jobscheduler: the service was asked to stop and hangs: it is ended by force\n"
    if select.select([], [2], [], 0.0)[1]:
        with suppress(OSError):
            os.write(2, message)
    os._exit(EXIT_FAILURE)
