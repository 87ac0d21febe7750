"""The rules of time zones as they are in force: each zone is read once, and again only at a reload.

A package upgrade replaces the files of the rules while the service runs. One zone must have one set of rules, or jobs
of the same zone would disagree. So:

1. The first use of a zone reads its file, and every later use gets the same object.
2. `changed` compares the files with what was read. It reads a file only when its state has changed.
3. `reload` reads the changed ones again. The others keep their object, and so does a zone that cannot be read.

A new object is unequal to the former one. So no cache that has a zone in its key can mix the rules of the two.
"""

from __future__ import annotations

import importlib.resources
import os
import threading
import zoneinfo
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from jobscheduler.model import ZoneOffsets
from jobscheduler.timetable.former_rules import offsets_between, zone_of

_TRIES = 5  # to read a zone between two replacements of its file


class UnreadableZone(Exception):
    """There is no zone of a name, or its data are damaged."""


FileState = tuple[object, ...] | None  # what tells one state of a file from another; None without a file


@dataclass(slots=True)
class _Rules:
    """A zone in force with the data that it was read from; `state` and `on_disk` are the file as last compared."""

    zone: ZoneInfo
    data: bytes | None
    state: FileState
    on_disk: bytes | None


@dataclass(frozen=True, slots=True)
class ReloadedRules:
    """What a reload made of the zones with changed files: `applied`, or `kept` because they cannot be read."""

    applied: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


@dataclass(slots=True)
class ZoneRules:
    """The zones that this process uses, by name.

    Lock: `_lock` lets one thread at a time read or compare files. A lookup of a known zone takes no lock.
    """

    _known: dict[str, _Rules] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def zone(self, name: str) -> ZoneInfo:
        """Return a zone with the rules in force.

        Raises:
            UnreadableZone: there is no such zone, or its data cannot be read.

        """
        rules = self._known.get(name)
        if rules is None:
            with self._lock:
                rules = self._known.get(name)
                if rules is None:
                    rules = self._known[name] = _read(name)
        return rules.zone

    def changed(self) -> dict[str, bool]:
        """Return the names of the zones whose files no longer hold the rules in force; the value is False if gone."""
        with self._lock:
            differing = {name: rules for name, rules in self._known.items() if _differs(name, rules)}
            return {name: rules.on_disk is not None for name, rules in differing.items()}

    def reload(self) -> ReloadedRules:
        """Read the zones with changed files again."""
        names = [*self.changed()]
        applied, kept = [], []
        with self._lock:
            ZoneInfo.clear_cache(only_keys=names)
            for name in names:
                try:
                    self._known[name] = _read(name)
                    applied.append(name)
                except UnreadableZone:
                    kept.append(name)
        return ReloadedRules(tuple(sorted(applied)), tuple(sorted(kept)))

    def restore(self, former: Mapping[str, ZoneOffsets], now: int) -> tuple[str, ...]:
        """Put the rules of the service before in force until a reload; return the zones whose files have others."""
        restored = []
        for name, offsets in former.items():
            with self._lock, suppress(UnreadableZone):
                rules = self._known.get(name) or _read(name)
                start, end = offsets[0][0], offsets[-1][0]
                if start <= now < end and offsets_between(rules.zone, start, end) != offsets:
                    self._known[name] = _Rules(zone_of(name, offsets), None, rules.state, rules.data)
                    restored.append(name)
        return tuple(restored)

    def clear(self) -> None:
        """Forget every zone, as after a change of the directories in which `ZoneInfo` looks."""
        with self._lock:
            ZoneInfo.clear_cache()
            self._known.clear()


ZONE_RULES = ZoneRules()  # of this process, as the cache of `ZoneInfo` is


def zone_data(name: str) -> bytes | None:
    """Return the zone data of a name as `ZoneInfo` would read it, or None."""
    file = _file_of(name)
    try:
        return None if file is None else Path(file).read_bytes()
    except OSError:  # it was just removed
        return None


def _read(name: str) -> _Rules:
    """Read a zone together with its data; again if its file was replaced meanwhile.

    Raises:
        UnreadableZone: there is no such zone, or its data cannot be read.

    """
    for _ in range(_TRIES):
        state = _state_of(name)
        try:
            zone, data = ZoneInfo(name), zone_data(name)
        except Exception as error:  # damaged data raise errors of many kinds
            raise UnreadableZone from error
        if _state_of(name) == state:
            break
        ZoneInfo.clear_cache(only_keys=[name])
    return _Rules(zone, data, state, data)


def _differs(name: str, rules: _Rules) -> bool:
    """Return whether the file of a zone holds other rules than those in force; read it if its state has changed."""
    state = _state_of(name)
    if state != rules.state:
        rules.state, rules.on_disk = state, zone_data(name)
    return rules.on_disk != rules.data


def _state_of(name: str) -> FileState:
    file = _file_of(name)
    with suppress(OSError, ValueError):
        if file is not None:
            stat = os.stat(file)  # noqa: PTH116 - runs at regular intervals, and `Path` costs several times as much
            return file, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
    return None


def _file_of(name: str) -> str | None:
    """Return the file that `ZoneInfo` reads a zone from: of the host, else of the package `tzdata` of Python."""
    for directory in zoneinfo.TZPATH:
        file = os.path.join(directory, name)  # noqa: PTH118 - as above
        if os.path.isfile(file):  # noqa: PTH113 - as above
            return file
    with suppress(ImportError):
        file = str(importlib.resources.files("tzdata.zoneinfo").joinpath(name))
        if os.path.isfile(file):  # noqa: PTH113 - as above
            return file
    return None
