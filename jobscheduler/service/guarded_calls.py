"""Calls through the hang guard: an answer that does not come is a refused start, or an `OSError`."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import ParamSpec, TypeVar

from jobscheduler.model import Problem
from jobscheduler.service.errors import StartupError
from jobscheduler.util.hang_guard import CallHung, HangGuard

P = ParamSpec("P")
T = TypeVar("T")


def call_at_startup(guard: HangGuard, name: str, function: Callable[[], T]) -> T:
    """Call a function whose result the start needs. `name` is the guard's name for what it reads.

    Raises:
        StartupError: the call hangs.
        Exception: the function raises it.

    """
    try:
        return guard.call(name, function)
    except CallHung as hung:
        help_ = "is its file system mounted, and the server of that reachable?"
        raise StartupError(Problem(str(hung), help=help_)) from None


def call_or(guard: HangGuard, name: str, function: Callable[[], T], default: T) -> T:
    """Call a function through the guard; return `default` if it hangs."""
    try:
        return guard.call(name, function)
    except CallHung:
        return default


def raising_os_error(guard: HangGuard, name: str, function: Callable[P, T]) -> Callable[P, T]:
    """Return the function as a guarded one, which raises `OSError` when it hangs."""

    def guarded(*args: P.args, **keywords: P.kwargs) -> T:
        try:
            return guard.call(name, partial(function, *args, **keywords))
        except CallHung as hung:
            raise OSError(errno.ETIMEDOUT, str(hung)) from None

    return guarded


@contextmanager
def entered(guard: HangGuard, name: str, context: AbstractContextManager[T]) -> Iterator[T]:
    """Enter and leave a context that may hang. If leaving it hangs, it is left to the end of the process.

    Raises:
        StartupError: entering it hangs.

    """
    value = call_at_startup(guard, name, context.__enter__)
    try:
        yield value
    finally:
        with suppress(CallHung):
            guard.call(name, partial(context.__exit__, None, None, None))
