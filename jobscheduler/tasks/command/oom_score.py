"""The kernel's choice when memory runs out: the service is killed last, and its commands like any other process.

The unit lowers the score of the service (`OOMScoreAdjust=`), and every child inherits it. A start cannot be given a
score of its own. So the service has that of its commands for the duration of the start: a child that got it later could
have started others before.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

SCORE_FILE = Path("/proc/self/oom_score_adj")
SCORE_OF_COMMANDS = 0  # the kernel's default


class OomScore:
    """The score of this process: its own one, and that of commands while one starts.

    Lock: held to change the score.
    """

    def __init__(self, of_commands: int = SCORE_OF_COMMANDS) -> None:
        self._of_commands = of_commands
        self._lock = threading.Lock()
        self._file = -1
        self._own = of_commands
        self._starts = 0

    def remember(self) -> None:
        """Read the score of the service. One that is not below that of commands is theirs, too."""
        with self._lock, suppress(OSError, ValueError):
            self._own = int(SCORE_FILE.read_text("ascii"))
            if self._own < self._of_commands and self._file < 0:
                self._file = os.open(SCORE_FILE, os.O_WRONLY | os.O_CLOEXEC)

    def raise_for_start(self) -> None:
        """Have the score of commands until `restore`."""
        if self._file < 0:
            return
        with self._lock:
            self._starts += 1
            if self._starts == 1:
                self._set(self._of_commands)

    def restore(self) -> None:
        """Undo `raise_for_start`."""
        if self._file < 0:
            return
        with self._lock:
            self._starts -= 1
            if not self._starts:
                self._set(self._own)

    def _set(self, score: int) -> None:
        with suppress(OSError):
            os.pwrite(self._file, b"%d" % score, 0)


OOM_SCORE = OomScore()  # the only one in this process
