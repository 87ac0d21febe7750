"""List the processes that the service has adopted. It is a subreaper, so orphans of runs become its children.

The kernel assigns them to the first thread of the service, and `/proc/self/task/PID/children` of that thread lists
them. Children started by other threads are not listed there. Each process is read once and forgotten before it is
reaped, so that a reused pid counts as another process. Lock: none is held while /proc is read.
"""

from __future__ import annotations

import os

from jobscheduler.tasks.command.processes import Process, children_of_thread, read_process


class AdoptedProcesses:
    """The adopted processes of this process. `own_pids` holds the main processes that have not been reaped."""

    def __init__(self) -> None:
        self.own_pids: set[int] = set()
        self._seen: dict[int, Process] = {}

    def pids(self) -> list[int]:
        """Return the pids of adopted processes, and of other children that the first thread has started."""
        return [pid for pid in children_of_thread(os.getpid(), os.getpid()) if pid not in self.own_pids]

    def processes(self) -> list[Process]:
        """Return the adopted processes in the state in which they were first seen."""
        seen = self._seen
        now = {pid: process for pid in self.pids() if (process := seen.get(pid) or read_process(pid))}
        self._seen = now
        return list(now.values())

    def new(self, limit: int) -> tuple[bool, list[Process]]:
        """Return whether there are adopted processes, and up to `limit` that were not seen before."""
        pids = self.pids()
        unseen = [pid for pid in pids if pid not in self._seen][:limit]
        new = [process for pid in unseen if (process := read_process(pid))]
        self._seen.update((process.pid, process) for process in new)
        return bool(pids), new

    def discard(self, pid: int) -> None:
        """Forget a process that is about to be reaped."""
        self._seen.pop(pid, None)


ADOPTED = AdoptedProcesses()  # the only one in this process
