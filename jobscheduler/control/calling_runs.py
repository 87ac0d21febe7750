"""From within which runs a client asks: known by the mark in its environment, or in that of a process above it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

RUN_ID_VAR = "JOB_RUN_ID"
"""The environment variable by which the processes of a run are known."""

MAX_ANCESTORS = 64
"""So many processes above the client are looked at."""

_RUN_ID = re.compile(rb"(?:^|\0)%b=([0-9a-z]{1,64})(?=\0|$)" % RUN_ID_VAR.encode())


def calling_runs(pid: int) -> tuple[str, ...]:
    """Return the ids of runs that the process, and those above it, carry the marks of; the innermost first.

    Reads /proc, which may hang on a process that does: to be called on the thread of the connection. A mark proves
    nothing: the caller may have set it itself.
    """
    found = (run_id for one in islice(_ancestors(pid), MAX_ANCESTORS) for run_id in _run_ids(one))
    return tuple(dict.fromkeys(found))


def _ancestors(pid: int) -> Iterator[int]:
    """List a process, its parent and so on, up to this one or init."""
    while pid > 1 and pid != os.getpid():
        yield pid
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            return
        pid = int(stat[stat.rindex(b")") + 2 :].split()[1])


def _run_ids(pid: int) -> list[str]:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # gone, or not this user's
        return []
    return [run_id.decode("ascii") for run_id in _RUN_ID.findall(environment)]
