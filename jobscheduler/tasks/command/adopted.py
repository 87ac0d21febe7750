"""The processes that the service has adopted: their parent has died, and the service is a subreaper.

The kernel gives them to the first thread of the service, and `/proc/self/task/PID/children` of that thread lists them;
children started by other threads are not in it. Each is looked at once, and forgotten before it is reaped, so that a
pid that comes again is another process. No lock is held while /proc is read.
"""

from __future__ import annotations

import os

from jobscheduler.tasks.command.processes import Process, children_of_thread, read_process


class AdoptedProcesses:
    """The adopted processes of this process. `ours` are the pids of main processes that are not reaped yet."""

    def __init__(self) -> None:
        self.own_pids: set[int] = set()
        self._seen: dict[int, Process] = {}

    def pids(self) -> list[int]:
        """The pids of the adopted processes, and of others that the first thread has started."""
        return [pid for pid in children_of_thread(os.getpid(), os.getpid()) if pid not in self.own_pids]

    def processes(self) -> list[Process]:
        """The adopted processes as they were when they were seen first."""
        seen = self._seen
        now = {pid: process for pid in self.pids() if (process := seen.get(pid) or read_process(pid))}
        self._seen = now
        return list(now.values())

    def new(self, most: int) -> tuple[bool, list[Process]]:
        """Tell whether there are any, and return so many of those that were not seen before."""
        pids = self.pids()
        found = [
            process for pid in [one for one in pids if one not in self._seen][:most] if (process := read_process(pid))
        ]
        self._seen.update((process.pid, process) for process in found)
        return bool(pids), found

    def discard(self, pid: int) -> None:
        """Take note that a process is about to be reaped."""
        self._seen.pop(pid, None)


ADOPTED = AdoptedProcesses()
"""The one of this process."""
