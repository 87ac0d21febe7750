"""Redraw a screen every few seconds until `q` or Ctrl-C."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from jobscheduler.control.client import ServiceUnreachable

INTERVAL_S = 2.0  # seconds between two screens

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"  # the alternate screen, without a cursor
_HOME, _CLEAR_LINE, _CLEAR_REST = "\x1b[H", "\x1b[K", "\x1b[J"
_DEFAULT_ROWS = 24


def watch(draw: Callable[[], tuple[int, Iterable[str]]]) -> int:
    """Show what `draw` returns, again and again; return its last exit status when the user types `q`.

    Without a terminal each screen follows the last, with an empty line between them.

    Raises:
        KeyboardInterrupt: the user ends it by Ctrl-C.

    """
    if not sys.stdout.isatty():
        return _repeat(draw)
    with _screen(), _keys() as next_key:
        while True:
            status, lines = _drawn(draw)
            sys.stdout.write(screen(lines, _rows()))
            sys.stdout.flush()
            if next_key(INTERVAL_S) in {"q", "Q", "\x04"}:
                return status


def screen(lines: Iterable[str], rows: int) -> str:
    """Return the text that draws a screen over the last one: as many lines as there are rows."""
    shown = list(islice(lines, rows + 1))
    if len(shown) > rows:
        shown = [*shown[: rows - 1], "… more lines than this terminal has"]
    return _HOME + "\n".join(line + _CLEAR_LINE for line in shown) + _CLEAR_REST


def _repeat(draw: Callable[[], tuple[int, Iterable[str]]]) -> int:
    while True:
        _, lines = _drawn(draw)
        print("\n".join(lines), end="\n\n", flush=True)
        time.sleep(INTERVAL_S)


def _drawn(draw: Callable[[], tuple[int, Iterable[str]]]) -> tuple[int, Sequence[str]]:
    """Draw; a service that does not answer is said on the screen, and asked again."""
    try:
        status, lines = draw()
        return status, list(lines)
    except ServiceUnreachable as unreachable:
        return unreachable.exit_status, [f"error: {unreachable.problem.message}", "it is asked again in a moment"]


def _rows() -> int:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).lines or _DEFAULT_ROWS
    except OSError:
        return _DEFAULT_ROWS


@contextmanager
def _screen() -> Iterator[None]:
    sys.stdout.write(_ENTER)
    try:
        yield
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()


@contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Yield a function that waits so long for a key; without a terminal as input it only waits."""
    if not sys.stdin.isatty():
        yield _only_wait
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield _key
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _only_wait(seconds: float) -> str:
    time.sleep(seconds)
    return ""


def _key(seconds: float) -> str:
    ready = select.select([sys.stdin], [], [], seconds)[0]
    return os.read(sys.stdin.fileno(), 1).decode("ascii", "replace") if ready else ""
