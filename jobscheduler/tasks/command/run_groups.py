"""Control groups of runs: limits that hold for the whole tree of an attempt, whatever its processes do.

1. systemd delegates the group of the unit to the service, which is in a leaf of it. Each attempt with limits gets a
   group of its own beside that leaf, `run-RUN_ID-ATTEMPT`.
2. The command enters its group before its first instruction: a shell in front of its helpers writes its own pid there,
   still as the user of the service, and becomes the next program (`entering`).
3. The group is removed when the attempt has ended. While processes that it left in the background live, it stays, and
   `sweep` removes it later. So does the next start, which finds such groups by their names.
4. What the host does not offer is left out: without a delegated group, or without a controller, the run goes on without
   these limits. `RunGroup.missing` names them for its record, and `issues` tells why.

The files are those of the kernel, so no call waits for a disk.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from jobscheduler.model import Limits, ResourceUse
from jobscheduler.tasks.command.processes import Process, read_process
from jobscheduler.util.control_groups import GROUPS, LIMIT_CONTROLLERS, controllers, is_delegated, own_group
from jobscheduler.util.text import plural

LEAF = "service"  # the group of the service itself

SWEEP_INTERVAL_S = 5.0  # between two tries to remove groups that are not empty yet

NOT_ENTERED_STATUS = 125  # exit status of a command that could not enter its group

_PREFIX = "run-"
_PERIOD_US = 100_000  # microseconds in which a share of processor time counts
_ENTER = 'echo $$ >"$0" || exit 125; exec "$@"'


class RunGroup:
    """The control group of one attempt. `missing` are the limits that are not in force; `path` is None without group.

    Thread: any.
    """

    def __init__(self, path: Path | None, missing: tuple[str, ...] = ()) -> None:
        self.path = path
        self.missing = missing

    def entering(self) -> list[str]:
        """Return the words in front of a command by which it enters the group."""
        return [] if self.path is None else ["/bin/sh", "-c", _ENTER, str(self.path / "cgroup.procs")]

    def processes(self) -> list[Process]:
        """Return the processes in the group. A pid that another process has by now is not taken for one of them."""
        found = [process for pid in self._pids() if (process := read_process(pid)) is not None]
        still_there = self._pids() if found else frozenset()
        return [process for process in found if process.pid in still_there]

    def _pids(self) -> frozenset[int]:
        return frozenset(map(int, self._read("cgroup.procs").split()))

    def kill(self) -> None:
        """Kill all processes in the group at once, also those that fork meanwhile."""
        if self.path is not None:
            _write(self.path / "cgroup.kill", "1")

    @property
    def was_entered(self) -> bool:
        """Whether a process has ever run in the group."""
        return self._number("cpu.stat", "usage_usec") > 0

    @property
    def oom_kills(self) -> int:
        """How many of its processes were killed because they needed more memory than the limit."""
        return self._number("memory.events", "oom_kill")

    @property
    def refused_forks(self) -> int:
        """How often a process could not be made because of the limit."""
        return self._number("pids.events", "max")

    @property
    def memory_peak(self) -> int | None:
        """The most memory that the group has had, in bytes; None if the host does not count it."""
        text = self._read("memory.peak").strip()
        return int(text) if text.isdigit() else None

    def _number(self, file: str, key: str) -> int:
        """Return a number of a file that has one for each key; 0 if it is not there."""
        pairs = dict(line.split(" ", 1) for line in self._read(file).splitlines() if " " in line)
        return int(pairs.get(key, 0))

    def _read(self, file: str) -> str:
        try:
            return "" if self.path is None else (self.path / file).read_text("ascii")
        except OSError:  # the group has gone, or the kernel has no such file
            return ""


NO_GROUP = RunGroup(None)  # of runs without limits


@dataclass(frozen=True, slots=True)
class GroupEnd:
    """What a group tells when its attempt has ended, before it is removed."""

    was_entered: bool = True
    oom_kills: int = 0
    refused_forks: int = 0
    memory_peak: int | None = None

    @classmethod
    def of(cls, group: RunGroup) -> GroupEnd:
        """Read it from the group; what is true of no group if there is none."""
        if group.path is None:
            return _END_OF_NO_GROUP
        return cls(group.was_entered, group.oom_kills, group.refused_forks, group.memory_peak)

    def with_memory(self, use: ResourceUse | None) -> ResourceUse | None:
        """Return what a command has used, with the memory of the whole group where that is known."""
        return use if use is None or self.memory_peak is None else replace(use, max_rss=self.memory_peak)

    def describe_oom(self, limits: Limits | None) -> str:
        """Return the message of a run that needed more memory than its limit."""
        limit = (
            "its limit"
            if limits is None or limits.memory is None
            else f"its limit of {limits.memory / (1 << 20):g} MiB"
        )
        killed = plural(self.oom_kills, "process", "processes")
        return f"it needed more memory than {limit}, and the kernel killed {killed}"

    def describe_refused_forks(self, limits: Limits | None) -> str:
        """Return the message of a run that wanted more processes than its limit; empty if none was refused."""
        if not self.refused_forks or limits is None or limits.processes is None:
            return ""
        return f"it reached its limit of {plural(limits.processes, 'process', 'processes')}: a further one was refused"


_END_OF_NO_GROUP = GroupEnd()


class RunGroups:
    """Makes and removes the groups of runs.

    Thread: any. Lock: held to change the set of groups that are not empty yet.
    """

    def __init__(self, groups: Path = GROUPS) -> None:
        self._groups = groups
        self._lock = threading.Lock()
        self._left: set[Path] = set()
        self._next_sweep = 0.0
        self._lacks: dict[str, str] = {}

    @cached_property
    def parent(self) -> Path | None:
        """The delegated group in whose leaf this process is; None without one. Found once: a service does not move."""
        with suppress(OSError):
            own = own_group(self._groups)
            if own is not None and own.name == LEAF and is_delegated(own.parent):
                return own.parent
        return None

    def create(self, run_id: str, attempt: int, limits: Limits) -> RunGroup:
        """Make the group of an attempt, with as many of its limits as this host offers. Never fails for want of one."""
        wanted = _settings(limits)
        if self.parent is None:
            self._lacks = dict.fromkeys(wanted, "no control group is delegated to the service")
            return RunGroup(None, tuple(wanted))
        path = self.parent / f"{_PREFIX}{run_id}-{attempt}"
        try:
            self._enable(LIMIT_CONTROLLERS[name] for name in wanted)
            path.mkdir(exist_ok=True)
        except OSError as error:
            self._lacks = dict.fromkeys(wanted, f"no control group can be made in {self.parent}: {error.strerror}")
            return RunGroup(None, tuple(wanted))
        missing = [name for name, files in wanted.items() if not _set_limit(path, files)]
        self._note_missing(wanted, missing)
        return RunGroup(path, tuple(missing))

    def _enable(self, wanted: Iterable[str]) -> None:
        """Let the groups below the delegated one have these controllers, as far as it has them itself."""
        parent = self.parent
        if parent is None:
            return
        enabled = (parent / "cgroup.subtree_control").read_text("ascii").split()
        for name in (controllers(parent) & set(wanted)) - set(enabled):
            _write(parent / "cgroup.subtree_control", f"+{name}")

    def _note_missing(self, wanted: Iterable[str], missing: Iterable[str]) -> None:
        """Remember which limits this host does not offer, and forget those that it does."""
        for name in wanted:
            self._lacks.pop(name, None)
        for name in missing:
            self._lacks[name] = f"the service's control group has no working controller `{LIMIT_CONTROLLERS[name]}`"

    def issues(self) -> tuple[str, ...]:
        """Return a sentence for each reason why limits were not in force for the last run that wanted them."""
        reasons: dict[str, list[str]] = {}
        for name, reason in sorted(self._lacks.items()):
            reasons.setdefault(reason, []).append(name)
        help_ = "run the service as a systemd unit with `Delegate=yes`, on a host with control groups of version 2"
        return tuple(
            f"limits of jobs are not in force ({', '.join(names)}): {reason} (help: {help_})"
            for reason, names in reasons.items()
        )

    def release(self, group: RunGroup) -> None:
        """Remove a group whose attempt has ended, now or when the last process in it has ended."""
        if group.path is not None and not _remove(group.path):
            with self._lock:
                self._left.add(group.path)

    def take_over(self) -> None:
        """Find the groups that a former service has left, for `sweep` to remove. Call it at a start."""
        if self.parent is not None:
            with self._lock:
                self._left.update(self.parent.glob(f"{_PREFIX}*"))

    def sweep(self, now: float) -> None:
        """Remove the groups that have become empty. Cheap without any; tries every few seconds of `now` (monotonic)."""
        if not self._left or now < self._next_sweep:
            return
        self._next_sweep = now + SWEEP_INTERVAL_S
        with self._lock:
            left = tuple(self._left)
        removed = {path for path in left if _remove(path)}
        with self._lock:
            self._left -= removed

    def kill_runs(self, run_ids: Iterable[str]) -> None:
        """Kill what is left in the groups of runs that a crash has interrupted."""
        for run_id in run_ids if self.parent is not None else ():
            for path in self.parent.glob(f"{_PREFIX}{run_id}-*"):  # type: ignore[union-attr]
                RunGroup(path).kill()


def _settings(limits: Limits) -> Mapping[str, Mapping[str, str]]:
    """Return what to write for each limit: values by the names of files.

    Memory that may not be had is not taken from swap instead: the limit would be none.
    """
    settings: dict[str, Mapping[str, str]] = {}
    if limits.memory is not None:
        settings["memory"] = {"memory.max": str(limits.memory), "memory.swap.max": "0"}
    if limits.cpu is not None:
        settings["cpu"] = {"cpu.max": f"{max(1000, round(limits.cpu * _PERIOD_US))} {_PERIOD_US}"}
    if limits.processes is not None:
        settings["processes"] = {"pids.max": str(limits.processes)}
    return settings


def _set_limit(path: Path, files: Mapping[str, str]) -> bool:
    """Write a limit; return whether it is in force. A host may have no swap to limit."""
    present = {file: value for file, value in files.items() if (path / file).exists()}
    return bool(present) and all(_write(path / file, value) for file, value in present.items())


def _write(file: Path, text: str) -> bool:
    try:
        file.write_text(text, "ascii")
    except OSError:  # the kernel lacks this controller, or its value: the limit counts as missing
        return False
    return True


def _remove(path: Path) -> bool:
    """Remove a group. Return false while processes are in it."""
    try:
        path.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


RUN_GROUPS = RunGroups()  # of this process
