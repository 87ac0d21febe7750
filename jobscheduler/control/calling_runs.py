"""Find the runs that a client was started by: by a variable in its environment, or in that of an ancestor process."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

RUN_ID_VAR = "JOB_RUN_ID"  # the environment variable that names the run of a process

MAX_ANCESTORS = 64  # processes above the client whose environments are read

_RUN_ID = re.compile(rb"(?:^|\0)%b=([0-9a-z]{1,64})(?=\0|$)" % RUN_ID_VAR.encode())


def calling_runs(pid: int) -> tuple[str, ...]:
    """Return the ids of the runs that the process and its ancestors belong to, the innermost first.

    The ids prove nothing: the caller may have set the variable itself.

    Thread: that of the connection. Reading /proc may hang on a process that hangs.
    """
    run_ids = (run_id for ancestor in islice(_ancestors(pid), MAX_ANCESTORS) for run_id in _run_ids(ancestor))
    return tuple(dict.fromkeys(run_ids))


def _ancestors(pid: int) -> Iterator[int]:
    """Yield a process, its parent and so on, up to this process or init."""
    while pid > 1 and pid != os.getpid():
        yield pid
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:  # the process has ended
            return
        pid = int(stat[stat.rindex(b")") + 2 :].split()[1])


def _run_ids(pid: int) -> list[str]:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # gone, or not this user's
        return []
    return [run_id.decode("ascii") for run_id in _RUN_ID.findall(environment)]
